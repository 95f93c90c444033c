"""Which datagrams are served, and which replies are sent: the rules alone."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caas_trio import InternetPeer, LocalPeer
from caas_trio.core.datagramrules import Datagram, Drop, Rules

OWN = ("127.0.0.1", 50007)
CLIENT = ("192.0.2.1", 40000)
RULES = Rules(OWN)


@pytest.mark.parametrize("reply", [b"", b"A", b"ABC"])
def test_a_reply_as_long_as_its_request_is_sent(reply: bytes) -> None:
    datagram = Datagram(b"abc", CLIENT)
    assert RULES.ignored(datagram) is None
    assert RULES.withheld(datagram, reply) is None


def test_a_longer_reply_is_not_sent() -> None:
    assert RULES.withheld(Datagram(b"abc", CLIENT), b"ABCD") is Drop.LONGER
    assert RULES.withheld(Datagram(b"", CLIENT), b"A") is Drop.LONGER


def test_a_truncated_datagram_is_not_served() -> None:
    assert RULES.ignored(Datagram(b"abc", CLIENT, whole=False)) is Drop.OVERSIZE


def test_a_multicast_datagram_is_served_and_not_answered() -> None:
    datagram = Datagram(b"abc", CLIENT, to_many=True)
    assert RULES.ignored(datagram) is None
    assert RULES.withheld(datagram, b"ABC") is Drop.TO_MANY


@pytest.mark.parametrize("address", [None, "", b"", ("192.0.2.1", 0), ("2001:db8::1", 0, 0, 0)])
@pytest.mark.parametrize("reply_to_servers", [False, True])
def test_a_sender_without_an_address_is_not_answered(address: object, reply_to_servers: bool) -> None:  # noqa: FBT001
    rules = Rules(OWN, reply_to_servers)
    assert rules.withheld(Datagram(b"abc", address), b"ABC") is Drop.NO_ADDRESS


@pytest.mark.parametrize(
    ("own", "address"),
    [
        (OWN, OWN),
        (OWN, ("192.0.2.1", 50007)),
        (OWN, ("192.0.2.1", 1)),
        (OWN, ("192.0.2.1", 7)),
        (OWN, ("192.0.2.1", 1023)),
        (("::1", 50007, 0, 0), ("2001:db8::1", 50007, 0, 0)),
        ("/run/caas.sock", "/run/caas.sock"),
        (b"\0caas", b"\0caas"),
    ],
)
def test_a_server_is_answered_only_on_request(own: object, address: object) -> None:
    datagram = Datagram(b"abc", address)
    assert Rules(own).withheld(datagram, b"ABC") is Drop.SERVER
    assert Rules(own, reply_to_servers=True).withheld(datagram, b"ABC") is None


@pytest.mark.parametrize(
    ("own", "address"),
    [
        (OWN, ("127.0.0.1", 50008)),
        (OWN, ("192.0.2.1", 1024)),
        (("::1", 50007, 0, 0), ("::1", 1024, 0, 0)),
        ("/run/caas.sock", "/run/client.sock"),
        ("/run/caas.sock", b"\0client"),
    ],
)
def test_a_client_is_answered(own: object, address: object) -> None:
    assert Rules(own).withheld(Datagram(b"abc", address), b"ABC") is None


def test_the_peer_of_a_datagram() -> None:
    assert Datagram(b"", ("192.0.2.1", 5)).peer == InternetPeer("192.0.2.1", 5)
    assert Datagram(b"", ("2001:db8::1", 5, 0, 0)).peer == InternetPeer("2001:db8::1", 5)
    process = LocalPeer(1, 2, 3)
    for address in (None, "/run/client.sock", b"\0client"):
        assert Datagram(b"", address, process=process).peer == process


HOSTS = st.sampled_from(["127.0.0.1", "192.0.2.1", "255.255.255.255"])
PORTS = st.integers(0, 2000) | st.integers(0, 65535) | st.just(OWN[1])
ADDRESSES = st.none() | st.text(max_size=5) | st.binary(max_size=5) | st.tuples(HOSTS, PORTS)


def two_of_us(datagram: Datagram) -> int:
    """Return how many replies two servers of this kind send each other, at most 100."""
    here, there = ("127.0.0.1", 50007), ("192.0.2.1", 50007)
    replies = 0
    while Rules(here).withheld(datagram, datagram.data) is None and replies < 100:
        replies += 1
        datagram = Datagram(datagram.data, here)
        here, there = there, here
    return replies


@given(st.binary(max_size=8), ADDRESSES, st.booleans(), st.booleans(), st.binary(max_size=8))
def test_no_reply_amplifies_and_none_begins_a_loop(
    data: bytes,
    address: Any,
    whole: bool,  # noqa: FBT001
    to_many: bool,  # noqa: FBT001
    reply: bytes,
) -> None:
    datagram = Datagram(data, address, whole, to_many)
    assert (RULES.ignored(datagram) is None) == whole
    if RULES.withheld(datagram, reply) is None:
        assert len(reply) <= len(data)
        assert not to_many
        assert address
        assert not isinstance(address, tuple) or (address[1] >= 1024 and address[1] != OWN[1])
    assert two_of_us(datagram) <= 1
