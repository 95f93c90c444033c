"""CaaS by `socketserver`, one thread per connection."""

import socketserver
import sys

from ci.bench.peers.listen import announce, listener


class CaaSHandler(socketserver.StreamRequestHandler):
    """Answers each line of one connection."""

    def handle(self) -> None:
        """Serve until end of input."""
        while line := self.rfile.readline():
            self.wfile.write(line.upper())


class Server(socketserver.ThreadingTCPServer):
    """A server on a socket that already listens, TCP or Unix."""

    daemon_threads = True

    def __init__(self, endpoint: str) -> None:
        super().__init__(("", 0), CaaSHandler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener(endpoint)


with Server(sys.argv[1]) as server:
    announce(server.socket)
    server.serve_forever()
