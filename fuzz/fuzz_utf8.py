"""Unicode capitals do not depend on how the stream is cut, and bytes that are no characters stay.

Accepted: nothing. Every exception is a crash.
"""

from fuzz.engine import fuzz_conversations, instrumenting

with instrumenting("caas_trio.core.capitals"):
    from fuzz.checks.utf8 import TOKENS, check

if __name__ == "__main__":
    fuzz_conversations(check, TOKENS)
