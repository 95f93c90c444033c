"""What may be served: `App`, what is taken for one, and the one line that says why something is not."""

from __future__ import annotations

import socketserver
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager
from functools import partial, wraps
from types import SimpleNamespace

import pytest

import caas_trio
from caas_trio import (
    App,
    Connection,
    DatagramRequestHandler,
    LineSession,
    Session,
    StreamRequestHandler,
    StreamTransform,
    UsageError,
)
from caas_trio.server.app import as_app

from .support.sessions import Echo


async def handler(connection: Connection) -> None:
    """Do nothing."""


async def pooled(pool: object, connection: Connection) -> None:
    """Do nothing."""


class Waiting:
    """A handler that is an object."""

    async def __call__(self, connection: Connection) -> None:
        """Do nothing."""


def service(line: bytes) -> bytes:
    return line


def unsigned(line: bytes) -> bytes:
    return line


unsigned.__signature__ = "of a function in C"  # type: ignore[attr-defined]  # which has none


class Half(Session):
    """A session that lacks a method, among others."""

    def open(self) -> bytes:
        return b""


class Limited(Echo):
    """A session that is made with something."""

    def __init__(self, limit: int) -> None:
        self.limit = limit


class Lines(StreamRequestHandler):
    """A handler in the shape of `socketserver`."""


class Packets(DatagramRequestHandler):
    """Likewise, for datagrams."""


class Old(socketserver.StreamRequestHandler):
    """A handler of `socketserver`."""


class OldPackets(socketserver.DatagramRequestHandler):
    """Likewise, for datagrams."""


@asynccontextmanager
async def context() -> AsyncIterator[object]:
    yield handler


@asynccontextmanager
async def context_of(pool: object) -> AsyncIterator[object]:
    yield handler


async def generator(connection: Connection) -> AsyncIterator[bytes]:
    yield b""


@wraps(generator)
async def decorated_generator(connection: Connection) -> AsyncIterator[bytes]:
    async for reply in generator(connection):
        yield reply


A_GENERATOR = (
    "generator is an async generator; a handler sends with `await connection.send(...)`, "
    "and a context manager is decorated with contextlib.asynccontextmanager"
)


def replies(line: bytes) -> Iterator[bytes]:
    yield line


async def both(first: object, second: object, third: object = None, *rest: object, **more: object) -> None:
    """Take too much."""


async def none() -> None:
    """Take too little."""


def late(connection: Connection) -> None:
    """Forget to be async."""


def late_as_text(connection: caas_trio.Connection) -> None:
    """Likewise."""


def late_as_class(connection: object) -> None:
    """Likewise, where annotations are evaluated."""


late_as_class.__annotations__["connection"] = Connection


def lookup(line: bytes) -> Connection:
    raise KeyError(line)


def sessions() -> Session:
    return Echo()


@wraps(handler)
def decorated(connection: Connection) -> Awaitable[None]:
    return handler(connection)


whole = App(service=service, datagrams=Packets)


@pytest.mark.parametrize("thing", [handler, partial(pooled, None), Waiting(), Lines])
def test_a_handler(thing: object) -> None:
    app = as_app(thing)
    assert isinstance(app, App)
    assert app == App(handler=thing)  # type: ignore[arg-type]
    assert (app.takes_connections, app.takes_datagrams) == (True, False)


@pytest.mark.parametrize(
    "thing", [service, bytes.upper, unsigned, lookup, partial(service), StreamTransform(service)]
)
def test_a_service_answers_datagrams_too(thing: object) -> None:
    app = as_app(thing)
    assert isinstance(app, App)
    assert app.service is app.datagram_service is thing
    assert (app.takes_connections, app.takes_datagrams) == (True, True)


@pytest.mark.parametrize("thing", [Echo, partial(Limited, 3), partial(LineSession, service)])
def test_a_session_class(thing: object) -> None:
    assert as_app(thing) == App(session=thing)  # type: ignore[arg-type]


def test_a_handler_of_datagrams() -> None:
    app = as_app(Packets)
    assert app == App(datagrams=Packets)
    assert (app.takes_connections, app.takes_datagrams) == (False, True)


def test_an_app_is_kept_unchanged() -> None:
    assert as_app(whole) is whole
    assert whole.datagram_service is Packets


