"""Checks the pages of metrics by Prometheus's own `promtool check metrics`.

    python -m ci.promtool

Both kinds: that of a service that is one process, and that of a supervisor.
"""

from __future__ import annotations

import shutil
import subprocess
import sys

from caas_trio import Endpoint, InternetPeer, Limits, TooSlow
from caas_trio.core.telemetry import Outcome, ServerStats
from caas_trio.observing.metrics import PrometheusTelemetry
from caas_trio.observing.sharedmetrics import SharedMetrics, join

#: Labels that have to be escaped.
AT = Endpoint.parse('unix:/a "b"\\c')


def main() -> int:
    """Check both pages; return the exit status."""
    if shutil.which("promtool") is None:
        print("not installed: promtool; Debian has it in the package prometheus")
        return 1
    found = check("one process", eventful(PrometheusTelemetry(Limits())).page())
    with SharedMetrics() as supervisor:
        join(supervisor.folder, 0, print)
        eventful(PrometheusTelemetry(Limits())).update()
        found += check("a supervisor", supervisor.page())
        supervisor.worker_gone(0)
        found += check("a supervisor without workers", supervisor.page())
    return 1 if found else 0


def eventful(metrics: PrometheusTelemetry) -> PrometheusTelemetry:
    """Record an event of each kind; return the telemetry."""
    totals = ServerStats()
    totals.read(b"a\nb\n")
    totals.served(1, 0.0001)
    arrivals = totals.add_listener(AT)
    arrivals.accepted = 2
    arrivals.ended[Outcome.TIMED_OUT] = 1
    metrics.counting(totals)
    metrics.listening(Endpoint.parse("udp://127.0.0.1:1"))
    metrics.conversation_ended(TooSlow("idle_timeout"), AT)
    metrics.connection_refused("the address is not allowed", AT, InternetPeer("127.0.0.1", 1))
    metrics.datagram_dropped("it is too long", AT, None)
    return metrics


def check(what: str, page: bytes) -> int:
    """Return how many pages of this one are wrong, and say why."""
    asked = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, check=False)
    said = (asked.stdout + asked.stderr).decode().strip()
    print(f"{what}: {len(page.splitlines())} lines, {said or 'nothing to complain of'}")
    return 1 if asked.returncode or said else 0


if __name__ == "__main__":
    sys.exit(main())
