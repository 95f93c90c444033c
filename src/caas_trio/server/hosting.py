"""An app, served: `open_app`, which enters its context, and `serve_app`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, NoReturn

import trio

from caas_trio.core.endpoint import Endpoint
from caas_trio.core.errors import AppError, UsageError
from caas_trio.core.limits import Limits
from caas_trio.core.session import LineSession
from caas_trio.drivers.machine import MACHINE, Machine

from .app import App, Lifespan, as_app, name_of
from .datagram import serve_datagrams
from .listeners import Listener
from .mixed import Serve, serve_mixed
from .serving import serve, serve_sessions


@asynccontextmanager
async def open_app(app: App | Lifespan) -> AsyncIterator[App]:
    """Enter an app's context manager, if it has one, and yield what is served.

    If one of its background tasks fails, what runs inside is cancelled.

    Raises:
        AppError: the context manager failed, by itself or by a task of its own; the cause is what it
            raised. What is raised inside is raised again as it is.
        UsageError: it yields something that cannot be served.
    """
    if isinstance(app, App):
        yield app
        return
    inside: Exception | None = None
    try:
        async with app() as yielded:
            try:
                yield _yielded(app, yielded)
            except Exception as error:
                inside = error
                raise
    except Exception as error:
        if inside is None or not _contains(error, inside):
            raise AppError(name_of(app), f"its context has failed: {first_cause(error)}") from error
    if inside is not None:
        raise inside


def _yielded(app: Lifespan, thing: object) -> App:
    served = as_app(thing)
    if not isinstance(served, App):
        raise UsageError(f"{name_of(app)} must yield what is served, not another context manager")
    return served


async def serve_app(
    app: App,
    endpoints: Sequence[Endpoint | Listener],
    *,
    task_status: trio.TaskStatus[list[Endpoint]] = trio.TASK_STATUS_IGNORED,
    limits: Limits,
    machine: Machine = MACHINE,
    **options: Any,
) -> None:
    """Serve an app on endpoints of every kind, until `stop` is set.

    Args:
        app: what is served; its own limits and telemetry are ignored.
        endpoints: where.
        task_status: for `nursery.start`; see `serve_mixed`.
        limits: those to keep.
        machine: what it is served on.
        **options: those of `serve` and of `serve_datagrams`; either ignores what is not its own.

    Raises:
        UsageError: there is an endpoint for connections or for datagrams, and the app does not take them.
    """
    options |= {"limits": limits, "machine": machine}
    streams = partial(_streams(app, limits), **options)
    datagrams = partial(_datagrams(app), **options)
    await serve_mixed(streams, datagrams, endpoints, task_status=task_status, machine=machine)


def _streams(app: App, limits: Limits) -> Serve:
    if app.handler is not None:
        return partial(serve, app.handler)
    if app.session is not None:
        return partial(serve_sessions, app.session)
    if app.service is not None:
        return partial(serve_sessions, partial(LineSession, app.service, max_line=limits.max_line))
    return partial(_refuse, "connections, and the app answers datagrams only")


def _datagrams(app: App) -> Serve:
    if app.datagram_service is not None:
        return partial(serve_datagrams, app.datagram_service)
    return partial(_refuse, "datagrams, and the app serves connections only")


async def _refuse(what: str, *endpoints: Endpoint | Listener, **_: object) -> NoReturn:
    first = endpoints[0]
    raise UsageError(f"{first.endpoint if isinstance(first, Listener) else first} is for {what}")


def first_cause(error: BaseException) -> str:
    """Return the first of the errors in a group, as the last line of its traceback has it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return ": ".join(filter(None, (type(error).__name__, str(error))))


def _contains(error: BaseException, wanted: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup) and error is not wanted:
        return any(_contains(each, wanted) for each in error.exceptions)
    return error is wanted
