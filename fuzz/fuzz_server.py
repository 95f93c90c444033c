"""The real server, with clients that do as they like: each gets what it is owed, nothing is left behind.

Accepted: what a planted service or close raises, reported once per connection; `OSError` from
`serve_sessions` exactly when the script made a listening socket fail. Anything else is a crash.
"""

from fuzz.engine import fuzz_conversations, instrumenting

with instrumenting(
    "caas_trio.server.accepting",
    "caas_trio.server.admission",
    "caas_trio.drivers.drain",
    "caas_trio.drivers.hub",
    "caas_trio.drivers.hubchannel",
    "caas_trio.drivers.inlineturn",
    "caas_trio.server.served",
    "caas_trio.server.kinds",
    "caas_trio.drivers.requesthandler",
    "caas_trio.server.server",
    "caas_trio.drivers.stream",
):
    from fuzz.checks.server import TOKENS, open_player
from fuzz.loop import Loop

if __name__ == "__main__":
    # Each step costs turns of all tasks; what a few steps show is best looked for with few of them.
    fuzz_conversations(Loop(open_player), TOKENS, usual_len=12)
