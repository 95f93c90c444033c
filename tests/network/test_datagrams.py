"""Datagram sockets of a simulated host."""

from __future__ import annotations

import errno
import os
import random
import select
import socket
import sys
from contextlib import closing
from typing import Any

import pytest
from trio.testing import MockClock

from caas_trio.testing import Network
from caas_trio.testing.datagrams import DatagramSocket
from caas_trio.testing.files import EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP, Epoll
from caas_trio.testing.links import Conditions
from caas_trio.testing.streams import StreamSocket
from caas_trio.testing.world import CREDENTIALS

from .support import Lab
from .test_streams import code


def bound(lab: Lab, port: int = 7) -> DatagramSocket:
    """Return a UDP socket of the server."""
    sock = DatagramSocket(lab.server, socket.AF_INET)
    sock.bind(("", port))
    return sock


def test_a_datagram_goes_there_and_back() -> None:
    lab = Lab(Conditions(latency=0.5))
    server, client = bound(lab), DatagramSocket(lab.client, socket.AF_INET)
    assert client.sendto(b"hello", (lab.server.addresses[0], 7)) == 5
    assert server.ready == EPOLLOUT
    lab.wait(0.5)
    assert server.ready == EPOLLIN | EPOLLOUT
    assert server.recv(100, socket.MSG_PEEK) == b"hello"
    data, address = server.recvfrom(3)
    assert (data, address) == (b"hel", (lab.client.addresses[0], client.getsockname()[1]))
    assert server.sendmsg([b"by", b"e"], (), 0, address) == 3
    lab.wait(0.5)
    assert client.recv(100) == b"bye"
    assert code(client.recv, 1) == "EAGAIN"


def test_a_connected_socket_receives_from_its_peer_alone_and_gets_port_errors() -> None:
    lab = Lab()
    server, client = bound(lab), DatagramSocket(lab.client, socket.AF_INET)
    assert code(client.send, b"x") == "EDESTADDRREQ"
    assert code(client.getpeername) == "ENOTCONN"
    client.bind(("", 0))
    client.connect((lab.server.addresses[0], 7))
    assert client.getpeername() == (lab.server.addresses[0], 7)
    client.send(b"a")
    _, address = server.recvfrom(1)
    bound(lab, 8).sendto(b"stranger", address)
    assert code(client.recv, 100) == "EAGAIN"
    server.close()
    client.sendmsg([b"b"])
    assert client.ready & EPOLLERR
    assert code(client.recv, 1) == "ECONNREFUSED"
    client.send(b"c")
    assert code(client.send, b"d") == "ECONNREFUSED"


def test_an_unconnected_socket_learns_nothing_of_it() -> None:
    lab = Lab()
    client = DatagramSocket(lab.client, socket.AF_INET)
    client.sendto(b"a", (lab.server.addresses[0], 7))
    assert code(client.recv, 1) == "EAGAIN"
    assert code(client.sendto, b"a", ("10.9.9.9", 7)) == "EHOSTUNREACH"
    assert code(client.sendto, bytes(65508), (lab.server.addresses[0], 7)) == "EMSGSIZE"


def test_datagrams_without_room_are_lost() -> None:
    lab = Lab()
    server, client = bound(lab), DatagramSocket(lab.client, socket.AF_INET)
    for _ in range(100):
        client.sendto(bytes(1000), (lab.server.addresses[0], 7))
    count = 0
    while server.ready & EPOLLIN:
        server.recv(1)
        count += 1
    assert count == lab.server.receive_buffer // 1256 + 1
    assert lab.kernel.trace[-1].what == "dropped"


def test_the_longest_one_finds_room() -> None:
    lab = Lab()
    server, client = bound(lab), DatagramSocket(lab.client, socket.AF_INET)
    client.sendto(bytes(65507), (lab.server.addresses[0], 7))
    assert len(server.recv(65536)) == 65507


