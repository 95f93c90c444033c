"""The atlas as pages: `docs/atlas.md`, and one of HTML whose cells lead to what was sent and what came."""

from __future__ import annotations

import html
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from caas_trio.conformance.case import Verdict
from caas_trio.conformance.clauses import CLAUSES, Clause
from caas_trio.conformance.declaration import SERVICES
from caas_trio.conformance.dialects.clauses import OF_DIALECTS
from caas_trio.conformance.reports.html import style
from ci.markdown import table

from .judging import Entry, Finding, page_of

_MARKS = {
    Verdict.PASSED.value: "✓",
    Verdict.FAILED.value: "✗",
    Verdict.NON_STRICT.value: "(✗)",
    Verdict.NOT_JUDGED.value: "·",
}
#: What a clause that is explained in the table `unsteady` of a daemon shows, whatever came this time.
_UNSTEADY = "±"
_UNJUDGED = Verdict.NOT_JUDGED.value
_EXPLANATIONS = Path(__file__).with_name("explanations.toml")
_ENDS = {
    "TERM-2.bare-lf": "bare LF",
    "TERM-3.bare-cr": "bare CR",
    "TERM-4.cr-cr-lf": "CR CR LF",
    "TERM-5.nul": "NUL",
}
_TAIL = "HALF-3.tail"

_INTRO = """\
# The atlas: servers that people run

`nox -s atlas` starts each of these from its Debian package, or from this repository, unprivileged, in a
folder and a user namespace of its own, on a port of loopback, with the smallest configuration that
serves, and judges it by its [dialect](dialects.md). This page is what the session of {date} has
written; by hand there is one sentence for a finding. The clauses are those of [the
specification](specification.md#reply-any-dialect-requests-and-replies).

✓ kept; ✗ broken (a MUST); (✗) missed (a SHOULD); ± sometimes; · not judged: the dialect does not
declare it, or another finding stands before it. A finding that came once was looked for again, on the
server alone, and stands here if it came two times of three. A MUST is the suite's own word; where the
protocol's standard says it too, the finding names the place. What a server does with its smallest
configuration may be meant; the sentence says so where we know.

"""


@dataclass(frozen=True)
class Explained:
    """What is said by hand of the findings in one daemon, by clause.

    Attributes:
        steady: what each means.
        unsteady: why some come at times only.
    """

    steady: Mapping[str, str] = field(default_factory=dict)
    unsteady: Mapping[str, str] = field(default_factory=dict)

    def mark(self, entry: Entry, clause: str) -> str:
        """Return what the cell of a clause shows."""
        return _UNSTEADY if clause in self.unsteady else _MARKS[entry.clauses.get(clause, _UNJUDGED)]


def explanations() -> dict[str, Explained]:
    """Return what is said by hand, by daemon."""
    tables = tomllib.loads(_EXPLANATIONS.read_text(encoding="utf-8"))
    return {
        name: Explained(
            {clause: text for clause, text in said.items() if clause != "unsteady"}, said.get("unsteady", {})
        )
        for name, said in tables.items()
    }


def _of_dialects(entries: Sequence[Entry]) -> list[Entry]:
    """Return what was judged by a dialect: it has a column."""
    return [entry for entry in entries if not entry.absent and entry.dialect not in SERVICES]


def _judged_clauses(entries: Sequence[Entry]) -> list[Clause]:
    """Return the clauses that at least one daemon was judged by."""
    return [
        clause
        for clause in OF_DIALECTS
        if any(entry.clauses.get(clause.id, _UNJUDGED) != _UNJUDGED for entry in entries)
    ]


def as_markdown(entries: Sequence[Entry], date: str) -> str:
    """Return the page for `docs`."""
    return "".join([_INTRO.format(date=date), *_matrix(entries), *_ends(entries), *_findings(entries)])


