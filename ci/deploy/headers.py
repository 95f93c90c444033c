"""Puts Debian's haproxy in front of server-first services, and looks: `python -m ci.deploy.headers`.

For each way that haproxy has of sending a PROXY header: a client that keeps silent is greeted by its own
address, a stranger hears nothing, lines are answered up to the last, health checks leave no trace. Without a
header nobody is served. The command line's service is judged through haproxy by the conformance suite.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import sys
import tempfile
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import trio
import trustme

from caas_trio import Connection, Endpoint, InternetPeer, Limits, LocalPeer, Telemetry, Trust, serve
from caas_trio.conformance import First, Oversize, Profile, judge, select
from caas_trio.core.telemetry import Outcome
from ci.deploy.background import TIMEOUT_S, running
from ci.process import serving

CLIENT, STRANGER = "127.0.0.2", "127.0.0.3"
CHECKS = 3

#: Clients that say nothing and end their input at once. haproxy gives such a connection up if it learns of
#: the end before its own connection to the server is made: on a busy machine, now and then.
_HASTY = ("ORDER-7.in-turn/whole", "ORDER-7.ended-at-once/whole")


@dataclass(frozen=True)
class Way:
    """A way of sending a header.

    Attributes:
        name: what it is.
        options: of haproxy's `server`.
        service: which one is behind it.
        listen: where haproxy listens.
        check: whether haproxy asks how the service is; by version 1 it is a client with its own address.
        refused: why nobody is served; empty if clients are.
    """

    name: str
    options: str
    service: str = "tcp"
    listen: str = "127.0.0.1"
    check: bool = True
    refused: str = ""


WAYS = (
    Way("version 1", "send-proxy", check=False),
    Way("version 1, IPv6", "send-proxy", listen="::ffff:127.0.0.1", check=False),
    Way("version 2", "send-proxy-v2"),
    Way("version 2, IPv6", "send-proxy-v2", listen="::ffff:127.0.0.1"),
    Way("version 2, checksum and TLVs", "send-proxy-v2 proxy-v2-options crc32c,unique-id"),
    Way("version 2, to a Unix socket", "send-proxy-v2", "unix"),
    Way("version 1, before TLS", "send-proxy ssl verify none", "tls", check=False),
    Way("version 2, before TLS", "send-proxy-v2 ssl verify none", "tls"),
    Way("no header", "", check=False, refused="bad PROXY header: nothing that begins like one"),
)


@dataclass
class Seen(Telemetry):
    """The reports of the services."""

    refused: list[tuple[str, str]] = field(default_factory=list)
    checked: int = 0
    changed: trio.Event = field(default_factory=trio.Event)

    def connection_refused(self, reason: str, _: Endpoint, peer: InternetPeer | LocalPeer) -> None:
        """Note a refusal."""
        self.refused.append((reason, peer.host if isinstance(peer, InternetPeer) else ""))
        self._tell()

    def connection_closed(
        self, outcome: Outcome, _: object, __: Endpoint, peer: InternetPeer | LocalPeer, ___: float
    ) -> None:
        """Note an end."""
        mine = isinstance(peer, InternetPeer) and peer.host in (CLIENT, STRANGER)
        self.checked += not mine and outcome is not Outcome.REFUSED
        self._tell()

    def _tell(self) -> None:
        self.changed.set()
        self.changed = trio.Event()


async def greet(connection: Connection) -> None:
    """Greet a client by its address, then answer its lines."""
    await connection.send(f"hello {connection.peer}\n".encode())
    async for line in connection:
        await connection.send(line.upper())


def listening(way: Way) -> socket.socket:
    """Return a listening socket for haproxy to inherit."""
    sock = socket.socket(socket.AF_INET6 if ":" in way.listen else socket.AF_INET)
    if ":" in way.listen:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    sock.bind((way.listen, 0))
    sock.listen()
    return sock


def configuration(fronts: Iterable[tuple[int, str]]) -> str:
    """Return haproxy's configuration, for sockets that it inherits and the servers behind them."""
    lines = ["defaults", "  mode tcp"]
    lines += [f"  timeout {what} 60s" for what in ("connect", "client", "server")]
    for fd, server in fronts:
        lines += [f"listen front{fd}", f"  bind fd@{fd}", f"  server back {server}"]
    return "\n".join([*lines, ""])


@asynccontextmanager
async def haproxy(folder: Path, fronts: list[tuple[socket.socket, str]]) -> AsyncIterator[None]:
    """Run haproxy on listening sockets, each with the server behind it."""
    file = folder / "haproxy.cfg"
    file.write_text(configuration((sock.fileno(), server) for sock, server in fronts))
    command = ["haproxy", "-db", "-f", str(file)]
    async with running(command, pass_fds=[sock.fileno() for sock, _ in fronts]):
        yield


