"""Make a failing input smaller: `python -m fuzz.minimize TARGET FILE`; the file is rewritten.

Smaller means shorter first, and then plainer: as many bytes as possible become `a`. What counts as
the same failure is the same exception from the same line.
"""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeAlias

from .targets import Target

_SECONDS: Final = 20

Failure: TypeAlias = tuple[type[Exception], str, int | None]


def failure(check: Callable[[bytes], None], data: bytes) -> Failure | None:
    """Return how `data` fails; None if it does not."""
    try:
        check(data)
    except Exception as error:  # noqa: BLE001 - which one it is, is the question
        last = traceback.extract_tb(error.__traceback__)[-1]
        return type(error), last.filename, last.lineno
    return None


def smaller(data: bytes) -> Iterator[bytes]:
    """Yield what might do as well: parts left out, long ones first, then bytes made plain."""
    size = len(data) // 2
    while size:
        for start in range(0, len(data), size):
            yield data[:start] + data[start + size :]
        size //= 2
    for at, byte in enumerate(data):
        if byte not in b"a\0":
            for plain in b"a\0":
                yield data[:at] + bytes([plain]) + data[at + 1 :]


def minimize(check: Callable[[bytes], None], data: bytes) -> bytes:
    """Return an input that fails as `data` does and cannot be made smaller in one move."""
    wanted = failure(check, data)
    deadline = time.monotonic() + _SECONDS
    progress = wanted is not None
    while progress:
        progress = False
        for candidate in smaller(data):
            if time.monotonic() > deadline:
                return data
            if failure(check, candidate) == wanted:
                data, progress = candidate, True
                break
    return data


if __name__ == "__main__":
    file = Path(sys.argv[2])
    file.write_bytes(minimize(Target(sys.argv[1]).check, file.read_bytes()))
