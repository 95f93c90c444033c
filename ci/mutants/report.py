"""The results of the mutants, as text and as a page."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from string import Template
from typing import Final

from .listed import Key
from .results import KILLED, UNTRIED, Mutant

_COLUMNS: Final = ("mutants", "killed", "listed", "lived", "untried")


@dataclass(slots=True)
class Report:
    """The results of the mutants.

    Attributes:
        counts: by module, how many there were of each kind in `_COLUMNS`.
        lived: the mutants that no test has noticed and the list does not have.
        stale: what the list has, and no mutant that lives is.
    """

    counts: dict[str, Counter[str]] = field(default_factory=dict)
    lived: list[tuple[Mutant, Key]] = field(default_factory=list)
    stale: Sequence[Key] = ()

    @property
    def passed(self) -> bool:
        """Whether every mutant that was tried is killed or listed, and the list is true."""
        return not self.lived and not self.stale

    def count(self, mutant: Mutant, key: Key | None, *, listed: bool) -> None:
        """Count a mutant in; `key` is there if it lives."""
        counts = self.counts.setdefault(mutant.module, Counter())
        counts["mutants"] += 1
        if mutant.status in UNTRIED:
            counts["untried"] += 1
        elif mutant.status in KILLED or key is None:
            counts["killed"] += 1
        elif listed:
            counts["listed"] += 1
        else:
            counts["lived"] += 1
            self.lived.append((mutant, key))

    def rows(self) -> list[tuple[str, ...]]:
        """Return the table, with its head and its sum."""
        every = sum(self.counts.values(), Counter[str]())
        counts = [*sorted(self.counts.items()), ("all", every)]
        body = [(module, *(str(count[column]) for column in _COLUMNS)) for module, count in counts]
        return [("module", *_COLUMNS), *body]

    def text(self) -> str:
        """Return the table, the mutants that live and what is stale."""
        rows = self.rows()
        width = max(len(row[0]) for row in rows)
        lines = [f"{row[0]:{width}}" + "".join(f"{cell:>9}" for cell in row[1:]) for row in rows]
        for mutant, key in self.lived:
            lines += ["", f"{mutant.status}: {key.function}  ({mutant.name})"]
            lines += [f"  - {key.change.removed}", f"  + {key.change.added}"]
        for key in self.stale:
            lines += ["", f"listed, and no such mutant lives: {key.function}"]
            lines += [f"  - {key.change.removed}", f"  + {key.change.added}"]
        return "\n".join(lines) + "\n"

    def page(self) -> str:
        """Return the same as an HTML page."""
        head, *body = [[html.escape(cell) for cell in row] for row in self.rows()]
        table = "".join(f"<tr><td>{'<td>'.join(row)}" for row in body)
        lived = "".join(_item(f"{mutant.status}: {key.function}", key) for mutant, key in self.lived)
        stale = "".join(_item(key.function, key) for key in self.stale)
        return _PAGE.substitute(head="<th>".join(head), table=table, lived=lived, stale=stale)


def _item(title: str, key: Key) -> str:
    removed, added = html.escape(key.change.removed), html.escape(key.change.added)
    return f"<li>{html.escape(title)}<pre><del>{removed}</del>\n<ins>{added}</ins></pre>"


_PAGE: Final = Template("""<!doctype html>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Mutants</title>
<style>
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif }
table { border-collapse: collapse } td, th { padding: 0 .8em; text-align: right }
td:first-child, th:first-child { text-align: left } pre { white-space: pre-wrap }
del { color: #c33; text-decoration: none } ins { color: #2a8; text-decoration: none }
</style>
<h1>Mutants</h1>
<table><tr><th>$head$table</table>
<h2>Lived</h2><ol>$lived</ol>
<h2>Listed, and no such mutant lives</h2><ol>$stale</ol>
""")
