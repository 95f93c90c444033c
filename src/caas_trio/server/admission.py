"""Whether there is room for a connection: `Admission`, asked before it gets a task."""

from __future__ import annotations

import enum
import errno
import ipaddress
import socket
from collections import Counter
from contextlib import suppress
from typing import Final, TypeAlias

import trio

from caas_trio.core.endpoint import Endpoint, Scheme
from caas_trio.core.limits import AtCapacity, Limits
from caas_trio.core.peer import unmapped
from caas_trio.core.trust import Network
from caas_trio.drivers.machine import MACHINE, Machine

from .hostrates import HostRates

#: The error line for a refused connection.
REFUSAL: Final = b"error: too many connections\n"

#: Descriptors that are not a connection's: the standard streams, listeners, trio's and the hub's
#: own, what a handler opens, and refused connections that linger.
RESERVED_DESCRIPTORS: Final = 32 + MACHINE.gentle_refusals

#: The prefix of an IPv6 address that counts as one host: the least that one customer gets.
_ONE_HOST: Final = 64

TOO_MANY: Final = "too many connections"
TOO_MANY_FROM_HOST: Final = "too many connections from this host"
TOO_FAST_FROM_HOST: Final = "too many new connections from this host"

#: What counts as one host; None for what does not count.
Host: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address | Network | None


class NoPlace(enum.Enum):
    """Stands for the host of a connection that has no place."""

    NO_PLACE = enum.auto()


NO_PLACE: Final = NoPlace.NO_PLACE


class Admission:
    """Counts the connections that are open, in all and by host.

    Attributes:
        limit: how many may be open at a time.
        open: how many are.
        refusing: how many refused ones linger.
    """

    def __init__(self, limits: Limits, machine: Machine = MACHINE) -> None:
        self.limit = connection_limit(limits.max_connections, machine)
        self._max_refusing = machine.gentle_refusals
        self.open = 0
        self.refusing = 0
        self._makes_clients_wait = limits.at_capacity is AtCapacity.WAIT
        self._most_per_host = limits.max_per_host
        self._rates = None if limits.max_rate_per_host is None else HostRates(limits.max_rate_per_host)
        self._by_host: Counter[Host] = Counter()
        self._waiting = trio.lowlevel.ParkingLot()

    @property
    def shut(self) -> bool:
        """Whether no connection may be accepted for now."""
        return self._makes_clients_wait and self.open >= self.limit

    @property
    def room(self) -> int:
        """How many more connections may be open."""
        return max(0, self.limit - self.open)

    @property
    def counts_hosts(self) -> bool:
        """Whether the connections of each host are counted."""
        return self._most_per_host is not None or self._rates is not None

    async def wait_while_shut(self) -> None:
        """Return when a connection may be accepted."""
        while self.shut:
            await self._waiting.park()

    def end_waiting(self) -> None:
        """Refuse connections for which there is no room, from now on, instead of making them wait."""
        self._makes_clients_wait = False

    def host_of(self, address: str | None) -> Host:
        """Return what an IP address counts as, for `admit`; None if it is not known, or not counted."""
        if not self.counts_hosts or not address:
            return None
        host = ipaddress.ip_address(unmapped(address))
        if isinstance(host, ipaddress.IPv6Address):
            return ipaddress.ip_network((host.packed, _ONE_HOST), strict=False)
        return host

    def admit(self, host: Host = None) -> str | None:
        """Count a connection in, or return the reason why not."""
        if self.open >= self.limit:
            return TOO_MANY
        if host is not None and (reason := self.admit_host(host)) is not None:
            return reason
        self.open += 1
        return None

    def admit_host(self, host: Host) -> str | None:
        """Count a host that was not known when its connection was admitted.

        If it has as many connections as it may, or connects too fast, count nothing and return the reason.
        """
        if host is None:
            return None
        if self._most_per_host is not None and self._by_host[host] >= self._most_per_host:
            return TOO_MANY_FROM_HOST
        if self._rates is not None and not self._rates.admit(host):
            return TOO_FAST_FROM_HOST
        if self._most_per_host is not None:
            self._by_host[host] += 1
        return None

    def release(self, host: Host | NoPlace = None) -> None:
        """Count out an admitted connection; one that has no place is not counted."""
        if host is NO_PLACE:
            return
        self.open -= 1
        if self._makes_clients_wait:
            self._waiting.unpark_all()
        if host is not None:
            self.release_host(host)

    def release_host(self, host: Host) -> None:
        """Count out a host that `admit_host` has counted."""
        if host is not None and self._most_per_host is not None:
            self._by_host[host] -= 1
            if not self._by_host[host]:
                del self._by_host[host]

    @property
    def gentle(self) -> bool:
        """Whether one more refused connection may linger."""
        return self.refusing < self._max_refusing


class SpareDescriptor:
    """A descriptor kept for the moment when there are none left.

    With it one connection at a time is accepted, gets the error line and is closed, where it would be left
    hanging in the queue, as libuv and Twisted do.
    """

    #: What accept(2) says when descriptors have run out: the process's, or the system's.
    RAN_OUT: Final = frozenset({errno.EMFILE, errno.ENFILE})

    def __init__(self, machine: Machine = MACHINE) -> None:
        self._machine = machine
        self._spare: int | None = None
        self._keep()

    def reject(self, listening: socket.socket, words: bytes = REFUSAL) -> bool:
        """Accept one connection, send it the reason and close it; return whether that could be done."""
        if self._spare is None:
            self._keep()
            return False
        self._machine.close(self._spare)
        self._spare = None
        try:
            with suppress(OSError):
                accepted, _ = self._machine.accept(listening, listening.family, listening.type)
                refuse(accepted, words)
                return True
            return False
        finally:
            self._keep()

    def close(self) -> None:
        """Close it."""
        if self._spare is not None:
            self._machine.close(self._spare)
            self._spare = None

    def _keep(self) -> None:
        with suppress(OSError):
            self._spare = self._machine.open_spare()


def words_for(endpoint: Endpoint) -> bytes:
    """Return the error line for a refused connection; over TLS nothing can be sent so early."""
    return b"" if endpoint.scheme is Scheme.TLS else REFUSAL


def refuse(accepted: socket.socket, words: bytes = REFUSAL) -> None:
    """Send a connection the reason why it is refused, and close it, without waiting for anything.

    What the client has sent by now is read, so that the close does not reset the connection.
    """
    with accepted, suppress(OSError):
        accepted.setblocking(False)  # noqa: FBT003 - the socket module's signature
        accepted.send(words)
        accepted.shutdown(socket.SHUT_WR)
        accepted.recv(65536)


def connection_limit(wanted: int, machine: Machine = MACHINE) -> int:
    """Return how many of the wanted connections the limit on open descriptors allows, 1 at least."""
    allowed = machine.max_descriptors()
    return wanted if allowed is None else max(1, min(wanted, allowed - RESERVED_DESCRIPTORS))
