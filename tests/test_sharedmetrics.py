"""The metrics of several workers: that they are added up, and that nothing of a dead one is lost."""

from __future__ import annotations

import fcntl
import math
import os
import platform
import signal
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
import trio
import trio.testing
from prometheus_client import values
from prometheus_client.parser import text_string_to_metric_families

from caas_trio import Endpoint, Limits, TooSlow, __version__
from caas_trio.core.telemetry import Outcome, ServerStats
from caas_trio.observing.metrics import PrometheusTelemetry
from caas_trio.observing.sharedmetrics import PERIOD, SharedMetrics, join, keep_writing

TCP = Endpoint.parse("tcp://127.0.0.1:1")
UNIX = Endpoint.parse("unix:/a")

#: A worker that has let three connections in, of which one has ended, and is about to be killed.
KILLED = """
import sys
from pathlib import Path
from caas_trio import Endpoint, Limits
from caas_trio.observing.metrics import PrometheusTelemetry
from caas_trio.observing.sharedmetrics import join
from caas_trio.core.telemetry import Outcome, ServerStats

join(Path(sys.argv[1]), int(sys.argv[2]), print)
metrics, stats = PrometheusTelemetry(Limits(max_connections=5)), ServerStats()
listener_stats = stats.add_listener(Endpoint.parse("tcp://127.0.0.1:1"))
metrics.counting(stats)
listener_stats.accepted = 3
listener_stats.ended[Outcome.COMPLETED] = 1
metrics.update()
listener_stats.accepted += 1  # not written down yet
print("written", flush=True)
sys.stdin.read()
"""

#: Generations of two workers each, one for each line it reads.
GENERATIONS = """
import os, sys
from pathlib import Path
from caas_trio import Endpoint, InternetPeer, Limits
from caas_trio.observing.metrics import PrometheusTelemetry
from caas_trio.observing.sharedmetrics import join
from caas_trio.core.telemetry import ServerStats

tcp = Endpoint.parse("tcp://127.0.0.1:1")
for _ in sys.stdin:
    for slot in range(2):
        if not os.fork():
            join(Path(sys.argv[1]), slot, print)
            metrics, stats = PrometheusTelemetry(Limits()), ServerStats()
            stats.add_listener(tcp).accepted += 1
            metrics.counting(stats)
            metrics.connection_refused("the address is not allowed", tcp, InternetPeer("127.0.0.1", 2))
            metrics.update()
            os._exit(0)
    for _ in range(2):
        os.wait()
    print("both have ended", flush=True)
"""


#: A worker on a file system that is full, which a limit on the size of files plays, and not full later.
FULL = """
import resource, sys
from pathlib import Path
from caas_trio import Endpoint, InternetPeer, Limits
from caas_trio.observing.metrics import PrometheusTelemetry
from caas_trio.observing.sharedmetrics import join
from caas_trio.core.telemetry import ServerStats

unlimited = resource.RLIM_INFINITY
tcp, peer = Endpoint.parse("tcp://127.0.0.1:1"), InternetPeer("127.0.0.1", 2)
told = []
size = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (size, unlimited))
join(Path(sys.argv[1]), 0, told.append)
metrics, stats = PrometheusTelemetry(Limits(max_connections=5)), ServerStats()
listener_stats = stats.add_listener(tcp)
metrics.counting(stats)
for number in range(200):
    metrics._metrics.refused.labels(f"{number}" + "r" * 1000).inc()
listener_stats.accepted = 3
metrics.update()
print(*(error.strerror for error in told), sep=";", flush=True)
sys.stdin.readline()
resource.setrlimit(resource.RLIMIT_FSIZE, (unlimited, unlimited))
listener_stats.accepted += 1
metrics.update()
print(len(told), metrics._metrics.accepted.labels(tcp)._value.get(), flush=True)
"""


