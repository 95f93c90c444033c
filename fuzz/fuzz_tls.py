"""Over TLS a conversation is what it is in plain, up to where it is spoiled; its end differs from a cut.

Accepted: `ConnectionLost`, and `Refused` for a handshake that fails; any `PeerError` from a conversation. On
the client's side `ssl.SSLError` where the script spoils something, or one side has no reason to trust the
other. Anything else is a crash.
"""

from fuzz.engine import fuzz_conversations, instrumenting

with instrumenting(
    "caas_trio.server.handshaker",
    "caas_trio.core.tlsengine",
    "caas_trio.drivers.tlsstream",
    "caas_trio.drivers.tlssocket",
):
    from fuzz.checks.tls import TOKENS, open_player
from fuzz.loop import Loop

if __name__ == "__main__":
    fuzz_conversations(Loop(open_player), TOKENS)