def test_what_was_shut_down_neither_sends_nor_gets_anything() -> None:
    lab = Lab()
    client = DatagramSocket(lab.client, socket.AF_INET)
    assert code(client.shutdown, socket.SHUT_RD) == "ENOTCONN"
    client.connect((lab.server.addresses[0], 7))
    client.shutdown(socket.SHUT_RD)
    assert client.ready == EPOLLIN | EPOLLOUT | EPOLLRDHUP
    client.shutdown(socket.SHUT_WR)
    assert client.ready == EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLHUP
    assert code(client.send, b"a") == "EPIPE"
    local, other = (DatagramSocket(lab.server, socket.AF_UNIX) for _ in range(2))
    local.bind("\0name")
    local.shutdown(socket.SHUT_RD)
    assert code(other.sendto, b"a", "\0name") == "EPIPE"


@pytest.mark.parametrize("seed", range(5))
def test_a_link_loses_doubles_and_reorders(seed: int) -> None:
    lab = Lab(Conditions(loss=0.2, duplication=0.2, reordering=0.2, jitter=0.001), seed)
    server, client = bound(lab), DatagramSocket(lab.client, socket.AF_INET)
    for number in range(100):
        client.sendto(bytes([number]), (lab.server.addresses[0], 7))
        lab.wait(0.01 * (number % 3))
    lab.wait(1)
    got: list[int] = []
    while server.ready & EPOLLIN:
        got += server.recv(1)
    assert 60 < len(set(got)) < 95
    assert len(got) > len(set(got))
    assert got != sorted(got)


def test_a_partition_loses_and_a_hold_keeps() -> None:
    lab = Lab()
    server, client = bound(lab), DatagramSocket(lab.client, socket.AF_INET)
    lab.there.partition()
    client.sendto(b"lost", (lab.server.addresses[0], 7))
    lab.there.repair()
    lab.there.hold()
    client.sendto(b"kept", (lab.server.addresses[0], 7))
    lab.wait(10)
    assert not server.ready & EPOLLIN
    lab.there.release()
    lab.wait()
    assert server.recv(10) == b"kept"
    assert not server.ready & EPOLLIN


def test_who_sends_on_a_unix_socket_is_told_to_a_receiver_that_asks() -> None:
    lab = Lab()
    server, client = (DatagramSocket(lab.server, socket.AF_UNIX) for _ in range(2))
    server.bind("\0name")
    lab.server.credentials = (7, 8, 9)
    client.sendto(b"hello", "\0name")
    memory = bytearray(3)
    size, told, flags, address = server.recvmsg_into([memory], 100)
    assert (size, bytes(memory), flags, address) == (3, b"hel", socket.MSG_TRUNC, None)
    assert told == [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, CREDENTIALS.pack(7, 8, 9))]
    client.sendto(b"abc", "\0name")
    assert server.recvmsg_into([memory])[1:3] == ([], 0)
    assert code(client.sendto, bytes(100_000), "\0name") == "EMSGSIZE"


def test_a_unix_socket_holds_a_few_and_then_its_sender_has_to_wait() -> None:
    lab = Lab()
    server, client = (DatagramSocket(lab.server, socket.AF_UNIX) for _ in range(2))
    server.bind("\0name")
    for _ in range(11):
        client.sendto(b"a", "\0name")
    assert code(client.sendto, b"a", "\0name") == "EAGAIN"


@pytest.mark.parametrize("real", [False, True])
def test_the_sender_that_is_connected_learns_when_there_is_room_again(real: bool) -> None:  # noqa: FBT001
    lab, name = Lab(), f"\0caas-{os.getpid()}-full"

    def made() -> Any:
        return (
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            if real
            else DatagramSocket(lab.server, socket.AF_UNIX)
        )

    with made() as server, made() as client, made() as other:
        for each in (server, client, other):
            each.setblocking(False)  # noqa: FBT003 - the socket module's signature
        server.bind(name)
        client.connect(name)
        for _ in range(11):
            other.sendto(b"a", name)
        with closing(select.epoll() if real else Epoll(lab.server.descriptors)) as epoll:
            epoll.register(client.fileno(), EPOLLOUT)
            assert epoll.poll(0) == []
            server.recv(1)
            assert epoll.poll(0) == [(client.fileno(), EPOLLOUT)]
            client.send(b"a")
            assert epoll.poll(0) == []


