"""The metrics of an app, on the service's own page: `AppMetrics`."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import GC_COLLECTOR, PLATFORM_COLLECTOR, PROCESS_COLLECTOR, REGISTRY
from prometheus_client.core import Metric
from prometheus_client.registry import Collector


class AppMetrics(Collector):
    """All that is registered with prometheus_client's default registry, except its own collectors."""

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics, for prometheus_client."""
        by_itself = {
            family.name
            for collector in (GC_COLLECTOR, PLATFORM_COLLECTOR, PROCESS_COLLECTOR)
            for family in collector.collect()
        }
        for family in REGISTRY.collect():
            if family.name not in by_itself:
                yield family
