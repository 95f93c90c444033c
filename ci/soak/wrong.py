"""The service with a flaw of our own making, which the soak has to find.

python ci/soak/wrong.py FLAW ARGUMENT...
"""

import os
import sys
from itertools import count
from typing import Any

from caas_trio import LineSession
from caas_trio.__main__ import main
from caas_trio.core.buffering import Chunk
from caas_trio.core.telemetry import Conversation, ServerStats
from caas_trio.drivers.channel import Channel
from caas_trio.drivers.driver import FirstTurn
from caas_trio.server.kinds import SessionConnection

RARELY = 1000

_begin, _ended, _receive = SessionConnection._begin, ServerStats.ended, LineSession.receive  # noqa: SLF001 - to break it
_connections, _reads = count(1), count(1)
_kept: list[object] = []


def leak_memory(self: ServerStats, conversation: Conversation) -> None:
    """Keep ten KiB of each connection."""
    _kept.append(bytes(10240))
    _ended(self, conversation)


def leak_descriptors(self: ServerStats, conversation: Conversation) -> None:
    """Leave a descriptor open, rarely."""
    if next(_connections) % RARELY == 0:
        _kept.append(os.dup(0))
    _ended(self, conversation)


def miscount(self: SessionConnection, channel: Channel, address: object, turn: FirstTurn[Any]) -> None:
    """Forget a connection, rarely."""
    if next(_connections) % RARELY == 0:
        self._listener.accepted -= 1
    _begin(self, channel, address, turn)


def mistake_bytes(self: LineSession, data: Chunk) -> bytes:
    """Answer with a wrong byte, rarely."""
    reply = _receive(self, data)
    return b"?" + reply[1:] if next(_reads) % RARELY == 0 else reply


FLAWS = {
    "leak_memory": (ServerStats, "ended", leak_memory),
    "leak_descriptors": (ServerStats, "ended", leak_descriptors),
    "miscount": (SessionConnection, "_begin", miscount),
    "mistake_bytes": (LineSession, "receive", mistake_bytes),
}

if __name__ == "__main__":
    of, name, flaw = FLAWS[sys.argv.pop(1)]
    setattr(of, name, flaw)
    main()
