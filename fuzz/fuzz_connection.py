"""Reads of all kinds, mixed, get what a model of the buffer gives, whenever it arrives.

Accepted: `LineTooLong`, `InputEnded` and `TooSlow` exactly where the model says so, `StateError` exactly
for a second reader and a closed connection. Anything else is a crash.
"""

from fuzz.engine import fuzz_conversations, instrumenting

with instrumenting(
    "caas_trio.drivers.reading",
    "caas_trio.drivers.sending",
    "caas_trio.drivers.wanted",
    "caas_trio.drivers.requesthandler",
    "caas_trio.drivers.stream",
):
    from fuzz.checks.connection import TOKENS, open_player
from fuzz.loop import Loop

if __name__ == "__main__":
    fuzz_conversations(Loop(open_player), TOKENS)
