"""Admission: counts in all and by host, and a spare descriptor for when there are none."""

from __future__ import annotations

import ipaddress
import socket

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from caas_trio import AtCapacity, Endpoint, Limits
from caas_trio.drivers.machine import Machine
from caas_trio.server.admission import (
    NO_PLACE,
    REFUSAL,
    Admission,
    SpareDescriptor,
    connection_limit,
    refuse,
    words_for,
)

from .support.sockets import descriptors


class Refusing(Machine):
    """A machine that has room for two refused connections."""

    gentle_refusals = 2


A, B = ipaddress.ip_address("192.0.2.1"), ipaddress.ip_address("192.0.2.2")


def test_connections_up_to_the_limit_are_admitted() -> None:
    admission = Admission(Limits(max_connections=2))
    assert [admission.admit(A), admission.admit(A), admission.admit(A)] == [
        None,
        None,
        "too many connections",
    ]
    admission.release(A)
    assert admission.admit(B) is None
    assert admission.open == 2


@pytest.mark.parametrize(
    ("one", "same", "other"),
    [
        ("192.0.2.1", "192.0.2.1", "192.0.2.2"),
        ("2001:db8::1", "2001:db8::ffff:1", "2001:db8:0:1::1"),
        ("::ffff:192.0.2.1", "192.0.2.1", "::ffff:192.0.2.2"),
        ("fe80::1%lo", "fe80::2%lo", "fe80:0:0:1::1%lo"),
    ],
)
def test_an_ipv6_host_counts_by_its_64(one: str, same: str, other: str) -> None:
    admission = Admission(Limits(max_per_host=1))
    assert admission.admit(admission.host_of(one)) is None
    assert admission.admit(admission.host_of(same)) == "too many connections from this host"
    assert admission.admit(admission.host_of(other)) is None
    admission.release(admission.host_of(one))
    assert admission.admit(admission.host_of(same)) is None
    assert admission.open == 2
    assert len(admission._by_host) == 2


def test_hosts_are_not_counted_without_a_limit() -> None:
    admission = Admission(Limits())
    assert admission.host_of("192.0.2.1") is None
    assert admission.admit(None) is None
    admission.release(None)
    assert admission.open == 0


def test_hosts_without_connections_are_forgotten() -> None:
    admission = Admission(Limits(max_per_host=1))
    admission.admit(A)
    admission.release(A)
    admission.release_host(None)
    assert not admission._by_host


def test_a_closed_connection_makes_room_for_its_host() -> None:
    admission = Admission(Limits(max_per_host=2))
    assert [admission.admit(A), admission.admit(A)] == [None, None]
    admission.release(A)
    assert [admission.admit(A), admission.admit(A)] == [None, "too many connections from this host"]


async def test_a_host_that_connects_too_fast_is_refused(mock_clock: MockClock) -> None:
    admission = Admission(Limits(max_rate_per_host=2))
    assert admission.counts_hosts
    one, same = admission.host_of("2001:db8::1"), admission.host_of("2001:db8::2")
    assert [admission.admit(one), admission.admit(same)] == [None, None]
    assert admission.admit(one) == "too many new connections from this host"
    assert admission.admit(B) is None
    assert admission.open == 3
    mock_clock.jump(0.5)
    assert admission.admit(one) is None
    for host in (one, one, one, B):
        admission.release(host)
    assert admission.open == 0
    assert not admission._by_host


async def test_a_connection_that_a_host_may_not_have_does_not_count_as_a_new_one(
    mock_clock: MockClock,
) -> None:
    admission = Admission(Limits(max_per_host=1, max_rate_per_host=2))
    assert admission.admit(A) is None
    for _ in range(5):
        assert admission.admit(A) == "too many connections from this host"
    admission.release(A)
    assert admission.admit(A) is None
    admission.release(A)
    assert admission.admit(A) == "too many new connections from this host"
    assert not admission._by_host


def test_at_a_stop_clients_that_would_wait_are_refused() -> None:
    admission = Admission(Limits(max_connections=2, at_capacity=AtCapacity.WAIT))
    found = [(admission.room, admission.shut)]
    for _ in range(2):
        assert admission.admit() is None
        found.append((admission.room, admission.shut))
    admission.end_waiting()
    found.append((admission.room, admission.shut))
    assert found == [(2, False), (1, False), (0, True), (0, False)]
    assert admission.admit() == "too many connections"
    admission.release(NO_PLACE)
    assert admission.open == 2


