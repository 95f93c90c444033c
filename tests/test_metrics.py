"""The metrics: what is counted under which name, and that it adds up."""

from __future__ import annotations

import errno
import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from caas_trio import (
    ConnectionLost,
    Endpoint,
    InternetPeer,
    Limits,
    TooSlow,
    __version__,
)
from caas_trio.core.telemetry import Outcome, ServerStats
from caas_trio.observing.metrics import PrometheusTelemetry
from caas_trio.observing.sharedmetrics import SharedMetrics
from ci import site_pages

TCP = Endpoint.parse("tcp://127.0.0.1:1")
UDP = Endpoint.parse("udp://127.0.0.1:1")
UNIX = Endpoint.parse('unix:/a"b\\c')
PEER = InternetPeer("127.0.0.1", 2)
FULL = OSError(errno.EMFILE, "Too many open files")


@pytest.fixture
def metrics() -> PrometheusTelemetry:
    return PrometheusTelemetry(Limits(max_connections=7))


def samples(metrics: PrometheusTelemetry) -> dict[str, float]:
    """Return the samples on the page by name, without our prefix, and labels."""
    page: dict[str, float] = {}
    for family in text_string_to_metric_families(metrics.page().decode()):
        assert family.documentation
        for sample in family.samples:
            labels = ",".join(sample.labels[name] for name in sorted(sample.labels))
            assert sample.name.startswith("caas_trio_")
            page[f"{sample.name.removeprefix('caas_trio_')}{{{labels}}}".replace("{}", "")] = sample.value
    return page


def changed(metrics: PrometheusTelemetry, before: dict[str, float]) -> dict[str, float]:
    """Return the samples that are new or have another value than before, those of creation apart."""
    return {
        name: value
        for name, value in samples(metrics).items()
        if value != before.get(name, 0) and "_created" not in name
    }


def test_a_name_that_is_not_utf_8_is_escaped(metrics: PrometheusTelemetry) -> None:
    stats = ServerStats()
    stats.add_listener(Endpoint.parse("unix:caf\udce9"))
    metrics.counting(stats)
    metrics.listening(Endpoint.parse("unixgram:caf\udce9"))
    metrics.connection_refused("caf\udce9", UNIX, PEER)
    metrics.datagram_dropped("caf\udce9", UDP, PEER)
    page = samples(metrics)
    assert {r"connections_open{unix:caf\xe9}", r"datagrams_total{unixgram:caf\xe9}"} <= set(page)
    assert {r"connections_refused_total{caf\xe9}", r"datagrams_dropped_total{caf\xe9}"} <= set(page)


def test_the_page_of_a_new_server(metrics: PrometheusTelemetry) -> None:
    stats = ServerStats()
    stats.add_listener(TCP)
    metrics.counting(stats)
    page = {name: value for name, value in samples(metrics).items() if "_created" not in name}
    version = sys.version.split()[0]
    assert page.pop(f"build_info{{{version},{__version__}}}") == 1
    assert page.pop("connections_limit") == 7
    assert set(page.values()) == {0}
    for outcome in Outcome:
        assert f"connections_total{{{TCP},{outcome}}}" in page
    for name in ("connections_open", "connections_accepted_total"):
        assert f"{name}{{{TCP}}}" in page
    for kind in ("opening", "idle", "line", "write"):
        assert f"timeouts_total{{{kind}_timeout}}" in page


def test_admitted_connections_are_open_or_ended(metrics: PrometheusTelemetry) -> None:
    accepted, ended = Counter[Endpoint](), Counter[Endpoint]()
    stats = ServerStats()
    for endpoint in (TCP, UNIX):
        stats.add_listener(endpoint)
    listeners = [*stats.listeners, stats.add_listener(TCP)]  # two share an endpoint
    metrics.counting(stats)
    for listener_stats in listeners:
        endpoint = listener_stats.endpoint
        for outcome in [*Outcome, Outcome.COMPLETED]:
            listener_stats.accepted += 2
            accepted[endpoint] += 2
            listener_stats.ended[outcome] += 1
            ended[endpoint] += 1
            page = samples(metrics)
            assert page[f"connections_accepted_total{{{endpoint}}}"] == accepted[endpoint]
            assert page[f"connections_open{{{endpoint}}}"] == accepted[endpoint] - ended[endpoint]
            outcomes = [page[f"connections_total{{{endpoint},{each}}}"] for each in Outcome]
            assert sum(outcomes) == ended[endpoint]
    assert page[f"connections_total{{{UNIX},completed}}"] == 2
    assert page[f"connections_total{{{TCP},lost}}"] == 2


def test_lines_and_bytes_are_counted_over_all_servers(metrics: PrometheusTelemetry) -> None:
    both = ServerStats(), ServerStats()
    for stats in both:
        metrics.counting(stats)
    for step in range(1, 4):
        for stats in both:
            stats.received, stats.sent, stats.lines = step, 10 * step, 20 * step
        for _ in range(2):
            page = samples(metrics)
            names = ("bytes_received_total", "bytes_sent_total", "lines_total")
            assert [page[name] for name in names] == [2 * step, 20 * step, 40 * step]