class Worker:
    """What a worker counts."""

    def __init__(self) -> None:
        self.stats = ServerStats()
        self.tcp = self.stats.add_listener(TCP)
        self.unix = self.stats.add_listener(UNIX)
        self.metrics = PrometheusTelemetry(Limits(max_connections=7))
        self.metrics.counting(self.stats)


Work = Callable[[int], Worker]

#: Why values could not be shared, by the tests that do not expect it.
UNTOLD: list[OSError] = []

#: The files of a worker are open for as long as its values live, and nothing closes them.
WORKED: list[Worker] = []


@pytest.fixture
def shared() -> Iterator[SharedMetrics]:
    with SharedMetrics() as shared:
        yield shared


@pytest.fixture
def work(shared: SharedMetrics) -> Iterator[Work]:
    """What starts a worker in a slot, in this process: each has values, and files, of its own."""
    before = values.ValueClass
    assert not UNTOLD

    def start(slot: int) -> Worker:
        join(shared.folder, slot, UNTOLD.append)
        worker = Worker()
        WORKED.append(worker)
        return worker

    yield start
    values.ValueClass = before  # as `join` found it


def shown(shared: SharedMetrics) -> dict[str, float]:
    """Return what is on the page, as in test_metrics."""
    page = {}
    for family in text_string_to_metric_families(shared.page().decode()):
        assert family.documentation
        for sample in family.samples:
            labels = ",".join(sample.labels[name] for name in sorted(sample.labels))
            page[f"{sample.name.removeprefix('caas_trio_')}{{{labels}}}".replace("{}", "")] = sample.value
    return page


def adds_up(page: dict[str, float], at: Endpoint = TCP) -> bool:
    ended = sum(page[f"connections_total{{{at},{each}}}"] for each in Outcome)
    return page[f"connections_accepted_total{{{at}}}"] == page[f"connections_open{{{at}}}"] + ended


def test_without_workers_there_is_a_page(shared: SharedMetrics) -> None:
    replaced = {f"workers_replaced_total{{{reason}}}": 0 for reason in ("timeout", "lifetime", "max_rss")}
    assert shown(shared) == {"workers": 0, "workers_gone_total": 0, **replaced}


def test_the_metrics_of_workers_are_added_up(shared: SharedMetrics, work: Work) -> None:
    workers = [work(slot) for slot in range(3)]
    for number, worker in enumerate(workers, 1):
        worker.stats.received, worker.stats.lines = 100 * number, 10 * number
        worker.stats.served(number, 0.0003)
        worker.tcp.accepted = worker.unix.accepted = number
        worker.tcp.ended[Outcome.LOST] += 1
        worker.metrics.conversation_ended(TooSlow("idle_timeout"), TCP)
        worker.metrics.update()
    page = shown(shared)
    assert page["connections_limit"] == 3 * 7
    assert page["bytes_received_total"] == 600
    assert page["lines_total"] == 60
    assert page["reply_seconds_count"] == 6
    assert page["reply_seconds_bucket{0.0005}"] == 6
    assert page["reply_seconds_bucket{0.00025}"] == 0
    assert page["timeouts_total{idle_timeout}"] == 3
    assert page[f"connections_open{{{TCP}}}"] == 3
    assert page[f"connections_open{{{UNIX}}}"] == 6
    assert page[f"connections_total{{{TCP},lost}}"] == 3
    assert page["workers"] == 3
    assert page[f"build_info{{{platform.python_version()},{__version__}}}"] == 1
    assert adds_up(page)
    assert adds_up(page, UNIX)


def test_open_connections_never_exceed_those_admitted(shared: SharedMetrics, work: Work) -> None:
    worker = work(0)
    worker.tcp.accepted += 1
    worker.metrics.update()
    worker.metrics._metrics.accepted.labels(TCP).inc()  # the supervisor looks in the middle of an update
    page = shown(shared)
    assert page[f"connections_open{{{TCP}}}"] == 2
    assert adds_up(page)


