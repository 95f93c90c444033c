"""A server as the whole of a script: `run`."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Unpack

import click
import trio

from caas_trio.core.endpoint import Endpoint
from caas_trio.core.errors import AppError, TlsError
from caas_trio.core.limits import Limits
from caas_trio.core.printable import printable
from caas_trio.core.telemetry import together
from caas_trio.core.tls import Certificates
from caas_trio.core.trust import Trust
from caas_trio.observing.logs import tell
from caas_trio.server.app import App, Lifespan, as_app
from caas_trio.server.hosting import open_app, serve_app
from caas_trio.server.listeners import Listener
from caas_trio.server.options import ServeOptions, Settings
from caas_trio.server.reporting import LoggingTelemetry

from .signals import handle_signals, receive_signals
from .user_error import USER_ERRORS, user_error

DEFAULT_ENDPOINT: Final = "tcp://127.0.0.1:50007"

_log = logging.getLogger("caas_trio")


def run(
    app: object,
    *endpoints: Endpoint | Listener | str,
    **options: Unpack[ServeOptions],
) -> None:
    """Serve an app until a signal asks for a stop and all is drained; for scripts.

    A line such as "listening on tcp://127.0.0.1:50007" goes to standard output for each endpoint.
    SIGTERM or Ctrl-C begins the drain, a second one ends everything at once. SIGHUP has certificates
    (`Trust(tls=Certificates(...))`) read again.

    Args:
        app: a handler, a service, a session class, a `DatagramRequestHandler` class, an `App`, or a
            function decorated with `contextlib.asynccontextmanager` that yields one of them. It is entered
            before anything is served and left after the drain.
        *endpoints: where to listen, as for `serve`, connections and datagrams alike;
            tcp://127.0.0.1:50007 by default.
        **options: see `ServeOptions`. The limits are by default those of the `App`, and its telemetry is
            called beside the one that is given. Setting `stop` is another signal.

    Raises:
        SystemExit: with status 2 for a wrong call, and 1 for what the machine does not allow, or the
            app's context; a line on standard error says what it was.
    """
    try:
        parsed = [
            Endpoint.parse(each) if isinstance(each, str) else each
            for each in endpoints or (DEFAULT_ENDPOINT,)
        ]
        trio.run(_Script(as_app(app), parsed, options).serve_until_signal)
    except* USER_ERRORS as mistakes:
        message = user_error(mistakes)
    else:
        return
    tell(message.text)
    sys.exit(message.status)


@dataclass(frozen=True)
class _Script:
    """A server that is the whole of a script; see `run`."""

    app: App | Lifespan
    endpoints: Sequence[Endpoint | Listener]
    options: ServeOptions

    async def serve_until_signal(self) -> None:
        settings = Settings(**self.options)
        stop = trio.Event() if settings.stop is None else settings.stop
        trust = settings.trust
        hangup = [signal.SIGHUP] if isinstance(trust.tls, Certificates) else []
        opening = trio.CancelScope()
        announced = trio.Event()

        def begin_to_stop() -> None:
            stop.set()
            if not announced.is_set():  # a name may still be looked up, or the app's context may wait
                opening.cancel()

        with receive_signals([signal.SIGTERM, signal.SIGINT, *hangup]) as signals:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(
                    partial(
                        handle_signals,
                        signals,
                        reload=partial(_reload, trust),
                        stop=begin_to_stop,
                        cut=nursery.cancel_scope.cancel,
                    )
                )
                with opening:
                    await self._open_and_serve(stop, announced)
                nursery.cancel_scope.cancel()

    async def _open_and_serve(self, stop: trio.Event, announced: trio.Event) -> None:
        try:
            async with open_app(self.app) as app:
                await self._serve(app, stop, announced)
        except AppError as error:
            _log.error("%s", error, exc_info=error.__cause__)
            raise

    async def _serve(self, app: App, stop: trio.Event, announced: trio.Event) -> None:
        options: dict[str, Any] = {"limits": app.limits or Limits(), **self.options, "stop": stop}
        if app.telemetry is not None:
            given = self.options.get("telemetry")
            options["telemetry"] = together(LoggingTelemetry() if given is None else given, app.telemetry)
        async with trio.open_nursery() as nursery:
            serve = partial(serve_app, app, self.endpoints, **options)
            announce(await nursery.start(serve))
            announced.set()


def announce(endpoints: Sequence[Endpoint], monitored_at: Sequence[Endpoint] = ()) -> None:
    """Write a line to standard output for each endpoint.

    Raises:
        click.ClickException: standard output is gone, or full.
    """
    try:
        for endpoint in endpoints:
            click.echo(f"listening on {printable(str(endpoint))}")
        for endpoint in monitored_at:
            click.echo(f"metrics on http://{endpoint.authority}/metrics")
    except OSError as error:
        sys.stdout = None  # or the interpreter would try once more at its end
        raise click.ClickException(f"cannot write to standard output: {error.strerror}") from error


def _reload(trust: Trust) -> None:
    """Read certificates again; those in use stay if the new ones are not right."""
    assert isinstance(trust.tls, Certificates)  # noqa: S101 - or SIGHUP would not be handled
    try:
        trust.tls.reload()
    except TlsError:
        _log.exception("the certificates could not be reloaded; the old ones stay")
    else:
        _log.info("the certificates have been reloaded")
