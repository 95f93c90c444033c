"""Hosts of a simulated network: trio's own programs on them, and their methods for tests."""

from __future__ import annotations

import errno
import math
import socket
import types
from functools import partial

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from caas_trio import LineSession, serve_sessions
from caas_trio.testing import Conditions, Network, TraceEvent
from caas_trio.testing.host import Host
from caas_trio.testing.scheduling import seed_scheduler
from caas_trio.testing.triosocket import TrioSocket
from tests.support.recorder import Recorder

from .test_serving import serving

pytestmark = pytest.mark.usefixtures("autojump_clock")


async def echo(stream: trio.SocketStream) -> None:
    async for chunk in stream:
        await stream.send_all(chunk)


async def test_trios_own_servers_and_clients_run_on_a_host(autojump_clock: MockClock) -> None:
    host = Network().host("here")
    with host.installed():
        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(partial(trio.serve_tcp, echo, 7, host="localhost"))
            for place in ("localhost", "127.0.0.1", "::1"):
                async with await trio.open_tcp_stream(place, 7) as stream:
                    await stream.send_all(b"hello")
                    assert await stream.receive_some() == b"hello"
            assert len(listeners) == 2
            nursery.cancel_scope.cancel()
    with trio.socket.socket() as real:
        assert not isinstance(real, TrioSocket)
    assert await trio.socket.getnameinfo(("127.0.0.1", 7), socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)


async def test_names_are_looked_up_as_getaddrinfo_does(autojump_clock: MockClock) -> None:
    network = Network()
    host, other = network.host("here"), network.host("there")
    with host.installed():
        assert [found[4] for found in await trio.socket.getaddrinfo("there", 7)] == [
            (other.address, 7),
            (other.addresses_of("there")[1], 7, 0, 0),
        ]
        found = await trio.socket.getaddrinfo(None, 7, flags=socket.AI_PASSIVE, family=socket.AF_INET6)
        assert {each[4][0] for each in found} == {"::"}
        assert await trio.socket.getnameinfo(("10.0.0.2", 7), 0) == ("10.0.0.2", "7")
        with pytest.raises(socket.gaierror):
            await trio.socket.getaddrinfo("nowhere", 7)
    assert network.host("there") is other
    assert host.addresses_of("") == ("127.0.0.1", "::1")
    assert host.addresses_of("", passive=True) == ("0.0.0.0", "::")  # noqa: S104 - simulated


async def test_a_trio_socket_has_the_methods_of_trios(autojump_clock: MockClock) -> None:
    network = Network()
    host = network.host("here")
    with host.trio_socket(socket.AF_INET, socket.SOCK_STREAM) as listening:
        await listening.bind(("localhost", 7))
        listening.listen()
        with host.trio_socket(socket.AF_INET, socket.SOCK_STREAM) as client:
            await client.connect(("localhost", 7))
            accepted, address = await listening.accept()
            assert address == client.getsockname()
            assert client.getpeername() == listening.getsockname() == ("127.0.0.1", 7)
            assert not accepted.is_readable()
            assert await client.send(b"hello") == 5
            assert accepted.is_readable()
            buffer = bytearray(3)
            assert await accepted.recv_into(buffer) == 3
            assert (client.family, client.type, client.proto) == (socket.AF_INET, socket.SOCK_STREAM, 0)
            assert not client.did_shutdown_SHUT_WR
            client.shutdown(socket.SHUT_RD)
            assert not client.did_shutdown_SHUT_WR
            assert repr(client) == "<simulated socket 4 of here>"
            await client.wait_writable()
            accepted.close()
        assert client.fileno() == -1
    with pytest.raises(OSError, match="Bad file descriptor"):
        await client.recv(1)
    with host.trio_socket(socket.AF_INET6, socket.SOCK_STREAM) as six, pytest.raises(socket.gaierror):
        await six.bind(("127.0.0.1", 7))


async def test_a_connect_that_fails_or_is_cancelled_leaves_nothing_open(autojump_clock: MockClock) -> None:
    network = Network()
    host = network.host("client")
    with pytest.raises(ConnectionRefusedError):
        await host.open_tcp(network.host("server").name, 7)
    with pytest.raises(FileNotFoundError):
        await host.open_unix("/run/nobody")
    full = host.new_socket(socket.AF_UNIX, socket.SOCK_STREAM)
    full.bind("/run/full")
    full.listen(0)
    async with await host.open_unix("/run/full"):
        with pytest.raises(BlockingIOError):
            await host.open_unix("/run/full")
    full.close()
    with pytest.raises(socket.gaierror):
        await host.open_tcp("nowhere", 7)
    network.partition("client", "server")
    with trio.move_on_after(10) as scope:
        await host.open_tcp("server", 7)
    assert scope.cancelled_caught
    assert host.open_descriptors == 0
    with pytest.raises(OSError, match="Protocol not supported"):
        host.new_socket(socket.AF_INET, socket.SOCK_RAW)


async def test_waiting_is_as_in_trio(autojump_clock: MockClock) -> None:
    host = Network().host("here")
    sock = host.new_socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.bind(("127.0.0.1", 7))
    sock.listen()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(host.wait_readable, sock)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(trio.BusyResourceError):
            await host.wait_readable(sock)
        nursery.cancel_scope.cancel()
    with pytest.RaisesGroup(trio.ClosedResourceError):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(host.wait_readable, sock)
            await trio.testing.wait_all_tasks_blocked()
            host.notify_closing(sock)
            sock.close()
    with pytest.raises(trio.ClosedResourceError):
        await host.wait_readable(sock)
    assert host.monotonic() == trio.current_time()