@pytest.mark.parametrize("thing", [context, partial(context_of, None)])
def test_a_context_manager_is_found_without_a_call(thing: object) -> None:
    assert as_app(thing) is thing


@pytest.mark.parametrize("thing", [decorated, lambda connection: pooled(None, connection), handler])
def test_an_app_with_keywords_takes_any_function(thing: object) -> None:
    assert App(handler=thing).handler is thing  # type: ignore[arg-type]
    assert App(session=sessions).session is sessions


@pytest.mark.parametrize(
    ("thing", "told"),
    [
        (
            Old,
            (
                "Old is a handler of socketserver; "
                "derive it from caas_trio.StreamRequestHandler and make its methods async"
            ),
        ),
        (
            OldPackets,
            (
                "OldPackets is a handler of socketserver; "
                "derive it from caas_trio.DatagramRequestHandler and make its methods async"
            ),
        ),
        (socketserver.TCPServer, "TCPServer is a server of socketserver; name the handler that it serves"),
        (
            dict,
            "dict is a class of another kind than StreamRequestHandler, DatagramRequestHandler and Session",
        ),
        (Half, "Half does not define closing, end_of_input, receive"),
        (Limited, "Limited takes limit; a session is made without arguments, as by functools.partial"),
        (
            Echo(),
            (
                "Echo cannot be served: it is one session; "
                "name its class, for each connection has one of its own"
            ),
        ),
        (None, "NoneType cannot be served: it is None, not a function or a class"),
        (
            SimpleNamespace(),
            (
                "SimpleNamespace cannot be served: "
                "it is an instance of SimpleNamespace, not a function or a class"
            ),
        ),
        (generator, A_GENERATOR),
        (decorated_generator, A_GENERATOR),
        (replies, "replies is a generator; a service returns its reply"),
        (both, "both takes first, second; a handler is called with one argument, the Connection"),
        (none, "none takes no arguments; a handler is called with one argument, the Connection"),
        (late, "late takes a Connection and is not async; write `async def`"),
        (late_as_text, "late_as_text takes a Connection and is not async; write `async def`"),
        (late_as_class, "late_as_class takes a Connection and is not async; write `async def`"),
        (
            sessions,
            (
                "sessions takes no arguments; a service is called with one argument, the line; "
                "what returns a Session is served as App(session=...)"
            ),
        ),
        (context_of, "context_of is entered without arguments, so it must have no parameters"),
    ],
)
def test_an_unservable_object_is_refused_in_one_line(thing: object, told: str) -> None:
    with pytest.raises(UsageError) as raised:
        as_app(thing)
    assert str(raised.value) == told


def test_the_call_of_an_async_function_is_no_handler() -> None:
    call = none()
    with pytest.raises(UsageError) as raised:
        as_app(call)
    assert (
        str(raised.value) == "none cannot be served: it is the call of an async function; name the function"
    )
    call.close()


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ({}, "an App needs a handler, a service, a session or datagrams"),
        (
            {"handler": handler, "service": service},
            "an App serves connections in one way, not by handler and service",
        ),
        (
            {"service": service, "session": Echo},
            "an App serves connections in one way, not by service and session",
        ),
        ({"handler": service}, "service is not async; a handler is an async function of a Connection"),
        (
            {"handler": partial(partial(service))},
            "service is not async; a handler is an async function of a Connection",
        ),
        ({"service": handler}, "handler is async; a service is a plain function"),
        ({"session": Lines}, "Lines cannot be a session: it is a class of another kind"),
        (
            {"datagrams": dict},
            "dict is a class of another kind than StreamRequestHandler, DatagramRequestHandler and Session",
        ),
        ({"service": Echo}, "Echo cannot be a service: it is a class of another kind"),
        ({"session": 7}, "int cannot be a session: it is an instance of int, not a function or a class"),
        ({"session": service}, "service takes line; a session is called with no arguments"),
        ({"datagrams": handler}, "handler is async; a service for datagrams is a plain function"),
        ({"datagrams": Echo}, "Echo cannot be a service for datagrams: it is a class of another kind"),
        (
            {"datagrams": sessions},
            "sessions takes no arguments; a service for datagrams is called with one argument, the datagram",
        ),
    ],
)
def test_app_refuses_unservable_parts(parts: dict[str, object], told: str) -> None:
    with pytest.raises(UsageError) as raised:
        App(**parts)  # type: ignore[arg-type]
    assert str(raised.value) == told
