"""Which driver a server uses: `make_driver`."""

from __future__ import annotations

from typing import Literal, TypeAlias

from caas_trio.core.errors import UsageError
from caas_trio.core.limits import Limits
from caas_trio.core.telemetry import ServerStats

from .drain import Drain
from .driver import Driver
from .hub import Hub
from .machine import MACHINE, Machine
from .stream import StreamDriver

#: "hub": one task polls for all sockets (Linux). "stream": each connection's task waits for a stream
#: of trio's. "auto": the hub where the machine has epoll.
DriverName: TypeAlias = Literal["auto", "hub", "stream"]


def uses_hub(name: DriverName, *, has_epoll: bool = MACHINE.has_epoll) -> bool:
    """Return whether connections go through the hub, on a machine that has epoll or not.

    Raises:
        UsageError: there is no such driver, or it is not available on this machine.
    """
    if name not in ("auto", "hub", "stream"):
        raise UsageError(f"{name!r} is no driver; there are auto, hub and stream")
    if name == "hub" and not has_epoll:
        raise UsageError("the hub driver needs epoll, which this machine does not have")
    return name == "hub" or (name == "auto" and has_epoll)


def make_driver(
    name: DriverName,
    limits: Limits,
    drain: Drain,
    stats: ServerStats | None,
    *,
    counting: bool,
    machine: Machine = MACHINE,
) -> Driver:
    """Return a driver, which the caller closes; raises as `uses_hub` does.

    Args:
        name: which one.
        limits: the timeouts.
        drain: notified of the stop.
        stats: counts what all channels move; None if nothing is counted.
        counting: whether each channel counts, too.
        machine: what the sockets are on.
    """
    if uses_hub(name, has_epoll=machine.has_epoll):
        return Hub(limits, drain, stats=stats, counting=counting, machine=machine)
    return StreamDriver(limits, drain, stats, machine)
