"""Holds the servers of docs/examples against independent clients: `python -m ci.protocols`.

Each server runs as `caas-trio --app` has it. Each client speaks to it twice: straight, and through a relay
that cuts its input at every byte. A program that is not installed is named; under CI it is a failure.

    python -m ci.protocols [PROTOCOL ...]
"""

from __future__ import annotations

import os
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import trio
import trustme

from ci.process import LISTENING, ServerProcess, start

from . import irc_clients, memcached, pop3, redis_clients, rpc, smtp
from .checking import HOST, TIMEOUT_S, Check, Protocol, Target
from .relay import cutting

PROTOCOLS: Final = (
    smtp.PROTOCOL,
    pop3.PROTOCOL,
    redis_clients.PROTOCOL,
    memcached.PROTOCOL,
    irc_clients.PROTOCOL,
    rpc.PROTOCOL,
)
EXAMPLES: Final = Path(__file__).parents[2] / "docs" / "examples"


def serve(app: str, folder: Path) -> ServerProcess:
    """Start a server on TCP, and on the Unix socket `server` in the folder."""
    endpoints = [f"tcp://{HOST}:0", f"unix:{folder / 'server'}"]
    # A handshake that comes byte by byte takes its time.
    options = [
        "--app-dir",
        str(EXAMPLES),
        "--tls-cert",
        str(folder / "server.pem"),
        "--opening-timeout",
        "60",
    ]
    command = [sys.executable, "-m", "caas_trio", "--app", app, *endpoints, *options]
    return start(command, announcements=[LISTENING] * len(endpoints))


def make_certificates(folder: Path) -> None:
    """Write the server's certificate, and that of the authority which has signed it."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    chain = authority.issue_cert(HOST, "localhost").private_key_and_cert_chain_pem
    chain.write_to_path(str(folder / "server.pem"))


async def passed(protocol: Protocol, check: Check, target: Target) -> bool:
    """Run a check, and print what came of it."""
    begun = time.monotonic()
    try:
        await trio.to_thread.run_sync(check.run, target)
    except Exception as error:  # noqa: BLE001 - a library raises what it likes if it gets something else
        verdict, why = "FAILED", f"\n        {type(error).__name__}: {error}"
    else:
        verdict, why = "ok", ""
    how = "cut" if target.cut else "whole"
    work = (check.run.__doc__ or "").strip()
    seconds = time.monotonic() - begun
    print(f"{verdict:6}  {protocol.name:9}  {check.client:15}  {how:5}  {seconds:6.2f} s  {work}{why}")
    return not why


async def failures(protocol: Protocol) -> int:
    """Run the checks of a protocol; return how many have failed."""
    count = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_certificates(folder)
        with serve(protocol.app, folder) as server:
            port = int(server.endpoint.rpartition(":")[2])
            async with cutting(str(folder / "server")) as cut_port:
                ca = folder / "ca.pem"
                targets = (Target(port, ca), Target(cut_port, ca, cut=True))
                for check in protocol.checks:
                    if check.missing:
                        print(
                            f"absent  {protocol.name:9}  {check.client}, of Debian's package {check.package}"
                        )
                        count += "CI" in os.environ
                        continue
                    for target in targets[:1] if check.large else targets:
                        count += not await passed(protocol, check, target)
            status = server.stop()
            if status or (said := server.errors().strip()):
                print(f"FAILED  {protocol.name:9}  the server ended with status {status}, and said {said}")
                count += 1
    return count


async def main(names: list[str]) -> int:
    """Check the protocols of these names, or all; return the exit status."""
    known = {protocol.name.lower(): protocol for protocol in PROTOCOLS}
    unknown = [name for name in names if name.lower() not in known]
    if unknown:
        print(f"no protocol: {', '.join(unknown)}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    socket.setdefaulttimeout(TIMEOUT_S)
    failed = 0
    for name in names or known:
        failed += await failures(known[name.lower()])
    print(f"{failed} failed" if failed else "all right")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(trio.run(main, sys.argv[1:]))
