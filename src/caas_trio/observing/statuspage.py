"""A `Status` as a page for browsers: `as_page`, and the page's Content-Security-Policy: `POLICY`.

The values are in the page, so it works without its script, which fetches the page at intervals and
replaces the main part. Every text that does not come from this module is escaped.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

from .status import KEPT, PERIOD_S, Series, Status
from .statustext import (
    ENDPOINT_HEADER,
    WORKER_HEADER,
    duration,
    endpoint_rows,
    last_reload,
    number,
    reply_times,
    shown_rows,
    total,
    worker_rows,
)

_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1c2430; --dim: #5d6878; --page: #f4f6f8; --card: #fff;
  --edge: #d9dfe6; --line: #2463b4; --fill: #2463b426; --good: #1b7a43; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaf0; --dim: #98a3b3; --page: #12161c;
  --card: #1b2129; --edge: #303945; --line: #7db2f2; --fill: #7db2f22e; --good: #6fcf97; --bad: #ff8a80; } }
* { box-sizing: border-box; }
body { margin: 0; padding: 1.5rem; background: var(--page); color: var(--ink);
  font: 15px/1.45 system-ui, sans-serif; font-variant-numeric: tabular-nums; }
main { max-width: 76rem; margin: auto; }
header { display: flex; flex-wrap: wrap; gap: .2rem 1rem; align-items: baseline; margin-bottom: 1rem; }
h1 { font-size: 1.3rem; margin: 0; }
h2 { font-size: 1rem; margin: 1.6rem 0 .5rem; }
.dim, dt, th { color: var(--dim); font-weight: 400; }
.serving { color: var(--good); font-weight: 600; }
.starting, .stopping { color: var(--bad); font-weight: 600; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(13rem, 1fr)); gap: .75rem;
  margin: 0; }
.card, .box { background: var(--card); border: 1px solid var(--edge); border-radius: 8px; }
.card { padding: .6rem .8rem .5rem; min-width: 0; }
.card dd { margin: 0; }
.card .now { font-size: 1.5rem; line-height: 1.3; }
.card .total { min-height: 1.3rem; font-size: .85rem; }
svg { display: block; width: 100%; height: 2.4rem; margin-top: .3rem; overflow: visible; }
polyline { fill: none; stroke: var(--line); stroke-width: 1.5; vector-effect: non-scaling-stroke; }
polygon { fill: var(--fill); }
.box { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .35rem .8rem; white-space: nowrap; }
td:first-child { white-space: normal; }
.endpoints td:first-child { overflow-wrap: anywhere; min-width: 10rem; }
tr + tr td { border-top: 1px solid var(--edge); }
.pairs { display: grid; grid-template-columns: repeat(auto-fill, minmax(20rem, 1fr)); gap: 0 .75rem; }
.stale { display: none; color: var(--bad); font-weight: 600; } .lost .stale { display: inline; }
@media (max-width: 40rem) { body { padding: .8rem; } .pairs { grid-template-columns: minmax(0, 1fr); }
  .cards { grid-template-columns: repeat(2, minmax(0, 1fr)); gap: .5rem; } .card { padding: .5rem .6rem; }
  .card .now { font-size: 1.25rem; } th, td { padding: .35rem .6rem; } }
"""

_SCRIPT: Final = """
"use strict";
async function renew() {
  try {
    const answer = await fetch("/", {cache: "no-store", signal: AbortSignal.timeout(5000)});
    if (!answer.ok) throw new Error(answer.statusText);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    document.querySelector("main").replaceWith(document.adoptNode(page.querySelector("main")));
    document.body.classList.remove("lost");
  } catch {
    document.body.classList.add("lost");
  }
  setTimeout(renew, document.hidden ? 10000 : 2000);
}
setTimeout(renew, 2000);
"""


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


