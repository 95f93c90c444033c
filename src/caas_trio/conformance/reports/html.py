"""The report as one HTML page that needs nothing else: no script, no font, no picture.

What a server sent is shown escaped twice over: as Python writes bytes, and by the template. The page
forbids itself every script, so that even a mistake in that would run nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import resources
from typing import Any, Final

import jinja2

from caas_trio.conformance.case import Verdict
from caas_trio.conformance.clauses import SECTIONS, clauses_of, requirement
from caas_trio.conformance.runner import Report
from caas_trio.conformance.wirelog import Event
from caas_trio.core.printable import printable

from .command import again, options
from .text import by_section, counted, section_verdict

_ESCAPE: Final = re.compile(r"(\\(?:x[0-9a-f]{2}|.))")
#: The direction of what passed: to the server, from it, neither.
_ARROWS: Final = {Event.SENT: "\u2192", Event.ENDED_INPUT: "\u2192", Event.CLIENT_RESET: "\u2192"} | {
    Event.RECEIVED: "\u2190",
    Event.END: "\u2190",
    Event.RESET: "\u2190",
    Event.CUT_OFF: "\u2190",
}


def spans(data: bytes) -> Iterator[tuple[str, bool]]:
    """Yield the text of some bytes in pieces, each with whether it is an escape."""
    text = repr(data)[2:-1]
    for number, piece in enumerate(_ESCAPE.split(text)):
        if piece:
            yield piece, number % 2 == 1


def environment() -> jinja2.Environment:
    """Return the Jinja environment for pages: everything is escaped, everything used has to be there."""
    return jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )


def style() -> str:
    """Return the style sheet that every page shares."""
    return resources.files(__package__).joinpath("page.css").read_text(encoding="utf-8")


def as_html(report: Report) -> str:
    """Return the report as a page."""
    source = resources.files(__package__).joinpath("page.html").read_text(encoding="utf-8")
    context: dict[str, Any] = {
        "report": report,
        "endpoint": printable(str(report.endpoint)),
        "declared": " ".join(options(report.profile)) or "the defaults",
        "sections": [
            (section, SECTIONS[section], section_verdict(results), counted(results), results)
            for section, results in by_section(report)
        ],
        "verdicts": [(verdict, report.count(verdict)) for verdict in Verdict],
        "requirement": lambda clause: requirement(clause, report.profile.service),
        "unjudged": [clause for clause in clauses_of(report.profile) if clause.unjudged],
        "again": again,
        "spans": spans,
        "arrows": _ARROWS,
        "style": style(),
    }
    return environment().from_string(source).render(context)