async def test_without_descriptors_a_client_gets_an_error_and_the_server_goes_on(
    autojump_clock: MockClock,
) -> None:
    network = Network()
    server, client, telemetry = network.host("server"), network.host("client"), Recorder()
    async with trio.open_nursery() as nursery:
        start = partial(serve_sessions, partial(LineSession, bytes.upper), "tcp://server:7", machine=server)
        await nursery.start(partial(start, telemetry=telemetry))
        server.limit_descriptors(server.open_descriptors)
        async with await client.open_tcp("server", 7) as stream:
            assert await stream.receive_some() == b"error: too many connections\n"
        server.limit_descriptors(100)
        server.fail_accepts(errno.ENOBUFS)
        async with await client.open_tcp("server", 7) as stream:
            await stream.send_all(b"a\n")
            assert await stream.receive_some() == b"A\n"
        nursery.cancel_scope.cancel()
    assert telemetry.accept_errors == [errno.EMFILE, errno.EMFILE, errno.ENOBUFS]
    assert server.open_descriptors == client.open_descriptors == 0


async def test_the_peer_of_a_unix_socket_is_the_one_that_the_test_sets(autojump_clock: MockClock) -> None:
    host = Network().host("here")
    async with serving(host, "stream", "unix:/run/caas"):
        host.set_credentials(7, 8, 9)
        async with await host.open_unix("/run/caas") as stream:
            peer = stream.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            assert peer == b"".join(number.to_bytes(4, "little") for number in (7, 8, 9))


async def test_half_a_pair_is_not_left_open(autojump_clock: MockClock) -> None:
    host = Network().host("here")
    host.limit_descriptors(1)
    with pytest.raises(OSError, match="Too many open files"):
        host.socket_pair()
    assert host.open_descriptors == 0


async def test_a_host_of_a_class_of_ones_own_and_without_a_trace(autojump_clock: MockClock) -> None:
    class Refusing(Host):
        def open_spare(self) -> int:
            raise OSError(errno.EMFILE, "none")

    network = Network(traced=False)
    host = network.add_host("here", Refusing)
    assert network.host("here") is host
    with pytest.raises(OSError, match="none"):
        host.open_spare()
    one, other = host.socket_pair()
    one.send(b"sent")
    assert other.recv(10) == b"sent"
    assert not network.trace


async def test_two_hosts_cannot_have_one_name(autojump_clock: MockClock) -> None:
    network = Network()
    network.host("here")
    with pytest.raises(ValueError, match=r"^there is a host 'here' already$"):
        network.add_host("here", Host)


async def test_small_buffers_hold_little(autojump_clock: MockClock) -> None:
    network = Network()
    server = network.host("server")
    server.set_buffers(receive=10)
    network.host("client").set_buffers(send=5)
    server.set_buffers()
    with server.installed():
        listening = await trio.open_tcp_listeners(7, host="server")
    stream = await network.host("client").open_tcp("server", 7)
    assert await stream.socket.send(b"x" * 100) == 15
    for each in (*listening, stream):
        await each.aclose()


async def test_a_test_holds_partitions_and_resets(autojump_clock: MockClock) -> None:
    network = Network(conditions=Conditions(latency=0.1))
    async with serving(network.host("server"), "hub", "tcp://server:7"):
        stream = await network.host("client").open_tcp("server", 7)
        network.hold("client", "server")
        await stream.send_all(b"a\n")
        with trio.move_on_after(10) as scope:
            await stream.receive_some()
        assert scope.cancelled_caught
        network.release("client", "server")
        assert await stream.receive_some() == b"A\n"
        with network.partitioned("client", "server"):
            await stream.send_all(b"b\n")
            await trio.sleep(1)
        assert await stream.receive_some() == b"B\n"
        network.reset("client", "server")
        with pytest.raises(trio.BrokenResourceError):
            await stream.receive_some()
        await stream.aclose()
    assert TraceEvent(0.2, "client>server", "hold") in network.trace
    assert [event.what for event in network.trace if event.where == "client>server"] == [
        "hold",
        "release",
        "partition",
        "repair",
    ]


async def test_an_earlier_event_is_not_late(autojump_clock: MockClock) -> None:
    network = Network(conditions=Conditions(latency=10))
    for name in ("slow", "fast"):
        sock = network.host(name).new_socket(socket.AF_INET, socket.SOCK_DGRAM)
        network.link("fast", "server").conditions = Conditions(latency=1)
        sock.sendto(name.encode(), (network.host("server").address, 7))
    began = trio.current_time()
    await trio.sleep(20)
    times = {event.data: event.time for event in network.trace if event.what == "arrived"}
    assert times == {b"slow": 10, b"fast": 1}
    assert network.ordered
    assert began < math.inf


def test_a_trio_that_cannot_be_seeded_is_noticed() -> None:
    assert seed_scheduler(0)
    assert not seed_scheduler(0, "trio.no_such_module")
    assert not seed_scheduler(0, types.__name__)
