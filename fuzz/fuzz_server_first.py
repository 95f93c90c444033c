"""A `LineSession` that speaks first prompts once, before all else, whatever has already come in.

Accepted: `StateError` exactly for calls that do not fit what has happened, `LimitError` exactly for a limit
below 1. Anything else is a crash.
"""

import atheris

with atheris.instrument_imports(include=["caas_trio"], exclude=["caas_trio.framing"]):
    from fuzz.checks.server_first import check

from fuzz.engine import fuzz_conversations

if __name__ == "__main__":
    fuzz_conversations(check)
