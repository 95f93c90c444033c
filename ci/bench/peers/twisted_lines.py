"""CaaS by Twisted's `LineOnlyReceiver`."""

import sys

from twisted.internet import reactor
from twisted.internet.protocol import Factory
from twisted.protocols.basic import LineOnlyReceiver

from ci.bench.peers.listen import announce, listener


class CaaS(LineOnlyReceiver):
    """One connection."""

    delimiter = b"\n"
    MAX_LENGTH = 1 << 24  # its own 16 KiB would fail on the works with long lines

    def lineReceived(self, line: bytes) -> None:  # noqa: N802 - the name Twisted calls
        """Answer."""
        self.sendLine(line.upper())  # type: ignore[no-untyped-call] # Twisted does not annotate it


sock = listener(sys.argv[1])
sock.settimeout(0)
reactor.adoptStreamPort(sock.fileno(), sock.family, Factory.forProtocol(CaaS))
announce(sock)
reactor.run()  # type: ignore[misc] # an interface stands in for the object
