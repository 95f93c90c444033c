"""The handshakes before a conversation: `Handshaker` and TLS over a simulated socket, over both drivers.

The client hands on as it likes what it has to show, a PROXY header or a TLS handshake, and what it says.

The client's side is OpenSSL's own, in memory; what it says is cut at any byte, tampered with, ended with
close_notify or without, or is no TLS at all. Each conversation gets the replies of the plain one up to
where it was spoiled, and an end that the client can tell from a cut.

An input decides what is done. The bytes on the wire differ each time, as keys are drawn; their number does
not, but for a few bytes of a client's certificate: a signature may be shorter.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import cache, partial
from typing import Final

import trio

from caas_trio.core.endpoint import Endpoint
from caas_trio.core.session import First
from caas_trio.core.trust import Trust
from caas_trio.drivers.choice import DriverName, make_driver
from caas_trio.server.admission import Admission
from caas_trio.server.handshaker import Handshaker
from caas_trio.testing import Host, Network
from fuzz.script import header, steps, tokens
from tests.certificates import HOST, authority, client_context, server_context

from .conversation import Plan
from .playing import Player, play_alone, unwrapped
from .tls_client import RECORD, TlsClient
from .tls_runner import ALL, FEW, KNOWN, LIMITS, STRANGER, TlsScriptRunner

MODULES: Final = (
    "caas_trio.server.handshaker",
    "caas_trio.core.tlsengine",
    "caas_trio.drivers.tlsstream",
)
TOKENS: Final = tokens(KNOWN)

#: Session tickets, of some 250 bytes or 1000, stand for answers that are never flushed: Python asks for none.
#: So many are more than `MAX_UNSAID`.
_SOME_TICKETS, _MANY_TICKETS = 2, 300
_VERSIONS: Final = (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2)
_SECURE: Final = Endpoint.parse("tls://127.0.0.1:50007")
#: A reply that fills a record does not fit.
_SMALL_BUFFER: Final = 4096
_PLAIN_ONE: Final = Endpoint.parse("tcp://127.0.0.1:50007")
#: What a proxy may send: a client, itself, no address; a client that may not connect; what is no header.
_HEADERS: Final = (
    b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
    b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0",
    b"PROXY UNKNOWN\r\n",
    f"PROXY TCP4 {STRANGER} 192.0.2.2 1 2\r\n".encode(),
    b"GET / HTTP/1.1\r\n",
)
_WELCOME: Final = 3  # so many of them are
_ALLOWED: Final = (ipaddress.ip_network("192.0.2.0/24"),)
_FIRSTS: Final = tuple(First)


@cache
def _server_side(*, asking: bool, tickets: int) -> ssl.SSLContext:
    """Return a server's context, which may ask for a certificate."""
    if not asking:
        return server_context(tickets=tickets)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.num_tickets = tickets
    authority().issue_cert(HOST).configure_cert(context)
    authority().configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


@cache
def _client_side(version: ssl.TLSVersion, *, shown: bool, trusting: bool) -> ssl.SSLContext:
    """Return a client's context, which may show a certificate and may trust the server's."""
    if trusting:
        return client_context(version, shown=authority().issue_cert("client") if shown else None)
    context = ssl.create_default_context()
    context.minimum_version = context.maximum_version = version
    return context


def _plan(modes: int, limit: int, first: First, *, sips: bool, posts: bool) -> Plan:
    """Return the plan in a header, as far as it suits what is to serve."""
    plan = Plan.of(bytes([modes, limit % 23 + 1]), first)
    if limit & 128:
        plan.limit = RECORD
    if posts:
        plan.suit_handlers()
    if sips and plan.first is First.EITHER:
        plan.first = First.CLIENT
    return plan


def check(data: bytes) -> None:
    """Play one script in a run of its own."""
    play_alone(open_player, data)


@asynccontextmanager
async def open_player() -> AsyncIterator[Player]:
    """Yield the function that plays a script."""
    yield partial(play, Network(traced=False).host("server"))


async def play(host: Host, data: bytes) -> None:
    """Play one script; the clock has to be a mock clock that jumps."""
    modes, limit, settings, count = header(data)
    secure, proxied = not modes & 128, bool(modes & 64)
    sips = count % 7 + 1 if limit & 192 == 64 and secure else 0
    posts = limit & 192 == 192 and not proxied
    plan = _plan(modes, limit, _FIRSTS[settings % 3], sips=bool(sips), posts=posts)
    asking, shown, trusting = bool(settings & 8), bool(settings & 16), not settings & 32
    context = _client_side(_VERSIONS[settings >> 2 & 1], shown=shown, trusting=trusting) if secure else None
    shows = _HEADERS[count % len(_HEADERS)] if proxied else b""
    admission, crowded = Admission(LIMITS), proxied and limit & 192 == 192
    if crowded:  # by connections of the host in the first header
        admission = Admission(replace(LIMITS, max_per_host=1))
        admission.admit_host(admission.host_of("192.0.2.1"))
    shown_header = count % len(_HEADERS)
    let_in = not proxied or (shown_header < _WELCOME and not (crowded and shown_header == 0))
    endpoint = _SECURE if secure else _PLAIN_ONE
    ours, theirs = host.socket_pair()
    if settings & 128:
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SMALL_BUFFER)
    agreed = not secure or (trusting and (shown or not asking))
    name: DriverName = "stream" if sips or count & 64 else "hub"
    tickets = (0, _SOME_TICKETS, 0, _MANY_TICKETS)[(settings >> 6 & 1) | (count >> 6 & 2)]
    runner = TlsScriptRunner(plan, TlsClient(ours, context, shows), let_in=let_in, agreed=agreed, sips=sips)
    runner.secure = secure
    if posts:
        runner.max_unsent = FEW if name == "hub" and not settings & 128 else ALL
    if tickets == _MANY_TICKETS:
        runner.let_go()  # the server may give up before it hears anything
        runner.overfull = secure and not settings & 4 and name == "stream"  # the hub looks when more comes
    tls = _server_side(asking=asking, tickets=tickets)
    trust = Trust(tls=tls, proxy_on=frozenset({endpoint} if proxied else ()), allow_from=_ALLOWED)
    driver = make_driver(name, LIMITS, runner.drain, None, counting=bool(settings & 8), machine=host)
    handshaker = Handshaker(LIMITS, trust, runner.drain, driver, admission, machine=host)
    try:
        with unwrapped():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(driver.run)
                nursery.start_soon(runner.serve, theirs, handshaker, driver, endpoint)
                for chunk, sign in steps(data, plan.limit, KNOWN):
                    await runner.act(chunk, sign, count)
                await runner.finish()
                nursery.cancel_scope.cancel()
    finally:
        driver.close()
        ours.close()
    assert theirs.fileno() < 0, "a socket is left open"