#: The Content-Security-Policy of the page: its own style, script and address, and nothing else.
POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        f"script-src {_hash(_SCRIPT)}",
        f"style-src {_hash(_STYLE)}",
        "connect-src 'self'",
        "img-src data:",  # an empty icon, so that none is asked for
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)

_WIDTH: Final = 120
_HEIGHT: Final = 30


def as_page(status: Status) -> bytes:
    """Return the page, in UTF-8."""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>caas_trio: {_text(status.service.state)}</title>
<link rel="icon" href="data:,">
<noscript><meta http-equiv="refresh" content="5"></noscript>
<style>{_STYLE}</style>
</head>
<body>
{_main(status)}
<script>{_SCRIPT}</script>
</body>
</html>
""".encode("utf-8", "backslashreplace")


def _main(status: Status) -> str:
    state = _text(status.service.state)
    cards = "\n".join(_card(each) for each in shown_rows(status))
    tables = [
        _table("Endpoints", ENDPOINT_HEADER, endpoint_rows(status)),
        _table("Workers", WORKER_HEADER, worker_rows(status)),
    ]
    pairs = [
        _table("Reply times, last minute", ("share of replies", "within"), reply_times(status)),
        _table("Limits and reloads", (), _service_rows(status)),
        _table("Refusals", ("reason", "total"), _counted(status.refusals)),
        _table("Timeouts", ("kind", "total"), _counted(status.timeouts)),
    ]
    return f"""<main>
<header><h1>caas_trio</h1> <span class="{state}">{state}</span>
<span class="dim">version {_text(status.version)}, up {_text(duration(status.age_s))}</span>
<span class="stale">no answer: these figures are old</span></header>
<dl class="cards">
{cards}
</dl>
{"".join(tables)}
<div class="pairs">
{"".join(pairs)}
</div>
</main>"""


def _service_rows(status: Status) -> list[tuple[str, str]]:
    return [
        ("connections that may be open", number(status.limit)),
        ("last reload", last_reload(status)),
    ]


def _counted(pairs: Iterable[tuple[str, float]]) -> list[tuple[str, str]]:
    return [(name.replace("_", " "), f"{count:,.0f}") for name, count in pairs]


def _card(series: Series) -> str:
    added = f"{total(series)} in all" if series.total is not None else ""
    return (
        f'<div class="card"><dt>{_text(series.name)}</dt>'
        f'<dd class="now">{_text(number(series.now, series.unit))}</dd>'
        f'<dd class="total dim">{_text(added)}</dd>'
        f"<dd>{_sparkline(series)}</dd></div>"
    )


def _sparkline(series: Series) -> str:
    """Return a curve of the last minutes, the newest value at the right edge, from 0 to the highest."""
    highest = max(series.history, default=0)
    title = f"at most {number(highest, series.unit)} in the last {duration(PERIOD_S * KEPT)}"
    step, scale = _WIDTH / (KEPT - 1), (_HEIGHT - 2) / highest if highest > 0 else 0
    first = _WIDTH - step * (len(series.history) - 1)
    points = [
        f"{first + step * place:.1f},{_HEIGHT - 1 - value * scale:.1f}"
        for place, value in enumerate(series.history)
    ]
    area = [f"{first:.1f},{_HEIGHT}", *points, f"{_WIDTH},{_HEIGHT}"]
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none" role="img">'
        f'<title>{_text(title)}</title><polygon points="{" ".join(area)}"/>'
        f'<polyline points="{" ".join(points)}"/></svg>'
    )


def _table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    head = f"<tr>{''.join(f'<th>{_text(cell)}</th>' for cell in header)}</tr>\n" if header else ""
    body = "".join(f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in row)}</tr>\n" for row in rows)
    name = title.partition(",")[0].lower().replace(" ", "-")
    table = f'<div class="box"><table class="{name}">{head}{body}</table></div>'
    return f"<section><h2>{_text(title)}</h2>{table}</section>"


def _text(text: str) -> str:
    return escape(text)
