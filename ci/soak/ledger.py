"""The record of what clients have done, and so of what the server must have counted."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from caas_trio.core.telemetry import Outcome
from ci.soak.service import Page

_ENOUGH_FAULTS = 100


@dataclass
class Bounds:
    """The bounds of a total: the sure part, and what may have come on top."""

    minimum: int = 0
    maximum: int = 0

    def add(self, value: int, *, sure: bool) -> None:
        """Count more."""
        self.minimum += value if sure else 0
        self.maximum += value


@dataclass
class Ledger:
    """The record of the clients of one service.

    Attributes:
        visits: how many of each kind came to their end.
        ends: by endpoint, how many connections must have ended by one of these outcomes.
        received, lines: bytes and LFs that the server must have read.
        answered: bytes that clients were answered.
        oversize: lines that were too long.
        faults: what was not as it has to be; the first ones.
        faulty: how many faults there were.
        stalled: when the clients themselves were held up last, by the monotonic clock.
        excused: how many of them have missed a timeout for that.
    """

    visits: Counter[str] = field(default_factory=Counter)
    ends: dict[str, Counter[frozenset[Outcome]]] = field(default_factory=lambda: defaultdict(Counter))
    received: Bounds = field(default_factory=Bounds)
    lines: Bounds = field(default_factory=Bounds)
    answered: int = 0
    oversize: int = 0
    faults: list[str] = field(default_factory=list)
    faulty: int = 0
    stalled: float = 0.0
    excused: int = 0

    def fault(self, what: str) -> None:
        """Note what was not as it has to be."""
        self.faulty += 1
        if len(self.faults) < _ENOUGH_FAULTS:
            self.faults.append(what)

    def differences(self, page: Page) -> list[str]:
        """Return where the server's counts are not the clients', once all have gone."""
        found = adds_up(page)
        for endpoint, ends in self.ends.items():
            found += _compared(
                f"accepted at {endpoint}",
                page.total("connections_accepted_total", endpoint=endpoint),
                Bounds(ends.total(), ends.total()),
            )
            for outcome in Outcome:
                within = Bounds()
                for outcomes, count in ends.items():
                    if outcome in outcomes:
                        within.add(count, sure=len(outcomes) == 1)
                counted = page.total("connections_total", endpoint=endpoint, outcome=outcome)
                found += _compared(f"{outcome} at {endpoint}", counted, within)
        found += _compared("bytes received", page.total("bytes_received_total"), self.received)
        found += _compared("lines", page.total("lines_total"), self.lines)
        found += _compared(
            "oversize lines", page.total("oversize_total"), Bounds(self.oversize, self.oversize)
        )
        if self.answered > (sent := page.total("bytes_sent_total")):
            found.append(f"bytes sent: {sent}, and clients were answered {self.answered}")
        return found


def adds_up(page: Page) -> list[str]:
    """Return what is wrong if accepted connections are not those that are open or have ended."""
    accepted, open_now, ended = (
        page.total(name) for name in ("connections_accepted_total", "connections_open", "connections_total")
    )
    if accepted == open_now + ended:
        return []
    return [f"{accepted} accepted, and {open_now} open + {ended} ended"]


def _compared(what: str, counted: int, within: Bounds) -> list[str]:
    if within.minimum <= counted <= within.maximum:
        return []
    wanted = (
        f"{within.minimum}" if within.minimum == within.maximum else f"{within.minimum} to {within.maximum}"
    )
    return [f"{what}: {counted}, and not {wanted}"]
