"""What an operator sees of a server: the log, the metrics, and the pages that show them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from caas_trio.core.lazy import exporter

if TYPE_CHECKING:
    from .log_telemetry import LogTelemetry
    from .metrics import PrometheusTelemetry

__all__ = ["LogTelemetry", "PrometheusTelemetry"]

#: What needs structlog or prometheus_client is loaded when it is asked for.
_WHERE: Final = {"LogTelemetry": ".log_telemetry", "PrometheusTelemetry": ".metrics"}

if not TYPE_CHECKING:
    __getattr__ = exporter(__name__, _WHERE)
