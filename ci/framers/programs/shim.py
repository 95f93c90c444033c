"""What the shims in Python share: how a line, an error and the end are told."""

from __future__ import annotations

import json
import sys


def tell(kind: str, value: str) -> None:
    """Print one thing that was found, at once."""
    print(json.dumps({kind: value}), flush=True)


def line(data: bytes) -> None:
    """Report a line, without its terminator."""
    tell("line", data.hex())


def error(reason: object) -> None:
    """Report an error."""
    tell("error", str(reason))


def end(tail: bytes = b"") -> None:
    """Report the end of input and what is left behind the last terminator; end the program."""
    tell("end", tail.hex())
    sys.exit(0)
