"""The results of the mutants, as text and as a page."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from string import Template
from typing import Final

from .listed import Key, Listed
from .making import Change, Mutant

_COLUMNS: Final = ("mutants", "killed", "listed", "lived", "untried")
#: What a mutant is called that a test has noticed.
KILLED: Final = frozenset({"killed", "timeout"})


@dataclass(slots=True)
class Report:
    """The results of the mutants.

    Attributes:
        counts: by module, how many there were of each kind in `_COLUMNS`.
        lived: what no test has noticed and the list does not have, and how it lived.
        stale: what the list has, and no mutant that lives is.
    """

    counts: dict[str, Counter[str]] = field(default_factory=dict)
    lived: list[tuple[Mutant, str]] = field(default_factory=list)
    stale: Sequence[Key] = ()

    @classmethod
    def of(
        cls,
        mutants: Collection[Mutant],
        statuses: Mapping[str, str],
        listed: Listed,
        functions: Collection[str] | None = None,
    ) -> Report:
        """Return the report on some mutants; what has no status by its name has not been tried.

        Only where all the mutants of a module have been tried can what is listed of it be stale; of some
        functions, what is listed of these.
        """
        report = cls()
        for mutant in mutants:
            report.count(mutant, statuses.get(mutant.name), listed)
        tried = tuple(f"{module}." for module, counts in report.counts.items() if not counts["untried"])
        report.stale = [
            key
            for key in listed.stale()
            if key.function.startswith(tried) and (functions is None or key.function in functions)
        ]
        return report

    @property
    def passed(self) -> bool:
        """Whether every mutant that was tried is killed or listed, and the list is true."""
        return not self.lived and not self.stale

    def count(self, mutant: Mutant, status: str | None, listed: Listed) -> None:
        """Count a mutant in."""
        counts = self.counts.setdefault(mutant.module, Counter())
        counts["mutants"] += 1
        if status is None:
            counts["untried"] += 1
        elif status in KILLED:
            counts["killed"] += 1
        elif listed.allows(Key(mutant.function, mutant.change)):
            counts["listed"] += 1
        else:
            counts["lived"] += 1
            self.lived.append((mutant, status))

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
        for mutant, status in self.lived:
            lines += ["", f"{status}: {mutant.name}"]
            lines += [f"  - {mutant.change.removed}", f"  + {mutant.change.added}"]
        for key in self.stale:
            lines += ["", f"listed, and no such mutant lives: {key.function}"]
            lines += [f"  - {key.change.removed}", f"  + {key.change.added}"]
        return "\n".join(lines) + "\n"

    def page(self) -> str:
        """Return the same as an HTML page."""
        head, *body = [[html.escape(cell) for cell in row] for row in self.rows()]
        table = "".join(f"<tr><td>{'<td>'.join(row)}" for row in body)
        lived = "".join(_item(f"{status}: {mutant.name}", mutant.change) for mutant, status in self.lived)
        stale = "".join(_item(key.function, key.change) for key in self.stale)
        return _PAGE.substitute(head="<th>".join(head), table=table, lived=lived, stale=stale)


def _item(title: str, change: Change) -> str:
    removed, added = html.escape(change.removed), html.escape(change.added)
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
