"""Writes the clauses into `docs/specification.md`: `python -m ci.conformance.specification`.

Headings, requirements and reasons not to judge come from `caas_trio.conformance.clauses`. The rest of the
page is its own: introductions, and each clause's reason and source.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from caas_trio.conformance.clauses import CLAUSES, IN_OTHER_WORDS, SECTIONS, Clause
from ci.markdown import row

PAGE = Path(__file__).parents[2] / "docs" / "specification.md"

_HEAD = "| clause | service | instead |\n|---|---|---|\n"


def renewed(page: str) -> str:
    """Return the page with each clause as the suite has it; a new one lacks its `Why` and `Source`."""
    introductions = dict(re.findall(r"^## (\S+): .*\n(\n(?:[^#\n].*\n)+)", page, re.MULTILINE))
    reasons = dict(re.findall(r"^### (\S+)\n\n.*\n\n((?:- (?!Not judged:).*\n)+)", page, re.MULTILINE))
    return page.partition(_HEAD)[0] + _HEAD + _table() + "".join(_sections(introductions, reasons))


def _table() -> str:
    rows = (
        row([clause, f"`{service.value}`", text])
        for service, texts in IN_OTHER_WORDS.items()
        for clause, text in texts.items()
    )
    return "".join(rows)


def _sections(introductions: dict[str, str], reasons: dict[str, str]) -> Iterator[str]:
    for section, title in SECTIONS.items():
        yield f"\n## {section}: {title}\n{introductions.get(section, '')}"
        for clause in CLAUSES.values():
            if clause.section == section:
                yield _entry(clause, reasons.get(clause.id, "- Why:\n- Source:\n"))


def _entry(clause: Clause, reasons: str) -> str:
    unjudged = f"- Not judged: {clause.unjudged}.\n" if clause.unjudged else ""
    return f"\n### {clause.id}\n\n{clause.text}\n\n{reasons}{unjudged}"


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
