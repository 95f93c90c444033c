"""What a server can serve: `App`, and the objects that `as_app` accepts for one."""

from __future__ import annotations

import inspect
import socketserver
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias

from caas_trio.core.errors import UsageError
from caas_trio.core.limits import Limits
from caas_trio.core.session import Service, Session
from caas_trio.core.telemetry import Telemetry
from caas_trio.drivers.connection import Connection
from caas_trio.drivers.requesthandler import DatagramRequestHandler, StreamRequestHandler

from .datagram import DatagramService
from .kinds import Handler, NewSession

#: Yields an app, or an object that `as_app` accepts for one; see `serve_app`.
Lifespan: TypeAlias = Callable[[], AbstractAsyncContextManager[object]]

#: How the annotation of a parameter may name a connection, if it is a text.
_CONNECTION_NAMES: Final = frozenset({"Connection", "caas_trio.Connection"})


@dataclass(frozen=True, kw_only=True)
class App:
    """An app: serves connections in one way, datagrams, or both.

    Attributes:
        handler: an async function of a `Connection`, or a `StreamRequestHandler` class.
        service: a function that returns the reply to a line; the line has its LF, if it had one. It
            answers datagrams too, unless `datagrams` does.
        session: called for each connection; returns its `Session`.
        datagrams: a function that returns the reply to a datagram, or None; or a
            `DatagramRequestHandler` class.
        limits: the limits to keep; None for the defaults. The command line overrides them one by one.
        telemetry: observes the server, beside the log.

    Raises:
        UsageError: nothing is to be served, connections are to be served in two ways, or something is
            of another kind.
    """

    handler: Handler | type[StreamRequestHandler] | None = None
    service: Service | None = None
    session: NewSession | None = None
    datagrams: DatagramService | type[DatagramRequestHandler] | None = None
    limits: Limits | None = None
    telemetry: Telemetry | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be served."""
        ways = [name for name in ("handler", "service", "session") if getattr(self, name) is not None]
        if len(ways) > 1:
            raise UsageError(f"an App serves connections in one way, not by {' and '.join(ways)}")
        if not ways and self.datagrams is None:
            raise UsageError("an App needs a handler, a service, a session or datagrams")
        for name in (*ways, "datagrams"):
            _check(name, getattr(self, name))

    @property
    def takes_connections(self) -> bool:
        """Whether it serves connections."""
        return bool(self.handler or self.service or self.session)

    @property
    def takes_datagrams(self) -> bool:
        """Whether it answers datagrams."""
        return self.datagram_service is not None

    @property
    def datagram_service(self) -> DatagramService | type[DatagramRequestHandler] | None:
        """The service for datagrams; None if there is none."""
        return self.service if self.datagrams is None else self.datagrams


def as_app(thing: object) -> App | Lifespan:
    """Return the app that an object is, or the context manager function that yields one.

    Nothing is called to find out. An async function is a handler, another function a service. Classes
    are what they are derived from. A function that returns sessions looks like a service: say
    `App(session=...)`.

    Raises:
        UsageError: it is neither; the message says what to write instead.
    """
    if isinstance(thing, App):
        return thing
    if isinstance(thing, type):
        return _of_class(thing)
    if not callable(thing):
        raise UsageError(f"{name_of(thing)} cannot be served: it is {_kind(thing)}")
    if _is_context_manager(thing):
        if _arity_problem(thing, 0):
            raise UsageError(f"{name_of(thing)} is entered without arguments, so it must have no parameters")
        return thing
    made_by = thing.func if isinstance(thing, partial) else thing
    if isinstance(made_by, type) and issubclass(made_by, Session):
        return App(session=thing)
    if inspect.iscoroutinefunction(_function(thing)):
        return App(handler=thing)
    return App(service=thing)


def _of_class(kind: type[Any]) -> App:
    if issubclass(kind, StreamRequestHandler):
        return App(handler=kind)
    if issubclass(kind, DatagramRequestHandler):
        return App(datagrams=kind)
    if issubclass(kind, Session):
        return App(session=kind)
    if issubclass(kind, socketserver.BaseServer):
        raise UsageError(f"{kind.__name__} is a server of socketserver; name the handler that it serves")
    if issubclass(kind, socketserver.BaseRequestHandler):
        ours = "Datagram" if issubclass(kind, socketserver.DatagramRequestHandler) else "Stream"
        raise UsageError(
            f"{kind.__name__} is a handler of socketserver; "
            f"derive it from caas_trio.{ours}RequestHandler and make its methods async"
        )
    raise UsageError(
        f"{kind.__name__} is a class of another kind than "
        "StreamRequestHandler, DatagramRequestHandler and Session"
    )


def _check(name: str, thing: Any) -> None:
    """Refuse a value that does not suit the attribute `name` of an `App`."""
    if isinstance(thing, type):
        _check_class(name, thing)
    elif callable(thing):
        _check_function(name, thing)
    elif thing is not None:
        raise UsageError(f"{name_of(thing)} cannot be {_ROLES[name]}: it is {_kind(thing)}")


def _check_function(name: str, thing: Callable[..., object]) -> None:
    function = _function(thing)
    if inspect.isasyncgenfunction(function):
        raise UsageError(
            f"{name_of(thing)} is an async generator; a handler sends with `await connection.send(...)`, "
            "and a context manager is decorated with contextlib.asynccontextmanager"
        )
    if inspect.isgeneratorfunction(function):
        raise UsageError(f"{name_of(thing)} is a generator; a service returns its reply")
    waits = inspect.iscoroutinefunction(function)
    if name == "handler" and not waits and _is_plain_function(function):
        raise UsageError(f"{name_of(thing)} is not async; a handler is an async function of a Connection")
    if name != "handler" and waits:
        raise UsageError(f"{name_of(thing)} is async; {_ROLES[name]} is a plain function")
    if name == "service" and _wants_connection(thing):
        raise UsageError(f"{name_of(thing)} takes a Connection and is not async; write `async def`")
    problem = _arity_problem(thing, 0 if name == "session" else 1)
    if problem:
        raise UsageError(f"{name_of(thing)} {problem}; {_ROLES[name]} is called with {_CALLED_WITH[name]}")


#: By attribute of an `App`: what it is, and how it is called.
_ROLES: Final = {
    "handler": "a handler",
    "service": "a service",
    "session": "a session",
    "datagrams": "a service for datagrams",
}
_CALLED_WITH: Final = {
    "handler": "one argument, the Connection",
    "service": "one argument, the line; what returns a Session is served as App(session=...)",
    "session": "no arguments",
    "datagrams": "one argument, the datagram",
}


def _check_class(name: str, kind: type[Any]) -> None:
    wanted: dict[str, type[Any]] = {
        "handler": StreamRequestHandler,
        "session": Session,
        "datagrams": DatagramRequestHandler,
    }
    if name not in wanted or not issubclass(kind, wanted[name]):
        _of_class(kind)
        raise UsageError(f"{kind.__name__} cannot be {_ROLES[name]}: it is a class of another kind")
    if inspect.isabstract(kind):
        missing = ", ".join(sorted(kind.__abstractmethods__))
        raise UsageError(f"{kind.__name__} does not define {missing}")
    problem = _arity_problem(kind, 0) if name == "session" else ""
    if problem:
        raise UsageError(
            f"{kind.__name__} {problem}; a session is made without arguments, as by functools.partial"
        )


def _arity_problem(function: Callable[..., object], count: int) -> str:
    """Return what is wrong with the parameters of what is called with `count` arguments; "" for nothing."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # written in C, and does not say
        return ""
    try:
        signature.bind(*[None] * count)
    except TypeError:
        needed = [each.name for each in signature.parameters.values() if _is_needed(each)]
        return f"takes {', '.join(needed)}" if needed else "takes no arguments"
    return ""


