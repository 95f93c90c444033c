"""Datagrams over real sockets: which are answered, which are dropped and reported, and the stop.

Whether a datagram is *not* answered is never waited for: a later one is, and comes alone.
"""

from __future__ import annotations

import array
import errno
import os
import socket
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.lowlevel
import trio.testing
from trio.testing import MockClock

from caas_trio import (
    DatagramRequestHandler,
    Endpoint,
    EndpointError,
    InternetPeer,
    Limits,
    Listener,
    ListenError,
    LocalPeer,
    Scheme,
    StreamRequestHandler,
    Trust,
    serve_datagrams,
)
from caas_trio.core.datagramrules import MAX_BYTES, Drop
from caas_trio.drivers.machine import Machine
from caas_trio.server.datagram import DatagramService

from .support.machines import HookedMachine, failing
from .support.recorder import DatagramRecorder
from .support.sockets import descriptors

#: ip(7), which Python names since 3.14.
IP_RECVERR = 11


@dataclass
class Running:
    """A server that runs, and the way to talk to it."""

    endpoints: list[Endpoint]
    stop: trio.Event
    telemetry: DatagramRecorder
    everything: trio.CancelScope

    def address(self, which: int = 0) -> Any:
        endpoint = self.endpoints[which]
        if endpoint.path:
            return endpoint.path.replace("@", "\0", 1) if endpoint.path[0] == "@" else endpoint.path
        return endpoint.host, endpoint.port

    def plain_client(self, which: int = 0, bind: Any = None) -> socket.socket:
        """Return a socket that sends to the server and hears only it; the server waits while it does."""
        endpoint = self.endpoints[which]
        family = socket.AF_INET6 if ":" in endpoint.host else socket.AF_INET
        client = socket.socket(socket.AF_UNIX if endpoint.path else family, socket.SOCK_DGRAM)
        if endpoint.path and bind is None:
            bind = ""  # a name of the kernel's choice
        if bind is not None:
            client.bind(bind)
        client.connect(self.address(which))
        client.settimeout(30)
        return client

    def client(self, which: int = 0, bind: Any = None) -> trio.socket.SocketType:
        """Return such a socket, for trio."""
        return trio.socket.from_stdlib_socket(self.plain_client(which, bind))

    async def ask(self, data: bytes, which: int = 0) -> bytes:
        """Return the reply to a datagram of a client of its own."""
        with self.client(which) as client:
            await client.send(data)
            return await client.recv(MAX_BYTES)


@asynccontextmanager
async def serving(
    service: DatagramService | type[DatagramRequestHandler] = bytes.upper,
    *endpoints: str | Listener,
    **options: Any,
) -> AsyncIterator[Running]:
    stop, telemetry = trio.Event(), DatagramRecorder()
    start = partial(
        serve_datagrams,
        service,
        *(endpoints or ("udp://127.0.0.1:0",)),
        telemetry=telemetry,
        stop=stop,
        **options,
    )
    async with trio.open_nursery() as nursery:
        bound = await nursery.start(start)
        assert telemetry.announced == bound
        yield Running(bound, stop, telemetry, nursery.cancel_scope)
        stop.set()
    assert set(telemetry.places) <= set(bound)