def test_who_leaves_its_peer_drops_what_that_has_sent() -> None:
    lab = Lab()
    socks = [DatagramSocket(lab.server, socket.AF_UNIX) for _ in range(5)]
    for number, sock in enumerate(socks):
        sock.bind(f"\0{number}")
    left, leaving, *_ = socks
    left.connect("\0001")
    leaving.connect("\0000")
    leaving.connect("\0000")
    left.send(b"a")
    leaving.connect("\0002")
    assert code(leaving.recv, 1) == "EAGAIN"
    assert code(left.recv, 1) == "ECONNRESET"
    left.connect("\0003")
    socks[3].sendto(b"a", "\0000")
    left.connect("\0004")
    assert code(socks[3].recv, 1) == code(left.recv, 1) == "EAGAIN"


def test_a_path_of_a_stream_socket_is_none_for_datagrams() -> None:
    lab = Lab()
    StreamSocket(lab.server, socket.AF_UNIX).bind("/run/caas")
    assert code(DatagramSocket(lab.server, socket.AF_UNIX).connect, "/run/caas") == "EPROTOTYPE"


def test_a_socket_that_is_bound_keeps_its_address_when_it_connects() -> None:
    lab = Lab()
    client = DatagramSocket(lab.client, socket.AF_INET)
    client.bind((lab.client.addresses[0], 9))
    client.connect((lab.server.addresses[0], 7))
    assert client.getsockname() == (lab.client.addresses[0], 9)


CALLS = ("send", "send", "send", "recv", "connect", "peer", "close", "bind", "stream", "shutdown")


def play(socks: list[Any], names: list[Any], script: list[tuple[str, int, int]]) -> list[str]:
    """Return what each call of a script comes to; the last socket is a stream socket that listens."""
    found = []
    for name, one, other in script:
        sock, address = socks[one], names[-1 if name == "stream" else other]
        try:
            match name:
                case "send":
                    found.append(str(sock.sendto(b"x" * other, address)))
                case "recv":
                    found.append(str(len(sock.recv(10))))
                case "connect" | "stream":
                    found.append(str(sock.connect(address)))
                case "peer":
                    found.append(str(bool(sock.getpeername())))
                case "close":
                    found.append(str(sock.close()))
                case "shutdown":
                    found.append(str(sock.shutdown(other % 3)))
                case "bind":
                    found.append(str(sock.bind(address)))
        except OSError as error:
            found.append(errno.errorcode[error.errno or 0])
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="it is Linux that is simulated")
@pytest.mark.parametrize("seed", range(200))
def test_unix_datagrams_are_as_on_the_real_kernel(seed: int) -> None:
    choices = random.Random(seed)  # noqa: S311 - to be repeated
    script = [(choices.choice(CALLS), choices.randrange(3), choices.randrange(4)) for _ in range(20)]
    names = [f"\0caas-{os.getpid()}-{seed}-{number}" for number in range(5)]
    lab = Lab()
    simulated: list[Any] = [DatagramSocket(lab.server, socket.AF_UNIX) for _ in range(3)]
    simulated.append(StreamSocket(lab.server, socket.AF_UNIX))
    real = [socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(3)]
    real.append(socket.socket(socket.AF_UNIX))
    try:
        for sock in real:
            sock.setblocking(False)  # noqa: FBT003 - the socket module's signature
        for socks in (simulated, real):
            for sock, name in zip((*socks[:2], socks[3]), (*names[:2], names[4]), strict=True):
                sock.bind(name)
            socks[3].listen()
        assert play(simulated, names, script) == play(real, names, script), script
    finally:
        for sock in real:
            sock.close()


async def test_planned_errors_come_first_and_once(autojump_clock: MockClock) -> None:
    host = Network().host("server")
    one = host.new_socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    other = host.new_socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    other.bind("\0other")
    host.fail_sends(errno.ENETDOWN)
    host.fail_sends(errno.ENOBUFS, errno.EMSGSIZE)
    assert code(one.sendto, b"a", "\0other") == "ENOBUFS"
    host.fail_sends()
    assert one.sendto(b"a", "\0other") == 1
    host.fail_receives(errno.ENOMEM)
    assert code(one.recv, 9) == "EAGAIN"
    assert code(other.recv, 9) == "ENOMEM"
    assert other.recv(9) == b"a"
