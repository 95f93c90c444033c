"""Bugs to plant: what people get wrong in line servers, as small changes to this package.

`<module>.py` has those for the package's module of the same name. Each is a text that occurs exactly
once in that module, and what takes its place. One that no longer applies is an error, see
`Bug.applied`: the tables have to follow the code.
"""

from __future__ import annotations

import shutil
from importlib import import_module
from pathlib import Path
from typing import Final

from .bug import Bug

PACKAGE: Final = Path(__file__).parents[2] / "src" / "caas_trio"


def _in_module(name: str) -> list[Bug]:
    bugs: tuple[Bug, ...] = import_module(f"{__name__}.{name}").BUGS
    (module,) = set(PACKAGE.glob(f"*/{name}.py")) - set(PACKAGE.glob("conformance/*"))
    return [bug._replace(module=str(module.relative_to(PACKAGE))) for bug in bugs]


_TABLES: Final = sorted({path.stem for path in Path(__file__).parent.glob("*.py")} - {"__init__", "bug"})
BUGS: Final = [bug for name in _TABLES for bug in _in_module(name)]


def plant(bug: Bug | None, directory: Path) -> None:
    """Copy the package into a directory, with a bug in it.

    Raises:
        ValueError: the bug does not apply.
    """
    shutil.copytree(PACKAGE, directory / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
    if bug is not None:
        module = directory / PACKAGE.name / bug.module
        module.write_text(bug.applied(module.read_text()))
