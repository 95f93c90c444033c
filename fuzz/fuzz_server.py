"""The real server, with clients that do as they like: each gets what it is owed, nothing is left behind.

Accepted: what a planted service raises, reported once per connection that it ended; `OSError` from
`serve_sessions` exactly when the script made a listening socket fail. Anything else is a crash.
"""

import atheris

with atheris.instrument_imports(include=["caas_trio"], exclude=["caas_trio.framing", "caas_trio.session"]):
    from fuzz.checks.server import open_player

from fuzz.engine import fuzz_conversations
from fuzz.loop import Loop

if __name__ == "__main__":
    fuzz_conversations(Loop(open_player))
