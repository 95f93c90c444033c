"""Servers to judge: the right one of `ci/conformance`, in threads, and others that a test scripts itself."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from typing import TypeAlias

import pytest
import trio

from caas_trio.core.endpoint import Endpoint
from ci.conformance.reference import Server, Settings

StartRight: TypeAlias = Callable[..., Endpoint]
Handler: TypeAlias = Callable[[trio.SocketStream], Awaitable[None]]


@pytest.fixture
def right() -> Iterator[StartRight]:
    """Return a function that starts the right server with some settings and returns where it listens."""
    servers: list[Server] = []

    def start(endpoint: str = "tcp://127.0.0.1:0", **settings: object) -> Endpoint:
        server = Server(endpoint, Settings(**settings))  # type: ignore[arg-type]
        servers.append(server)
        threading.Thread(target=server.run, daemon=True).start()
        return Endpoint.parse(server.endpoint)

    yield start
    for server in servers:
        server.stop()


@contextlib.asynccontextmanager
async def scripted(handler: Handler) -> AsyncIterator[Endpoint]:
    """Serve each connection with `handler` while the block runs; a handler may leave when it likes."""

    async def safe(stream: trio.SocketStream) -> None:
        with contextlib.suppress(trio.BrokenResourceError):
            await handler(stream)

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, safe, 0, host="127.0.0.1"))
        port = listeners[0].socket.getsockname()[1]
        yield Endpoint.parse(f"tcp://127.0.0.1:{port}")
        nursery.cancel_scope.cancel()
