"""A worker may send its supervisor anything: that ends the worker, and nothing else.

Accepted: nothing. Every exception is a crash.
"""

from fuzz.engine import fuzz_conversations, instrumenting

with instrumenting("caas_trio.program.messages", "caas_trio.program.worker_process"):
    from fuzz.checks.control import TOKENS, open_player
from fuzz.loop import Loop

if __name__ == "__main__":
    fuzz_conversations(Loop(open_player), TOKENS)
