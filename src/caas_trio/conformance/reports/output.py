"""Where reports go: standard output, and files that are opened before anything is judged."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Self, TextIO

from caas_trio.conformance.runner import Report


class OutputError(Exception):
    """Something cannot be written; the message says what, and why not, in one line."""


def print_lines(lines: Iterable[str], stream: TextIO | None) -> None:
    """Print lines. If the reader has left, as `head` does, what is left is not printed.

    Args:
        lines: without their ends.
        stream: where to; None, as Python has it of a standard stream that is closed, for nowhere.

    Raises:
        OutputError: they cannot be written for another reason, such as a full disk.
    """
    if stream is None:
        return
    try:
        for line in lines:
            # What the user gave may be bytes that are no text: it is shown escaped.
            text = line.encode(stream.encoding or "utf-8", "backslashreplace")
            stream.write(text.decode(stream.encoding or "utf-8") + "\n")
        stream.flush()
    except OSError as error:
        # What is buffered cannot be written either, and Python would try once more at its end.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
        if not isinstance(error, BrokenPipeError):
            raise OutputError(f"standard output cannot be written: {error.strerror}") from None


class ReportFile:
    """A file for a report, opened before the run: what it held stays until the report is written.

    As a context manager it closes the file, and removes it if it was not there before and holds nothing.

    Args:
        option: the option that names it.
        path: where it is.
        render: what makes its text of a report.

    Raises:
        OutputError: it cannot be opened.
    """

    def __init__(self, option: str, path: Path, render: Callable[[Report], str]) -> None:
        self.option = option
        self._path = path
        self._render = render
        self._is_new = not path.exists()
        try:
            self._file = path.open("ab", buffering=0)
        except OSError as error:
            raise OutputError(f"{path} cannot be written: {error.strerror}") from None
        self._status = os.fstat(self._file.fileno())

    def is_same(self, other: ReportFile) -> bool:
        """Return whether both are one file, so that one report would overwrite the other."""
        return stat.S_ISREG(self._status.st_mode) and os.path.samestat(self._status, other._status)

    def write(self, report: Report) -> None:
        """Write the report in place of what the file held.

        Raises:
            OutputError: the file cannot be written, as on a full disk.
        """
        left = memoryview(self._render(report).encode("utf-8", "backslashreplace"))
        try:
            if stat.S_ISREG(self._status.st_mode):
                self._file.truncate(0)
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            raise OutputError(f"{self._path} cannot be written: {error.strerror}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        is_empty = os.fstat(self._file.fileno()).st_size == 0
        self._file.close()
        if self._is_new and is_empty:
            self._path.unlink(missing_ok=True)
