"""Imports point down: each package of the project imports what is below it, and the core no trio."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import caas_trio

PACKAGE = Path(caas_trio.__file__).parent
#: Each package, and which of the others it may import from.
BELOW = {
    "core": set(),
    "drivers": {"core"},
    "server": {"core", "drivers"},
    "observing": {"core", "drivers", "server"},
    "program": {"core", "drivers", "server", "observing"},
    "testing": {"core", "drivers", "server"},
    "conformance": {"core", "drivers"},
    "client": {"core", "drivers"},
}
MODULES = {
    str(path.relative_to(PACKAGE)): path for name in BELOW for path in sorted((PACKAGE / name).rglob("*.py"))
}


def imported(path: Path, source: str | None = None) -> Iterator[str]:
    """Yield the full name of each module that a file imports from, wherever in the file."""
    text = path.read_text(encoding="utf-8") if source is None else source
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Import():
                yield from (alias.name for alias in node.names)
            case ast.ImportFrom():
                module = ".".join(filter(None, [_package(path, node.level), node.module]))
                yield module
                yield from (f"{module}.{alias.name}" for alias in node.names)


def _package(path: Path, level: int) -> str:
    """Return what a relative import with so many dots begins from; "" for an absolute one."""
    package = ("caas_trio", *path.relative_to(PACKAGE).parts[:-1])
    return ".".join(package[: len(package) + 1 - level]) if level else ""


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_what_is_below_it(module: str) -> None:
    own = Path(module).parts[0]
    ours = {name.split(".")[1] for name in imported(MODULES[module]) if name.startswith("caas_trio.")}
    assert ours & set(BELOW) <= BELOW[own] | {own}


@pytest.mark.parametrize(
    ("line", "module"),
    [
        ("from ..server import served", "caas_trio.server.served"),
        ("from ..server.served import Shared", "caas_trio.server.served"),
        ("from .. import server", "caas_trio.server"),
        ("from .errors import CaasError", "caas_trio.core.errors"),
        ("from caas_trio.core import errors", "caas_trio.core.errors"),
        ("import caas_trio.server", "caas_trio.server"),
    ],
)
def test_every_form_of_import_is_seen(line: str, module: str) -> None:
    assert module in set(imported(PACKAGE / "core" / "framing.py", line))


def test_the_core_imports_no_io_and_no_clock() -> None:
    of_the_core = [path for module, path in MODULES.items() if module.startswith("core/")]
    assert len(of_the_core) > 5
    wanted = {name.split(".")[0] for path in of_the_core for name in imported(path)}
    assert not wanted & {"trio", "select", "selectors", "asyncio", "threading", "subprocess", "time"}


def test_the_conformance_suite_shares_no_framing_with_the_server() -> None:
    suite = [path for module, path in MODULES.items() if module.startswith("conformance/")]
    shared = {name for path in suite for name in imported(path) if name.startswith("caas_trio.core.")}
    assert not {name for name in shared if name.split(".")[2] in {"framing", "proxy_header", "connection"}}
    of_the_session = {name.split(".")[3] for name in shared if name.startswith("caas_trio.core.session.")}
    assert of_the_session == {"DEFAULT_PROMPT", "First", "Oversize"}


def test_every_module_belongs_to_a_layer() -> None:
    assert {path.stem for path in PACKAGE.glob("*.py")} == {"__init__", "__main__"}
    assert {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()} == set(BELOW)
