"""The values of the options, and the `Program` that they describe: `Settings`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click

from caas_trio.core.capitals import Utf8Capitals, ascii_capitals, utf8_capitals
from caas_trio.core.endpoint import Endpoint, Scheme
from caas_trio.core.limits import Limits
from caas_trio.core.session import First, Oversize, Service, StreamTransform
from caas_trio.core.terminator import TERMINATORS
from caas_trio.core.trust import Network, Trust
from caas_trio.drivers.choice import DriverName
from caas_trio.observing.logs import LogFormat, open_log
from caas_trio.observing.refusals import RefusalStream
from caas_trio.server.app import App
from caas_trio.server.datagram import DatagramService
from caas_trio.server.socketoptions import SocketOptions

from .appoptions import LineOptions
from .loading import AppName
from .options import STANDARD_ERROR, certificates_for, check_proxied
from .processors import processors
from .program import Program
from .recycling import WorkerLimits
from .watching import check_watchfiles

#: The endpoints that may turn out to be a Unix socket.
_MAYBE_UNIX: Final = {Scheme.UNIX, Scheme.UNIXGRAM, Scheme.FD, Scheme.SYSTEMD}

#: By the value of --text: the service of conversations, or its class, and the service for datagrams.
SERVICES: Final[dict[str, tuple[Service | type[StreamTransform], DatagramService]]] = {
    "ascii": (ascii_capitals, ascii_capitals),
    "utf-8": (Utf8Capitals, utf8_capitals),
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The values of the options, by their names; `caas-trio --help` says what each means.

    Attributes:
        given: the names of the options that are set explicitly.
        limits: all options that are limits.
    """

    given: frozenset[str]
    limits: Limits
    endpoints: tuple[Endpoint, ...]
    app: str | None
    app_dir: Path
    reload: bool
    first: str
    prompt: str
    oversize: str
    text: str
    once: bool
    terminator: str
    allow_from: tuple[Network, ...]
    proxy_protocol: bool
    proxy_on: tuple[Endpoint, ...]
    proxy_from: tuple[Network, ...]
    unix_mode: int
    allow_uid: tuple[int, ...]
    takeover: bool
    driver: DriverName
    tls_cert: Path | None
    tls_key: Path | None
    tls_client_ca: Path | None
    log_format: str
    log_level: str
    log_refusals: Path | None
    tcp_keepalive: float
    tcp_user_timeout: float
    backlog: int | None
    metrics: Endpoint | None
    workers: int
    worker_timeout: float
    worker_lifetime: float | None
    worker_max_rss: int | None

    def __post_init__(self) -> None:
        check_proxied(self.endpoints, self.proxy_on, self.proxy_from, everywhere=self.proxy_protocol)
        if self.allow_uid and not any(endpoint.scheme in _MAYBE_UNIX for endpoint in self.endpoints):
            raise click.UsageError("--allow-uid limits who may connect to a Unix socket, and there is none")

    @property
    def policy(self) -> Oversize:
        """What happens to a line that is too long."""
        if self.app is not None and "oversize" not in self.given:
            return Oversize.REJECT  # an app may not be able to serve a piece of a line
        return Oversize(self.oversize)

    @property
    def processes(self) -> int:
        """How many processes serve."""
        return self.workers or processors()

    @property
    def served(self) -> App | AppName:
        """The app: capitals, or the one that is named.

        Raises:
            click.UsageError: an option does not apply to it.
            CaasError: the name is invalid.
        """
        if self.app is None:
            service, datagram_service = SERVICES[self.text]
            new_session = self._lines.sessions_of(service, self.limits.max_line)
            return App(session=new_session, datagrams=datagram_service)
        if "text" in self.given:
            raise click.UsageError("--text is for capitals, and --app serves something else")
        # The default may have been removed since the start, and the app be elsewhere on the path.
        return AppName.parse(self.app, self.app_dir, folder_needed="app_dir" in self.given)

    def program(self, config: Mapping[str, Any] | None) -> Program:
        """Return the program that these settings describe.

        Args:
            config: the settings of the file; None without one.

        Raises:
            click.UsageError: options contradict each other.
            CaasError: something that they name does not exist, or is wrong.
        """
        served = self.served
        if self.reload:
            if not isinstance(served, AppName):
                raise click.UsageError("--reload is for an app, and needs --app")
            check_watchfiles()
        log_level = "info" if self.reload and "log_level" not in self.given else self.log_level
        program = Program(
            app=served,
            lines=self._lines,
            given=self.given,
            endpoints=self.endpoints,
            limits=self.limits,
            trust=self._trust(),
            takeover=self.takeover,
            driver=self.driver,
            sockets=self._sockets,
            log=open_log(LogFormat(self.log_format), log_level),
            log_ends=log_level == "info",
            refusals=self._refusals,
            metrics=self.metrics,
            workers=self.processes,
            worker_limits=WorkerLimits(
                timeout=self.worker_timeout or math.inf,
                lifetime=self.worker_lifetime or math.inf,
                max_rss=self.worker_max_rss or math.inf,
            ),
            watched=served.folder if self.reload and isinstance(served, AppName) else None,
            config=config,
        )
        for option in ("worker_timeout", "worker_lifetime", "worker_max_rss"):
            if option in self.given and not program.supervised:
                raise click.UsageError(f"--{option.replace('_', '-')} needs --workers or --config")
        return program

    @property
    def _lines(self) -> LineOptions:
        terminator = TERMINATORS[self.terminator]
        return LineOptions(
            first=First(self.first),
            prompt=self.prompt.encode(errors="surrogateescape") + terminator.value,
            oversize=self.policy,
            once=self.once,
            terminator=terminator,
        )

    @property
    def _sockets(self) -> SocketOptions:
        return SocketOptions(
            keepalive=self.tcp_keepalive, user_timeout=self.tcp_user_timeout, backlog=self.backlog
        )

    @property
    def _refusals(self) -> RefusalStream | None:
        if self.log_refusals is None:
            return None
        path = None if self.log_refusals == STANDARD_ERROR else self.log_refusals
        return RefusalStream(path, LogFormat(self.log_format))

    def _trust(self) -> Trust:
        return Trust(
            allow_from=self.allow_from,
            allow_uids=frozenset(self.allow_uid),
            proxy_protocol=self.proxy_protocol,
            proxy_on=frozenset(self.proxy_on),
            proxy_from=self.proxy_from or Trust.proxy_from,
            unix_mode=self.unix_mode,
            tls=certificates_for(
                self.endpoints,
                self.tls_cert,
                self.tls_key,
                self.tls_client_ca,
                has_app=self.app is not None,
            ),
        )
