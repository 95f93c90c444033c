"""No test and no harness replaces an attribute of a module or of a class: a seam is a parameter."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = {
    str(path.relative_to(ROOT)): path
    for name in ("fuzz", "tests")
    for path in sorted((ROOT / name).rglob("*.py"))
}

#: What pytest has for it; the environment, the directory and the path of imports may be changed.
REPLACERS = {"setattr", "delattr", "setitem", "delitem"}

#: What the code under test sets for the whole process, and a test puts back.
PUT_BACK = {
    "tests/test_loading.py": {"sys.dont_write_bytecode", "sys.modules[name]", "sys.path[:]"},
    "tests/test_sharedmetrics.py": {"values.ValueClass"},
}


def replaced(source: str) -> Iterator[str]:
    """Yield what a module assigns in what it has imported, or replaces in another way."""
    tree = ast.parse(source)
    imported = {
        (alias.asname or alias.name).partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import) or (isinstance(node, ast.ImportFrom) and not _is_of_tests(node))
        for alias in node.names
    }
    for node in ast.walk(tree):
        for target in _targets(node):
            if isinstance(target, ast.Attribute | ast.Subscript) and _root(target) in imported:
                yield ast.unparse(target)
        match node:
            case ast.Call(func=ast.Attribute(attr=name)) if name in REPLACERS:
                yield ast.unparse(node)
            case ast.Call(func=ast.Name(id="setattr" | "delattr"), args=[first, *_]):
                if _root(first) in imported:
                    yield ast.unparse(node)
            case ast.ImportFrom(module="unittest.mock"):
                yield ast.unparse(node)


def _is_of_tests(node: ast.ImportFrom) -> bool:
    """Return whether a module imports from its like: helpers, fixtures, counters of a harness."""
    return node.level > 0 or (node.module or "").partition(".")[0] in {"ci", "fuzz", "tests"}


def _targets(node: ast.AST) -> Iterator[ast.expr]:
    """Yield what a statement assigns or deletes, one by one."""
    match node:
        case ast.Assign() | ast.Delete():
            pending = list(node.targets)
        case ast.AugAssign() | ast.AnnAssign() | ast.For() | ast.AsyncFor():
            pending = [node.target]
        case ast.withitem(optional_vars=ast.expr() as name):
            pending = [name]
        case _:
            return
    while pending:
        target = pending.pop()
        if isinstance(target, ast.Tuple | ast.List):
            pending += target.elts
        else:
            yield target


def _root(node: ast.expr) -> str | None:
    """Return the name that a chain of attributes and items begins with."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


@pytest.mark.parametrize("file", FILES)
def test_nothing_that_is_imported_is_replaced(file: str) -> None:
    found = set(replaced(FILES[file].read_text(encoding="utf-8")))
    assert found == PUT_BACK.get(file, set())


@pytest.mark.parametrize(
    "line",
    [
        "monkeypatch.setattr(os, 'kill', None)",
        "monkeypatch.setitem(sys.modules, 'watchfiles', None)",
        "monkeypatch.delattr(os, 'kill')",
        "import os; os.kill = None",
        "import os.path; os.path.exists: object = None",
        "import sys; sys.modules['trio'] = None",
        "import sys; del sys.argv",
        "import sys; sys.argv += ['-v']",
        "import sys; first, sys.argv = [], []",
        "from caas_trio import LineBuffer as B; B.take_lines = None",
        "import trio; setattr(trio.socket, 'socket', None)",
        "import os; \nwith open('a') as os.kill: pass",
        "from unittest.mock import patch",
    ],
)
def test_every_form_of_it_is_seen(line: str) -> None:
    assert len(list(replaced(line))) == 1


@pytest.mark.parametrize(
    "line",
    [
        "monkeypatch.setenv('HOME', '/')",
        "import os; found = os.environ['HOME']",
        "from .support import Worker; worker = Worker(); worker.pid = 1",
        "from fuzz.checks.counted import Work; Work.walked = 0",
        "from .pairs import pair; setattr(pair.connection, 'max_line', 1)",
    ],
)
def test_nothing_else_is(line: str) -> None:
    assert list(replaced(line)) == []
