"""Whatever is raised while a connection is opened costs that connection, and nothing else.

Accepted: nothing leaves the server. Anything else is a crash.
"""

from fuzz.engine import fuzz_bytes, instrumenting

with instrumenting("caas_trio.server.handshaker"):
    from fuzz.checks.opening import open_player
from fuzz.loop import Loop

if __name__ == "__main__":
    fuzz_bytes(Loop(open_player), max_len=5)
