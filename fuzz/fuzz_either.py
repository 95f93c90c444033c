"""Either side speaks first: silence alone brings the prompt, and the replies are the same in all orders.

Accepted: `StateError` exactly for calls that do not fit what has happened, `LimitError` exactly for a limit
below 1. Anything else is a crash.
"""

from fuzz.engine import fuzz_conversations, instrumenting

with instrumenting("caas_trio.core.session"):
    from fuzz.checks.either import TOKENS, check

if __name__ == "__main__":
    fuzz_conversations(check, TOKENS)
