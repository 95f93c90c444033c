"""The functions that a change touches."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from .results import mangled

LAYERS: Final = ("core", "drivers", "server")

_HUNK: Final = re.compile(r"^@@ -\S+ \+(\d+)(?:,(\d+))? @@")


def patterns_since(revision: str) -> list[str]:
    """Return the patterns of the mutants of all functions that the tree has changed since a revision."""
    folders = [f"src/caas_trio/{layer}" for layer in LAYERS]
    command = ["git", "diff", "--unified=0", "--no-color", revision, "--", *folders]
    diff = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    found: list[str] = []
    for path, lines in changed_lines(diff).items():
        if Path(path).exists():
            module = ".".join(Path(path).with_suffix("").parts[1:])
            found += patterns_of(module, Path(path).read_text(), lines)
    return found


def changed_lines(diff: str) -> dict[str, set[int]]:
    """Return by path the numbers of the lines that a unified diff without context adds or stands at."""
    changed: dict[str, set[int]] = {}
    path = ""
    for line in diff.splitlines():
        if line.startswith("+++ "):
            path = line.removeprefix("+++ ").removeprefix("b/")
        elif (hunk := _HUNK.match(line)) is not None:
            first, count = int(hunk[1]), int(hunk[2] or 1)
            changed.setdefault(path, set()).update(range(first, first + max(count, 1)))
    return changed


def patterns_of(module: str, source: str, lines: Iterable[int]) -> list[str]:
    """Return the patterns of the mutants of each function that one of the lines is in."""
    wanted = set(lines)
    return [
        mangled(module, kind, function.name)
        for kind, function in _functions(ast.parse(source))
        if wanted & set(range(function.lineno, (function.end_lineno or function.lineno) + 1))
    ]


def _functions(tree: ast.Module) -> Iterator[tuple[str | None, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield None, node
        elif isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield node.name, inner
