"""An app, served: each kind of it, its context, and whose fault a failure is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing, suppress
from functools import partial
from socket import SOCK_DGRAM, SOCK_STREAM

import pytest
import trio

from caas_trio import (
    App,
    AppError,
    Connection,
    DatagramRequestHandler,
    Endpoint,
    Limits,
    LineSession,
    ListenError,
    Scheme,
    UsageError,
)
from caas_trio.core.datagramrules import Drop
from caas_trio.server.hosting import open_app, serve_app
from caas_trio.server.listeners import listen

from .support.recorder import DatagramRecorder
from .support.streams import connect, talk


async def shout(connection: Connection) -> None:
    async for line in connection:
        await connection.send(line.upper())


def louder(line: bytes) -> bytes:
    return line.upper()


async def ask(endpoint: Endpoint, data: bytes) -> bytes:
    """Send data, and the end of it; return all that comes."""
    return await talk(await connect(endpoint), data)


@pytest.mark.parametrize(
    "app",
    [App(handler=shout), App(service=louder), App(session=partial(LineSession, louder))],
    ids=["handler", "service", "session"],
)
async def test_every_kind_of_app_is_served(app: App, nursery: trio.Nursery) -> None:
    serve = partial(serve_app, app, [Endpoint.parse("tcp://127.0.0.1:0")], limits=Limits())
    [bound] = await nursery.start(serve)
    assert await ask(bound, b"a\nb") == b"A\nB"
    nursery.cancel_scope.cancel()


async def test_a_service_answers_lines_and_datagrams(nursery: trio.Nursery) -> None:
    endpoints = [Endpoint.parse(f"{scheme}://127.0.0.1:0") for scheme in ("tcp", "udp")]
    stop = trio.Event()
    limits = Limits(max_line=3)
    serve = partial(serve_app, App(service=louder), endpoints, limits=limits, stop=stop)
    bound = await nursery.start(serve)
    assert await ask(bound[0], b"abc\nabcd\n") == b"ABC\nerror: line longer than 3 bytes\n"
    with trio.socket.socket(type=trio.socket.SOCK_DGRAM) as client:
        await client.connect((bound[1].host, bound[1].port))
        await client.send(b"hello")
        assert await client.recv(10) == b"HELLO"
    stop.set()


class Silent(DatagramRequestHandler):
    """Keeps its place for ever."""

    async def handle(self) -> None:
        await trio.sleep_forever()


async def test_its_options_hold_for_connections_and_for_datagrams(nursery: trio.Nursery) -> None:
    endpoints = [Endpoint.parse(f"{scheme}://127.0.0.1:0") for scheme in ("tcp", "udp")]
    app, limits = App(handler=shout, datagrams=Silent), Limits(max_connections=1, max_datagrams=1)
    recorder = DatagramRecorder()
    serve = partial(serve_app, app, endpoints, limits=limits, telemetry=recorder)
    lines, datagrams = await nursery.start(serve)
    async with await connect(lines):
        assert await ask(lines, b"") == b"error: too many connections\n"
    with trio.socket.socket(type=trio.socket.SOCK_DGRAM) as client:
        await client.connect((datagrams.host, datagrams.port))
        for _ in range(2):
            await client.send(b"hello")
        while not recorder.dropped:
            await trio.lowlevel.checkpoint()
    assert recorder.reasons == ["too many connections"]
    assert recorder.dropped == {Drop.BUSY: 1}
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("app", "endpoint", "told"),
    [
        (App(handler=shout), "udp://127.0.0.1:0", "is for datagrams, and the app serves connections only"),
        (
            App(datagrams=louder),
            "tcp://127.0.0.1:0",
            "is for connections, and the app answers datagrams only",
        ),
    ],
)
async def test_an_endpoint_the_app_cannot_serve_is_refused(app: App, endpoint: str, told: str) -> None:
    asked = Endpoint.parse(endpoint)
    with pytest.RaisesGroup(pytest.RaisesExc(UsageError, match=f"^{endpoint} {told}$")):
        await serve_app(app, [asked], limits=Limits())
    listener = await listen(asked, SOCK_DGRAM if asked.scheme is Scheme.UDP else SOCK_STREAM)
    expected = pytest.RaisesExc(UsageError, match=f"^{listener.endpoint} {told}$")
    with closing(listener), pytest.RaisesGroup(expected):
        await serve_app(app, [listener], limits=Limits())


@asynccontextmanager
async def working(events: list[str]) -> AsyncIterator[object]:
    events.append("entered")
    yield shout
    events.append("left")


async def test_a_context_is_entered_and_left() -> None:
    events: list[str] = []
    async with open_app(partial(working, events)) as app:
        assert app == App(handler=shout)
        assert events == ["entered"]
    assert events == ["entered", "left"]


async def test_an_app_without_a_context_is_served_as_it_is() -> None:
    app = App(handler=shout)
    async with open_app(app) as opened:
        assert opened is app


async def fail(*, after: trio.Event) -> None:
    await after.wait()
    raise ValueError("the pool\nis gone")


@asynccontextmanager
async def with_a_task(failing: trio.Event) -> AsyncIterator[object]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(fail, after=failing))
        yield shout


async def test_a_failed_background_task_ends_the_server() -> None:
    failing, interrupted = trio.Event(), trio.Event()

    async def serve() -> None:
        async with open_app(partial(with_a_task, failing)):
            failing.set()
            try:
                await trio.sleep_forever()
            finally:
                interrupted.set()

    with pytest.raises(AppError, match="with_a_task: its context has failed: ValueError: the pool") as raised:
        await serve()
    assert interrupted.is_set()
    assert isinstance(raised.value.__cause__, ExceptionGroup)


def unreachable() -> None:
    raise OSError("no database")


@asynccontextmanager
async def fails_to_start() -> AsyncIterator[object]:
    unreachable()
    yield shout


@asynccontextmanager
async def fails_to_end() -> AsyncIterator[object]:
    yield shout
    unreachable()


@pytest.mark.parametrize("context", [fails_to_start, fails_to_end])
async def test_a_failed_context_is_an_app_error(
    context: Callable[[], AbstractAsyncContextManager[object]],
) -> None:
    told = f"{context.__name__}: its context has failed: OSError: no database"
    with pytest.raises(AppError) as raised:
        async with open_app(context):
            pass
    assert str(raised.value) == told


@asynccontextmanager
async def swallows() -> AsyncIterator[object]:
    with suppress(Exception):
        yield shout


@asynccontextmanager
async def in_a_nursery() -> AsyncIterator[object]:
    async with trio.open_nursery():
        yield shout


@asynccontextmanager
async def in_place_of_it() -> AsyncIterator[object]:
    try:
        yield shout
    except ListenError:
        raise ValueError("in its place") from None


@pytest.mark.parametrize("context", [partial(working, []), swallows, in_a_nursery])
async def test_an_error_inside_the_context_is_raised_unchanged(
    context: Callable[[], AbstractAsyncContextManager[object]],
) -> None:
    with pytest.raises(ListenError, match="taken"):
        async with open_app(context):
            raise ListenError("tcp://127.0.0.1:1", "taken")


async def test_an_error_raised_by_the_context_is_an_app_error() -> None:
    with pytest.raises(AppError, match="ValueError: in its place"):
        async with open_app(in_place_of_it):
            raise ListenError("tcp://127.0.0.1:1", "taken")


def yielding(thing: object) -> Callable[[], AbstractAsyncContextManager[object]]:
    @asynccontextmanager
    async def context() -> AsyncIterator[object]:
        yield thing

    return context


@pytest.mark.parametrize(
    ("thing", "told"),
    [
        (None, "NoneType cannot be served: it is None"),
        (fails_to_start, "^yielding.<locals>.context must yield what is served, not another context manager"),
    ],
)
async def test_a_context_must_yield_an_app(thing: object, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        await _entered(open_app(yielding(thing)))


async def _entered(context: AbstractAsyncContextManager[App]) -> Awaitable[None] | None:
    async with context:
        return None
