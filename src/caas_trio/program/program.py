"""The service as one process: its settings, signals, the log, monitoring, and its announcement."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import click
import trio
from prometheus_client import CollectorRegistry, disable_created_metrics
from structlog.typing import FilteringBoundLogger

from caas_trio.core.endpoint import Endpoint
from caas_trio.core.errors import AppError, TlsError
from caas_trio.core.limits import Limits
from caas_trio.core.telemetry import Telemetry, together
from caas_trio.core.tls import Certificates
from caas_trio.core.trust import Trust
from caas_trio.drivers.choice import DriverName
from caas_trio.observing.applogs import carry_app_logs
from caas_trio.observing.appmetrics import AppMetrics
from caas_trio.observing.log_telemetry import ConnectionEnds, LogTelemetry
from caas_trio.observing.metrics import PrometheusTelemetry
from caas_trio.observing.monitoring import serve_monitoring
from caas_trio.observing.refusals import RefusalStream
from caas_trio.observing.status import History, LastReload, ServiceStatus, WorkerStatus
from caas_trio.server.app import App, Lifespan
from caas_trio.server.hosting import open_app, serve_app
from caas_trio.server.listeners import Listener
from caas_trio.server.socketoptions import SocketOptions
from caas_trio.server.watchdog import Watchdog

from .appoptions import LineOptions, apply
from .loading import AppName, load
from .notify import Notifier
from .recycling import WorkerLimits, resident_bytes
from .script import announce
from .signals import Terminal, handle_signals, receive_signals, stops_released


@dataclass(frozen=True, kw_only=True)
class Program:
    """The settings of a service, as the command line describes them.

    Attributes:
        app: what is served, or its name.
        lines: how a service of lines converses.
        given: the names of the options that are set explicitly.
        endpoints: where to listen.
        limits: see `Limits`.
        trust: see `Trust`.
        takeover: whether to take paths over; see `serve`.
        driver: what moves the bytes; see `serve`.
        log: the logger.
        log_ends: whether the end of each connection is logged too.
        refusals: where each refused connection is logged; None for nowhere.
        sockets: see `SocketOptions`.
        metrics: where monitoring is served; None for nowhere.
        workers: how many processes serve.
        worker_limits: the limits of each of them.
        watched: the folder whose changes restart the app; None for none.
        config: the settings of the file; None without one.
    """

    app: App | AppName
    endpoints: Sequence[Endpoint]
    limits: Limits
    trust: Trust
    takeover: bool
    driver: DriverName
    log: FilteringBoundLogger
    log_ends: bool
    metrics: Endpoint | None
    lines: LineOptions = field(default_factory=LineOptions)
    given: frozenset[str] = frozenset()
    workers: int = 1
    worker_limits: WorkerLimits = field(default_factory=WorkerLimits)
    watched: Path | None = None
    config: Mapping[str, Any] | None = None
    refusals: RefusalStream | None = None
    sockets: SocketOptions = field(default_factory=SocketOptions)

    @property
    def supervised(self) -> bool:
        """Whether workers serve: where there are several, a file to read again, or an app to import again.

        The last only if workers are configured.
        """
        deployed = isinstance(self.app, AppName) and "workers" in self.given
        return self.workers != 1 or self.config is not None or self.watched is not None or deployed

    def kept_by_reload(self, new: Program) -> Iterator[tuple[str, str]]:
        """Yield each option that `new` changes but a reload does not, and the value that it keeps."""
        if new.metrics != self.metrics:
            yield "--metrics", "off" if self.metrics is None else self.metrics.authority
        if new.trust.unix_mode != self.trust.unix_mode:
            yield "--unix-mode", f"{self.trust.unix_mode:04o}"

    async def run(self) -> None:
        """Serve until a signal asks for a stop and all is drained."""
        with self.app_logs():
            if self.metrics is not None:
                disable_created_metrics()  # type: ignore[no-untyped-call] # no use, and half of the page
            with stops_released():  # an import may take long
                app = await self.load()
            await self._serve_until_signal(app)

    async def _serve_until_signal(self, app: App | Lifespan) -> None:
        stop = trio.Event()
        manager = Notifier.from_environment()
        reports = LogTelemetry(self.log)
        output = Announcement(self.trust, reports, manager)
        telemetries: list[Telemetry] = [reports]
        opening = trio.CancelScope()
        last_reload = LastReload()

        def reload_and_note() -> None:
            has_app = isinstance(self.app, AppName)
            last_reload.note(reload(self.trust, reports, manager, has_app=has_app))

        def begin_to_stop() -> None:
            manager.stopping()
            stop.set()
            if not output.done:  # a name may still be looked up, or the app's context may wait
                opening.cancel()

        with closing(reports), receive_signals() as signals:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(
                    partial(
                        handle_signals,
                        signals,
                        reload=reload_and_note,
                        stop=begin_to_stop,
                        cut=nursery.cancel_scope.cancel,
                        hung_up=Terminal().is_lost,
                    )
                )
                with opening:
                    async with self.open(app) as program:
                        if self.metrics is not None:
                            state = _State(output, stop, last_reload)
                            telemetries.append(await self._monitor(program.limits, nursery, reports, state))
                        watchdog = Watchdog(manager.alive, manager.watchdog_interval)
                        await program.serve(
                            self.endpoints, telemetries, stop=stop, watchdog=watchdog, task_status=output
                        )
                nursery.cancel_scope.cancel()

    async def _monitor(
        self, limits: Limits, nursery: trio.Nursery, reports: LogTelemetry, state: _State
    ) -> PrometheusTelemetry:
        """Start the server for monitoring; return the telemetry that counts for it."""
        assert self.metrics is not None  # noqa: S101 - or it is not called
        metrics = PrometheusTelemetry(limits, self._registry())
        history = History(metrics.families)
        nursery.start_soon(history.keep, reports.metrics_unread)
        start = partial(
            serve_monitoring,
            self.metrics,
            metrics.page,
            telemetry=reports,
            ready=lambda: state.name == "serving",
            status=lambda: history.status(state.status()),
        )
        state.output.monitored_at = await nursery.start(start)
        return metrics

    def _registry(self) -> CollectorRegistry:
        """Return a registry for the service's metrics, and those of a named app."""
        registry = CollectorRegistry()
        if isinstance(self.app, AppName):
            registry.register(AppMetrics())
        return registry

    @contextmanager
    def app_logs(self) -> Iterator[None]:
        """Send what the code of a named app logs to the service's own log."""
        if not isinstance(self.app, AppName):
            yield
            return
        with carry_app_logs(self.log):
            yield

    async def load(self) -> App | Lifespan:
        """Import the app if it was named; if that fails, log why.

        Raises:
            CaasError: it cannot be imported, or served.
        """
        if not isinstance(self.app, AppName):
            return self.app
        try:
            return await load(self.app)
        except AppError as error:
            self._app_failed(error)
            raise

    @asynccontextmanager
    async def open(self, app: App | Lifespan) -> AsyncIterator[Program]:
        """Enter the app's context, and yield the program with what is served, and its limits, in place.

        Raises:
            AppError: the context has failed; the log has the traceback.
            UsageError: the app cannot be served, or not with these options.
        """
        try:
            async with open_app(app) as served:
                asked = served
                if isinstance(self.app, AppName):
                    asked = apply(self.lines, self.limits, self.given, served, self.endpoints)
                yield replace(self, app=asked, limits=asked.limits or self.limits)
        except AppError as error:
            self._app_failed(error)
            raise

    def _app_failed(self, error: AppError) -> None:
        cause = error.__cause__ or error
        exc_info = (type(cause), cause, cause.__traceback__)
        self.log.error("the app has failed", app=error.app, exc_info=exc_info)

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
        """Serve connections and datagrams until the stop or a retirement; see `caas_trio.serve`.

        Call it on what `open` yields.

        Raises:
            click.ClickException: refusals cannot be logged where they should be.
        """
        assert isinstance(self.app, App)  # noqa: S101 - it has been opened
        ends = [ConnectionEnds(self.log)] if self.log_ends else []
        own = [self.app.telemetry] if self.app.telemetry is not None else []
        with ExitStack() as opened:
            refusals = self._open_refusals(opened)
            await serve_app(
                self.app,
                places,
                limits=self.limits,
                trust=self.trust,
                takeover=self.takeover,
                driver=self.driver,
                sockets=self.sockets,
                telemetry=together(*telemetries, *refusals, *ends, *own),
                stop=stop,
                retire=retire,
                watchdog=watchdog,
                task_status=task_status,
            )

    def _open_refusals(self, opened: ExitStack) -> list[Telemetry]:
        if self.refusals is None:
            return []
        try:
            return [opened.enter_context(self.refusals.open())]
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise click.ClickException(f"cannot log refusals to {self.refusals.path}: {reason}") from error


