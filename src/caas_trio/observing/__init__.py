"""What an operator sees of a server: the log, the metrics, and the pages that show them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .log_telemetry import LogTelemetry
    from .metrics import PrometheusTelemetry

__all__ = ["LogTelemetry", "PrometheusTelemetry"]

#: What needs structlog or prometheus_client is loaded when it is asked for.
_WHERE: Final = {"LogTelemetry": ".log_telemetry", "PrometheusTelemetry": ".metrics"}


if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name in _WHERE:
            return getattr(import_module(_WHERE[name], __name__), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
