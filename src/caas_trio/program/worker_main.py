"""A worker process: `python -m caas_trio.program.worker_main DESCRIPTOR`, started by a supervisor alone."""

from __future__ import annotations

import math
import socket
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NoReturn

import trio

from caas_trio.core.endpoint import Endpoint
from caas_trio.core.telemetry import Telemetry
from caas_trio.observing.log_telemetry import LogTelemetry
from caas_trio.observing.metrics import PrometheusTelemetry
from caas_trio.observing.sharedmetrics import join, keep_writing
from caas_trio.server.listeners import Listener
from caas_trio.server.watchdog import Watchdog

from .command import parse
from .control import Control, Order, SharedSocket
from .program import Program
from .signals import HANDLED, handle_signals, ignore_signals
from .user_error import USER_ERRORS, user_error


def main() -> NoReturn:
    """Run as a program."""
    status = run(socket.socket(fileno=int(sys.argv[1])))
    ignore_signals()
    sys.exit(status)


def run(sock: socket.socket) -> int:
    """Do what is ordered over a socket, and close it; return the exit status."""
    with sock:
        control = Control(sock)
        try:
            trio.run(work, control)
        except* USER_ERRORS as mistakes:
            told = user_error(mistakes)
        else:
            return 0
        control.say(f"failed {told.text}")
        return told.status


async def work(control: Control) -> None:
    """Serve as ordered, until told to stop; see `caas_trio.program.control`."""
    first = await control.next_line()
    if first is None:
        return
    order = Order.from_line(first)
    program = parse(order.arguments, order.config)
    assert isinstance(program, Program)  # noqa: S101 - or there would be no supervisor
    program = replace(program, log=program.log.bind(worker=order.slot))
    reports = LogTelemetry(program.log)
    if order.figures is not None:
        # Before the app is imported, for it may have metrics too.
        join(Path(order.figures), order.slot, reports.metrics_unshared)
    listeners = [take(each, shared=program.workers > 1) for each in order.sockets]
    duty = Duty(control, program.limits.drain_timeout, listeners)
    with closing(reports), program.app_logs(), trio.open_signal_receiver(*HANDLED) as signals:
        telemetries: list[Telemetry] = [reports]
        async with trio.open_nursery() as nursery:
            # What cuts off is the supervisor's say: a service manager may signal all processes at once.
            nursery.start_soon(
                partial(handle_signals, signals, again=_nothing, stop=duty.stop.set, cut=_nothing)
            )
            nursery.start_soon(duty.obey)
            with duty.scope:
                async with program.open(await program.load()) as opened:
                    if order.figures is not None:
                        metrics = PrometheusTelemetry(opened.limits)
                        telemetries.append(metrics)
                        nursery.start_soon(keep_writing, metrics.update)
                    await opened.serve(
                        listeners,
                        telemetries,
                        stop=duty.stop,
                        retire=duty.retire,
                        watchdog=Watchdog(lambda: control.say("alive"), order.watchdog_interval),
                        task_status=duty,
                    )
            nursery.cancel_scope.cancel()


class Duty:
    """What a worker has been told, and what it tells once it serves.

    Attributes:
        stop: set when it is to drain.
        retire: set when it is to accept no more.
        scope: cancelled when it is to end at once.
    """

    def __init__(self, control: Control, patience: float, listeners: Sequence[Listener]) -> None:
        self.stop = trio.Event()
        self.retire = trio.Event()
        self.scope = trio.CancelScope()
        self._control = control
        self._patience = patience
        self._listeners = listeners

    def started(self, value: object = None) -> None:  # noqa: ARG002 - the endpoints are the supervisor's
        """Tell that it serves."""
        self._control.say("ready")

    async def obey(self) -> None:
        """Do as the supervisor says; once that is gone, stop."""
        deadline = math.inf
        while True:
            with trio.CancelScope(deadline=deadline) as waiting:
                match await self._control.next_line():
                    case "retire":
                        self.retire.set()
                        deadline = trio.current_time() + self._patience
                    case "cut":
                        self.scope.cancel()
                    case "stop":
                        self.stop.set()
                    case "handover":
                        for listener in self._listeners:
                            listener.handed_over = True
                        self.stop.set()
                    case _:  # it is gone
                        return self.stop.set()
            if waiting.cancelled_caught:
                self.stop.set()
                deadline = math.inf


def take(passed: SharedSocket, *, shared: bool) -> Listener:
    """Return the listener that is described; its descriptors are this process's own from now on."""
    sockets = [socket.socket(fileno=descriptor) for descriptor in passed.descriptors]
    for sock in sockets:
        sock.set_inheritable(False)
        sock.setblocking(False)  # noqa: FBT003 - the socket module's signature
    return Listener(Endpoint.parse(passed.asked), Endpoint.parse(passed.endpoint), sockets, shared=shared)


def _nothing() -> None:
    """Leave it to the supervisor."""


if __name__ == "__main__":
    main()
