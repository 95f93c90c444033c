"""`Trust`: which clients may connect."""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import tempfile
from pathlib import Path

import pytest
import trio

from caas_trio import (
    Endpoint,
    EndpointError,
    InternetPeer,
    LimitError,
    LineSession,
    LocalPeer,
    Scheme,
    Trust,
    serve_sessions,
)
from caas_trio.core.peer import Peer

from .support.recorder import Recorder

INSIDE = (ipaddress.ip_network("192.0.2.0/24"), ipaddress.ip_network("2001:db8::/32"))


@pytest.mark.parametrize(
    ("peer", "objection"),
    [
        (InternetPeer("192.0.2.255", 1), None),
        (InternetPeer("::ffff:192.0.2.255", 1), None),
        (InternetPeer("192.0.3.0", 1), "the address is not allowed"),
        (InternetPeer("2001:db8::1", 1), None),
        (InternetPeer("fe80::1%lo", 1), "the address is not allowed"),
        (InternetPeer("", 0), "the address is not allowed"),
        (LocalPeer(1, 1000, 1000), None),
        (LocalPeer(1, 1001, 1000), "the user is not allowed"),
        (LocalPeer(), "the user is not allowed"),
    ],
)
def test_the_lists_of_networks_and_users(peer: Peer, objection: str | None) -> None:
    assert Trust(allow_from=INSIDE, allow_uids=frozenset({1000})).objection(peer) == objection
    assert Trust().objection(peer) is None


@pytest.mark.parametrize("mode", [-1, 0o1000, 0o4755])
def test_a_mode_has_permission_bits_only(mode: int) -> None:
    assert Trust(unix_mode=0o777).unix_mode == 0o777
    assert Trust(unix_mode=0).unix_mode == 0
    with pytest.raises(LimitError, match=f"^unix_mode is {mode}; it must be 0 to 0o777$"):
        Trust(unix_mode=mode)


def test_networks_of_ipv4_mapped_addresses_are_refused() -> None:
    mapped = (ipaddress.ip_network("::ffff:192.0.2.0/120"),)
    expected = "must be networks of IPv4 addresses, written as such"
    given = re.escape(repr(mapped[0]))  # which CPython 3.13 writes otherwise
    with pytest.raises(LimitError, match=f"^allow_from is {given}; it {expected}$"):
        Trust(allow_from=(*INSIDE, *mapped))
    with pytest.raises(LimitError, match=f"^proxy_from is {given}; it {expected}$"):
        Trust(proxy_from=mapped)


def test_peer_credentials_are_read_only_if_needed() -> None:
    assert Trust(allow_from=INSIDE).asks_for(("192.0.2.1", 1))
    assert not Trust(allow_from=INSIDE).asks_for("")
    assert Trust(allow_uids=frozenset({1})).asks_for("")
    assert not Trust(allow_uids=frozenset({1})).asks_for(("192.0.2.1", 1))


def test_a_header_is_expected_on_configured_endpoints() -> None:
    here, there = Endpoint.parse("tcp://localhost:0"), Endpoint.parse("unix:/there")
    bound = [Endpoint.parse("tcp://localhost:1"), Endpoint.parse("tcp://localhost:2"), there]
    trust = Trust(proxy_on=frozenset({here})).bound(list(zip([here, here, there], bound, strict=True)))
    assert [trust.expects_header(endpoint) for endpoint in bound] == [True, True, False]
    assert Trust(proxy_protocol=True).expects_header(there)
    reason = "a PROXY header is expected there, but it is not served"
    with pytest.raises(EndpointError, match=f"^'tcp://localhost:0' is not an endpoint: {reason}$"):
        Trust(proxy_on=frozenset({here})).bound([(there, there)])


@pytest.mark.parametrize(
    ("peer", "objection"),
    [
        (InternetPeer("127.255.0.1", 1), None),
        (InternetPeer("::1", 1), None),
        (InternetPeer("192.0.2.1", 1), "the address is no proxy's"),
        (LocalPeer(1, 1000, 1000), None),
        (LocalPeer(1, 1001, 1000), "the user is not allowed"),
    ],
)
def test_proxies_are_on_loopback_by_default(peer: Peer, objection: str | None) -> None:
    trust = Trust(proxy_protocol=True, allow_from=INSIDE, allow_uids=frozenset({1000}))
    assert trust.objection_to_proxy(peer) == objection


@pytest.mark.parametrize(
    ("endpoint", "exposed"),
    [
        ("tcp://0.0.0.0:1", True),
        ("tcp://[::]:1", True),
        ("tcp://192.0.2.1:1", True),
        ("tcp://example.org:1", True),
        ("udp://[2001:db8::1]:1", True),
        ("tcp://127.0.0.2:1", False),
        ("udp://[::1]:1", False),
        ("tcp://localhost:1", False),
        ("tcp://LocalHost.:1", False),
        ("tcp://localhost.example:1", True),
        ("tcp://localhostX:1", True),
        ("tls://0.0.0.0:1", False),
        ("unix:/a", False),
    ],
)
def test_public_plain_endpoints_are_exposed(endpoint: str, *, exposed: bool) -> None:
    here = Endpoint.parse(endpoint)
    assert Trust().exposes(here) is exposed
    assert not Trust(allow_from=INSIDE).exposes(here)
    # A datagram never begins with a header.
    assert Trust(proxy_on=frozenset({here})).exposes(here) is (exposed and here.scheme is Scheme.UDP)


async def ask(endpoint: Endpoint) -> bytes:
    """Return what a client is answered, up to the end of the stream, and whether that was a cut."""
    family = socket.AF_UNIX if endpoint.path else socket.AF_INET
    with trio.socket.socket(family, socket.SOCK_STREAM) as client:
        await client.connect(endpoint.path or (endpoint.host, endpoint.port))
        answer = b""
        try:
            await client.send(b"hello\n")
            client.shutdown(socket.SHUT_WR)
            while data := await client.recv(100):
                answer += data
        except OSError:
            return answer + b" and cut off"
        return answer


@pytest.mark.parametrize("welcome", [True, False])
async def test_a_stranger_gets_no_answer(nursery: trio.Nursery, *, welcome: bool) -> None:
    trust = Trust(
        allow_from=(ipaddress.ip_network("127.0.0.0/8"),) if welcome else INSIDE,
        allow_uids=frozenset({os.geteuid() if welcome else os.geteuid() + 1}),
    )
    refusals = Recorder()
    with tempfile.TemporaryDirectory() as folder:

        async def serve(task_status: trio.TaskStatus[list[Endpoint]]) -> None:
            await serve_sessions(
                lambda: LineSession(bytes.upper),
                "tcp://127.0.0.1:0",
                f"unix:{Path(folder, 's')}",
                trust=trust,
                telemetry=refusals,
                task_status=task_status,
            )

        endpoints: list[Endpoint] = await nursery.start(serve)
        answers = [await ask(endpoint) for endpoint in endpoints]
        nursery.cancel_scope.cancel()
    if welcome:
        assert (answers, refusals.reasons) == ([b"HELLO\n"] * 2, [])
    else:
        assert {answer.removesuffix(b" and cut off") for answer in answers} == {b""}
        assert refusals.reasons == ["the address is not allowed", "the user is not allowed"]
        somebody, us = refusals.peers
        assert isinstance(somebody, InternetPeer)
        assert (somebody.host, somebody.port > 0) == ("127.0.0.1", True)
        assert us == LocalPeer(os.getpid(), os.geteuid(), os.getegid())
        assert refusals.places == endpoints
