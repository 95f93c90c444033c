"""Bugs to plant: what people get wrong in line servers and no tool would think of.

Each is a text that occurs exactly once in a module of the package, and what takes its place. One that
no longer applies is an error, see `Bug.applied`: the tables have to follow the code. There is one table for
each kind:

* `shared`: state, memory, or the right to read or send, which connections or tasks share;
* `order`: what comes too early, too late, or in between;
* `cleanup`: what a cancellation, a failure or an end leaves behind;
* `algorithm`: what is wrong for few inputs, or too slow.

Changes of a single operator, constant, argument or assignment are `--mutants` of `fuzz.proof`.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from . import algorithm, cleanup, order, shared
from .bug import Bug

PACKAGE: Final = Path(__file__).parents[2] / "src" / "caas_trio"
BUGS: Final = [*shared.BUGS, *order.BUGS, *cleanup.BUGS, *algorithm.BUGS]


def plant(bug: Bug | None, directory: Path) -> None:
    """Copy the package into a directory, with a bug in it.

    Raises:
        ValueError: the bug does not apply.
    """
    shutil.copytree(PACKAGE, directory / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
    if bug is not None:
        module = directory / PACKAGE.name / bug.module
        module.write_text(bug.applied(module.read_text()))
