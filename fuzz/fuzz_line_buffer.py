"""`LineBuffer` agrees with a naive model, however the stream is cut and whichever way it is taken.

Accepted: `LineTooLong` exactly where the model finds the next line oversize, `StateError` exactly
after the end of input, `LimitError` exactly for a limit below 1. Anything else is a crash.
"""

from fuzz.engine import fuzz_conversations, instrumenting

with instrumenting("caas_trio.core.framing", "caas_trio.core.buffering", "caas_trio.core.terminator"):
    from fuzz.checks.line_buffer import TOKENS, check

if __name__ == "__main__":
    fuzz_conversations(check, TOKENS)
