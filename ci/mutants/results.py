"""The findings of mutmut: `Mutant`, and the commands that list them."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

#: What mutmut calls the mutants that a test has noticed.
KILLED: Final = frozenset({"killed", "timeout", "segfault", "caught by type check"})
#: What it calls those that it has not tried.
UNTRIED: Final = frozenset({"not checked", "skipped"})

_MANGLED: Final = re.compile(r"^(?P<module>.+)\.(?:xǁ(?P<kind>.+)ǁ|x_)(?P<function>.+)__mutmut_\d+$")


@dataclass(frozen=True, slots=True)
class Mutant:
    """One mutant, and what became of it.

    Attributes:
        name: what mutmut calls it; the number in it changes with the function.
        status: what mutmut says of it, such as "killed" or "survived".
    """

    name: str
    status: str

    @property
    def module(self) -> str:
        """The dotted name of the module."""
        return self._parts()["module"]

    @property
    def function(self) -> str:
        """The dotted name of the function."""
        parts = self._parts()
        return ".".join(filter(None, (parts["module"], parts["kind"], parts["function"])))

    def _parts(self) -> dict[str, str]:
        match = _MANGLED.match(self.name)
        if match is None:
            raise ValueError(f"mutmut has named a mutant {self.name!r}")
        return match.groupdict()


@dataclass(frozen=True, slots=True)
class Change:
    """The change of a mutant: lines removed, and lines in their place, without indentation."""

    removed: str
    added: str

    @classmethod
    def parse(cls, diff: str) -> Change:
        """Return the change that a unified diff shows."""
        lines = diff.splitlines()
        body = [line for line in lines if not line.startswith(("---", "+++", "@@", "#"))]
        removed = " ".join(line[1:].strip() for line in body if line.startswith("-"))
        added = " ".join(line[1:].strip() for line in body if line.startswith("+"))
        return cls(removed, added)


def mangled(module: str, kind: str | None, function: str) -> str:
    """Return the pattern of the names of a function's mutants."""
    name = f"x_{function}" if kind is None else f"xǁ{kind}ǁ{function}"
    return f"{module}.{name}__mutmut_*"


def run(patterns: Iterable[str], jobs: int) -> None:
    """Try the mutants whose names match, or all that have not been tried since their function changed.

    Raises:
        subprocess.CalledProcessError: mutmut has failed, as it does where a test fails without a mutant.
    """
    subprocess.run([*_MUTMUT, "run", "--max-children", str(jobs), *patterns], check=True)


def all_mutants() -> list[Mutant]:
    """Return every mutant there is."""
    return parse_results(_output("results", "--all", "true"))


def parse_results(text: str) -> list[Mutant]:
    """Return the mutants that `mutmut results` lists, a name and a status in each line."""
    listed = [line.strip().rpartition(": ") for line in text.splitlines()]
    return [Mutant(name, status) for name, separator, status in listed if separator and "__mutmut_" in name]


def change_of(mutant: Mutant) -> Change:
    """Return what a mutant changes."""
    return Change.parse(_output("show", mutant.name))


_MUTMUT: Final = (sys.executable, "-m", "mutmut")


def _output(*arguments: str) -> str:
    ended = subprocess.run([*_MUTMUT, *arguments], stdout=subprocess.PIPE, text=True, check=True)
    return ended.stdout
