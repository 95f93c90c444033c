"""The harnesses there are: one `fuzz_*.py` each, and all that goes by its name."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Final

import click

HERE: Final = Path(__file__).parent
#: What runs find goes here, until `merge` has picked what is worth keeping.
FOUND: Final = HERE.parent / ".fuzz"


@dataclass(frozen=True)
class Target:
    """One harness.

    Attributes:
        name: what it checks; its file is `fuzz_<name>.py`, its check is in `checks/<name>.py`.
        kept_in: the directory of the seeds and regressions of all targets.
        found_in: the directory of what runs find.
    """

    name: str
    kept_in: Path = HERE
    found_in: Path = FOUND

    @property
    def command(self) -> list[str]:
        """The command that starts it; libFuzzer's options and corpus directories follow."""
        return [sys.executable, "-m", f"fuzz.fuzz_{self.name}"]

    @property
    def corpus(self) -> Path:
        """The seeds: written by hand, or found once and worth keeping."""
        return self.kept_in / "corpus" / self.name

    @property
    def regressions(self) -> Path:
        """The inputs that once crashed."""
        return self.kept_in / "regressions" / self.name

    @property
    def found(self) -> Path:
        """What runs on this machine have found."""
        return self.found_in / "corpus" / self.name

    @property
    def check(self) -> Callable[[bytes], None]:
        """The check function; importing it imports what it checks, but not atheris."""
        check: Callable[[bytes], None] = import_module(f"fuzz.checks.{self.name}").check
        return check

    @property
    def modules(self) -> tuple[str, ...]:
        """The modules whose coverage it answers for."""
        modules: tuple[str, ...] = import_module(f"fuzz.checks.{self.name}").MODULES
        return modules

    @property
    def instrumented(self) -> tuple[str, ...]:
        """The modules of the package whose coverage guides it, as its file names them."""
        return tuple(re.findall(r'"(caas_trio\.[\w.]+)"', (HERE / f"fuzz_{self.name}.py").read_text()))

    def inputs(self) -> list[Path]:
        """Return all that is kept: seeds and regressions."""
        return files(self.corpus, self.regressions)


def files(*directories: Path) -> list[Path]:
    """Return all entries of directories, some of which may not exist."""
    return sorted(path for directory in directories if directory.is_dir() for path in directory.iterdir())


def targets() -> list[Target]:
    """Return all harnesses."""
    return [Target(path.stem.removeprefix("fuzz_")) for path in sorted(HERE.glob("fuzz_*.py"))]


def select(names: Iterable[str]) -> list[Target]:
    """Return the harnesses of these names, with or without `fuzz_`; all if there are no names.

    Raises:
        UsageError: there is no harness of a name.
    """
    known = {target.name: target for target in targets()}
    for name in names:
        if name.removeprefix("fuzz_") not in known:
            raise click.UsageError(f"there is no harness {name!r}; there are {', '.join(known)}")
    return [known[name.removeprefix("fuzz_")] for name in names] or list(known.values())


def shown(path: Path) -> Path:
    """Return a path as it is shown: relative to the working directory, if it is in there."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
