"""The interpreter of this process, to start another process that is like it: `Interpreter`."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

#: By its name in `sys.flags`: the option that sets a flag. -I stands for -E, -P and -s.
_OPTIONS: Final = {
    "optimize": "O",
    "dont_write_bytecode": "B",
    "no_site": "S",
    "bytes_warning": "b",
    "debug": "d",
    "verbose": "v",
    "isolated": "I",
    "ignore_environment": "E",
    "no_user_site": "s",
    "safe_path": "P",
}

#: Nothing is imported before the path is the parent's, without what the directory, PYTHONPATH or a zip adds.
_BOOT: Final = "import sys; sys.path[:] = sys.argv[2:]; from {module} import main; main(int(sys.argv[1]))"


@dataclass(frozen=True)
class Interpreter:
    """How a process was started, so that another one can be started in the same way.

    Attributes:
        executable: the absolute path of the interpreter.
        options: for its command line: flags, -W and -X.
        path: where modules are imported from, all absolute.
        directory: where relative paths start; None if that directory is gone.
    """

    executable: str
    options: tuple[str, ...]
    path: tuple[str, ...]
    directory: str | None

    @classmethod
    def current(cls, search: Sequence[str] | None = None) -> Self:
        """Return this process's interpreter; call it before the directory or the path changes.

        Args:
            search: where modules are imported from; None for `sys.path`.
        """
        directory = _current_directory()
        options = [f"-{letter * getattr(sys.flags, name)}" for name, letter in _OPTIONS.items()]
        warnings = [f"-W{each}" for each in sys.warnoptions]
        extras = _extras(sys._xoptions, utf8=bool(sys.flags.utf8_mode))  # noqa: SLF001 - and yet documented
        start = Path(directory or "")
        path = [str(start / each) for each in (sys.path if search is None else search)]
        return cls(
            executable=str(start / sys.executable),
            options=(*(each for each in options if each != "-"), *warnings, *extras),
            path=tuple(each for each in path if Path(each).is_absolute()),
            directory=directory,
        )

    def command(self, module: str, number: int) -> list[str]:
        """Return the command line that calls `main(number)` of a module in another process."""
        # In a directory that is gone, CPython 3.13.0 fails at the first attribute that a module lacks, unless
        # the option -P keeps it from importing from there.
        options = self.options if _current_directory() else (*self.options, "-P")
        return [self.executable, *options, "-c", _BOOT.format(module=module), str(number), *self.path]


def _current_directory() -> str | None:
    """Return the directory of this process; None if it has been removed."""
    try:
        return os.getcwd()  # noqa: PTH109 - as text
    except OSError:
        return None


def _extras(given: Mapping[str, str | bool], *, utf8: bool) -> list[str]:
    """Return the -X options that a process was given, and the one for UTF-8 if it has switched to that.

    It does so in the C locale; the processes that it starts see another locale (PEP 538).
    """
    named = {**given, "utf8": "1"} if utf8 else given
    return [f"-X{name}" if value is True else f"-X{name}={value}" for name, value in named.items()]
