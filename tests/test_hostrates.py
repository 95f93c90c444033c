"""How fast hosts connect: a bucket for each, as exact as the clock, and bounded whoever connects."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caas_trio.server.hostrates import MAX_HOSTS, HostRates


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1e6

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("rate", [1, 2, 3, 7, 10, 1000])
def test_as_many_as_in_a_second_may_come_at_once_and_then_one_after_the_other(rate: int) -> None:
    clock = Clock()
    rates = HostRates(rate, clock)
    assert [rates.admit("a") for _ in range(rate + 2)] == [*[True] * rate, False, False]
    for _ in range(5):
        clock.now += 1 / rate
        assert [rates.admit("a"), rates.admit("a")] == [True, False]
    clock.now += 1
    assert sum(rates.admit("a") for _ in range(2 * rate)) == rate


def test_hosts_do_not_share_a_bucket() -> None:
    rates = HostRates(1, Clock())
    assert [rates.admit(host) for host in ("a", "b", "a", "b")] == [True, True, False, False]


def test_a_refused_connection_does_not_delay_the_next_one() -> None:
    clock = Clock()
    rates = HostRates(2, clock)
    for _ in range(10):
        rates.admit("a")
    clock.now += 0.5
    assert rates.admit("a")


@given(st.lists(st.floats(0, 2), max_size=60), st.integers(1, 5))
def test_no_second_has_more_than_twice_the_rate(pauses: list[float], rate: int) -> None:
    clock = Clock()
    rates = HostRates(rate, clock)
    admitted: list[float] = []
    for pause in pauses:
        clock.now += pause
        if rates.admit("a"):
            admitted.append(clock.now)
    for begin in admitted:
        assert sum(begin <= at < begin + 1 - 1e-5 for at in admitted) <= 2 * rate
    assert len(admitted) <= rate + rate * sum(pauses) + 1e-3


def test_hosts_with_a_full_bucket_are_forgotten_two_at_a_time() -> None:
    clock = Clock()
    rates = HostRates(10, clock)
    for number in range(100):
        rates.admit(number)
    assert len(rates) == 100
    clock.now += 0.1  # all their buckets are full again, just now
    rates.admit(100)
    assert len(rates) == 99  # one more, and two forgotten: none pays for all
    for number in range(101, 200):
        rates.admit(number)
    assert len(rates) == 100


def test_a_network_of_attackers_takes_so_much_memory_and_no_more() -> None:
    rates = HostRates(1, Clock())
    first = int(ipaddress.ip_address("2001:db8::"))
    for number in range(MAX_HOSTS + 10):
        assert rates.admit(ipaddress.ip_network((first + (number << 64), 64)))
    assert len(rates) == MAX_HOSTS
    assert not rates.admit(ipaddress.ip_network((first + (number << 64), 64)))


def test_the_host_that_has_been_silent_for_longest_is_forgotten_first() -> None:
    clock = Clock()
    rates = HostRates(2, clock, max_hosts=3)
    for host in ("a", "b", "c", "a", "d"):
        clock.now += 0.001
        assert rates.admit(host)
    assert not rates.admit("a")
    assert rates.admit("b")