@pytest.fixture(params=["udp", "udp6", "unixgram", "abstract"])
def endpoint(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return a place of each kind to take datagrams."""
    return {
        "udp": "udp://127.0.0.1:0",
        "udp6": "udp://[::1]:0",
        "unixgram": f"unixgram:{tmp_path}/caas.sock",
        "abstract": f"unixgram:@{tmp_path}",
    }[request.param]


@pytest.fixture
def unixgram(tmp_path: Path) -> str:
    return f"unixgram:{tmp_path}/caas.sock"


@pytest.mark.parametrize(
    "data", [b"hello", b"hello\n", b"one\ntwo\r\n\nthree", b"", b"x", bytes(range(256)), b"d" * 65507]
)
async def test_the_reply_is_the_whole_datagram(endpoint: str, data: bytes) -> None:
    async with serving(bytes.upper, endpoint) as server:
        assert await server.ask(data) == data.upper()
    assert server.telemetry.served == 1
    assert not server.telemetry.dropped


async def test_several_endpoints_are_served_and_reported_in_order(tmp_path: Path) -> None:
    path = tmp_path / "caas.sock"
    async with serving(bytes.upper, "udp://127.0.0.1:0", f"unixgram:{path}", "udp://[::1]:0") as server:
        for which in range(3):
            assert await server.ask(b"hello", which) == b"HELLO"
        assert [each.scheme.value for each in server.endpoints] == ["udp", "unixgram", "udp"]
        assert server.endpoints[0].port
        assert path.is_socket()
    assert not path.exists()


async def test_each_sender_gets_its_own_reply(endpoint: str) -> None:
    async with serving(bytes.upper, endpoint) as server:
        clients = [server.client() for _ in range(10)]
        for number, client in enumerate(clients):
            await client.send(b"sender %d" % number)
        for number, client in reversed(list(enumerate(clients))):
            assert await client.recv(100) == b"SENDER %d" % number
            client.close()


async def test_ten_thousand_datagrams(endpoint: str) -> None:
    async with serving(bytes.upper, endpoint) as server:
        with server.client() as client:
            for number in range(1000):
                for part in range(10):
                    await client.send(b"number %d.%d" % (number, part))
                heard = {await client.recv(100) for _ in range(10)}
                assert heard == {b"NUMBER %d.%d" % (number, part) for part in range(10)}
    assert server.telemetry.served == 10000


async def test_a_service_may_return_no_reply(endpoint: str) -> None:
    collected: list[bytes] = []

    def collect(data: bytes) -> bytes | None:
        collected.append(data)
        return b"end" if data == b"end" else None

    async with serving(collect, endpoint) as server:
        with server.client() as client:
            for data in (b"one", b"two", b"end"):
                await client.send(data)
            assert await client.recv(100) == b"end"
    assert collected == [b"one", b"two", b"end"]
    assert server.telemetry.served == 3


async def test_a_failing_service_is_reported_once_and_affects_no_other_client(endpoint: str) -> None:
    async with serving(lambda data: b"%d" % int(data), endpoint) as server:
        with server.client() as client:
            for data in (b"1", b"bug", b"2"):
                await client.send(data)
            assert [await client.recv(100), await client.recv(100)] == [b"1", b"2"]
    [(error, at, sender)] = server.telemetry.failures
    assert isinstance(error, ValueError)
    assert at == server.endpoints[0]
    assert isinstance(sender, InternetPeer | LocalPeer)


@pytest.mark.parametrize(("reply", "sent"), [(bytearray(b"ab"), b"ab"), (memoryview(b"ab"), b"ab")])
async def test_a_reply_may_be_bytes_like(reply: Any, sent: bytes) -> None:
    async with serving(lambda _: reply) as server:
        assert await server.ask(b"1234") == sent


async def test_an_invalid_reply_is_a_failure_of_the_service() -> None:
    replies: list[Any] = ["text", 5, b"ok"]
    async with serving(lambda _: replies.pop(0)) as server:
        with server.client() as client:
            for _ in range(3):
                await client.send(b"data")
            assert await client.recv(100) == b"ok"
    told = [str(error) for error, _, _ in server.telemetry.failures]
    assert told == [f"the reply to a datagram is bytes or None, not {kind}" for kind in ("str", "int")]


async def test_a_longer_reply_is_not_sent(endpoint: str) -> None:
    async with serving(lambda data: data * 2, endpoint) as server:
        with server.client() as client:
            await client.send(b"a")
            await client.send(b"")
            assert await client.recv(100) == b""
    assert server.telemetry.dropped == {Drop.LONGER: 1}


async def test_a_sender_without_an_address_gets_no_reply(unixgram: str) -> None:
    async with serving(bytes.upper, unixgram) as server:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as unbound:
            unbound.sendto(b"hello", server.address())
        assert await server.ask(b"still here") == b"STILL HERE"
    assert server.telemetry.dropped == {Drop.NO_ADDRESS: 1}
    assert server.telemetry.senders == [LocalPeer(os.getpid(), os.geteuid(), os.getegid())]


async def test_a_reply_to_a_closed_socket_is_dropped(endpoint: str) -> None:
    async with serving(bytes.upper, endpoint) as server:
        for _ in range(5):
            with server.plain_client() as gone:
                gone.send(b"hello")
        assert await server.ask(b"still here") == b"STILL HERE"
    unix = server.endpoints[0].path
    assert server.telemetry.dropped == ({Drop.UNREACHABLE: 5} if unix else {})


linux = pytest.mark.skipif(sys.platform != "linux", reason="this is of Linux")


def tell_of_icmp_errors(sock: socket.socket, *_: object) -> None:
    """Set IP_RECVERR: errors of a reply come with the next call. A passed socket may have it set."""
    sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)


@linux
async def test_an_icmp_error_at_a_receive_is_reported_and_serving_goes_on() -> None:
    async with serving(machine=HookedMachine(bound=tell_of_icmp_errors)) as server:
        with server.plain_client() as gone:
            gone.send(b"gone")
        assert await server.ask(b"hello") == b"HELLO"
    assert server.telemetry.dropped == {Drop.UNDELIVERED: 1}
    assert server.telemetry.senders == [None]
    assert server.telemetry.served == 2


class Patient(DatagramRequestHandler):
    """Answers all at once, when it is time to."""

    waiting = trio.Event()
    proceed = trio.Event()

    @classmethod
    def again(cls) -> None:
        cls.waiting, cls.proceed = trio.Event(), trio.Event()

    async def handle(self) -> None:
        """Answer a datagram; with `last`, the test knows that all before it wait."""
        assert trio.lowlevel.current_task().name == "datagram"
        data = await self.rfile.read()
        if data == b"last":
            self.waiting.set()
        await self.proceed.wait()
        await self.wfile.write(data.upper())


async def test_an_icmp_error_at_a_send_does_not_lose_another_reply() -> None:
    machine = HookedMachine(sendmsg=failing(errno.ECONNREFUSED))
    async with serving(machine=machine) as server:
        assert await server.ask(b"hello") == b"HELLO"
    assert server.telemetry.dropped == {Drop.UNDELIVERED: 1}
    assert server.telemetry.served == 1


@pytest.mark.parametrize("error", [errno.ENOBUFS, errno.ENOMEM])
async def test_without_memory_receiving_pauses_and_goes_on(error: int, autojump_clock: MockClock) -> None:
    async with serving(machine=HookedMachine(recvmsg_into=failing(error, error))) as server:
        with server.plain_client() as client:
            client.send(b"hello")
            await trio.sleep(1)  # the mock clock's
            assert client.recv(100) == b"HELLO"
    assert server.telemetry.accept_errors == [error, error]


async def test_a_socket_that_fails_ends_the_server() -> None:
    async def serve_until_it_fails() -> None:
        async with serving(machine=HookedMachine(recvmsg_into=failing(errno.EBADF))) as server:
            with server.plain_client() as client:
                client.send(b"hello")

    with pytest.raises(ExceptionGroup) as caught:
        await serve_until_it_fails()
    assert caught.group_contains(OSError, match="Bad file descriptor")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (errno.EAGAIN, Drop.NO_ROOM),
        (errno.ENOBUFS, Drop.NO_ROOM),
        (errno.ENOMEM, Drop.NO_ROOM),
        (errno.EPERM, Drop.UNREACHABLE),
        (errno.ENETUNREACH, Drop.UNREACHABLE),
        (errno.EMSGSIZE, Drop.TOO_LONG),
    ],
)
async def test_a_reply_that_cannot_be_sent_is_dropped_and_reported(
    error: int, reason: Drop, endpoint: str
) -> None:
    machine = HookedMachine(sendmsg=failing(*[error] * 10))
    async with serving(bytes.upper, endpoint, machine=machine) as server:
        with server.plain_client() as client:
            client.send(b"lost")
            while not server.telemetry.dropped[reason]:
                await trio.lowlevel.checkpoint()
        del machine.hooks["sendmsg"]
        assert await server.ask(b"hello") == b"HELLO"
    assert server.telemetry.dropped == {reason: 1}


@linux
async def test_a_unix_client_that_does_not_read_loses_replies_only(unixgram: str) -> None:
    async with serving(bytes.upper, unixgram) as server:
        with trio.socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
            await deaf.bind(f"{server.address()}.client")
            for _ in range(100):  # more than its queue holds
                await deaf.sendto(b"hello", server.address())
            assert await server.ask(b"and I?") == b"AND I?"
    dropped = server.telemetry.dropped[Drop.NO_ROOM]
    assert 0 < dropped < 100
    assert server.telemetry.served + dropped == 101


@linux
async def test_a_connected_client_can_fill_the_send_buffer_until_it_leaves(unixgram: str) -> None:
    async with serving(bytes.upper, unixgram) as server:
        with server.client() as deaf:
            while not server.telemetry.dropped:
                await deaf.send(b"hello" * 1000)
            while True:  # take up what is left, too
                served = server.telemetry.served
                await deaf.send(b"")
                await trio.testing.wait_all_tasks_blocked()
                if server.telemetry.served == served:
                    break
        assert await server.ask(b"and I?") == b"AND I?"
    assert set(server.telemetry.dropped) == {Drop.NO_ROOM}


@linux
async def test_the_largest_unix_datagram_of_an_ordinary_process_comes_back_whole(unixgram: str) -> None:
    async with serving(bytes.upper, unixgram) as server:
        with server.client() as client:
            data = b"d" * min(client.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) - 32, MAX_BYTES)
            await client.send(data)
            assert await client.recv(MAX_BYTES) == data.upper()


@linux
@pytest.mark.parametrize(("excess", "answered"), [(0, True), (1, False)])
async def test_a_datagram_has_a_limit(unixgram: str, excess: int, answered: bool) -> None:  # noqa: FBT001
    mine = Trust(allow_uids=frozenset({os.geteuid()}))
    async with serving(bytes.upper, unixgram, trust=mine) as server:
        with server.client() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * MAX_BYTES)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2 * MAX_BYTES)
            await client.send(b"d" * (MAX_BYTES + excess))
            if answered:
                assert await client.recv(MAX_BYTES + 1) == b"D" * MAX_BYTES
            await client.send(b"small")
            assert await client.recv(MAX_BYTES) == b"SMALL"
    assert server.telemetry.dropped == ({} if answered else {Drop.OVERSIZE: 1})


@linux
async def test_passed_descriptors_are_not_accepted(unixgram: str) -> None:
    async with serving(bytes.upper, unixgram) as server:
        with server.client() as client, trio.socket.socket() as passed:
            before = descriptors()
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [passed.fileno()] * 20))
            await client.sendmsg([b"hello"], [rights])
            assert await client.recv(100) == b"HELLO"
            assert descriptors() == before


@linux
async def test_on_a_wildcard_address_replies_come_from_the_address_asked() -> None:
    async with serving(bytes.upper, "udp://0.0.0.0:0", "udp://[::]:0") as server:
        for host in ("127.0.0.1", "127.0.0.2", "127.1.2.3"):
            with trio.socket.socket(type=socket.SOCK_DGRAM) as client:
                await client.sendto(b"hello", (host, server.endpoints[0].port))
                reply, sender = await client.recvfrom(100)
                assert (reply, sender) == (b"HELLO", (host, server.endpoints[0].port))
        with trio.socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as client:
            await client.sendto(b"hello", ("::1", server.endpoints[1].port))
            reply, sender = await client.recvfrom(100)
            assert (reply, sender[:2]) == (b"HELLO", ("::1", server.endpoints[1].port))


@linux
async def test_a_broadcast_is_not_answered() -> None:
    async with serving(bytes.upper, "udp://0.0.0.0:0") as server:
        port = server.endpoints[0].port
        with trio.socket.socket(type=socket.SOCK_DGRAM) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            await client.sendto(b"everybody", ("127.255.255.255", port))
            await client.sendto(b"you", ("127.0.0.1", port))
            assert await client.recv(100) == b"YOU"
    assert server.telemetry.dropped == {Drop.TO_MANY: 1}


@pytest.fixture
def dual_stack() -> Listener:
    """A socket for IPv6 and IPv4, as systemd opens it for `ListenDatagram=PORT`."""
    sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    sock.bind(("::", 0))
    sock.setblocking(False)  # noqa: FBT003 - the socket module's signature
    endpoint = Endpoint(Scheme.UDP, host="::", port=sock.getsockname()[1])
    return Listener(endpoint, endpoint, [sock])


@pytest.fixture
def ipv4() -> Listener:
    """A socket for IPv4, as systemd opens it for `ListenDatagram=0.0.0.0:PORT`."""
    sock = socket.socket(type=socket.SOCK_DGRAM)
    sock.bind(("0.0.0.0", 0))  # noqa: S104 - that is the case
    sock.setblocking(False)  # noqa: FBT003 - the socket module's signature
    endpoint = Endpoint(Scheme.UDP, host="0.0.0.0", port=sock.getsockname()[1])  # noqa: S104 - likewise
    return Listener(endpoint, endpoint, [sock])


@linux
@pytest.mark.parametrize("passed", ["ipv4", "dual_stack"])
async def test_datagrams_queued_on_a_passed_socket_obey_the_rules(
    passed: str, request: pytest.FixtureRequest
) -> None:
    listener: Listener = request.getfixturevalue(passed)
    port = listener.endpoint.port
    with trio.socket.socket(type=socket.SOCK_DGRAM) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        client.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        for everybody in ("127.255.255.255", "224.0.0.1"):
            await client.sendto(b"everybody", (everybody, port))
        await client.sendto(b"you", ("127.0.0.9", port))  # which starts the service
        async with serving(bytes.upper, listener) as server:
            assert await client.recvfrom(100) == (b"YOU", ("127.0.0.9", port))
    assert set(server.telemetry.dropped) == {Drop.TO_MANY}


@linux
async def test_ipv4_clients_of_a_dual_stack_socket_obey_the_ipv4_rules(dual_stack: Listener) -> None:
    trust = Trust(allow_from=(ip_network("127.0.0.2/32"), ip_network("::1/128")))
    async with serving(bytes.upper, dual_stack, trust=trust) as server:
        port = server.endpoints[0].port
        with (
            trio.socket.socket(type=socket.SOCK_DGRAM) as stranger,
            trio.socket.socket(type=socket.SOCK_DGRAM) as friend,
            trio.socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as six,
        ):
            await stranger.bind(("127.0.0.3", 0))
            await stranger.sendto(b"hello", ("127.0.0.1", port))
            await friend.bind(("127.0.0.2", 0))
            friend.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            await friend.sendto(b"everybody", ("127.255.255.255", port))
            await friend.sendto(b"you", ("127.1.2.3", port))
            assert await friend.recvfrom(100) == (b"YOU", ("127.1.2.3", port))
            await six.sendto(b"hello", ("::1", port))
            reply, sender = await six.recvfrom(100)
            assert (reply, sender[:2]) == (b"HELLO", ("::1", port))
            assert server.telemetry.senders == [
                InternetPeer(*stranger.getsockname()),
                InternetPeer(*friend.getsockname()),
            ]
    assert server.telemetry.dropped == {"the address is not allowed": 1, Drop.TO_MANY: 1}


class PlainMachine(Machine):
    """A machine that reports nothing of a datagram but its sender's address."""

    ip_pktinfo = ipv6_recvpktinfo = so_passcred = None


async def test_without_packet_info_datagrams_are_served_too(unixgram: str) -> None:
    endpoints = ("udp://0.0.0.0:0", "udp://[::]:0", unixgram)
    async with serving(bytes.upper, *endpoints, machine=PlainMachine()) as server:
        with trio.socket.socket(type=socket.SOCK_DGRAM) as client:
            await client.sendto(b"hello", ("127.0.0.1", server.endpoints[0].port))
            assert await client.recv(100) == b"HELLO"
        with trio.socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as client:
            await client.sendto(b"hello", ("::1", server.endpoints[1].port))
            assert await client.recv(100) == b"HELLO"
        assert await server.ask(b"hello", 2) == b"HELLO"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as unbound:
            unbound.sendto(b"hello", server.address(2))
        assert await server.ask(b"hello", 2) == b"HELLO"
    assert server.telemetry.senders == [LocalPeer()]


async def test_a_sender_on_the_servers_port_counts_as_a_server() -> None:
    collected: list[bytes] = []

    def collect(data: bytes) -> bytes:
        collected.append(data)
        return data

    for reply_to_servers in (False, True):
        async with serving(collect, reply_to_servers=reply_to_servers) as server:
            with server.client(bind=("127.0.0.2", server.endpoints[0].port)) as twin:
                await twin.send(b"from a twin")
                if reply_to_servers:
                    assert await twin.recv(100) == b"from a twin"
                assert await server.ask(b"from a client") == b"from a client"
        assert collected == [b"from a twin", b"from a client"]  # it is served, but not answered
        assert server.telemetry.dropped == ({} if reply_to_servers else {Drop.SERVER: 1})
        collected.clear()


async def test_datagrams_of_strangers_are_dropped(unixgram: str) -> None:
    trust = Trust(allow_from=(ip_network("127.0.0.2/32"),))
    async with serving(bytes.upper, "udp://127.0.0.1:0", unixgram, trust=trust) as server:
        with server.client(bind=("127.0.0.3", 0)) as stranger, server.client(bind=("127.0.0.2", 0)) as friend:
            await stranger.send(b"hello")
            await friend.send(b"hello")
            assert await friend.recv(100) == b"HELLO"
            assert server.telemetry.senders == [InternetPeer(*stranger.getsockname())]
        assert await server.ask(b"hello", 1) == b"HELLO"
    assert server.telemetry.dropped == {"the address is not allowed": 1}


@linux
@pytest.mark.parametrize("mine", [True, False])
async def test_datagrams_of_other_users_are_dropped(unixgram: str, mine: bool) -> None:  # noqa: FBT001
    trust = Trust(allow_uids=frozenset({os.geteuid() + (not mine)}))
    async with serving(bytes.upper, unixgram, trust=trust) as server:
        with server.plain_client() as client:
            client.send(b"hello")
            while not server.telemetry.served + server.telemetry.dropped.total():
                await trio.lowlevel.checkpoint()
    assert server.telemetry.dropped == ({} if mine else {"the user is not allowed": 1})


async def test_other_tasks_run_during_a_flood() -> None:
    async with serving() as server:
        with server.plain_client() as client:
            server.telemetry.when_served = lambda: client.send(b"flood")
            client.send(b"flood")
            for _ in range(10):
                await trio.lowlevel.checkpoint()
            waiting = client.recv(100)  # the flood goes on, or there would be no end to this
            server.telemetry.when_served = lambda: None
            assert waiting == b"FLOOD"


# The stop.


async def test_datagrams_queued_at_the_stop_are_answered(endpoint: str) -> None:
    number = 5 if endpoint.startswith("unix") else 200  # of the first, the kernel takes few
    async with serving(bytes.upper, endpoint) as server:
        client = server.plain_client()
        for count in range(number):
            client.send(b"number %d" % count)
        server.stop.set()
    with client:
        assert [client.recv(100) for _ in range(number)] == [b"NUMBER %d" % n for n in range(number)]
    assert server.telemetry.served == number
    assert server.telemetry.drain_timeouts == 0


async def test_a_flood_does_not_delay_the_stop() -> None:
    async with serving() as server:
        client = server.plain_client()
        client.send(b"flood")
        server.telemetry.when_served = lambda: client.send(b"flood")
        server.stop.set()
    client.close()
    with socket.socket(type=socket.SOCK_DGRAM) as like_it:
        like_it.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        may_wait = like_it.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 256
    assert may_wait <= server.telemetry.served <= may_wait + 8 * 64  # and what was served before the stop
    assert server.telemetry.drain_timeouts == 0


async def test_without_memory_at_the_stop_what_waits_is_answered_after_a_pause(
    autojump_clock: MockClock,
) -> None:
    machine = HookedMachine(recvmsg_into=failing(errno.ENOMEM, errno.ENOMEM))
    async with serving(machine=machine) as server:
        client = server.plain_client()
        client.send(b"hello")
        server.stop.set()
    with client:
        assert client.recv(100) == b"HELLO"
    assert server.telemetry.accept_errors == [errno.ENOMEM, errno.ENOMEM]
    assert 0.1 <= autojump_clock.current_time() <= 0.2


async def test_a_retirement_ends_it_as_a_stop_does() -> None:
    retire = trio.Event()
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.settimeout(30)
        async with trio.open_nursery() as nursery:
            start = partial(serve_datagrams, bytes.upper, "udp://127.0.0.1:0", retire=retire)
            [bound] = await nursery.start(start)
            client.sendto(b"hello", (bound.host, bound.port))
            retire.set()
        assert client.recv(100) == b"HELLO"


async def test_handlers_finish_during_the_drain() -> None:
    Patient.again()
    async with serving(Patient) as server:
        client = server.plain_client()
        client.send(b"first")
        client.send(b"last")
        await Patient.waiting.wait()
        client.send(b"received at the stop")
        server.stop.set()
        await trio.testing.wait_all_tasks_blocked()
        Patient.proceed.set()
    with client:
        assert {client.recv(100) for _ in range(3)} == {b"FIRST", b"LAST", b"RECEIVED AT THE STOP"}


async def test_hanging_handlers_are_cancelled_at_the_drain_timeout(autojump_clock: MockClock) -> None:
    Patient.again()
    async with serving(Patient) as server:
        with server.plain_client() as client:
            client.send(b"last")
        await Patient.waiting.wait()
        server.stop.set()
    assert trio.current_time() == pytest.approx(Limits().drain_timeout)
    assert server.telemetry.drain_timeouts == 1
    assert not server.telemetry.failures


async def test_cancellation_ends_all_handlers_at_once(unixgram: str) -> None:
    Patient.again()
    async with serving(Patient, unixgram) as server:
        with server.plain_client() as client:
            client.send(b"last")
        await Patient.waiting.wait()
        server.everything.cancel()
    assert not await trio.Path(server.endpoints[0].path).exists()
    assert server.telemetry.drain_timeouts == 0


# Handlers.


async def test_datagrams_beyond_the_handler_limit_are_dropped() -> None:
    async with serving(Patient, limits=Limits(max_datagrams=3)) as server:
        with server.client() as client:
            for dropped in (1, 2):
                Patient.again()
                for data in (b"1", b"2", b"last", b"one too many"):
                    await client.send(data)
                await Patient.waiting.wait()
                while server.telemetry.dropped.total() < dropped:
                    await trio.lowlevel.checkpoint()
                Patient.proceed.set()
                assert {await client.recv(100) for _ in range(3)} == {b"1", b"2", b"LAST"}
            assert server.telemetry.senders == [InternetPeer(*client.getsockname())] * 2
    assert server.telemetry.dropped == {Drop.BUSY: 2}


async def test_a_failing_handler_is_reported_once_and_affects_no_other_client(endpoint: str) -> None:
    class Number(DatagramRequestHandler):
        async def handle(self) -> None:
            await self.wfile.write(b"written before it failed")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.count)

        async def count(self) -> None:
            int(self.packet)
            self.wfile.reply = None
            await self.wfile.write(self.packet)

    async with serving(Number, endpoint) as server:
        with server.client() as client:
            for data in (b"1", b"bug", b"2"):
                await client.send(data)
            assert {await client.recv(100), await client.recv(100)} == {b"1", b"2"}
    [(error, at, sender)] = server.telemetry.failures
    assert isinstance(error, ValueError)
    assert at == server.endpoints[0]
    assert isinstance(sender, InternetPeer | LocalPeer)


