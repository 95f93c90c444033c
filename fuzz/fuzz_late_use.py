"""A `Connection` that is used behind its end raises `StateError`, and no other client notices.

Accepted: `StateError` and `PeerError` from a call that had begun before the end. Anything else is a crash.
"""

from fuzz.engine import fuzz_conversations, instrumenting

with instrumenting("caas_trio.drivers.reading", "caas_trio.drivers.sending"):
    from fuzz.checks.late_use import TOKENS, open_player
from fuzz.loop import Loop

if __name__ == "__main__":
    fuzz_conversations(Loop(open_player), TOKENS)
