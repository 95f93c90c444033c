"""A server as a process: `start` it, know where it listens, end it; `serving` does all three from trio."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import IO, Self, cast

import trio

LISTENING = "listening on "
START_TIMEOUT_S = 20.0
#: A server that drains has this long to end, and one that is closed without ceremony so long.
STOP_TIMEOUT_S, CLOSE_TIMEOUT_S = 30.0, 5.0
#: How long one that has closed its output may take to end, so that its last words are complete.
_LAST_WORDS_TIMEOUT_S = 1.0


class StartError(Exception):
    """A server did not come up; the message says why, in one line."""


class ServerProcess:
    """A server that runs; as a context manager it is gone when the block ends.

    Attributes:
        process: the process.
        announced: what it has said where it was to announce itself, without the prefixes.
    """

    def __init__(self, process: subprocess.Popen[bytes], announced: list[str], errors: IO[bytes]) -> None:
        self.process = process
        self.announced = announced
        self._errors = errors

    @property
    def endpoint(self) -> str:
        """The first place where it listens, port 0 resolved."""
        return self.announced[0]

    def errors(self) -> str:
        """Return what it has written to standard error so far."""
        return _contents(self._errors)

    def stop(self) -> int:
        """Ask for a stop (SIGTERM), and return the exit status.

        Raises:
            subprocess.TimeoutExpired: it has not ended within `STOP_TIMEOUT_S`.
        """
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        """Return the exit status once it has ended.

        Raises:
            subprocess.TimeoutExpired: it has not ended within `STOP_TIMEOUT_S`.
        """
        return self.process.wait(STOP_TIMEOUT_S)

    def kill(self) -> None:
        """Kill it, if it runs."""
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        """End it, by force if it takes longer than `CLOSE_TIMEOUT_S`, and close its pipes."""
        _end(self.process, CLOSE_TIMEOUT_S, polite=True)
        cast("IO[bytes]", self.process.stdout).close()
        self._errors.close()

    def __enter__(self) -> Self:
        """Return the server."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()


def start(
    command: Sequence[str],
    *,
    announcements: Sequence[str] = (LISTENING,),
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    timeout_s: float = START_TIMEOUT_S,
) -> ServerProcess:
    """Start a server, and return it once it has announced itself; the caller closes it.

    Args:
        command: the program and its arguments.
        announcements: what its first lines on standard output begin with, one for each line.
        environment: variables over and above those of this process.
        folder: where it runs; this process's own without one.
        timeout_s: how long it may take.

    Raises:
        StartError: it cannot be started, has ended, or has not said so in time.
    """
    errors = tempfile.TemporaryFile()  # noqa: SIM115 - the server's, which closes it
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            env={**os.environ, **(environment or {})},
            cwd=folder,
        )
    except OSError as error:
        errors.close()
        raise StartError(f"{command[0]}: {error.strerror}") from None
    server = ServerProcess(process, [], errors)
    try:
        server.announced = _announced(server, announcements, timeout_s)
    except BaseException:
        server.close()
        raise
    return server


@asynccontextmanager
async def serving(
    command: Sequence[str], environment: Mapping[str, str] | None = None
) -> AsyncIterator[ServerProcess]:
    """Run a server for as long as the block lasts.

    Raises:
        StartError: as of `start`.
    """
    server = await trio.to_thread.run_sync(partial(start, command, environment=environment))
    try:
        yield server
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(server.close)


def _announced(server: ServerProcess, announcements: Sequence[str], timeout_s: float) -> list[str]:
    lines = _first_lines(server.process, len(announcements), timeout_s)
    if all(map(str.startswith, lines, announcements)) and len(lines) == len(announcements):
        return list(map(str.removeprefix, lines, announcements))
    _end(server.process, _LAST_WORDS_TIMEOUT_S, polite=False)
    words = server.errors().strip().splitlines() or lines or ["it does not say that it listens"]
    raise StartError(words[-1])


def _first_lines(process: subprocess.Popen[bytes], count: int, timeout_s: float) -> list[str]:
    """Return `count` lines of standard output; fewer if the server is too slow, or has ended."""
    output = cast("IO[bytes]", process.stdout).fileno()
    deadline = time.monotonic() + timeout_s
    said = b""
    with selectors.DefaultSelector() as selector:
        selector.register(output, selectors.EVENT_READ)
        while said.count(b"\n") < count and selector.select(max(0.0, deadline - time.monotonic())):
            if not (data := os.read(output, 4096)):
                break
            said += data
    return said.decode(errors="replace").splitlines()[:count]


def _end(process: subprocess.Popen[bytes], timeout_s: float, *, polite: bool) -> None:
    """Wait for the end, having asked for it or not; kill it after `timeout_s`."""
    if polite:
        process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout_s)
    process.kill()
    process.wait()


def _contents(file: IO[bytes]) -> str:
    size = os.fstat(file.fileno()).st_size
    return os.pread(file.fileno(), size, 0).decode(errors="replace")
