"""Unicode capitals do not depend on how the stream is cut, and bytes that are no characters stay.

Accepted: nothing. Every exception is a crash.
"""

import atheris

with atheris.instrument_imports(include=["caas_trio"], exclude=["caas_trio.framing", "caas_trio.session"]):
    from fuzz.checks.utf8 import check

from fuzz.engine import fuzz_conversations

if __name__ == "__main__":
    fuzz_conversations(check)
