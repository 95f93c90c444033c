"""Starts a server in a process of its own for as long as it is judged."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import AsyncIterator, Sequence

import trio

#: Seconds that a server gets to say where it listens.
_STARTING = 20


class DeadServerError(Exception):
    """A server did not come up; the message has what it said instead."""


@contextlib.asynccontextmanager
async def serving(command: Sequence[str], environment: dict[str, str] | None = None) -> AsyncIterator[str]:
    """Run a server that says `listening on ENDPOINT`, yield the endpoint, and end the server.

    Raises:
        DeadServerError: it ended, or said nothing of the kind in time.
    """
    async with trio.open_nursery() as nursery:
        process: trio.Process = await nursery.start(_start, list(command), environment)
        try:
            yield await _endpoint(process, command)
        finally:
            with trio.CancelScope(shield=True):
                process.terminate()
                with trio.move_on_after(5):
                    await process.wait()
            nursery.cancel_scope.cancel()


async def _start(
    command: list[str],
    environment: dict[str, str] | None,
    task_status: trio.TaskStatus[trio.Process],
) -> None:
    await trio.run_process(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        capture_stdout=False,
        check=False,
        env={**os.environ, **(environment or {})},
        task_status=task_status,
    )


async def _endpoint(process: trio.Process, command: Sequence[str]) -> str:
    said = b""
    with trio.move_on_after(_STARTING):
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        while b"\n" not in said and (data := await process.stdout.receive_some()):
            said += data
    line = said.partition(b"\n")[0].decode(errors="replace")
    if not line.startswith("listening on "):
        raise DeadServerError(f"{' '.join(command)} did not come up; it said {line!r}")
    return line.removeprefix("listening on ")
