"""The calls of handlers beside the reads return what a model returns, and send what is due.

Accepted: `LineTooLong`, `BareTerminator`, `CountRefused` and `InputEnded` exactly where the model says so,
`StateError` for a second reader, `TooMuchUnsent` and `ConnectionLost` once too much is posted or the client
is gone. Anything else is a crash.
"""

from fuzz.engine import fuzz_conversations, instrumenting

with instrumenting(
    "caas_trio.drivers.reading",
    "caas_trio.drivers.sending",
    "caas_trio.drivers.sendqueue",
    "caas_trio.drivers.commands",
    "caas_trio.drivers.wanted",
):
    from fuzz.checks.handler import TOKENS, open_player
from fuzz.loop import Loop

if __name__ == "__main__":
    fuzz_conversations(Loop(open_player), TOKENS)