def test_a_host_that_becomes_known_later_is_counted_from_then_on() -> None:
    admission = Admission(Limits(max_per_host=1))
    assert [admission.admit_host(host) for host in (None, None, A, A, B)] == [
        *[None] * 3,
        "too many connections from this host",
        None,
    ]
    admission.release_host(None)
    assert set(admission._by_host) == {A, B}


def test_so_many_refused_connections_linger_and_no_more() -> None:
    admission = Admission(Limits(), Refusing())
    for refusing, gentle in ((0, True), (1, True), (2, False), (3, False)):
        admission.refusing = refusing
        assert admission.gentle is gentle


def test_a_client_of_tls_gets_no_error_line() -> None:
    assert words_for(Endpoint.parse("tls://127.0.0.1:1")) == b""
    assert words_for(Endpoint.parse("unix:/run/caas")) == REFUSAL


def test_unix_sockets_do_not_count_by_host() -> None:
    admission = Admission(Limits(max_per_host=1))
    assert admission.host_of(None) is None
    assert [admission.admit(None), admission.admit(None)] == [None, None]
    admission.release(None)
    assert admission.open == 1


async def test_with_wait_new_connections_wait_for_room(nursery: trio.Nursery) -> None:
    admission = Admission(Limits(max_connections=1, at_capacity=AtCapacity.WAIT))
    await admission.wait_while_shut()
    admission.admit(A)
    assert admission.shut
    in_the_end = trio.Event()

    async def wait() -> None:
        await admission.wait_while_shut()
        in_the_end.set()

    nursery.start_soon(wait)
    await trio.testing.wait_all_tasks_blocked()
    assert not in_the_end.is_set()
    admission.release(A)
    await in_the_end.wait()


class LimitedMachine(Machine):
    """A machine with a number of descriptors, or none left for a spare."""

    def __init__(self, limit: int | None = None, *, has_spare: bool = True) -> None:
        self.limit = limit
        self.has_spare = has_spare

    def max_descriptors(self) -> int | None:
        return self.limit

    def open_spare(self) -> int:
        if not self.has_spare:
            raise OSError
        return super().open_spare()


def test_the_default_follows_the_limit_on_descriptors() -> None:
    assert connection_limit(10000, LimitedMachine(1024)) == 1024 - 48
    assert connection_limit(10, LimitedMachine(1024)) == 10
    assert connection_limit(10000, LimitedMachine(16)) == 1
    assert connection_limit(10000, LimitedMachine(None)) == 10000
    assert Admission(Limits(), LimitedMachine(1024)).limit == 1024 - 48


def test_only_so_many_refused_connections_may_linger() -> None:
    machine = LimitedMachine()
    machine.gentle_refusals = 2
    admission = Admission(Limits(), machine)
    gentle = []
    for _ in range(3):
        gentle.append(admission.gentle)
        admission.refusing += 1
    assert gentle == [True, True, False]


def test_a_refused_client_gets_the_error_line_and_no_reset() -> None:
    client, server = socket.socketpair()
    client.sendall(b"x" * 1000)
    refuse(server)
    assert server.fileno() == -1
    with client:
        assert client.recv(100) == REFUSAL
        assert client.recv(100) == b""


def test_refusing_a_reset_connection_is_harmless() -> None:
    client, server = socket.socketpair()
    client.close()
    refuse(server)
    assert server.fileno() == -1


def test_the_spare_descriptor_serves_one_refusal_at_a_time() -> None:
    spare = SpareDescriptor()
    before = descriptors()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        with socket.create_connection(listening.getsockname()) as client:
            assert spare.reject(listening)
            assert client.recv(100) == REFUSAL
        listening.setblocking(False)  # noqa: FBT003
        assert not spare.reject(listening)  # the queue is empty
    assert descriptors() == before
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        socket.create_connection(listening.getsockname()) as client,
    ):
        assert spare.reject(listening, b"")  # as over TLS
        assert client.recv(100) == b""
    spare.close()
    spare.close()
    assert len(descriptors()) == len(before) - 1


def test_without_a_spare_descriptor_no_client_is_refused() -> None:
    machine = LimitedMachine(has_spare=False)
    spare = SpareDescriptor(machine)
    machine.has_spare = True
    with socket.create_server(("127.0.0.1", 0)) as listening:
        assert not spare.reject(listening)
        with socket.create_connection(listening.getsockname()) as client:
            assert spare.reject(listening)
            assert client.recv(100) == REFUSAL
        machine.has_spare = False
        with socket.create_connection(listening.getsockname()) as client:
            assert spare.reject(listening)
        assert not spare.reject(listening)  # there was no other one to be had
    spare.close()
