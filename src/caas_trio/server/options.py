"""The options of `serve`, `serve_sessions` and `serve_datagrams`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

import trio

from caas_trio.core.limits import Limits
from caas_trio.core.telemetry import Telemetry
from caas_trio.core.trust import Trust
from caas_trio.drivers.choice import DriverName
from caas_trio.drivers.machine import MACHINE, Machine

from .socketoptions import SocketOptions
from .watchdog import Watchdog


class CommonOptions(TypedDict, total=False):
    """Options of every server.

    Attributes:
        limits: see `Limits`. Of these, datagrams know `max_datagrams` and `drain_timeout` only.
        trust: which clients may connect, or send; see `Trust`.
        telemetry: observes what happens. By default bugs, refusals and timeouts are logged, to the logger
            `caas_trio` of the standard library; `Telemetry()` is silence.
        stop: an event that begins the drain.
        retire: an event that makes the server take nothing new, and return once all connections have ended
            by themselves; `stop` may still begin the drain. For datagrams, another `stop`.
        watchdog: ticked as long as the server accepts; see `Watchdog`.
        machine: what the server runs on: the real one, or a host of `caas_trio.testing.Network`.
    """

    limits: Limits
    trust: Trust
    telemetry: Telemetry | None
    stop: trio.Event | None
    retire: trio.Event | None
    watchdog: Watchdog | None
    machine: Machine


class ServeOptions(CommonOptions, total=False):
    """Options of `serve` and `serve_sessions`, beside those of `CommonOptions`.

    Attributes:
        takeover: where another server has the path of a Unix socket, signal it to stop (SIGTERM) once
            all other endpoints are open, and take its place. No client finds the path without a
            server, and those that have connected to the old one may still speak, for a second. If
            the old one has not begun to stop after 30 seconds, that is a `ListenError`.
        driver: "hub": one task polls for all plain sockets (Linux); "stream": each connection's task
            waits for a stream of trio's; "auto", the default: the hub where the machine has epoll.
        sockets: TCP keepalive, user timeout and backlog; see `SocketOptions`.
    """

    takeover: bool
    driver: DriverName
    sockets: SocketOptions


class DatagramOptions(CommonOptions, total=False):
    """Options of `serve_datagrams`, beside those of `CommonOptions`.

    Attributes:
        reply_to_servers: send replies also to ports below 1024 and to those with the endpoint's own
            port number. Two servers that answer each other never end: leave it off unless replies
            of this service are never answered.
    """

    reply_to_servers: bool


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The options of a server of any kind, with the defaults filled in."""

    limits: Limits = Limits()  # noqa: RUF009 - immutable
    trust: Trust = Trust()  # noqa: RUF009 - immutable
    telemetry: Telemetry | None = None
    stop: trio.Event | None = None
    retire: trio.Event | None = None
    watchdog: Watchdog | None = None
    takeover: bool = False
    driver: DriverName = "auto"
    sockets: SocketOptions = SocketOptions()  # noqa: RUF009 - immutable
    reply_to_servers: bool = False
    machine: Machine = MACHINE