async def test_a_handler_that_fails_on_cancellation_is_reported(autojump_clock: MockClock) -> None:
    class Untidy(DatagramRequestHandler):
        async def handle(self) -> None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.fail_at_the_end)
                await trio.sleep_forever()

        async def fail_at_the_end(self) -> None:
            try:
                await trio.sleep_forever()
            finally:
                raise ZeroDivisionError

    async with serving(Untidy) as server:
        with server.plain_client() as client:
            client.send(b"hello")
        await trio.testing.wait_all_tasks_blocked()
        server.stop.set()
    [(error, _, _)] = server.telemetry.failures
    assert isinstance(error, ZeroDivisionError)
    assert server.telemetry.drain_timeouts == 1


# What is refused.


class Foreign:
    """A handler of another library's."""


async def waiting_service(data: bytes) -> bytes:
    """Wait, which a service may not."""
    await trio.lowlevel.checkpoint()
    return data


@pytest.mark.parametrize(
    ("service", "told"),
    [
        (Foreign, f"a handler of datagrams is a caas_trio.DatagramRequestHandler, not {Foreign}"),
        (
            StreamRequestHandler,
            f"a handler of datagrams is a caas_trio.DatagramRequestHandler, not {StreamRequestHandler}",
        ),
        (
            waiting_service,
            "a service that waits is a caas_trio.DatagramRequestHandler, not an async function",
        ),
    ],
)
async def test_what_cannot_serve_datagrams_is_refused(service: Any, told: str) -> None:
    with pytest.raises(TypeError) as caught:
        await serve_datagrams(service, "udp://127.0.0.1:0")
    assert str(caught.value) == told


