"""Minimize a failing input: `python -m fuzz.minimize TARGET FILE`; the file is rewritten.

Smaller means shorter first, and then plainer: as many bytes as possible become `a`. What counts as
the same failure is what `group_of` puts into the same group.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import click

from .groups import group_of
from .targets import select

_TIMEOUT_S: Final = 20


def failure(check: Callable[[bytes], None], data: bytes) -> str | None:
    """Return the group of the failure of `data`; None if it does not fail."""
    try:
        check(data)
    except Exception as error:  # noqa: BLE001 - which one it is, is the question
        return group_of(error)
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
    deadline = time.monotonic() + _TIMEOUT_S
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


@click.command()
@click.argument("name", metavar="TARGET")
@click.argument("file", type=click.Path(path_type=Path))
def main(name: str, file: Path) -> None:
    """Minimize a failing input of the harness TARGET; FILE is rewritten.

    Exits with 1 if the input does not fail, or if the file cannot be read or written.
    """
    [target] = select([name])
    try:
        data = file.read_bytes()
        if failure(target.check, data) is None:
            raise click.ClickException(f"{file} does not fail; there is nothing to minimize")
        smallest = minimize(target.check, data)
        new = file.with_name(f".{file.name}.new")  # the old one stays whole if this is interrupted
        new.write_bytes(smallest)
        new.replace(file)
    except OSError as error:
        raise click.ClickException(f"{error.filename}: {error.strerror}") from None
    print(f"{file}: {len(data)} bytes before, {len(smallest)} now")


if __name__ == "__main__":
    main()
