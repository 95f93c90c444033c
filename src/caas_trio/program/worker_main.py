"""A worker process, which a supervisor starts: `main`, given the descriptor of its control channel."""

from __future__ import annotations

import faulthandler
import math
import os
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NoReturn

import trio

from caas_trio.core.endpoint import Endpoint
from caas_trio.core.limits import Limits
from caas_trio.core.telemetry import Telemetry
from caas_trio.observing.log_telemetry import LogTelemetry
from caas_trio.observing.metrics import PrometheusTelemetry
from caas_trio.observing.sharedmetrics import join, keep_writing
from caas_trio.observing.slotvalues import OnError
from caas_trio.server.inherited import fill_standard_streams
from caas_trio.server.listeners import Listener
from caas_trio.server.watchdog import Watchdog

from .command import parse
from .control import Control
from .messages import Command, Kind, Message, SharedSocket, WorkerConfig
from .program import Program
from .signals import handle_signals, receive_signals
from .user_error import USER_ERRORS, WRONG_USAGE, user_error
from .worker_process import is_no_room


def main(descriptor: int) -> NoReturn:
    """Run as a program. Signals are held when it begins and when it ends."""
    fill_standard_streams()
    sys.exit(run(socket.socket(fileno=descriptor)))


def run(sock: socket.socket, run_async: Callable[..., object] = trio.run) -> int:
    """Serve as the supervisor at the other end of a socket commands, and close it; return the exit status.

    Args:
        sock: the socket.
        run_async: runs an async function with its arguments.
    """
    with sock:
        control = Control(sock)
        try:
            run_async(serve, control)
        except* USER_ERRORS as mistakes:
            error = user_error(mistakes)
            kind = Kind.MISUSED if error.status == WRONG_USAGE else Kind.FAILED
            kind = Kind.NO_ROOM if is_no_room(mistakes) else kind
        else:
            return 0
        control.send_nowait(Message(kind, error.text).to_line())
        return error.status


async def serve(
    control: Control,
    share: Callable[[Path, int, OnError], None] = join,
    new_metrics: Callable[[Limits], PrometheusTelemetry] = PrometheusTelemetry,
) -> None:
    """Serve as the config says, until a command to end; see `caas_trio.program.messages`.

    Args:
        control: the channel to the supervisor.
        share: has the metrics of this process written into a folder.
        new_metrics: returns what counts for them.
    """
    line = await control.next_line()
    if line is None:
        return
    config = WorkerConfig.from_line(line)
    if config.stacks is not None:
        os.set_inheritable(config.stacks, False)  # noqa: FBT003 - the os module's signature
        faulthandler.enable(config.stacks)
    listeners = [take(each) for each in config.sockets]
    with ExitStack() as taken:
        for listener in listeners:
            taken.callback(listener.close)
        program = parse(config.arguments, config.config, directory=config.directory)
        assert isinstance(program, Program)  # noqa: S101 - or there would be no supervisor
        for listener in listeners:
            listener.shared = program.workers > 1
        program = replace(program, log=program.log.bind(worker=config.slot))
        reports = LogTelemetry(program.log)
        if config.metrics_folder is None:
            await _serve(control, config, program, listeners, reports)
        else:
            # Before the app is imported, for it may have metrics too.
            share(Path(config.metrics_folder), config.slot, reports.metrics_unshared)
            await _serve(control, config, program, listeners, reports, new_metrics)


async def _serve(  # noqa: PLR0917 - each is what `serve` has made
    control: Control,
    config: WorkerConfig,
    program: Program,
    listeners: Sequence[Listener],
    reports: LogTelemetry,
    new_metrics: Callable[[Limits], PrometheusTelemetry] | None = None,
) -> None:
    worker = WorkerControl(control, program.limits.drain_timeout, listeners)
    with closing(reports), program.app_logs(), receive_signals() as signals:
        telemetries: list[Telemetry] = [reports]
        async with trio.open_nursery() as nursery:
            # The supervisor alone reloads and cuts: a service manager may signal all processes at once.
            nursery.start_soon(
                partial(handle_signals, signals, reload=_nothing, stop=worker.stop.set, cut=_nothing)
            )
            nursery.start_soon(worker.run)
            nursery.start_soon(_tell_turns, control, config.turn_interval)
            with worker.scope:
                async with program.open(await program.load()) as opened:
                    worker.drain_timeout = opened.limits.drain_timeout
                    control.send_nowait(Message.drain(worker.drain_timeout).to_line())
                    if new_metrics is not None:
                        metrics = new_metrics(opened.limits)
                        telemetries.append(metrics)
                        nursery.start_soon(keep_writing, metrics.update)
                    await opened.serve(
                        listeners,
                        telemetries,
                        stop=worker.stop,
                        retire=worker.retire,
                        watchdog=Watchdog(lambda: control.send_nowait(Kind.ALIVE), config.watchdog_interval),
                        task_status=worker,
                    )
            nursery.cancel_scope.cancel()


class WorkerControl:
    """Executes the supervisor's commands, and reports that the worker serves.

    Args:
        control: the channel to the supervisor.
        drain_timeout: how many seconds after `retire` it stops.
        listeners: what it serves.

    Attributes:
        stop: set when it is to drain.
        retire: set when it is to accept no more.
        scope: cancelled when it is to end at once.
        drain_timeout: how many seconds after `retire` it stops.
    """

    def __init__(self, control: Control, drain_timeout: float, listeners: Sequence[Listener]) -> None:
        self.stop = trio.Event()
        self.retire = trio.Event()
        self.scope = trio.CancelScope()
        self._control = control
        self.drain_timeout = drain_timeout
        self._listeners = listeners

    def started(self, value: object = None) -> None:  # noqa: ARG002 - the endpoints are the supervisor's
        """Report that the worker serves."""
        self._control.send_nowait(Kind.READY)

    async def run(self) -> None:
        """Execute the supervisor's commands; stop once it is gone."""
        deadline = math.inf
        while True:
            with trio.CancelScope(deadline=deadline) as waiting:
                match await self._control.next_line():
                    case Command.RETIRE:
                        self.retire.set()
                        deadline = trio.current_time() + self.drain_timeout
                    case Command.CUT:
                        self.scope.cancel()
                    case Command.STOP:
                        self.stop.set()
                    case Command.HANDOVER:
                        for listener in self._listeners:
                            listener.handed_over = True
                        self.stop.set()
                    case _:  # it is gone
                        return self.stop.set()
            if waiting.cancelled_caught:
                self.stop.set()
                deadline = math.inf


async def _tell_turns(control: Control, interval: float) -> None:
    """Send at intervals that the loop turns, which the sending itself proves."""
    while interval < math.inf:
        control.send_nowait(Kind.TURNED)
        await trio.sleep(interval)


def take(passed: SharedSocket) -> Listener:
    """Return the listener that is described; its descriptors are this process's own from now on."""
    sockets = [socket.socket(fileno=descriptor) for descriptor in passed.descriptors]
    for sock in sockets:
        sock.set_inheritable(False)
        sock.setblocking(False)  # noqa: FBT003 - the socket module's signature
    return Listener(Endpoint.parse(passed.asked), Endpoint.parse(passed.endpoint), sockets)


def _nothing() -> None:
    """Do nothing: the supervisor handles this signal."""
