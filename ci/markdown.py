"""Tables in Markdown, as the pages that are made here have them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def row(cells: Iterable[str]) -> str:
    """Return a row of a table, as a line; a bar within a cell is escaped."""
    escaped = (cell.replace("|", r"\|") for cell in cells)
    return "|" + "".join(f" {cell} |" if cell else " |" for cell in escaped) + "\n"


def table(head: Sequence[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table as lines."""
    return "".join([row(head), "|", "---|" * len(head), "\n", *map(row, rows)])
