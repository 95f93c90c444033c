"""A `Status` as plain text, for terminals: `as_text`; and how numbers are written, there and elsewhere."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from caas_trio.core.printable import printable

from .status import PERCENTILES, Series, Status

_BARS: Final = "▁▂▃▄▅▆▇█"

_PREFIXES: Final = ("", "k", "M", "G", "T")
_SECONDS: Final = ((1, "s"), (1e-3, "ms"), (0, "µs"))
_TIMES: Final = ((86400, "d"), (3600, "h"), (60, "min"))


def number(value: float, unit: str = "") -> str:
    """Return a number in about four characters, with its unit; a dash if it is not known."""
    if math.isnan(value):
        return "-"
    if unit == "s":
        size, name = next(each for each in _SECONDS if value >= each[0])
        return f"{value / size:.3g} {name}" if size else f"{value * 1e6:.0f} {name}"
    prefixes = list(_PREFIXES)
    while abs(value) >= 9999.5 and len(prefixes) > 1:  # noqa: PLR2004 - four digits
        value /= 1000
        prefixes.pop(0)
    shown = f"{value:.0f}" if value >= 100 or value == int(value) else f"{value:.2g}"  # noqa: PLR2004
    space = "" if unit.startswith("/") or not unit else " "
    return f"{shown}{space}{prefixes[0]}{unit}"


def duration(seconds: float) -> str:
    """Return a time in its largest unit."""
    for size, unit in _TIMES:
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def total(series: Series) -> str:
    """Return the total of a series; "" if it has none."""
    return "" if series.total is None else f"{series.total:,.0f}"


def shown_rows(status: Status) -> list[Series]:
    """Return the series that are shown: datagrams only if there were any."""
    return [each for each in status.series if each.name != "datagrams" or each.total]


def reply_times(status: Status) -> list[tuple[str, str]]:
    """Return the percentiles of the reply times, with their names."""
    return [
        (f"{share} %", number(seconds, "s"))
        for share, seconds in zip(PERCENTILES, status.reply_times, strict=True)
    ]


def worker_rows(status: Status) -> list[tuple[str, ...]]:
    """Return a row for each worker: number, process, state, age and memory."""
    return [
        (str(each.number), str(each.pid), each.state, duration(each.age_s), number(each.memory, "B"))
        for each in status.service.workers
    ]


def endpoint_rows(status: Status) -> list[tuple[str, ...]]:
    """Return a row for each endpoint: open, per second, accepted, and the outcomes."""
    return [
        (
            printable(each.endpoint),
            number(each.open),
            number(each.per_second, "/s"),
            f"{each.accepted:,.0f}",
            ", ".join(f"{count:,.0f} {outcome.replace('_', ' ')}" for outcome, count in each.ended) or "none",
        )
        for each in status.endpoints
    ]


def last_reload(status: Status) -> str:
    """Return how the last reload went."""
    reload = status.service.reload
    if reload is None:
        return "none"
    result = "succeeded" if reload.failure is None else f"failed: {printable(reload.failure)}"
    return f"{duration(reload.ago_s)} ago, {result}"


WORKER_HEADER: Final = ("worker", "pid", "state", "age", "memory")
ENDPOINT_HEADER: Final = ("endpoint", "open", "new", "accepted", "ended")


def as_text(status: Status) -> str:
    """Return all of a status as lines."""
    return "\n".join(_lines(status)) + "\n"


def _lines(status: Status) -> Iterator[str]:
    service = status.service
    yield f"caas_trio {status.version}  {service.state}  up {duration(status.age_s)}"
    yield ""
    rows = [
        (each.name, number(each.now, each.unit), total(each), sparkline(each.history))
        for each in shown_rows(status)
    ]
    yield from _table(("", "now", "total", "last minutes"), rows)
    yield ""
    yield f"reply times  {'  '.join(f'{name} {seconds}' for name, seconds in reply_times(status))}"
    yield f"limit        {number(status.limit)} open connections"
    yield f"last reload  {last_reload(status)}"
    for header, found in (
        (ENDPOINT_HEADER, endpoint_rows(status)),
        (("refused", "total"), _counted(status.refusals)),
        (("timeout", "total"), _counted(status.timeouts)),
        (WORKER_HEADER, worker_rows(status)),
    ):
        if found:
            yield ""
            yield from _table(header, found)


def _counted(pairs: Iterable[tuple[str, float]]) -> list[tuple[str, ...]]:
    return [(printable(name), f"{count:,.0f}") for name, count in pairs]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for row in (header, *rows):
        yield "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()


def sparkline(history: Sequence[float], width: int = 30) -> str:
    """Return the last values as bars, from 0 to the highest of them."""
    recent = history[-width:]
    highest = max(recent, default=0)
    scale = (len(_BARS) - 1) / highest if highest > 0 else 0
    return "".join(_BARS[round(value * scale)] for value in recent)