async def test_other_endpoints_are_refused() -> None:
    with pytest.raises(EndpointError, match=r"^'' is not an endpoint: at least one is needed$"):
        await serve_datagrams(bytes.upper)
    with pytest.raises(EndpointError, match="datagrams are served over udp and unixgram endpoints"):
        await serve_datagrams(bytes.upper, Endpoint.parse("tcp://127.0.0.1:0"))


async def test_a_unix_datagram_socket_is_bound_like_a_stream_socket(unixgram: str, tmp_path: Path) -> None:
    async with serving(bytes.upper, unixgram, trust=Trust(unix_mode=0o600)) as server:
        path = tmp_path / "caas.sock"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with pytest.raises(ListenError, match="another server listens on it"):
            await serve_datagrams(bytes.upper, unixgram)
        assert await server.ask(b"hello") == b"HELLO"
    assert not list(tmp_path.iterdir())  # noqa: ASYNC240 - nothing else runs


async def test_a_reply_comes_from_the_address_asked(endpoint: str) -> None:
    async with serving(bytes.upper, endpoint) as server:
        with server.client() as client:
            await client.send(b"hello")
            _, sender = await client.recvfrom(100)
    expected = os.fsencode(server.address()) if endpoint.startswith("unixgram:@") else server.address()
    assert sender == expected or sender[:2] == expected


async def test_a_port_in_use_is_refused() -> None:
    async with serving() as server:
        with pytest.raises(ListenError, match="the address is in use"):
            await serve_datagrams(bytes.upper, server.endpoints[0])
        assert await server.ask(b"hello") == b"HELLO"
