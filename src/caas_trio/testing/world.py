"""The hosts of a simulated network, and what their kernels keep: `World`, `Node`."""

from __future__ import annotations

import errno
import ipaddress
import socket
import struct
from dataclasses import dataclass, field
from typing import Any, Final

from .files import Descriptors, os_error
from .kernel import Kernel
from .links import Conditions, Link

#: The conditions within a host, whatever those of the network.
_LOOPBACK: Final = Conditions()

_FIRST_EPHEMERAL_PORT: Final = 32768
_LAST_PORT: Final = 65535

#: struct ucred of unix(7).
CREDENTIALS: Final = struct.Struct("3i")

_ANY: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - recognized, not bound


@dataclass
class Node:
    """One host: its addresses, its descriptors, what is bound on it, and how large its buffers are.

    Attributes:
        world: the network it belongs to.
        name: its name.
        addresses: its IP addresses, beside those of loopback.
        descriptors: what is open on it.
        send_buffer: of a new stream socket, in bytes.
        receive_buffer: the same.
        backlog: the longest accept queue, whatever `listen` asks for.
        credentials: process, user and group, as peers on Unix sockets see them.
        accept_errors: error numbers that the next accepts fail with, the first of them first.
        receive_errors: the same of receives of datagrams.
        send_errors: the same of sends of datagrams.
        bound: the socket at each address.
    """

    world: World
    name: str
    addresses: tuple[str, ...]
    descriptors: Descriptors
    send_buffer: int = 65536
    receive_buffer: int = 65536
    backlog: int = 4096
    credentials: tuple[int, int, int] = (1000, 1000, 1000)
    accept_errors: list[int] = field(default_factory=list)
    receive_errors: list[int] = field(default_factory=list)
    send_errors: list[int] = field(default_factory=list)
    bound: dict[tuple[Any, ...], list[Any]] = field(default_factory=dict)
    _port: int = _FIRST_EPHEMERAL_PORT - 1

    def has(self, address: str) -> bool:
        """Return whether an IP address, or the one that stands for all, is its own."""
        return address in _ANY or address in self.addresses or ipaddress.ip_address(address).is_loopback

    def free_port(self, kind: int, family: int, address: str) -> int:
        """Return a port that no socket of this kind has.

        Raises:
            OSError: EADDRINUSE, if there is none.
        """
        for _ in range(_LAST_PORT - _FIRST_EPHEMERAL_PORT + 1):
            self._port = self._port + 1 if self._port < _LAST_PORT else _FIRST_EPHEMERAL_PORT
            if not self.clashing(kind, family, address, self._port):
                return self._port
        raise os_error(errno.EADDRINUSE)

    def clashing(self, kind: int, family: int, address: str, port: int) -> list[Any]:
        """Return the sockets that are bound to this port at this address, or at all addresses."""
        return [
            each
            for each in self.bound.get((kind, port), ())
            if _overlap(each.family, each.local[0], family, address)
        ]

    def bind(self, key: tuple[Any, ...], sock: Any) -> None:
        """Note that a socket is bound."""
        self.bound.setdefault(key, []).append(sock)

    def unbind(self, key: tuple[Any, ...], sock: Any) -> None:
        """Note that a socket is not bound any more."""
        self.bound[key].remove(sock)
        if not self.bound[key]:
            del self.bound[key]

    def find(self, kind: int, address: str, port: int) -> Any:
        """Return the socket that gets what is sent to an address, the most specific one; None for none."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        found = [each for each in self.clashing(kind, family, address, port) if each.takes_new]
        return min(found, key=lambda each: each.local[0] in _ANY, default=None)


class World:
    """All hosts of a network, and the links between them.

    Attributes:
        kernel: time, events and trace.
        conditions: of the links between different hosts, unless they are given others.
        nodes: the hosts, by name.
    """

    def __init__(self, kernel: Kernel, conditions: Conditions) -> None:
        self.kernel = kernel
        self.conditions = conditions
        self.nodes: dict[str, Node] = {}
        self._links: dict[tuple[str, str], Link] = {}
        self._connections = 0

    def add(self, name: str, max_descriptors: int) -> Node:
        """Return a new host, with an IPv4 and an IPv6 address of its own."""
        number = len(self.nodes) + 1
        addresses = (f"10.0.0.{number}", f"fd00::{number:x}")
        node = self.nodes[name] = Node(self, name, addresses, Descriptors(max_descriptors))
        return node

    def link(self, source: str, target: str) -> Link:
        """Return the way from one host to another."""
        if (source, target) not in self._links:
            conditions = _LOOPBACK if source == target else self.conditions
            self._links[source, target] = Link(self.kernel, f"{source}>{target}", conditions)
        return self._links[source, target]

    def route(self, source: Node, address: str) -> Node:
        """Return the host that has an address, as seen from another one.

        Raises:
            OSError: EHOSTUNREACH, if there is none.
        """
        if source.has(address):
            return source
        for node in self.nodes.values():
            if address in node.addresses:
                return node
        raise os_error(errno.EHOSTUNREACH)

    def next_connection(self) -> int:
        """Return the number of a new connection."""
        self._connections += 1
        return self._connections


def _overlap(family: int, address: str, other_family: int, other: str) -> bool:
    """Return whether two bound addresses get the same traffic; IPv6 sockets serve IPv6 alone."""
    return family == other_family and (address == other or bool({address, other} & _ANY))
