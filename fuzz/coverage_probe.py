"""Measure what inputs reach: `python -m fuzz.coverage_probe TARGET...`, paths on standard input.

Answers each line, paths separated by tabs, with one of JSON: a `Reach` for each module that the targets
answer for. The directory that a file is in names its target.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple, Self

import coverage

from .targets import Target

_NOT_EXECUTED: Final = ("if TYPE_CHECKING:", "@overload", ": \\.\\.\\.$", "@abc.abstractmethod")


class Reach(NamedTuple):
    """The coverage of the target's modules by the inputs so far."""

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


_NOWHERE: Final = Reach(0, 0, 0, 0)


class CoverageProbe:
    """A process that replays inputs under coverage.py; a context manager that ends it.

    Args:
        *targets: whose inputs.

    Attributes:
        modules: what the inputs so far have reached in each of the targets' modules.
    """

    def __init__(self, *targets: Target) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "fuzz.coverage_probe", *(target.name for target in targets)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # a terminal's Ctrl-C is for the parent alone
        )
        self.modules: dict[str, Reach] = {}

    @property
    def reach(self) -> Reach:
        """The coverage of all the modules by the inputs so far."""
        return Reach(*map(sum, zip(*self.modules.values(), strict=True))) if self.modules else _NOWHERE

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()

    def add(self, paths: Iterable[Path]) -> None:
        """Run more inputs and bring `modules` up to date; it stays as it is if the process has died."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        request = "\t".join(map(str, paths))
        with suppress(BrokenPipeError):
            self._process.stdin.write(f"{request}\n")
            self._process.stdin.flush()
        if answer := self._process.stdout.readline():
            self.modules = {name: Reach(*counts) for name, counts in json.loads(answer).items()}


def main(names: list[str]) -> None:
    """Answer each line of standard input."""
    measured = coverage.Coverage(data_file=None, config_file=False, branch=True, source_pkgs=["caas_trio"])
    for pattern in _NOT_EXECUTED:
        measured.exclude(pattern)
    measured.start()
    checks = {name: Target(name).check for name in names}
    modules = sorted({module for name in names for module in Target(name).modules})
    measured.stop()
    for line in sys.stdin:
        measured.start()
        for path in map(Path, filter(None, line.rstrip("\n").split("\t"))):
            with suppress(Exception):  # what fails is for the harness to report
                checks[path.parent.name](path.read_bytes())
        measured.stop()
        print(json.dumps({module: _reach(measured, module) for module in modules}), flush=True)


def _reach(measured: coverage.Coverage, name: str) -> Reach:
    module = sys.modules[name]
    _, statements, _, missing, _ = measured.analysis2(module)
    exits = measured.branch_stats(module).values()
    return Reach(
        lines=len(statements) - len(missing),
        all_lines=len(statements),
        branches=sum(taken for _, taken in exits),
        all_branches=sum(there for there, _ in exits),
    )


if __name__ == "__main__":
    main(sys.argv[1:])