async def talk(address: tuple[str, int], host: str) -> tuple[bytes, str]:
    """Return what a client from some address hears, silent up to the greeting, and its own address."""
    with socket.socket() as sock:
        sock.bind((host, 0))
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(sock))
        await stream.socket.connect(address)
        own = "{}:{}".format(*sock.getsockname())
        heard = b""
        try:
            heard = await stream.receive_some()
            await stream.send_all(b"one\r\ntwo")
            await stream.send_eof()
            while data := await stream.receive_some():
                heard += data
        except trio.BrokenResourceError:
            pass
        return heard, own


async def look(way: Way, port: int, seen: Seen) -> list[str]:
    """Return what is wrong with a way, a line each."""
    seen.refused.clear()
    if way.refused:
        async with await trio.open_tcp_stream("127.0.0.1", port) as client:
            await client.send_all(b"hello\n")
            heard = await client.receive_some()
        wanted = [(way.refused, "127.0.0.1")]
        return [] if not heard and seen.refused == wanted else [f"{heard!r} was heard; {seen.refused}"]
    wrong = []
    heard, own = await talk(("127.0.0.1", port), CLIENT)
    if heard != f"hello {own}\n".encode() + b"ONE\r\nTWO":
        wrong.append(f"{own} heard {heard!r}")
    heard, own = await talk(("127.0.0.1", port), STRANGER)
    # Over TLS haproxy tries again: to it, the handshake has failed.
    if heard or set(seen.refused) != {("the address is not allowed", STRANGER)}:
        wrong.append(f"{own}, a stranger, heard {heard!r}; refused were {seen.refused}")
    return wrong


async def wait_for_checks(seen: Seen) -> None:
    """Return when haproxy has asked how the service is, some times."""
    enough = seen.checked + CHECKS
    while seen.checked < enough:
        await seen.changed.wait()


async def check_way(way: Way, folder: Path) -> list[str]:
    """Put haproxy in front of a service of its own in one way; return what is wrong."""
    seen = Seen()
    certificate = trustme.CA().issue_cert("localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    trust = Trust(proxy_protocol=True, allow_from=(ipaddress.ip_network(CLIENT),), tls=context)
    where = f"unix:{folder / 'service'}" if way.service == "unix" else f"{way.service}://127.0.0.1:0"
    with listening(way) as front:
        async with trio.open_nursery() as nursery:
            start: Any = partial(serve, greet, where, trust=trust, limits=Limits(), telemetry=seen)
            [endpoint] = await nursery.start(start)
            back = f"unix@{endpoint.path}" if endpoint.path else f"{endpoint.host}:{endpoint.port}"
            options = f"{way.options} {'check inter 200ms' if way.check else ''}"
            async with haproxy(folder, [(front, f"{back} {options}")]):
                with trio.fail_after(TIMEOUT_S):
                    if way.check:
                        await wait_for_checks(seen)
                    wrong = [f"a health check was refused: {reason}" for reason, _ in seen.refused]
                    wrong += await look(way, front.getsockname()[1], seen)
            nursery.cancel_scope.cancel()
    return wrong


async def check_service(version: str, options: str, folder: Path) -> list[str]:
    """Judge the command line's service through haproxy; return what is wrong."""
    words = ["--first=server", "--oversize=stream", "--proxy-protocol"]
    with listening(Way(version, options)) as front:
        async with serving([sys.executable, "-m", "caas_trio", "tcp://127.0.0.1:0", *words]) as server:
            endpoint = Endpoint.parse(server.endpoint)
            async with haproxy(folder, [(front, f"{endpoint.host}:{endpoint.port} {options}")]):
                there = Endpoint.parse(f"tcp://127.0.0.1:{front.getsockname()[1]}")
                profile = Profile(first=First.SERVER, oversize=Oversize.STREAM)
                cases = [case for case in select(["SERVE", "FRAME", "ORDER"]) if case.id not in _HASTY]
                report = await judge(there, profile, cases, timeout_s=TIMEOUT_S / 4)
    return [f"{result.case.id}: {fault.reason}" for result in report.results for fault in result.faults]


def main() -> int:
    """Try every way, and judge the service; return the exit status."""
    failed = False
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        runs = [(way.name, partial(check_way, way, folder)) for way in WAYS]
        runs += [
            (f"the suite, {version}", partial(check_service, version, options, folder))
            for version, options in (("version 1", "send-proxy"), ("version 2", "send-proxy-v2"))
        ]
        for what, run in runs:
            wrong = trio.run(run)
            print(f"{'WRONG' if wrong else 'ok':<6} {what}", flush=True)
            for line in wrong:
                print(f"       {line}", flush=True)
            failed = failed or bool(wrong)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
