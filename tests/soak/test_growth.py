"""What the samples of a run come to, and what the server's counts are held against."""

from __future__ import annotations

import pytest

from caas_trio.core.telemetry import Outcome
from ci.soak.growth import MAX_GROWTH, growth, second_half
from ci.soak.ledger import Bounds, Ledger, adds_up
from ci.soak.service import Page

AT = "tcp://127.0.0.1:7"


def test_growth_is_that_of_the_line_that_fits_best() -> None:
    noise = [1e6 * (x * 0.618 % 1) for x in range(600)]  # no slope of its own
    points = [(x, each + 5000 * x) for x, each in enumerate(noise)]
    assert growth(points) == pytest.approx(5000 * 599, rel=0.1)
    assert abs(growth(list(enumerate(noise)))) < MAX_GROWTH / 10


def test_an_early_rise_is_no_growth() -> None:
    points = [(float(x), min(x, 300) * 1e5) for x in range(601)]
    assert growth(second_half(points)) == pytest.approx(0, abs=1)
    assert growth(points) > MAX_GROWTH


def test_one_sample_is_no_growth() -> None:
    assert growth([(0.0, 1e9)]) == 0


def page(
    *, accepted: int = 5, still_open: int = 0, completed: int = 3, lost: int = 2, received: int = 100
) -> Page:
    ended = "caas_trio_connections_total"
    return Page(f"""\
# TYPE caas_trio_connections_accepted counter
caas_trio_connections_accepted_total{{endpoint="{AT}"}} {accepted}
# TYPE caas_trio_connections_open gauge
caas_trio_connections_open{{endpoint="{AT}"}} {still_open}
# TYPE caas_trio_connections counter
{ended}{{endpoint="{AT}",outcome="completed"}} {completed}
{ended}{{endpoint="{AT}",outcome="lost"}} {lost}
# TYPE caas_trio_bytes_received counter
caas_trio_bytes_received_total {received}
# TYPE caas_trio_bytes_sent counter
caas_trio_bytes_sent_total 60
# TYPE caas_trio_lines counter
caas_trio_lines_total 7
# TYPE caas_trio_oversize counter
caas_trio_oversize_total 1
""")


def ledger() -> Ledger:
    known = Ledger(received=Bounds(90, 110), lines=Bounds(7, 7), answered=60, oversize=1)
    known.ends[AT][frozenset({Outcome.COMPLETED})] = 2
    known.ends[AT][frozenset({Outcome.LOST})] = 1
    known.ends[AT][frozenset({Outcome.LOST, Outcome.COMPLETED})] = 2
    return known


def test_counts_equal_to_the_clients_have_no_differences() -> None:
    assert ledger().differences(page()) == []
    assert ledger().differences(page(completed=4, lost=1, received=90)) == []


@pytest.mark.parametrize(
    ("counted", "found"),
    [
        (page(accepted=4, completed=2), [f"accepted at {AT}: 4, and not 5"]),
        (page(still_open=1), ["5 accepted, and 1 open + 5 ended"]),
        (
            page(completed=5, lost=0),
            [f"completed at {AT}: 5, and not 2 to 4", f"lost at {AT}: 0, and not 1 to 3"],
        ),
        (page(received=111), ["bytes received: 111, and not 90 to 110"]),
    ],
)
def test_a_count_that_differs_from_the_clients_is_reported(counted: Page, found: list[str]) -> None:
    assert ledger().differences(counted) == found


def test_lines_and_replies_are_compared_too() -> None:
    known = ledger()
    known.lines, known.oversize, known.answered = Bounds(8, 9), 0, 61
    assert known.differences(page()) == [
        "lines: 7, and not 8 to 9",
        "oversize lines: 1, and not 0",
        "bytes sent: 60, and clients were answered 61",
    ]


def test_open_connections_count() -> None:
    assert adds_up(page(still_open=2, accepted=7)) == []
