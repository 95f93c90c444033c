"""The service as one process: what was asked for, signals, the log, monitoring, and where it listens."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any

import click
import trio
from prometheus_client import disable_created_metrics
from structlog.typing import FilteringBoundLogger

from caas_trio.core.endpoint import Endpoint
from caas_trio.core.errors import TlsError
from caas_trio.core.limits import Limits
from caas_trio.core.telemetry import Telemetry, together
from caas_trio.core.tls import Certificates
from caas_trio.core.trust import Trust
from caas_trio.observing.log_telemetry import ConnectionEnds, LogTelemetry
from caas_trio.observing.metrics import Metrics
from caas_trio.observing.monitoring import serve_monitoring
from caas_trio.server.datagram import DatagramService, serve_datagrams
from caas_trio.server.listeners import Listener
from caas_trio.server.mixed import serve_mixed
from caas_trio.server.server import NewSession
from caas_trio.server.serving import serve_sessions
from caas_trio.server.watchdog import Watchdog

from .notify import Notifier
from .signals import HANDLED, handle_signals


@dataclass(frozen=True, kw_only=True)
class Program:
    """What the command line asks for.

    Attributes:
        new_session: makes the session of a connection.
        datagram_service: answers datagrams.
        endpoints: where to listen.
        limits: see `Limits`.
        trust: see `Trust`.
        takeover: whether to take paths over; see `serve`.
        log: where to.
        log_ends: whether the end of each connection is logged too.
        metrics: where to answer to monitoring; None for nowhere.
        workers: how many processes serve.
        config: what a file of settings says; None without one.
    """

    new_session: NewSession
    datagram_service: DatagramService
    endpoints: Sequence[Endpoint]
    limits: Limits
    trust: Trust
    takeover: bool
    log: FilteringBoundLogger
    log_ends: bool
    metrics: Endpoint | None
    workers: int = 1
    config: Mapping[str, Any] | None = None

    @property
    def supervised(self) -> bool:
        """Whether workers serve: where there are several, or a file to read again."""
        return self.workers != 1 or self.config is not None

    async def run(self) -> None:
        """Serve until a signal asks for a stop and all is drained."""
        stop = trio.Event()
        manager = Notifier.from_environment()
        reports = LogTelemetry(self.log)
        output = Announcement(self.trust, reports, manager)
        telemetries: list[Telemetry] = [reports]
        with closing(reports), trio.open_signal_receiver(*HANDLED) as signals:
            async with trio.open_nursery() as nursery:

                def begin_to_stop() -> None:
                    manager.stopping()
                    stop.set()

                again = partial(reload, self.trust, reports, manager)
                cut = nursery.cancel_scope.cancel
                nursery.start_soon(partial(handle_signals, signals, again=again, stop=begin_to_stop, cut=cut))
                if self.metrics is not None:
                    disable_created_metrics()  # type: ignore[no-untyped-call] # no use, and half of the page
                    metrics = Metrics(self.limits)
                    telemetries.append(metrics)
                    monitoring = partial(serve_monitoring, self.metrics, metrics.page, telemetry=reports)
                    output.monitored_at = await nursery.start(
                        partial(monitoring, ready=lambda: output.done and not stop.is_set())
                    )
                watchdog = Watchdog(manager.alive, manager.watchdog_interval)
                await self.serve(
                    self.endpoints, telemetries, stop=stop, watchdog=watchdog, task_status=output
                )
                nursery.cancel_scope.cancel()

    async def serve(
        self,
        places: Sequence[Endpoint | Listener],
        telemetries: Sequence[Telemetry],
        *,
        stop: trio.Event,
        retire: trio.Event | None = None,
        watchdog: Watchdog,
        task_status: trio.TaskStatus[list[Endpoint]],
    ) -> None:
        """Serve connections and datagrams until told to stop, or to retire; see `caas_trio.serve`."""
        ends = [ConnectionEnds(self.log)] if self.log_ends else []
        common: dict[str, Any] = {
            "limits": self.limits,
            "trust": self.trust,
            "telemetry": together(*telemetries, *ends),
            "stop": stop,
            "retire": retire,
            "watchdog": watchdog,
        }
        await serve_mixed(
            partial(serve_sessions, self.new_session, takeover=self.takeover, **common),
            partial(serve_datagrams, self.datagram_service, **common),
            places,
            task_status=task_status,
        )


def reload(trust: Trust, reports: LogTelemetry, manager: Notifier) -> None:
    """Read the certificates again; those in use stay if the new ones are not right."""
    with manager.reloading():
        if not isinstance(trust.tls, Certificates):
            return reports.nothing_to_reload()
        try:
            trust.tls.reload()
        except TlsError as error:
            return reports.reload_failed(error)
        return reports.reloaded()


class Announcement:
    """Says where the service listens, once it does, and logs if that is wide open.

    Attributes:
        done: whether it does.
        monitored_at: where else it listens.
    """

    def __init__(self, trust: Trust, reports: LogTelemetry, manager: Notifier) -> None:
        self.done = False
        self.monitored_at: Sequence[Endpoint] = ()
        self._trust = trust
        self._reports = reports
        self._manager = manager

    def started(self, endpoints: Sequence[Endpoint] = ()) -> None:
        """Write a line for each endpoint; tell the service manager."""
        exposed = [str(endpoint) for endpoint in endpoints if self._trust.exposes(endpoint)]
        if exposed:
            self._reports.exposed(exposed)
        try:
            for endpoint in endpoints:
                click.echo(os.fsencode(f"listening on {endpoint}"))
            for endpoint in self.monitored_at:
                click.echo(f"metrics on http://{endpoint.authority}/metrics")
        except OSError as error:
            sys.stdout = None  # or the interpreter would try once more at its end
            raise click.ClickException(f"cannot write to standard output: {error.strerror}") from error
        self.done = True
        self._manager.ready()
