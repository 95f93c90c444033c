"""A connection that has ended is freed at once: nothing of it waits for the garbage collector.

What is in a cycle lives, with its buffers, until a collection, and all connections pay for that.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from ipaddress import ip_network
from typing import TypeAlias

import pytest
import trio

from caas_trio import Connection, Endpoint, Limits, LineSession, LineTooLong, Trust, connect

from .certificates import HOST, client_context, server_context
from .support import streams
from .support.drivers import serve, serve_sessions
from .support.servers import ANYWHERE
from .support.streams import ask, receive_all, reset

#: What a client does up to its end.
Visit: TypeAlias = Callable[[Endpoint], Awaitable[None]]

_VISITS = 5
NEW_SESSION = partial(LineSession, bytes.upper, max_line=100)
LIMITS = Limits(max_line=100, idle_timeout=0.01, linger_timeout=0.01)


async def handler(connection: Connection) -> None:
    """Answer lines; some of them ask for another end."""
    try:
        async for line in connection:
            match line:
                case b"return\n":
                    return
                case b"raise\n":
                    raise RuntimeError
                case b"close\n":
                    await connection.aclose()
                case b"tls\n":
                    await connection.send(b"go ahead\n")
                    await connection.start_tls(server_context())
                case b"detach\n":
                    stream, _ = connection.detach()
                    await stream.aclose()
                    return
                case b"tasks\n":
                    await use_tasks(connection)
                case _:
                    await connection.send(line.upper())
    except LineTooLong:
        await connection.send(b"too long\n")


async def use_tasks(connection: Connection) -> None:
    """Read in one task and send in another."""

    async def read() -> None:
        assert await connection.receive_line() == b"last\n"
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        nursery.start_soon(connection.send, b"1\n")
        nursery.start_soon(connection.wait_draining)
        connection.post(b"2\n")


async def end(endpoint: Endpoint) -> None:
    """Send a line and end the output."""
    assert await streams.talk(await streams.connect(endpoint), b"a\n") == b"A\n"


async def wait_and_end(endpoint: Endpoint) -> None:
    """End the output when all replies are there."""
    async with await streams.connect(endpoint) as client:
        for _ in range(2):
            await ask(client, b"a\n", b"A\n")
            await trio.testing.wait_all_tasks_blocked()
        await client.send_eof()
        assert await receive_all(client) == b""


async def reset_in_wait(endpoint: Endpoint) -> None:
    """Reset the connection while the server waits."""
    client = await streams.connect(endpoint)
    await ask(client, b"a\n", b"A\n")
    await trio.testing.wait_all_tasks_blocked()
    reset(client)


async def reset_at_once(endpoint: Endpoint) -> None:
    """Reset the connection before the server has read."""
    reset(await streams.connect(endpoint))


async def keep_silent(endpoint: Endpoint) -> None:
    """Stay silent until the server closes the connection."""
    async with await streams.connect(endpoint) as client:
        await ask(client, b"a\n", b"A\n")
        assert await receive_all(client) == b""


async def say_too_much(endpoint: Endpoint) -> None:
    """Send a line that is too long."""
    async with await streams.connect(endpoint) as client:
        await client.send_all(b"a" * 200)
        assert await receive_all(client)


async def upgrade(endpoint: Endpoint) -> None:
    """Go on over TLS, on both sides."""
    async with connect(endpoint) as client:
        await client.send(b"tls\n")
        assert await client.receive_line() == b"go ahead\n"
        await client.start_tls(client_context(), server_hostname=HOST)
        await client.send(b"a\n")
        assert await client.receive_line() == b"A\n"


async def use_tls(endpoint: Endpoint) -> None:
    """Send a line over TLS."""
    async with connect(endpoint, tls=client_context(), server_hostname=HOST) as client:
        await client.send(b"a\n")
        assert await client.receive_line() == b"A\n"


def say(*pieces: bytes) -> Visit:
    """Return what sends these, ends the output, and receives whatever comes."""

    async def visit(endpoint: Endpoint) -> None:
        async with await streams.connect(endpoint) as client:
            with suppress(trio.BrokenResourceError):
                for piece in pieces:
                    await client.send_all(piece)
                await client.send_eof()
                await receive_all(client)

    return visit


async def find_garbage(start: Callable[..., Awaitable[None]], at: str, visit: Visit) -> dict[str, int]:
    """Return what visits to a server leave behind, each time, for the garbage collector."""
    await _have_visited(start, at, visit)  # what is made once is made by now
    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        await _have_visited(start, at, visit)
        gc.collect()
        kinds = Counter(type(each).__qualname__ for each in gc.garbage)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.collect()  # what was kept to be looked at
    return {kind: count for kind, count in kinds.items() if count >= _VISITS}


async def _have_visited(start: Callable[..., Awaitable[None]], at: str, visit: Visit) -> None:
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        [endpoint] = await nursery.start(partial(start, at, limits=LIMITS, stop=stop))
        for _ in range(_VISITS):
            await visit(endpoint)
        stop.set()


VISITS: dict[str, Visit] = {
    "end": end,
    "wait and end": wait_and_end,
    "reset in a wait": reset_in_wait,
    "reset at once": reset_at_once,
    "silence": keep_silent,
    "too long": say_too_much,
}
TO_HANDLERS: dict[str, Visit] = {
    "start_tls": upgrade,
    "return": say(b"return\n"),
    "raise": say(b"raise\n"),
    "aclose": say(b"close\n"),
    "tasks": say(b"tasks\nlast\n"),
    "detach": say(b"detach\n"),
}
HANDSHAKES: dict[str, tuple[str, Trust, Visit]] = {
    "TLS": ("tls", Trust(tls=server_context()), use_tls),
    "no TLS": ("tls", Trust(tls=server_context()), say(b"a\n")),
    "header": ("tcp", Trust(proxy_protocol=True), say(b"PROXY UNKNOWN\r\n", b"a\n")),
    "no header": ("tcp", Trust(proxy_protocol=True), say(b"GET / HTTP/1.1\r\n")),
    "not allowed": ("tcp", Trust(allow_from=(ip_network("10.0.0.0/8"),)), say(b"a\n")),
}


@pytest.mark.parametrize("visit", VISITS | TO_HANDLERS)
@pytest.mark.usefixtures("driver")
async def test_a_connection_of_a_handler_is_freed_when_it_ends(visit: str) -> None:
    assert not await find_garbage(partial(serve, handler), ANYWHERE, (VISITS | TO_HANDLERS)[visit])


@pytest.mark.parametrize("visit", VISITS)
@pytest.mark.usefixtures("driver")
async def test_a_connection_of_a_session_is_freed_when_it_ends(visit: str) -> None:
    assert not await find_garbage(partial(serve_sessions, NEW_SESSION), ANYWHERE, VISITS[visit])


@pytest.mark.parametrize("name", HANDSHAKES)
@pytest.mark.usefixtures("driver")
async def test_a_connection_is_freed_with_its_handshake(name: str) -> None:
    scheme, trust, visit = HANDSHAKES[name]
    start = partial(serve_sessions, NEW_SESSION, trust=trust)
    assert not await find_garbage(start, f"{scheme}://127.0.0.1:0", visit)
