"""The service as its users start it: looked at from outside, scraped, and ended."""

import signal
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psutil
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from ci.process import LISTENING, ServerProcess, start

SCRAPE_TIMEOUT_S = 30
SERVICE = ("-m", "caas_trio")


class Page:
    """The content of `/metrics`."""

    def __init__(self, text: str) -> None:
        self._samples: list[Sample] = [
            sample for family in text_string_to_metric_families(text) for sample in family.samples
        ]

    def total(self, name: str, **labels: str) -> int:
        """Return the sum of a metric over all that have these labels; 0 if there are none."""
        return int(
            sum(
                sample.value
                for sample in self._samples
                if sample.name == f"caas_trio_{name}" and labels.items() <= sample.labels.items()
            )
        )


@dataclass(frozen=True)
class Weight:
    """The resources that the processes of a service hold, in sum.

    Attributes:
        memory: bytes of RSS. (Shared pages in proportion would go up and down with other processes.)
        descriptors: open ones.
        threads: as the kernel counts them.
        cpu: seconds used so far by those that are alive.
    """

    memory: int
    descriptors: int
    threads: int
    cpu: float


class Service:
    """A running `python -m caas_trio` with `--metrics`.

    Attributes:
        endpoints: where it listens, port 0 resolved, as text.
        process: the process that was started; with workers it is their supervisor.
    """

    def __init__(self, server: ServerProcess) -> None:
        *self.endpoints, self._metrics = server.announced
        self.process = server.process
        self._server = server

    def workers(self) -> list[psutil.Process]:
        """Return its child processes."""
        return psutil.Process(self.process.pid).children()

    def weigh(self) -> Weight:
        """Return what all processes of the service hold and use."""
        memory = descriptors = threads = 0
        cpu = 0.0
        for each in [psutil.Process(self.process.pid), *self.workers()]:
            with suppress(psutil.NoSuchProcess):  # a worker may end while it is looked at
                memory += each.memory_info().rss
                descriptors += each.num_fds()
                threads += each.num_threads()
                cpu += sum(each.cpu_times()[:2])
        return Weight(memory, descriptors, threads, cpu)

    def scrape(self) -> Page:
        """Return what `/metrics` says now."""
        with urllib.request.urlopen(self._metrics, timeout=SCRAPE_TIMEOUT_S) as response:  # noqa: S310 - ours
            return Page(response.read().decode())

    def said(self) -> str:
        """Return what has gone to standard error so far."""
        return self._server.errors()

    def stop(self) -> int:
        """Ask for a stop, and return the exit status."""
        return self._server.stop()


def end_as_by_ctrl_c() -> None:
    """Treat SIGTERM as SIGINT, so that this process ends with all that it has started."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))


@contextmanager
def running(
    arguments: Sequence[str], endpoints: Sequence[str], program: Sequence[str] = SERVICE
) -> Iterator[Service]:
    """Start the service so, on `tcp` and `unix` endpoints; it is gone when the block ends."""
    with tempfile.TemporaryDirectory(prefix="caas-soak-") as directory:
        places = {"tcp": "tcp://127.0.0.1:0", "unix": f"unix:{directory}/socket"}
        command = [sys.executable, *program, *arguments, "--metrics", "127.0.0.1:0"]
        announcements = [*(LISTENING for _ in endpoints), "metrics on "]
        with start([*command, *(places[each] for each in endpoints)], announcements=announcements) as server:
            yield Service(server)