def test_each_kind_of_failure_has_its_metric(metrics: PrometheusTelemetry) -> None:
    before = samples(metrics)
    metrics.conversation_ended(None, TCP)
    metrics.conversation_ended(ConnectionLost(), TCP)
    assert changed(metrics, before) == {}
    metrics.conversation_ended(TooSlow("idle_timeout"), TCP)
    metrics.conversation_ended(TooSlow("line_timeout"), TCP)
    metrics.conversation_ended(TooSlow("line_timeout"), TCP)
    metrics.conversation_failed(ZeroDivisionError(), TCP, PEER)
    metrics.connection_refused("too many connections", TCP, PEER)
    metrics.connection_refused(str(TooSlow("opening_timeout")), TCP, PEER)
    metrics.accept_failed(FULL, TCP)
    metrics.drain_timed_out()
    assert changed(metrics, before) == {
        "timeouts_total{idle_timeout}": 1,
        "timeouts_total{line_timeout}": 2,
        "timeouts_total{opening_timeout}": 1,
        "handler_failures_total": 1,
        "connections_refused_total{too many connections}": 1,
        "connections_refused_total{the opening timeout is over}": 1,
        "accept_errors_total": 1,
        "drain_timeouts_total": 1,
    }


def test_reply_times_are_a_histogram(metrics: PrometheusTelemetry) -> None:
    before = samples(metrics)
    stats = ServerStats()
    metrics.counting(stats)
    stats.served(2, 0.00001)  # the first bucket is for all that took so long or less
    stats.served(1, 0.0003)
    stats.served(1, 2.0)  # and beyond all bounds
    for _ in range(2):
        page = changed(metrics, before)
        assert page["reply_seconds_count"] == 4
        assert page["reply_seconds_sum"] == pytest.approx(2.00032)
        counts = [page[f"reply_seconds_bucket{{{bound}}}"] for bound in ("1e-05", "0.00025", "0.0005", "1.0")]
        assert counts == [2, 2, 3, 3]
        assert page["reply_seconds_bucket{+Inf}"] == 4
    stats.served(1, 0.5)
    assert changed(metrics, before)["reply_seconds_count"] == 5


def test_endless_reasons_get_a_bounded_set_of_labels(metrics: PrometheusTelemetry) -> None:
    before = samples(metrics)
    for number in range(1000):
        metrics.connection_refused(f"the header {number} is wrong", TCP, PEER)
    refused = changed(metrics, before)
    assert len(refused) == 33
    assert refused["connections_refused_total{other}"] == 1000 - 32


def test_two_servers_of_a_process_do_not_share_metrics(metrics: PrometheusTelemetry) -> None:
    metrics.drain_timed_out()
    assert samples(PrometheusTelemetry(Limits()))["drain_timeouts_total"] == 0


def test_the_library_does_not_import_prometheus_client() -> None:
    loaded = "import sys; from caas_trio import serve; "
    code = loaded + "print(*{'prometheus_client', 'structlog', 'h11'} & set(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout == "\n"


def test_datagrams_are_counted_by_outcome(metrics: PrometheusTelemetry) -> None:
    metrics.listening(UDP)
    page = samples(metrics)
    assert page[f"datagrams_total{{{UDP}}}"] == 0
    assert f"connections_open{{{UDP}}}" not in page
    for _ in range(3):
        metrics.datagram_served(UDP)
    metrics.datagram_dropped("it is too long", UDP, PEER)
    metrics.datagram_dropped("it is too long", UDP, None)
    metrics.datagram_failed(ValueError("a"), UDP, PEER)
    assert changed(metrics, page) == {
        f"datagrams_total{{{UDP}}}": 3,
        "datagrams_dropped_total{it is too long}": 2,
        "datagram_failures_total": 1,
    }
    metrics.datagram_served(UDP)
    assert samples(metrics)[f"datagrams_total{{{UDP}}}"] == 4


def test_the_reference_and_the_dashboard_have_exactly_our_metrics(
    metrics: PrometheusTelemetry, tmp_path: Path
) -> None:
    docs = Path(__file__).parent.parent / "docs"
    with SharedMetrics() as supervisor:
        pages = (metrics.page(), supervisor.page())
    known = {
        f"{family.name}_total" if family.type == "counter" else family.name
        for page in pages
        for family in text_string_to_metric_families(page.decode())
        if not family.name.endswith("_created")
    }
    site_pages.write(tmp_path)
    listed = re.findall(r"^\| `(caas_trio_\w+)`", (tmp_path / "metrics.md").read_text(), re.MULTILINE)
    assert listed == sorted(known, key=lambda name: name.removesuffix("_total"))
    named = set(re.findall(r"`(caas_trio_\w+)`", (docs / "observing.md").read_text()))
    assert named - {"caas_trio_"} <= known
    dashboard = json.loads((docs / "deploy" / "grafana-dashboard.json").read_text())
    asked = " ".join(target["expr"] for panel in dashboard["panels"] for target in panel["targets"])
    shown = {re.sub("_(bucket|sum|count)$", "", name) for name in re.findall(r"caas_trio_\w+", asked)}
    assert shown == known
