r"""JSON-RPC 2.0, a request in each line: replies come as they are ready, and a request can be cancelled.

{"jsonrpc": "2.0", "id": 1, "method": "sleep", "params": [5]}
{"jsonrpc": "2.0", "id": 2, "method": "upper", "params": ["a"]}     answered before 1
{"jsonrpc": "2.0", "id": 3, "method": "cancel", "params": [1]}      1 is answered at once, with an error
{"jsonrpc": "2.0", "id": 4, "method": "subscribe"}                  from now on there is a line for each tick

The ticks come from a task that runs as long as the server does. The requests that a client has running are
bounded.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, TypeAlias

import trio

import caas_trio

#: How many requests of one client may run at a time.
MAX_RUNNING: Final = 32
MAX_SLEEP_S: Final = 60.0
TICK_S: Final = 1.0

PARSE_ERROR: Final = (-32700, "the line is no JSON, or too long")
INVALID_REQUEST: Final = (-32600, "the line is no request")
UNKNOWN_METHOD: Final = (-32601, "there is no such method")
INVALID_PARAMS: Final = (-32602, "these are not the method's parameters")
BUSY: Final = (-32000, f"more than {MAX_RUNNING} requests are running")
CANCELLED: Final = (-32800, "cancelled")

Id: TypeAlias = str | int | None


class RpcError(Exception):
    """What is wrong with a request: a code and a message."""


def parse(line: bytes) -> tuple[Id, str, list[Any]]:
    """Return a request's id, its method and its parameters; without an id it gets no reply.

    Raises:
        RpcError: the line has no request.
    """
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        raise RpcError(*PARSE_ERROR) from None
    match message:
        case {"jsonrpc": "2.0", "method": str(method)}:
            identity, params = message.get("id"), message.get("params", [])
            if isinstance(params, list) and type(identity) in (str, int, type(None)):
                return identity, method, params
    raise RpcError(*INVALID_REQUEST)


def encode(**members: object) -> bytes:
    """Return a message as a line."""
    return json.dumps({"jsonrpc": "2.0", **members}).encode() + b"\n"


def failure(identity: Id, error: RpcError) -> bytes:
    """Return the reply to a request that failed."""
    code, message = error.args
    return encode(id=identity, error={"code": code, "message": message})


class Service:
    """What all clients share: the ticks, and the clients that have subscribed to them."""

    def __init__(self) -> None:
        self.subscribers: set[caas_trio.Connection] = set()

    async def tick(self) -> None:
        """Post an event to each subscriber every second; one that does not read loses its connection."""
        for number in itertools.count(1):
            await trio.sleep(TICK_S)
            for connection in self.subscribers:
                connection.post(encode(method="tick", params=[number]))

    async def handler(self, connection: caas_trio.Connection) -> None:
        """Serve one client; what it has asked for before it ended its input is still answered."""
        client = Client(self, connection)
        try:
            async with trio.open_nursery() as nursery:
                async for line in connection.commands(too_long=failure(None, RpcError(*PARSE_ERROR))):
                    if reply := client.answer(line, nursery):
                        await connection.send(reply)
        finally:
            self.subscribers.discard(connection)


class Client:
    """One client, and the requests of it that are running."""

    def __init__(self, service: Service, connection: caas_trio.Connection) -> None:
        self._service = service
        self._connection = connection
        self._running: dict[Id, trio.CancelScope] = {}

    def answer(self, line: bytes, nursery: trio.Nursery) -> bytes:
        """Carry out a request; return the reply, b"" if there is none or a task will send it."""
        identity: Id = None
        try:
            identity, method, params = parse(line)
            result = self._carry_out(identity, method, params, nursery)
        except RpcError as error:
            return failure(identity, error)
        return b"" if identity is None or result is None else encode(id=identity, result=result)

    def _carry_out(self, identity: Id, method: str, params: list[Any], nursery: trio.Nursery) -> object:
        match method, params:
            case "sleep", [int() | float() as seconds] if 0 <= seconds <= MAX_SLEEP_S:
                if identity is None or identity in self._running:
                    raise RpcError(*INVALID_REQUEST)
                if len(self._running) == MAX_RUNNING:
                    raise RpcError(*BUSY)
                scope = self._running[identity] = trio.CancelScope()
                nursery.start_soon(self._sleep, identity, seconds, scope)
                return None
            case "upper", [str(text)]:
                return text.upper()
            case "cancel", [str() | int() as other]:
                if other in self._running:
                    self._running[other].cancel()
                return other in self._running
            case "subscribe", []:
                self._service.subscribers.add(self._connection)
                return True
            case "sleep" | "upper" | "cancel" | "subscribe", _:
                raise RpcError(*INVALID_PARAMS)
        raise RpcError(*UNKNOWN_METHOD)

    async def _sleep(self, identity: Id, seconds: float, scope: trio.CancelScope) -> None:
        """Sleep, and answer; the answer itself is never cancelled, or half of it might be sent."""
        with scope:
            await trio.sleep(seconds)
        del self._running[identity]
        if scope.cancelled_caught:
            await self._connection.send(failure(identity, RpcError(*CANCELLED)))
        else:
            await self._connection.send(encode(id=identity, result=seconds))


@asynccontextmanager
async def app() -> AsyncIterator[caas_trio.Handler]:
    """Run the ticks for as long as the server runs."""
    service = Service()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(service.tick)
        yield service.handler
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    caas_trio.run(app, *sys.argv[1:])
