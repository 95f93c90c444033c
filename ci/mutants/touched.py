"""The functions that a change touches."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from .making import LAYERS, PACKAGE, functions, module_of

_HUNK: Final = re.compile(r"^@@ -\S+ \+(\d+)(?:,(\d+))? @@")


def functions_since(revision: str) -> set[str]:
    """Return the dotted names of all functions that the tree has changed since a revision."""
    folders = [str(PACKAGE / layer) for layer in LAYERS]
    command = ["git", "diff", "--unified=0", "--no-color", revision, "--", *folders]
    diff = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    found: set[str] = set()
    for name, lines in changed_lines(diff).items():
        path = Path(name)
        if path.exists():
            module = module_of(path)
            found |= {f"{module}.{function}" for function in functions_at(path.read_text(), lines)}
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


def functions_at(source: str, lines: Iterable[int]) -> list[str]:
    """Return the name of each function that one of the lines is in."""
    wanted = set(lines)
    return [
        name
        for name, function in functions(ast.parse(source))
        if wanted & set(range(function.lineno, (function.end_lineno or function.lineno) + 1))
    ]
