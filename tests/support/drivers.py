"""`serve` and `serve_sessions` over the driver that the fixture `driver` (in `conftest.py`) has chosen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Unpack

import trio

import caas_trio
from caas_trio import Endpoint, Listener, StreamRequestHandler
from caas_trio.drivers.choice import DriverName
from caas_trio.server.kinds import Handler, NewSession
from caas_trio.server.options import ServeOptions

_chosen: list[DriverName] = ["auto"]


@contextmanager
def choosing(driver: DriverName) -> Iterator[None]:
    """Serve over a driver as long as the block runs."""
    _chosen.append(driver)
    try:
        yield
    finally:
        _chosen.pop()


def chosen() -> DriverName:
    """Return the driver that has been chosen."""
    return _chosen[-1]


async def serve(
    handler: Handler | type[StreamRequestHandler],
    *endpoints: Endpoint | Listener | str,
    task_status: trio.TaskStatus[list[Endpoint]] = trio.TASK_STATUS_IGNORED,
    **options: Unpack[ServeOptions],
) -> None:
    """Run `caas_trio.serve` over the chosen driver."""
    options.setdefault("driver", chosen())
    await caas_trio.serve(handler, *endpoints, task_status=task_status, **options)


async def serve_sessions(
    new_session: NewSession,
    *endpoints: Endpoint | Listener | str,
    task_status: trio.TaskStatus[list[Endpoint]] = trio.TASK_STATUS_IGNORED,
    **options: Unpack[ServeOptions],
) -> None:
    """Run `caas_trio.serve_sessions` over the chosen driver."""
    options.setdefault("driver", chosen())
    await caas_trio.serve_sessions(new_session, *endpoints, task_status=task_status, **options)