class _State:
    """The state of a service of one process."""

    def __init__(self, output: Announcement, stop: trio.Event, last_reload: LastReload) -> None:
        self.output = output
        self._stop = stop
        self._last_reload = last_reload
        self._begun = trio.current_time()

    @property
    def name(self) -> str:
        """The state: "starting", "serving" or "stopping"."""
        if self._stop.is_set():
            return "stopping"
        return "serving" if self.output.done else "starting"

    def status(self) -> ServiceStatus:
        """Return the status that is shown."""
        pid, age = os.getpid(), trio.current_time() - self._begun
        worker = WorkerStatus(number=0, pid=pid, state=self.name, age_s=age, memory=resident_bytes(pid))
        return ServiceStatus(state=self.name, workers=[worker], reload=self._last_reload.status())


def reload(trust: Trust, reports: LogTelemetry, manager: Notifier, *, has_app: bool = False) -> str | None:
    """Read the certificates again; those in use stay if the new ones are not right. An app stays as it is.

    Return why nothing was reloaded; None if it was.
    """
    with manager.reloading():
        if not isinstance(trust.tls, Certificates):
            reports.nothing_to_reload(new_code=has_app)
            return "there is nothing to reload"
        try:
            trust.tls.reload()
        except TlsError as error:
            reports.reload_failed(error)
            return str(error)
        reports.reloaded()
        return None


class Announcement:
    """Announces where the service listens, and logs if any client may connect.

    Attributes:
        done: whether the service listens.
        monitored_at: where monitoring is served.
    """

    def __init__(self, trust: Trust, reports: LogTelemetry, manager: Notifier) -> None:
        self.done = False
        self.monitored_at: Sequence[Endpoint] = ()
        self._trust = trust
        self._reports = reports
        self._manager = manager

    def started(self, endpoints: Sequence[Endpoint] = ()) -> None:
        """Write a line for each endpoint; notify the service manager."""
        exposed = [str(endpoint) for endpoint in endpoints if self._trust.exposes(endpoint)]
        if exposed:
            self._reports.exposed(exposed)
        announce(endpoints, self.monitored_at)
        self.done = True
        self._manager.ready()
