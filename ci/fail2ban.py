"""Reads refusals by Debian's fail2ban-regex, with the filter in docs/deploy.

    python -m ci.fail2ban

A hundred refusals of ten kinds, in both formats and both modes, and as the journal has them: each has to
count for its own address. Some have a reason that looks like another refusal. Then those of a real service.
"""

from __future__ import annotations

import ipaddress
import shutil
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from caas_trio import (
    Endpoint,
    HandshakeFailed,
    InternetPeer,
    LocalPeer,
    Peer,
    ProxyHeaderError,
    TooSlow,
    Trust,
)
from caas_trio.observing.logs import LogFormat
from caas_trio.observing.refusals import RefusalStream
from caas_trio.server.admission import TOO_FAST_FROM_HOST, TOO_MANY, TOO_MANY_FROM_HOST

from .process import start

FILTER: Final = Path(__file__).parents[1] / "docs" / "deploy" / "fail2ban" / "filter.d" / "caas-trio.conf"
AT: Final = Endpoint.parse("tcp://[::1]:50007")
STRANGER: Final = InternetPeer("203.0.113.1", 1)
VICTIM: Final = "203.0.113.99"
EACH: Final = 10


def forged(log_format: LogFormat) -> str:
    """Return a reason that looks like the refusal of another client, as far as a text can."""
    values = f"address={VICTIM} port=1 endpoint=x reason='x'"
    line = f"2026-11-29T00:00:00.000000Z [warning  ] client refused   {values}"
    if log_format is LogFormat.JSON:
        line = f'{{"address": "{VICTIM}", "port": 1, "endpoint": "x", "reason": "x"}}'
    return f"x'\n{line}\n{line}"


def kinds(log_format: LogFormat) -> Iterator[str]:
    """Yield a reason of each kind, as the service has them; the first is not a client's fault."""
    yield TOO_MANY
    yield TOO_MANY_FROM_HOST
    yield TOO_FAST_FROM_HOST
    yield str(Trust(allow_from=(ipaddress.ip_network("192.0.2.0/24"),)).objection(STRANGER))
    yield str(Trust(proxy_protocol=True).objection_to_proxy(STRANGER))
    yield str(ProxyHeaderError("it does not begin as one"))
    yield str(ProxyHeaderError(forged(log_format)))
    yield str(TooSlow("opening_timeout"))
    yield str(HandshakeFailed("http request"))
    yield str(HandshakeFailed("no suitable signature algorithm"))


def addresses() -> Iterator[str]:
    """Yield addresses without end, of both families, none of them twice."""
    for number in range(1, 255):
        yield f"192.0.2.{number}"
        yield f"2001:db8::{number:x}"


def written(file: Path, log_format: LogFormat) -> dict[str, list[str]]:
    """Write ten refusals of each kind, and some that have no address; return the addresses of each kind."""
    clients = addresses()
    wanted: dict[str, list[str]] = {}
    with RefusalStream(file, log_format).open() as refusals:
        for reason in kinds(log_format):
            wanted[reason] = [next(clients) for _ in range(EACH)]
            for number, address in enumerate(wanted[reason]):
                refusals.connection_refused(reason, AT, InternetPeer(address, 40000 + number))
        unknown: list[Peer] = [LocalPeer(1, 1000, 1000), InternetPeer("", 0)]
        for peer in unknown:
            refusals.connection_refused("the user is not allowed", AT, peer)
    return wanted


def counted(file: Path, mode: str) -> Counter[str]:
    """Return how often fail2ban counts each address."""
    command = ["fail2ban-regex", "--no-check-all", "-o", "<ip>", str(file), f"{FILTER}[mode={mode}]"]
    asked = subprocess.run(command, capture_output=True, text=True, check=False)
    if asked.returncode:
        print(asked.stdout, asked.stderr, sep="\n")
    return Counter(asked.stdout.split())


def problems(what: str, found: Counter[str], wanted: Iterable[str]) -> Iterator[str]:
    """Print what was found, and yield what is wrong with it."""
    expected = Counter(wanted)
    print(f"{what}: {found.total()} of {expected.total()} counted")
    if found != expected:
        yield f"{what}: too many {dict(found - expected)}, too few {dict(expected - found)}"


def of_a_log(folder: Path, log_format: LogFormat) -> Iterator[str]:
    """Yield what is wrong with how a log of one format is read."""
    file = folder / f"{log_format}.log"
    wanted = written(file, log_format)
    everybody = [address for of_kind in wanted.values() for address in of_kind]
    yield from problems(f"{log_format}, aggressive", counted(file, "aggressive"), everybody)
    own = [address for reason, of_kind in wanted.items() if reason != TOO_MANY for address in of_kind]
    yield from problems(f"{log_format}, normal", counted(file, "normal"), own)
    journal = folder / f"{log_format}.journal"
    prefix = "2026-11-29T12:00:00.000000Z host caas-trio[42]: "
    journal.write_text("".join(f"{prefix}{line}\n" for line in file.read_text().splitlines()))
    yield from problems(f"{log_format}, in the journal", counted(journal, "aggressive"), everybody)


def of_the_service(folder: Path) -> Iterator[str]:
    """Yield what is wrong with how the refusals of a service that runs are read."""
    file = folder / "service.log"
    options = ("--max-per-host", "1", "--log-refusals", str(file))
    with start([sys.executable, "-m", "caas_trio", "tcp://127.0.0.1:0", *options]) as server:
        endpoint = Endpoint.parse(server.endpoint)
        address = (endpoint.host, endpoint.port)
        with socket.create_connection(address) as first:
            first.sendall(b"hello\n")
            first.recv(100)
            for _ in range(EACH):
                with socket.create_connection(address) as refused:
                    refused.recv(100)
    yield from problems("the service", counted(file, "normal"), ["127.0.0.1"] * EACH)


def main() -> int:
    """Return the exit status: 0 if each refusal counts for its own address."""
    if shutil.which("fail2ban-regex") is None:
        print("not installed: fail2ban-regex; Debian has it in the package fail2ban")
        return 1
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = [each for log_format in LogFormat for each in of_a_log(folder, log_format)]
        found += of_the_service(folder)
    print("\n".join(found) or "each refusal counts for its own address, and for no other")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
