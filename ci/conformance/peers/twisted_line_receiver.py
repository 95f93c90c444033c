"""Twisted's `LineReceiver` with LF as its delimiter; its default is CRLF."""

from typing import Any

from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.protocol import Factory
from twisted.protocols.basic import LineReceiver


class Upper(LineReceiver):
    """Answers line after line."""

    delimiter = b"\n"

    def lineReceived(self, line: bytes) -> None:  # noqa: N802 - Twisted's name
        """Answer a line."""
        self.sendLine(line.upper())


def listening(port: Any) -> None:
    """Print where."""
    print(f"listening on tcp://127.0.0.1:{port.getHost().port}", flush=True)


endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
endpoint.listen(Factory.forProtocol(Upper)).addCallback(listening)
reactor.run()
