"""Bytes sent in plain are never taken for bytes that came over TLS, whatever the cut.

Accepted: `PeerError` from the upgrade, where something stands behind the request, or the server drains.
Anything else is a crash.
"""

from fuzz.engine import fuzz_bytes, instrumenting

with instrumenting(
    "caas_trio.drivers.upgrading",
    "caas_trio.drivers.stream",
    "caas_trio.drivers.tlsstream",
    "caas_trio.core.tlsengine",
):
    from fuzz.checks.start_tls import open_player
from fuzz.loop import Loop

if __name__ == "__main__":
    fuzz_bytes(Loop(open_player), 30)
