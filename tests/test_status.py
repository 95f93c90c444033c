"""What the status pages say: read off the metrics, over the last minutes, and escaped."""

from __future__ import annotations

import base64
import hashlib
import math
import re
from html.parser import HTMLParser

import pytest
import trio
from prometheus_client.core import Metric
from trio.testing import MockClock

from caas_trio import Endpoint, InternetPeer, Limits, TooSlow
from caas_trio.core.telemetry import Outcome, ServerStats
from caas_trio.observing.metrics import PrometheusTelemetry
from caas_trio.observing.sharedmetrics import SharedMetrics
from caas_trio.observing.status import (
    KEPT,
    PERIOD_S,
    History,
    LastReload,
    ReloadStatus,
    Series,
    ServiceStatus,
    Status,
    WorkerStatus,
)
from caas_trio.observing.statuspage import POLICY, as_page
from caas_trio.observing.statustext import as_text, duration, number, sparkline

MARKUP = "<script>alert(1)</script>\"'&"
AT = Endpoint.parse(f"unix:/{MARKUP}")
PEER = InternetPeer("192.0.2.7", 1)
WORKER = WorkerStatus(number=0, pid=4242, state="serving", age_s=7200, memory=64_000_000)
SERVING = ServiceStatus(state="serving", workers=[WORKER])


class Clock:
    """A clock that a test sets."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Observed:
    """A server that does what a test says, and the history of it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.stats = ServerStats()
        self.listener = self.stats.add_listener(AT)
        self.telemetry = PrometheusTelemetry(Limits(max_connections=100))
        self.telemetry.counting(self.stats)
        self.history = History(self.telemetry.families, self.clock)

    def after(self, seconds: float = PERIOD_S) -> None:
        """Advance time past the next sample."""
        self.clock.now += seconds
        self.history.look()

    def status(self, service: ServiceStatus = SERVING) -> Status:
        return self.history.status(service)

    def series(self, name: str) -> Series:
        return next(each for each in self.status().series if each.name == name)


def test_a_rate_is_that_of_the_last_seconds_and_its_history_that_of_minutes() -> None:
    observed = Observed()
    for _ in range(2 * KEPT):
        observed.stats.lines += 50
        observed.after()
    observed.stats.lines += 500
    observed.after()
    lines = observed.series("lines")
    assert (lines.now, lines.total) == (100, 2 * KEPT * 50 + 500)
    assert lines.history[-3:] == [10, 100, 0]
    assert len(lines.history) == KEPT


def test_connections_are_counted_by_endpoint_and_outcome() -> None:
    observed = Observed()
    observed.listener.accepted = 8
    observed.listener.ended |= {Outcome.COMPLETED: 4, Outcome.LOST: 1}
    observed.clock.now += 4
    status = observed.status()
    [at] = status.endpoints
    assert (at.endpoint, at.open, at.accepted, at.per_second) == (str(AT), 3, 8, 2)
    assert at.ended == [("completed", 4), ("lost", 1)]
    assert (observed.series("open connections").now, status.limit) == (3, 100)


def test_refusals_and_timeouts_are_listed_by_frequency() -> None:
    observed = Observed()
    for reason in ("a", MARKUP, MARKUP):
        observed.telemetry.connection_refused(reason, AT, PEER)
    observed.telemetry.conversation_ended(TooSlow("idle_timeout"), AT)
    status = observed.status()
    assert status.refusals == [(MARKUP, 2), ("a", 1)]
    assert status.timeouts == [("idle_timeout", 1)]
    assert observed.series("refusals").total == 3


def test_percentiles_are_those_of_the_last_minute() -> None:
    observed = Observed()
    observed.stats.served(1000, 5)  # slower than every bound
    observed.after()
    assert observed.status().reply_times == [1.0, 1.0, 1.0]
    for _ in range(14):
        observed.after()
    assert all(math.isnan(each) for each in observed.status().reply_times)
    observed.stats.served(98, 0.0004)
    observed.stats.served(2, 0.2)
    assert observed.status().reply_times == pytest.approx(
        [0.00025 * (1 + 50 / 98), 0.00025 * (1 + 90 / 98), 0.175]
    )


def test_counts_lost_with_a_worker_are_not_a_negative_rate() -> None:
    totals = [100.0]

    def collect() -> list[Metric]:
        family = Metric("caas_trio_lines", "Lines.", "counter")
        family.add_sample("caas_trio_lines_total", {}, totals[0])
        return [family]

    clock = Clock()
    history = History(collect, clock)
    clock.now += PERIOD_S
    history.look()
    totals[0] = 10
    clock.now += PERIOD_S
    [lines] = [each for each in history.status(SERVING).series if each.name == "lines"]
    assert lines.now == 0


