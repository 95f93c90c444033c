"""Datagrams: each comes to the end it is due, whatever the others, the service and the kernel do.

Accepted: what a service raises, reported once for its datagram; `OSError` from `serve_datagrams` exactly when
the script made its socket fail. Anything else is a crash.
"""

from fuzz.engine import fuzz_conversations, instrumenting

with instrumenting(
    "caas_trio.server.datagram",
    "caas_trio.core.datagramrules",
    "caas_trio.drivers.datagramsocket",
    "caas_trio.drivers.requesthandler",
):
    from fuzz.checks.datagram import TOKENS, open_player
from fuzz.loop import Loop

if __name__ == "__main__":
    fuzz_conversations(Loop(open_player), TOKENS)
