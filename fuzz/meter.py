"""Measure what inputs reach: `python -m fuzz.meter TARGET`, paths on standard input.

Answers each line, paths separated by tabs, with one of JSON: a `Reach`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Final, NamedTuple, Self

import coverage

from .targets import Target

_NOT_EXECUTED: Final = ("if TYPE_CHECKING:", "@overload", ": \\.\\.\\.$", "@abc.abstractmethod")


class Reach(NamedTuple):
    """What the inputs so far have reached in the target's modules."""

    lines: int
    all_lines: int
    branches: int
    all_branches: int

    @property
    def line_percentage(self) -> float:
        """Lines reached, in percent."""
        return 100 * self.lines / (self.all_lines or 1)

    @property
    def branch_percentage(self) -> float:
        """Branches reached, in percent; lines where nothing branches."""
        return 100 * self.branches / self.all_branches if self.all_branches else self.line_percentage


class Meter:
    """A process that replays inputs under coverage.py; a context manager that ends it.

    Args:
        target: whose inputs.
    """

    def __init__(self, target: Target) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "fuzz.meter", target.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.reach = Reach(0, 0, 0, 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def add(self, paths: Iterable[Path]) -> None:
        """Run more inputs and bring `reach` up to date; it stays as it is if the process has died."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        request = "\t".join(map(str, paths))
        with suppress(BrokenPipeError):
            self._process.stdin.write(f"{request}\n")
            self._process.stdin.flush()
        if answer := self._process.stdout.readline():
            self.reach = Reach(*json.loads(answer))


def main(name: str) -> None:
    """Answer each line of standard input."""
    measured = coverage.Coverage(data_file=None, config_file=False, branch=True, source_pkgs=["caas_trio"])
    for pattern in _NOT_EXECUTED:
        measured.exclude(pattern)
    measured.start()
    target = Target(name)
    check = target.check
    of_target = [sys.modules[module] for module in target.modules]
    measured.stop()
    for line in sys.stdin:
        measured.start()
        for path in filter(None, line.rstrip("\n").split("\t")):
            with suppress(Exception):  # what fails is for the harness to report
                check(Path(path).read_bytes())
        measured.stop()
        print(json.dumps(_reach(measured, of_target)), flush=True)


def _reach(measured: coverage.Coverage, modules: Iterable[ModuleType]) -> Reach:
    lines = all_lines = branches = all_branches = 0
    for module in modules:
        _, statements, _, missing, _ = measured.analysis2(module)
        lines += len(statements) - len(missing)
        all_lines += len(statements)
        for exits, taken in measured.branch_stats(module).values():
            all_branches += exits
            branches += taken
    return Reach(lines, all_lines, branches, all_branches)


if __name__ == "__main__":
    main(sys.argv[1])
