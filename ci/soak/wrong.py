"""The service with a flaw of our own making, which the soak has to find.

python ci/soak/wrong.py FLAW ARGUMENT...
"""

import os
import sys
from itertools import count

from caas_trio import Endpoint, LineSession
from caas_trio.__main__ import main
from caas_trio.core.framing import Chunk
from caas_trio.core.telemetry import Outcome
from caas_trio.observing.metrics import Metrics

RARELY = 1000

_ended, _receive = Metrics.connection_ended, LineSession.receive
_connections, _reads = count(1), count(1)
_kept: list[object] = []


def leak_memory(self: Metrics, outcome: Outcome, endpoint: Endpoint) -> None:
    """Keep ten KiB of each connection."""
    _kept.append(bytes(10240))
    _ended(self, outcome, endpoint)


def leak_descriptors(self: Metrics, outcome: Outcome, endpoint: Endpoint) -> None:
    """Leave a descriptor open, rarely."""
    if next(_connections) % RARELY == 0:
        _kept.append(os.dup(0))
    _ended(self, outcome, endpoint)


def miscount(self: Metrics, outcome: Outcome, endpoint: Endpoint) -> None:
    """Forget a connection, rarely."""
    if next(_connections) % RARELY != 0:
        _ended(self, outcome, endpoint)


def mistake_bytes(self: LineSession, data: Chunk) -> bytes:
    """Answer with a wrong byte, rarely."""
    reply = _receive(self, data)
    return b"?" + reply[1:] if next(_reads) % RARELY == 0 else reply


FLAWS = {
    "leak_memory": (Metrics, "connection_ended", leak_memory),
    "leak_descriptors": (Metrics, "connection_ended", leak_descriptors),
    "miscount": (Metrics, "connection_ended", miscount),
    "mistake_bytes": (LineSession, "receive", mistake_bytes),
}

if __name__ == "__main__":
    of, name, flaw = FLAWS[sys.argv.pop(1)]
    setattr(of, name, flaw)
    main()