def _matrix(entries: Sequence[Entry]) -> Iterator[str]:
    there, said = _of_dialects(entries), explanations()
    rows = [["version", *(entry.version for entry in there)]]
    for clause in _judged_clauses(there):
        cells = [said.get(entry.name, Explained()).mark(entry, clause.id) for entry in there]
        rows.append([f"[{clause.id}](specification.md#{clause.id.lower()})", *cells])
    yield table(["", *(entry.name for entry in there)], rows)


def _ends(entries: Sequence[Entry]) -> Iterator[str]:
    yield "\n## What ends a line\n\nWhat each takes for the end of a line, whatever its standard says.\n\n"
    rows = []
    for entry in entries:
        if entry.seen:
            cells = []
            for case, name in _ENDS.items():
                words = entry.seen.get(case, "")
                for article in (f"a {name} ", f"{name} "):
                    words = words.removeprefix(article)
                cells.append(words or "·")
            tail = entry.seen.get(_TAIL, "·").removeprefix("input that ends without a terminator ")
            rows.append([entry.name, *cells, tail])
    yield table(["", *_ENDS.values(), "input without a terminator"], rows)


def _findings(entries: Sequence[Entry]) -> Iterator[str]:
    explained = explanations()
    for entry in entries:
        yield f"\n## {entry.name}\n\n"
        if entry.absent:
            yield f"Not judged: {entry.absent}.\n"
            continue
        dialect = entry.dialect if "/" in entry.dialect else f"`{entry.dialect}`"
        yield f"Version {entry.version}, judged as {dialect}{_kept(entry)}.\n\n"
        said = explained.get(entry.name, Explained())
        findings = {finding.clause: finding for finding in entry.findings}
        clauses = [clause for clause in CLAUSES if clause in findings or clause in said.unsteady]
        yield from () if clauses else ["No finding.\n"]
        for clause in clauses:
            yield from _finding(entry, clause, findings.get(clause), said)


def _kept(entry: Entry) -> str:
    """Return what an entry without a column has kept."""
    if entry.dialect not in SERVICES:
        return ""
    verdicts = list(entry.clauses.values())
    judged = len(verdicts) - verdicts.count(_UNJUDGED)
    return f", by clauses that are not above: {verdicts.count(Verdict.PASSED.value)} of {judged} kept"


def _finding(entry: Entry, clause: str, finding: Finding | None, said: Explained) -> Iterator[str]:
    sometimes = " (sometimes)" if clause in said.unsteady else ""
    yield f"- **{clause}**{sometimes} {CLAUSES[clause].text}\n"
    if finding:
        yield f"  Seen: {finding.reason}."
        if finding.received:
            yield f" Received: `` {finding.received} ``."
        yield "\n"
    else:
        yield "  Not seen this time.\n"
    if sentence := said.unsteady.get(clause) or said.steady.get(clause):
        yield f"  {sentence}\n"
    if finding:
        yield f"  Again: `nox -s atlas -- '{entry.name}' --case {finding.case}`.\n"


def as_html(entries: Sequence[Entry], date: str) -> str:
    """Return the page whose cells lead to the report of each daemon."""
    there, said = _of_dialects(entries), explanations()
    rows = []
    for clause in _judged_clauses(there):
        cells = []
        for entry in there:
            first = next((each.case for each in entry.findings if each.clause == clause.id), "")
            link = f"{page_of(entry.name)}#{first or clause.id.partition('-')[0]}"
            mark = said.get(entry.name, Explained()).mark(entry, clause.id)
            cells.append(f'<td><a href="{html.escape(link)}">{mark}</a></td>')
        title = html.escape(clause.text)
        rows.append(f'<tr><td title="{title}">{clause.id}</td>{"".join(cells)}</tr>')
    heads = "".join(f"<th>{html.escape(entry.name)}<br>{html.escape(entry.version)}</th>" for entry in there)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>The atlas</title>'
        f"<style>{style()}</style></head><body><h1>The atlas, {date}</h1>\n"
        f"<table><tr><th></th>{heads}</tr>\n{''.join(rows)}</table></body></html>\n"
    )
