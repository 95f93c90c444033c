"""Connections and datagrams in one process: `serve_mixed`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from itertools import chain, compress, islice
from socket import SOCK_DGRAM, SOCK_STREAM, SocketKind
from typing import TypeAlias

import trio

from caas_trio.core.endpoint import DATAGRAMS, Endpoint
from caas_trio.drivers.machine import MACHINE, Machine

from .inherited import INHERITED, passed
from .listeners import Listener

#: `serve`, `serve_sessions` or `serve_datagrams`, with all but the endpoints and the start.
Serve: TypeAlias = Callable[..., Awaitable[None]]


async def serve_mixed(
    streams: Serve,
    datagrams: Serve,
    endpoints: Sequence[Endpoint | Listener],
    *,
    task_status: trio.TaskStatus[list[Endpoint]] = trio.TASK_STATUS_IGNORED,
    machine: Machine = MACHINE,
) -> None:
    """Serve endpoints of every kind, until `stop` is set or one server fails; raise what it raised.

    With `nursery.start` it returns the bound endpoints once all are, in the order given. Of an endpoint that
    stands for several, those for datagrams come first.
    """
    # Datagrams first: a server may be taken over, and which is signalled to stop once all else is open.
    servers = [
        (serve, [how_many(each, kind, machine) for each in endpoints])
        for serve, kind in ((datagrams, SOCK_DGRAM), (streams, SOCK_STREAM))
    ]
    async with trio.open_nursery() as nursery:
        bound: list[list[Endpoint]] = [[] for _ in endpoints]
        for serve, counts in servers:
            if any(counts):
                started = iter(await nursery.start(partial(serve, *compress(endpoints, counts))))
                for place, count in enumerate(counts):
                    bound[place] += islice(started, count)
        task_status.started([*chain.from_iterable(bound)])


def how_many(endpoint: Endpoint | Listener, kind: SocketKind, machine: Machine = MACHINE) -> int:
    """Return how many endpoints of one kind an endpoint stands for."""
    if isinstance(endpoint, Listener):
        return int(endpoint.sockets[0].type is kind)
    if endpoint.scheme in INHERITED:
        return len(passed(endpoint, kind, machine))
    return int((endpoint.scheme in DATAGRAMS) is (kind is SOCK_DGRAM))
