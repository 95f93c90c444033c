"""The work for a byte is bounded in `LineBuffer` and `LineSession`, whatever lines come, however taken.

Accepted: nothing but `LineTooLong`, behind which the check goes on. Anything else is a crash.
"""

from fuzz.engine import fuzz_conversations, instrumenting

with instrumenting("caas_trio.core.framing", "caas_trio.core.buffering"):
    from fuzz.checks.work import TOKENS, check

if __name__ == "__main__":
    fuzz_conversations(check, TOKENS)
