"""What a bound socket for datagrams notes of each, and where the reply goes."""

from __future__ import annotations

import os
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from caas_trio import LocalPeer
from caas_trio.core.datagramrules import MAX_BYTES, Datagram
from caas_trio.drivers.datagramsocket import DatagramSocket

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what is noted there is of Linux")

#: ip(7), which Python names since 3.14.
IP_PKTINFO = 8


@contextmanager
def bound(family: int, address: Any, *options: tuple[int, int, int]) -> Iterator[DatagramSocket]:
    """Yield a server's socket that was passed to it, with options."""
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        for option in options:
            sock.setsockopt(*option)
        sock.bind(address)
        sock.setblocking(False)  # noqa: FBT003 - the socket module's signature
        yield DatagramSocket(sock)


def received(server: DatagramSocket, *hosts: str) -> list[Datagram]:
    """Return the datagrams that come of what is sent to some addresses of this machine."""
    with ExitStack() as clients:
        for host in hosts:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            client = clients.enter_context(socket.socket(family, socket.SOCK_DGRAM))
            client.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            client.sendto(b"hello", (host, server.sock.getsockname()[1]))
        datagrams = list(iter(lambda: server.receive(bytearray(MAX_BYTES)), None))
    assert [datagram.data for datagram in datagrams] == [b"hello"] * len(hosts)
    return datagrams


def from4(host: str, interface: int = 0) -> tuple[int, int, bytes]:
    """Return what has a reply come from an address, over an interface or, with 0, over any."""
    return socket.IPPROTO_IP, IP_PKTINFO, struct.pack("@i4s4s", interface, socket.inet_aton(host), bytes(4))


def from6(host: str, interface: int = 0) -> tuple[int, int, bytes]:
    """Return the same for IPv6."""
    address = socket.inet_pton(socket.AF_INET6, host)
    return socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, struct.pack("@16sI", address, interface)


V6ONLY = (socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)


def test_a_reply_comes_from_the_address_asked_over_any_interface() -> None:
    with bound(socket.AF_INET, ("0.0.0.0", 0)) as server:  # noqa: S104 - that is the case
        one, two, everybody = received(server, "127.0.0.1", "127.0.0.9", "127.255.255.255")
        assert (one.local, two.local) == ((from4("127.0.0.1"),), (from4("127.0.0.9"),))
        assert [each.to_many for each in (one, two, everybody)] == [False, False, True]
    with bound(socket.AF_INET6, ("::", 0), (*V6ONLY, 1)) as server:
        [one] = received(server, "::1")
        assert (one.local, one.to_many) == ((from6("::1"),), False)
    with bound(socket.AF_INET6, ("::", 0), (*V6ONLY, 0)) as server:
        four, six, everybody = received(server, "127.0.0.9", "::1", "127.255.255.255")
        assert (four.local, six.local) == ((from4("127.0.0.9"),), (from6("::1"),))
        assert [each.to_many for each in (four, six, everybody)] == [False, False, True]
    with bound(socket.AF_INET, ("127.0.0.1", 0)) as server:
        [one] = received(server, "127.0.0.1")
        assert one.local == ()


class Receiving(socket.socket):
    """A socket that has received what this machine has no network for."""

    control: list[tuple[int, int, bytes]]

    def recvmsg_into(self, *_: Any) -> Any:
        return 5, self.control, 0, ("fe80::1", 7, 0, 2)


@pytest.mark.parametrize(("host", "to_many"), [("ff02::1", True), ("fe80::ff", False)])
def test_an_ipv6_multicast_is_to_many(host: str, to_many: bool) -> None:  # noqa: FBT001
    with Receiving(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.control = [from6(host, interface=2)]
        datagram = DatagramSocket(sock).receive(bytearray(b"hello..."))
    assert datagram == Datagram(b"hello", ("fe80::1", 7, 0, 2), True, to_many, (from6(host),))  # noqa: FBT003


def test_what_did_not_fit_is_noted() -> None:
    with bound(socket.AF_INET, ("127.0.0.1", 0)) as server, socket.socket(type=socket.SOCK_DGRAM) as client:
        for data in (b"hel", b"hello"):
            client.sendto(data, server.sock.getsockname())
        address = ("127.0.0.1", client.getsockname()[1])
        assert server.receive(bytearray(3)) == Datagram(b"hel", address, whole=True)
        assert server.receive(bytearray(3)) == Datagram(b"hel", address, whole=False)
        assert server.receive(bytearray(3)) is None


def test_a_unix_client_is_known_and_gets_all_that_it_can_send() -> None:
    """However small the send buffer of a socket that was passed."""
    small = (socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    client = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    with bound(socket.AF_UNIX, "", small) as server, client:
        client.connect(server.sock.getsockname())
        client.send(b"from nowhere")
        unknown = server.receive(bytearray(100))
        me = LocalPeer(os.getpid(), os.geteuid(), os.getegid())
        assert unknown == Datagram(b"from nowhere", None, process=me)
        client.bind("")
        client.send(b"hello")
        datagram = server.receive(bytearray(100))
        assert datagram == Datagram(b"hello", client.getsockname(), process=me)
        reply = bytes(100_000)
        assert server.send(reply, datagram) is None
        assert client.recv(2 * len(reply)) == reply
        client.close()
        failure = server.send(reply, datagram)
        assert isinstance(failure, ConnectionRefusedError)


def test_as_many_can_wait_as_the_kernel_has_room_for() -> None:
    with bound(socket.AF_INET, ("127.0.0.1", 0)) as server, socket.socket(type=socket.SOCK_DGRAM) as plain:
        room, default = (
            sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) for sock in (server.sock, plain)
        )
        assert room > default
        assert server.max_waiting == room // 256
