"""The servers to judge: our own in all its settings, and the peers. Adding a leg is adding a line."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import trustme

from caas_trio.conformance import First, Oversize, Profile, Proxy
from caas_trio.core.terminator import Terminator

#: Small, so that the edge of the limit is cheap to reach.
LIMIT = 100


@dataclass(frozen=True)
class Leg:
    """One server to judge.

    Attributes:
        name: what it is called in the matrix.
        command: how to start it; it prints `listening on ENDPOINT`.
        profile: what it is declared to be.
        environment: variables it is started with.
        jobs: how many cases run side by side; 1 for a server that serves one client at a time.
        program: an executable that has to be there.
    """

    name: str
    command: tuple[str, ...]
    profile: Profile
    environment: dict[str, str] = field(default_factory=dict)
    jobs: int = 8
    program: str = ""


def ours(scheme: str, folder: Path, profile: Profile, driver: str = "") -> Leg:
    """Return a leg of our own server; what is declared becomes options."""
    words = [f"--first={profile.first.value}"]
    words += [f"--oversize={profile.oversize.value}"] if profile.oversize else []
    words += [f"--max-line={profile.max_line}"] if profile.max_line else []
    words += ["--once"] if profile.once else []
    words += ["--terminator=crlf"] if profile.strict else []
    words += ["--proxy-protocol"] if profile.proxy else []
    version = [profile.proxy.value] if profile.proxy else []
    name = " ".join([scheme, *words, *version, *([f"driver={driver}"] if driver else [])])
    endpoint = f"unix:{folder / name.replace(' ', '')}" if scheme == "unix" else f"{scheme}://127.0.0.1:0"
    command = (sys.executable, "-m", "caas_trio", endpoint, *words)
    return Leg(name, command, profile, {"CAAS_TRIO_DRIVER": driver} if driver else {})


def ours_over_tls(folder: Path, profile: Profile, authority: trustme.CA) -> Leg:
    """Return a leg of our own server with a certificate of that authority."""
    certificate, trusted = folder / "server.pem", folder / "authority.pem"
    authority.cert_pem.write_to_path(trusted)
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(certificate)
    leg = ours("tls", folder, replace(profile, tls_ca=str(trusted)))
    return replace(leg, command=(*leg.command, "--tls-cert", str(certificate)))


def our_datagrams(endpoint: str) -> Leg:
    """Return a leg of our own server over datagrams."""
    command = (sys.executable, "-m", "caas_trio", endpoint)
    return Leg(endpoint.partition(":")[0], command, Profile(datagrams=True))


def ours_by_workers(folder: Path, scheme: str) -> Leg:
    """Return a leg of our own server with two workers on the same socket."""
    if scheme == "udp":
        leg = our_datagrams("udp://127.0.0.1:0")
    else:
        leg = ours(scheme, folder, Profile(oversize=Oversize.STREAM))
    command = (f"{word}.workers" if word.startswith("unix:") else word for word in leg.command)
    return replace(leg, name=f"{leg.name} --workers=2", command=(*command, "--workers=2"))


def ours_activated(folder: Path, profile: Profile) -> Leg:
    """Return a leg of our own server on a socket that it was started with."""
    leg = ours("tcp", folder, profile)
    command = ("systemd:judged" if word.startswith("tcp:") else word for word in leg.command)
    name = leg.name.replace("tcp", "systemd", 1)
    return replace(leg, name=name, command=(sys.executable, "-m", "ci.conformance.activated", *command))


def our_legs(folder: Path) -> list[Leg]:
    """Return the legs of our own server: each order with each policy, each transport, each driver."""
    crossed = [
        Profile(first=first, oversize=oversize, max_line=LIMIT)
        for first, oversize in itertools.product(First, Oversize)
    ]
    diagonal = [crossed[0], crossed[4], crossed[8]]
    default = Profile(oversize=Oversize.STREAM)
    proxied = [
        replace(profile, proxy=proxy) for profile, proxy in zip(diagonal, [*Proxy, Proxy.V2], strict=True)
    ]
    once = Profile(oversize=Oversize.STREAM, once=True)
    authority = trustme.CA()
    once_and_greeting = Profile(first=First.SERVER, oversize=Oversize.REJECT, max_line=LIMIT, once=True)
    return [
        ours("tcp", folder, Profile()),
        ours("tcp", folder, default),
        *(ours("tcp", folder, profile) for profile in crossed),
        *(ours("unix", folder, profile) for profile in diagonal),
        *(ours("tcp", folder, profile, "stream") for profile in diagonal),
        ours("unix", folder, default, "stream"),
        *(ours_over_tls(folder, profile, authority) for profile in (default, *diagonal, once)),
        *(ours("tcp", folder, profile) for profile in proxied),
        ours("tcp", folder, replace(crossed[4], proxy=Proxy.V1), "stream"),
        ours("unix", folder, replace(crossed[0], proxy=Proxy.V2)),
        ours("tcp", folder, replace(crossed[0], terminator=Terminator.CRLF)),
        ours("tcp", folder, replace(crossed[7], terminator=Terminator.CRLF), "stream"),
        ours_activated(folder, default),
        ours("tcp", folder, once),
        ours("tcp", folder, once_and_greeting),
        *(ours_by_workers(folder, scheme) for scheme in ("tcp", "unix", "udp")),
        our_datagrams("udp://127.0.0.1:0"),
        our_datagrams(f"unixgram:{folder / 'unixgram'}"),
    ]


def one_for_each_transport(legs: Iterable[Leg]) -> list[Leg]:
    """Return the first leg of each transport: what a short run judges."""
    first: dict[str, Leg] = {}
    for leg in legs:
        first.setdefault(leg.name.partition(" ")[0], leg)
    return list(first.values())


def peer(module: str, *, jobs: int = 8, **declared: object) -> Leg:
    """Return a leg of a peer that is a Python program."""
    command = (sys.executable, "-m", f"ci.conformance.peers.{module}")
    return Leg(module, command, Profile(**declared), jobs=jobs)  # type: ignore[arg-type]


def external(name: str, *command: str) -> Leg:
    """Return a leg of a peer that Debian has."""
    start = (sys.executable, "-m", "ci.conformance.peers.external", *command)
    return Leg(name, start, Profile(), program=command[0])


PEERS: tuple[Leg, ...] = (
    peer("raw_socket", jobs=1),
    peer("socketserver_line", jobs=1, once=True),
    peer("socketserver_prompt", jobs=1, once=True, first=First.SERVER),
    peer("socketserver_threads"),
    peer("asyncio_streams", max_line=65536, oversize=Oversize.REJECT),
    peer("twisted_line_receiver", max_line=16384, oversize=Oversize.REJECT),
    peer("gevent_stream_server"),
    peer("anyio_receive_until", max_line=65536, oversize=Oversize.REJECT),
    peer("trio_echo"),
    external(
        "socat_tr", "socat", "TCP-LISTEN:PORT,bind=127.0.0.1,reuseaddr,fork", "EXEC:stdbuf -oL tr a-z A-Z"
    ),
    external("tcpserver_tr", "tcpserver", "-H", "-R", "-c", "1000", "127.0.0.1", "PORT", "tr", "a-z", "A-Z"),
    peer("socketserver_udp", datagrams=True),
    peer("asyncio_datagrams", datagrams=True),
)
