"""`LineBuffer` agrees with a naive model, however the stream is cut and whichever way it is taken.

Accepted: `LineTooLong` exactly where the model finds the next line oversize, `StateError` exactly
after the end of input, `LimitError` exactly for a limit below 1. Anything else is a crash.
"""

import atheris

with atheris.instrument_imports(include=["caas_trio"]):
    from fuzz.checks.line_buffer import check

from fuzz.engine import fuzz_conversations

if __name__ == "__main__":
    fuzz_conversations(check)
