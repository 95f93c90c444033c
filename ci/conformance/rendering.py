"""The matrix, peer by clause, as Markdown and as a page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from caas_trio.conformance import Verdict
from caas_trio.conformance.clauses import SECTIONS, Clause
from caas_trio.conformance.reports.html import environment, style
from ci.markdown import table

from .expectations import Expected

#: How a cell shows a verdict.
MARKS = {Verdict.PASSED: "✓", Verdict.FAILED: "✗", Verdict.NON_STRICT: "(✗)", Verdict.NOT_JUDGED: "·"}
UNSTEADY = "±"
OURS = "caas_trio"

_INTRO = """\
# What line servers get right, and wrong

Each column is a server, each row a clause of the [specification](specification.md). `nox -s conformance`
judges them all anew, as real processes; the peers are the programs in `ci/conformance/peers`, written the way
their documentation shows. A change in either direction fails that session. This page is made from
`ci/conformance/expected.toml`, which it enforces.

✓ kept; ✗ broken (a MUST); (✗) missed (a SHOULD); ± sometimes broken; · not judged: it does not apply to
what the server is declared to be, or another failure stands before it.

"""


def cell(expected: Expected, clause: Clause) -> str:
    """Return what a cell shows."""
    return UNSTEADY if clause.id in expected.unsteady else MARKS[expected.verdict(clause.id)]


def kept(clause: Clause) -> bool:
    """Return whether our server keeps a clause: all that can be judged."""
    return not clause.unjudged


def our_cell(clause: Clause) -> str:
    """Return what our own column shows; `matrix.unkept` lets nothing else pass."""
    return MARKS[Verdict.PASSED if kept(clause) else Verdict.NOT_JUDGED]


def as_markdown(expected: Mapping[str, Expected], clauses: Mapping[str, Clause]) -> str:
    """Return the matrix, and below it each failure with its reason."""
    lines = [_INTRO]
    names = [OURS, *(name.replace("_", " ") for name in expected)]
    rows = []
    for clause in clauses.values():
        cells = [our_cell(clause), *(cell(entry, clause) for entry in expected.values())]
        rows.append([f"[{clause.id}](specification.md#{clause.id.lower()})", *cells])
    lines.append(table(["", *names], rows))
    for name, entry in expected.items():
        lines.append(f"\n## {name.replace('_', ' ')}\n\n{entry.title} Declared: {entry.declared}.\n\n")
        reasons = [(clause, reason, "") for clause, reason in entry.fails.items()]
        reasons += [(clause, reason, ", sometimes") for clause, reason in entry.unsteady.items()]
        lines += [f"- **{clause}**{how}: {reason}\n" for clause, reason, how in reasons] or ["No failure.\n"]
    return "".join(lines)


def as_html(expected: Mapping[str, Expected], clauses: Mapping[str, Clause]) -> str:
    """Return the matrix as one page that needs nothing else."""
    source = Path(__file__).with_name("matrix.html").read_text(encoding="utf-8")
    return (
        environment()
        .from_string(source)
        .render(
            expected=expected,
            clauses=clauses,
            sections={section: SECTIONS[section] for section in {c.section: 0 for c in clauses.values()}},
            cell=cell,
            our_cell=our_cell,
            style=style(),
            ours=OURS,
        )
    )
