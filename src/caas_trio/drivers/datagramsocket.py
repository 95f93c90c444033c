"""A bound socket for datagrams: `DatagramSocket` receives them with what the kernel reports of them."""

from __future__ import annotations

import socket
import struct
from typing import Final

from caas_trio.core.datagramrules import MAX_BYTES, Datagram
from caas_trio.core.peer import LocalPeer, unmapped

from .machine import MACHINE, Machine

#: struct in_pktinfo of ip(7): interface, local address, destination of the header.
_PKTINFO: Final = struct.Struct("@i4s4s")
#: struct in6_pktinfo of RFC 3542: destination, interface.
_PKTINFO6: Final = struct.Struct("@16sI")
#: struct ucred of unix(7).
_CREDENTIALS: Final = struct.Struct("@3i")

#: Of datagrams that wait to be received; the kernel lowers it to net.core.rmem_max by itself.
_RECEIVE_BUFFER: Final = 1 << 20
#: What one of them takes of it at least: Linux counts its own structures, too.
_LEAST_BYTES: Final = 256

_ANYWHERE: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - recognized, not bound
_IPV6_MULTICAST: Final = 0xFF
#: An IPv4 address on a socket for both families (RFC 4291, section 2.5.5.2).
_IPV4_MAPPED: Final = bytes(10) + b"\xff\xff"


#: The local address of what had come before the kernel was asked to note it, on a socket that was passed.
_NOT_NOTED: Final = bytes(4)
_IPV4_MULTICAST: Final = range(224, 240)


class DatagramSocket:
    """A bound, non-blocking socket, which the caller closes.

    Attributes:
        sock: the socket.
        max_waiting: how many datagrams can wait in the kernel, at most.
    """

    def __init__(self, sock: socket.socket, machine: Machine = MACHINE) -> None:
        self.sock = sock
        self._machine = machine
        self._control_size = self._ask_for_more()
        self.max_waiting = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // _LEAST_BYTES

    def receive(self, memory: bytearray) -> Datagram | None:
        """Receive the next datagram, by way of `memory`; None if none waits.

        Raises:
            OSError: as recvmsg(2) says.
        """
        try:
            size, control, flags, address = self.sock.recvmsg_into([memory], self._control_size)
        except BlockingIOError:
            return None
        data = bytes(memoryview(memory)[:size])
        whole = not flags & socket.MSG_TRUNC
        for level, kind, value in control:
            if level == socket.IPPROTO_IP:
                _, local, destination = _PKTINFO.unpack(value)
                if local == _NOT_NOTED:
                    local = destination if _is_local(destination, self._machine) else local
                here = (level, kind, _PKTINFO.pack(0, local, bytes(4)))
                return Datagram(data, address, whole, local != destination, (here,))
            if level == socket.IPPROTO_IPV6:
                destination, _ = _PKTINFO6.unpack(value)
                if destination.startswith(_IPV4_MAPPED):
                    continue  # what IP_PKTINFO says comes next, and knows broadcast addresses
                here = (level, kind, _PKTINFO6.pack(destination, 0))
                return Datagram(data, address, whole, destination[0] == _IPV6_MULTICAST, (here,))
            return Datagram(data, address, whole, process=LocalPeer(*_CREDENTIALS.unpack(value)))
        return Datagram(data, address, whole)

    def send(self, reply: bytes, datagram: Datagram) -> OSError | None:
        """Send the reply to a datagram from the address that it came to; return the error if that fails."""
        try:
            self.sock.sendmsg([reply], datagram.local, 0, datagram.address)  # type: ignore[arg-type]
        except OSError as error:
            return error
        return None

    def _ask_for_more(self) -> int:
        """Ask the kernel for what a reply needs; return the size of the control messages.

        There is room for just that: a local peer that sends descriptors along does not open them here.
        """
        machine = self._machine
        if self.sock.family == socket.AF_UNIX:
            # So that what can be received can be sent back.
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MAX_BYTES)
            if machine.so_passcred is not None:
                self.sock.setsockopt(socket.SOL_SOCKET, machine.so_passcred, 1)
                return socket.CMSG_SPACE(_CREDENTIALS.size)
            return 0
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        if unmapped(self.sock.getsockname()[0]) not in _ANYWHERE:
            return 0
        # Unasked, the reply would come from the address that the route prefers.
        size, six = 0, self.sock.family == socket.AF_INET6
        if six and machine.ipv6_recvpktinfo is not None:
            self.sock.setsockopt(socket.IPPROTO_IPV6, machine.ipv6_recvpktinfo, 1)
            size = socket.CMSG_SPACE(_PKTINFO6.size)
        both = six and not self.sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
        if (both or not six) and machine.ip_pktinfo is not None:
            self.sock.setsockopt(socket.IPPROTO_IP, machine.ip_pktinfo, 1)
            size += socket.CMSG_SPACE(_PKTINFO.size)
        return size


def _is_local(address: bytes, machine: Machine) -> bool:
    """Return whether the IPv4 address that a datagram was sent to is this machine's own.

    The kernel connects a socket to a broadcast address only where that was asked for.
    """
    if address[0] in _IPV4_MULTICAST:
        return False
    with machine.new_socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect((socket.inet_ntoa(address), 1))
        except OSError:
            return False
    return True