def _is_needed(parameter: inspect.Parameter) -> bool:
    return parameter.default is parameter.empty and parameter.kind not in (
        parameter.VAR_POSITIONAL,
        parameter.VAR_KEYWORD,
    )


def _is_context_manager(function: Callable[..., object]) -> bool:
    """Return whether an object is a function that `contextlib.asynccontextmanager` has made."""
    bare = _function(function)
    wrapped = getattr(bare, "__wrapped__", None)
    return inspect.isasyncgenfunction(wrapped) and not inspect.isasyncgenfunction(bare)


def _function(thing: Any) -> Any:
    """Return the function that runs when an object is called."""
    while isinstance(thing, partial):
        thing = thing.func
    return thing if inspect.isroutine(thing) else type(thing).__call__


def _is_plain_function(function: object) -> bool:
    """Return whether a call is known to return nothing to await."""
    return (
        inspect.isfunction(function)
        and function.__name__ != "<lambda>"
        and not hasattr(function, "__wrapped__")
    )


def _wants_connection(function: Callable[..., object]) -> bool:
    annotations = getattr(function, "__annotations__", {})
    return any(
        each is Connection or each in _CONNECTION_NAMES
        for name, each in annotations.items()
        if name != "return"
    )


def name_of(thing: Any) -> str:
    """Return what a function or a class is called where it is defined."""
    while isinstance(thing, partial):
        thing = thing.func
    return str(getattr(thing, "__qualname__", type(thing).__qualname__))


def _kind(thing: object) -> str:
    match thing:
        case None:
            return "None, not a function or a class"
        case Session():
            return "one session; name its class, for each connection has one of its own"
        case Awaitable():
            return "the call of an async function; name the function"
    return f"an instance of {type(thing).__name__}, not a function or a class"
