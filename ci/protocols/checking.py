"""The parts that the checks of all protocols share: the target, running a program, failures."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

#: No client of a server on the same machine takes this long, even where each byte is a read of its own.
TIMEOUT_S: Final = 120

HOST: Final = "127.0.0.1"


class CheckError(Exception):
    """A client got something else than it should have; the message says what, in one line."""


@dataclass(frozen=True)
class Target:
    """The server that a check speaks to.

    Attributes:
        port: where it is on 127.0.0.1, in plain text.
        ca: the file with the certificate that its own is to be checked with.
        cut: whether the server reads one byte at a time, so that little has to be enough.
    """

    port: int
    ca: Path
    cut: bool = False


@dataclass(frozen=True)
class Check:
    """A client's check of a server; the docstring of `run` describes it.

    Attributes:
        client: the program, which has to be installed, or the library.
        run: does it, and blocks meanwhile; raises `CheckError`, or an error of the library, if it fails.
        package: Debian's package with the program; "" for a library.
        large: whether it sends too much for a server that reads one byte at a time.
    """

    client: str
    run: Callable[[Target], None]
    package: str = ""
    large: bool = False

    @property
    def missing(self) -> bool:
        """Whether its program is not installed."""
        return bool(self.package) and shutil.which(self.client) is None


@dataclass(frozen=True)
class Protocol:
    """A server of docs/examples, and those that check it."""

    name: str
    app: str
    checks: tuple[Check, ...]


def run(command: Sequence[str], given: bytes = b"") -> str:
    """Run a program with `given` as its input; return both its outputs.

    Raises:
        CheckError: it failed, or took too long.
    """
    try:
        ended = subprocess.run(
            command,
            input=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise CheckError(f"{command[0]} has not ended within {TIMEOUT_S} s") from None
    said = ended.stdout.decode(errors="replace")
    if ended.returncode:
        last = (said.strip().splitlines() or ["nothing said"])[-1]
        raise CheckError(f"{command[0]} ended with status {ended.returncode}: {last}")
    return said


def expect(what: str, got: object, wanted: object) -> None:
    """Raise CheckError unless both are equal."""
    if got != wanted:
        raise CheckError(f"{what}: got {got!r:.200}, wanted {wanted!r:.200}")


def expect_in(what: str, text: str, *parts: str) -> None:
    """Raise CheckError unless the parts are in a text, one behind the other."""
    place = 0
    for part in parts:
        found = text.find(part, place)
        if found < 0:
            raise CheckError(f"{what}: no {part!r} in {text[place:]!r:.500}")
        place = found + len(part)


def s_client(target: Target, protocol: str, text: str) -> str:
    """Send a text at once behind STARTTLS by `openssl s_client`; return what comes."""
    command = ["openssl", "s_client", "-quiet", "-verify_return_error", "-CAfile", str(target.ca)]
    address = ["-connect", f"{HOST}:{target.port}", "-verify_hostname", "localhost", "-starttls", protocol]
    return run([*command, *address], text.encode())
