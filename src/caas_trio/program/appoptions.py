"""The options of the command line, applied to an app: `apply`.

No I/O, no clock, no trio.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Final

from caas_trio.core.endpoint import DATAGRAMS, Endpoint, Scheme
from caas_trio.core.errors import UsageError
from caas_trio.core.limits import Limits
from caas_trio.core.session import DEFAULT_PROMPT, First, LineSession, Oversize, Service, StreamTransform
from caas_trio.core.terminator import Terminator
from caas_trio.server.app import App
from caas_trio.server.kinds import NewSession

#: The ways to serve, as a message calls them.
_WAYS: Final = {
    "handler": "a handler",
    "service": "a service of lines",
    "session": "sessions",
    "datagrams": "datagrams",
}

_CONNECTIONS: Final = ("handler", "service", "session")

#: The ways to serve that an option is for; options that are not here are for all.
_FOR: Final[dict[str, Sequence[str]]] = {
    **dict.fromkeys(("first", "prompt", "oversize", "once", "terminator"), ("service",)),
    "max_line": ("service", "handler"),
    "prompt_delay": ("service", "session"),
    **dict.fromkeys(("idle_timeout", "line_timeout", "write_timeout", "opening_timeout"), _CONNECTIONS),
    **dict.fromkeys(("max_connections", "max_per_host", "max_rate_per_host", "at_capacity"), _CONNECTIONS),
    **dict.fromkeys(
        ("takeover", "tcp_keepalive", "tcp_user_timeout", "backlog", "log_refusals"), _CONNECTIONS
    ),
}


@dataclass(frozen=True, kw_only=True)
class LineOptions:
    """How a service of lines converses; see `LineSession`."""

    first: First = First.CLIENT
    prompt: bytes = DEFAULT_PROMPT
    oversize: Oversize = Oversize.REJECT
    once: bool = False
    terminator: Terminator = Terminator.LF

    def sessions_of(self, service: Service | type[StreamTransform], max_line: int) -> NewSession:
        """Return what creates a session of a service; given a class, each has an instance of its own."""
        new_session = partial(
            LineSession,
            first=self.first,
            prompt=self.prompt,
            max_line=max_line,
            oversize=self.oversize,
            once=self.once,
            terminator=self.terminator,
        )
        if isinstance(service, type):
            return lambda: new_session(service())
        return partial(new_session, service)


def apply(
    lines: LineOptions, limits: Limits, given: Collection[str], app: App, endpoints: Collection[Endpoint]
) -> App:
    """Return an app with the options of a command line applied: it has no service of lines, and has limits.

    Args:
        lines: how a service of lines converses.
        limits: as the command line has them, defaults included.
        given: the names of the options that are set explicitly.
        app: what is served.
        endpoints: where.

    Raises:
        UsageError: an option was set that has no effect on what is served.
    """
    ways = _ways(app, endpoints)
    for option, wanted in _FOR.items():
        if option in given and ways and not ways & set(wanted):
            ways_served = " and ".join(_WAYS[way] for way in _WAYS if way in ways)
            meant = " or ".join(_WAYS[way] for way in wanted)
            raise UsageError(f"--{option.replace('_', '-')} is for {meant}, and the app has {ways_served}")
    if (
        "tls_cert" in given
        and app.handler is None
        and not any(each.scheme is Scheme.TLS for each in endpoints)
    ):
        raise UsageError("--tls-cert needs a tls endpoint, or an app with a handler, which may turn to TLS")
    limits = _merged(limits, given, app.limits)
    new_session: NewSession | None = app.session
    if app.service is not None:
        new_session = lines.sessions_of(app.service, limits.max_line)
    return replace(app, service=None, session=new_session, datagrams=app.datagram_service, limits=limits)


def _ways(app: App, endpoints: Iterable[Endpoint]) -> set[str]:
    """Return the ways in which an app serves these endpoints; those that are inherited may be of any kind."""
    ways = {way for way in _CONNECTIONS if getattr(app, way) is not None}
    if all(endpoint.scheme in DATAGRAMS for endpoint in endpoints):
        ways.clear()
    return ways if app.datagram_service is None else {*ways, "datagrams"}


def _merged(limits: Limits, given: Collection[str], defaults: Limits | None) -> Limits:
    if defaults is None:
        return limits
    names = [field.name for field in fields(Limits) if field.name in given]
    return replace(defaults, **{name: getattr(limits, name) for name in names})