def test_a_drained_worker_leaves_its_counts_only(shared: SharedMetrics, work: Work) -> None:
    first, second = work(0), work(1)
    first.tcp.accepted = second.tcp.accepted = 1
    first.tcp.ended[Outcome.COMPLETED] = 1
    first.metrics.update()
    second.metrics.update()
    shared.worker_gone(0)
    page = shown(shared)
    assert page["connections_limit"] == 7
    assert page[f"connections_accepted_total{{{TCP}}}"] == 2
    assert page[f"connections_total{{{TCP},completed}}"] == 1
    assert page[f"connections_total{{{TCP},cut_off}}"] == 0
    assert page[f"connections_open{{{TCP}}}"] == 1
    assert (page["workers"], page["workers_gone_total"]) == (1, 1)
    assert adds_up(page)


def test_connections_of_a_killed_worker_count_as_cut_off(shared: SharedMetrics, work: Work) -> None:
    other = work(2)
    other.tcp.accepted = 1
    other.metrics.update()
    for round_ in range(1, 3):  # the second has the files of the first
        with subprocess.Popen(
            [sys.executable, "-c", KILLED, shared.folder, "0"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as worker:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "written\n"
            page = shown(shared)
            assert page[f"connections_open{{{TCP}}}"] == 1 + 2
            assert page["connections_limit"] == 7 + 5
            assert adds_up(page)
            os.kill(worker.pid, signal.SIGKILL)
        shared.worker_gone(0)
        page = shown(shared)
        assert page[f"connections_accepted_total{{{TCP}}}"] == 1 + 3 * round_
        assert page[f"connections_total{{{TCP},completed}}"] == round_
        assert page[f"connections_total{{{TCP},cut_off}}"] == 2 * round_
        assert page[f"connections_open{{{TCP}}}"] == 1
        assert page["workers_gone_total"] == round_
        assert adds_up(page)


def test_unreadable_files_do_not_stop_the_supervisor(shared: SharedMetrics, work: Work) -> None:
    worker = work(0)
    worker.tcp.accepted = 1
    worker.metrics.update()
    shared.worker_gone(0)
    file = shared.folder / "counter_0.db"
    file.rename(shared.folder / "kept")
    file.mkdir()
    (file / "so that it has a size").touch()
    shared.worker_gone(0)
    file.rename(shared.folder / "aside")
    (shared.folder / "kept").rename(file)
    page = shown(shared)
    assert (page["workers_gone_total"], page[f"connections_total{{{TCP},cut_off}}"]) == (2, 1)


def entry(key: bytes, value: float = 1.0, length: int | None = None) -> bytes:
    """Return a file with one value, as prometheus_client writes it."""
    padded = key + b" " * (8 - (len(key) + 4) % 8)
    used = 8 + 4 + len(padded) + 16
    return struct.pack(
        f"ixxxxi{len(padded)}sdd", used, len(key) if length is None else length, padded, value, 0
    )


@pytest.mark.parametrize(
    "written",
    [
        b"\n",
        b"garbage" * 100,
        struct.pack("i", -1) + bytes(100),
        struct.pack("i", 1 << 30) + bytes(100),
        struct.pack("i", 50) + bytes([255] * 46),
        entry(b"[]", length=-8),
        entry(b"[]", length=-20),
        entry(b"[]", length=1 << 30),
        entry(b"\xff"),
        entry(b"[]"),
        entry(b'["caas_trio_connections_accepted", "any", {}, ""]'),
        entry(b'["caas_trio_connections_accepted", "any", {"endpoint": ""}, ""]', math.nan),
    ],
)
def test_a_slot_that_is_reused_starts_from_zero(written: bytes, shared: SharedMetrics, work: Work) -> None:
    other = work(1)
    other.tcp.accepted = 1
    other.metrics.update()
    (shared.folder / "counter_0.db").write_bytes(written)
    assert not shared.worker_gone(0)
    worker = work(0)  # its successor
    worker.tcp.accepted = 2
    worker.metrics.update()
    assert shown(shared)[f"connections_accepted_total{{{TCP}}}"] == 3
    assert shared.worker_gone(0)


def test_the_number_of_files_is_bounded_by_the_slots(shared: SharedMetrics) -> None:
    def contents() -> dict[str, int]:
        return {file.name: file.stat().st_size for file in shared.folder.iterdir()}

    with subprocess.Popen(
        [sys.executable, "-c", GENERATIONS, shared.folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as workers:
        assert workers.stdout is not None
        assert workers.stdin is not None
        for generation in range(1, 31):
            print(file=workers.stdin, flush=True)
            assert workers.stdout.readline() == "both have ended\n"
            if generation == 1:
                of_the_first = contents()
            assert contents() == of_the_first
            for slot in range(2):
                shared.worker_gone(slot)
    page = shown(shared)
    assert page["connections_refused_total{the address is not allowed}"] == 60
    assert page[f"connections_total{{{TCP},cut_off}}"] == 60
    assert page["workers_gone_total"] == 60
    assert page["workers"] == 0
    assert adds_up(page)


@pytest.mark.parametrize("size", [0, 100, 1 << 16, 1 << 17])
def test_on_a_full_disk_metrics_are_kept_in_memory(shared: SharedMetrics, size: int) -> None:
    for round_ in range(1, 3):  # the second finds files, but for the gauges of those that live
        lacks_room = round_ == 1 or size < 1 << 16
        with subprocess.Popen(
            [sys.executable, "-c", FULL, shared.folder, str(size)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as worker:
            assert worker.stdout is not None
            assert worker.stdin is not None
            assert worker.stdout.readline() == ("File too large\n" if lacks_room else "\n")
            assert all(file.stat().st_size % (1 << 16) == 0 for file in shared.folder.glob("*.db"))
            shown(shared)
            print(file=worker.stdin, flush=True)
            assert worker.stdout.readline() == f"{lacks_room:d} {4.0 * round_}\n"
        shared.worker_gone(0)
        page = shown(shared)
        assert page[f"connections_accepted_total{{{TCP}}}"] == 4 * round_
        refused = [value for name, value in page.items() if name.startswith("connections_refused_total")]
        assert refused == [round_] * 200
        assert adds_up(page)


def test_a_half_created_file_is_completed(shared: SharedMetrics, work: Work) -> None:
    file = shared.folder / "counter_0.db"
    file.write_bytes(bytes(1000))
    worker = work(0)
    worker.tcp.accepted = 1
    worker.metrics.update()
    assert file.stat().st_size == 1 << 16
    assert shown(shared)[f"connections_accepted_total{{{TCP}}}"] == 1


def test_exemplars_are_not_shared(work: Work) -> None:
    value = work(0).metrics._metrics.failures._value
    value.set_exemplar(None)
    assert value.get_exemplar() is None


def test_the_folder_is_locked_against_tmpfiles(shared: SharedMetrics) -> None:
    cleaner = os.open(shared.folder, os.O_RDONLY)
    with pytest.raises(BlockingIOError):
        fcntl.flock(cleaner, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(cleaner)


def test_the_folder_is_removed_with_its_owner() -> None:
    with SharedMetrics() as shared:
        (shared.folder / "counter_0.db").touch()  # made, and not begun
        assert shared.folder.stat().st_mode & 0o777 == 0o700
        assert b"caas_trio_workers 0" in shared.page()
    assert not shared.folder.exists()


async def test_a_worker_writes_once_a_second_and_at_its_end(autojump_clock: trio.testing.MockClock) -> None:
    written: list[float] = []
    start = trio.current_time()
    with trio.move_on_after(2.5 * PERIOD):
        await keep_writing(lambda: written.append(trio.current_time() - start))
    assert written == pytest.approx([PERIOD, 2 * PERIOD, 2.5 * PERIOD])