async def test_a_look_is_taken_every_few_seconds(autojump_clock: MockClock) -> None:
    looks = []

    def collect() -> list[Metric]:
        looks.append(1)
        return []

    failures: list[Exception] = []
    history = History(collect)
    with trio.move_on_after(3.5 * PERIOD_S):
        await history.keep(failures.append)
    assert not failures
    assert len(looks) == 3


async def test_metrics_that_cannot_be_read_end_nothing_and_are_reported_once(
    autojump_clock: MockClock,
) -> None:
    answers: list[list[Metric] | Exception] = [[], ValueError("no values"), OSError("no room"), [], OSError()]
    reported: list[Exception] = []

    def collect() -> list[Metric]:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    history = History(collect)
    with trio.move_on_after(5.5 * PERIOD_S):
        await history.keep(reported.append)
    assert not answers
    assert [type(error) for error in reported] == [ValueError, OSError]


def test_without_workers_and_metrics_there_is_a_status_all_the_same() -> None:
    with SharedMetrics() as shared:
        status = History(shared.collect, Clock()).status(ServiceStatus(state="starting", workers=[]))
    assert as_page(status).endswith(b"</html>\n")
    assert as_text(status).startswith("caas_trio ")


def test_how_the_last_reload_went() -> None:
    clock = Clock()
    last = LastReload(clock)
    assert last.status() is None
    last.note(None)
    clock.now += 90
    assert last.status() == ReloadStatus(ago_s=90, failure=None)
    last.note("no such file")
    assert last.status() == ReloadStatus(ago_s=0, failure="no such file")


class Elements(HTMLParser):
    """What a page is made of: its tags, and its text outside of style and script."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.attributes: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        if self.tags[-1:] not in (["style"], ["script"]):
            self.text += data


def eventful() -> Status:
    observed = Observed()
    observed.listener.accepted = 12345
    observed.stats.served(10, 0.002)
    observed.telemetry.connection_refused(MARKUP, AT, PEER)
    observed.telemetry.conversation_ended(TooSlow("line_timeout"), AT)
    observed.telemetry.datagram_served(Endpoint.parse("udp://127.0.0.1:1"))
    observed.after()
    return observed.status(
        ServiceStatus(state="serving", workers=[WORKER], reload=ReloadStatus(ago_s=5, failure=MARKUP))
    )


def test_the_page_has_all_of_it_and_nothing_that_runs_but_its_own() -> None:
    page = as_page(eventful()).decode()
    found = Elements(page)
    assert found.tags.count("script") == 1
    assert not {name for name in found.attributes if name.startswith("on") or name == "style"}
    assert not re.search(r"""(src|href)=(?!"data:,")""", page)
    assert found.text.count(MARKUP) >= 3
    for shown in (
        "12,345",
        "line timeout",
        "64.0 MB".replace("64.0", "64"),
        "4242",
        "2.0 h",
        "datagrams",
        "failed: ",
    ):
        assert shown in found.text, shown


def test_the_policy_allows_the_pages_own_script_and_style() -> None:
    page = as_page(eventful()).decode()
    for tag in ("script", "style"):
        [content] = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in POLICY
    assert POLICY.startswith("default-src 'none'; ")


def test_the_text_has_all_of_it() -> None:
    text = as_text(eventful())
    lines = text.splitlines()
    assert all(line.isprintable() for line in lines)
    assert re.search(r"^open connections +12k? ", text, re.MULTILINE)
    assert re.search(r"^new connections +2469/s +12,345 ", text, re.MULTILINE)
    assert re.search(r"^0 +4242 +serving +2\.0 h +64 MB$", text, re.MULTILINE)
    assert f"last reload  5 s ago, failed: {MARKUP}" in lines
    assert any(line.startswith(MARKUP) for line in lines)


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (0, "", "0"),
        (0.25, "/s", "0.25/s"),
        (12, "/s", "12/s"),
        (1234, "", "1234"),
        (123456, "/s", "123k/s"),
        (12345678, "B/s", "12 MB/s"),
        (1e18, "", "1000000T"),
        (math.nan, "s", "-"),
        (0.0000123, "s", "12 µs"),
        (0.0123, "s", "12.3 ms"),
        (2.5, "s", "2.5 s"),
    ],
)
def test_a_number_is_short(value: float, unit: str, shown: str) -> None:
    assert number(value, unit) == shown


def test_a_time_has_its_largest_unit() -> None:
    assert [duration(each) for each in (5, 90, 5400, 200000)] == ["5 s", "1.5 min", "1.5 h", "2.3 d"]


def test_a_sparkline_goes_from_0_to_the_highest() -> None:
    assert sparkline([0, 1, 7]) == "▁▂█"
    assert sparkline([0, 0]) == "▁▁"
    assert sparkline([]) == ""
    assert len(sparkline([1] * 99)) == 30
