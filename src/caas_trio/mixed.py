"""Connections and datagrams in one process: `serve_mixed`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeAlias

import trio

from .endpoint import DATAGRAMS, Endpoint

#: `serve`, `serve_sessions` or `serve_datagrams`, with all but the endpoints and the start.
Serve: TypeAlias = Callable[..., Awaitable[None]]


async def serve_mixed(
    streams: Serve,
    datagrams: Serve,
    endpoints: Sequence[Endpoint],
    *,
    task_status: trio.TaskStatus[list[Endpoint]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve endpoints of every kind, until both are told to stop or one fails; raises what that does.

    With `nursery.start` it returns the bound endpoints once all are: those for connections, then
    those for datagrams, each in the order given.
    """
    async with trio.open_nursery() as nursery:
        bound: list[Endpoint] = []
        # Datagrams first: a server may be taken over, and that is told to stop once all else is open.
        for serve, takes_datagrams in ((datagrams, True), (streams, False)):
            own = [each for each in endpoints if (each.scheme in DATAGRAMS) is takes_datagrams]
            if own:
                bound = [*await nursery.start(partial(serve, *own)), *bound]
        task_status.started(bound)
