"""CaaS by gevent's `StreamServer`, a greenlet per connection."""

import sys

import gevent.socket
from gevent.server import StreamServer

from ci.bench.peers.listen import announce, listener


def handle(client: gevent.socket.socket, _address: object) -> None:
    """Answer each line of one connection."""
    with client, client.makefile("rb") as lines:
        for line in lines:
            client.sendall(line.upper())


sock = listener(sys.argv[1])
announce(sock)
StreamServer(gevent.socket.socket(sock.family, sock.type, fileno=sock.detach()), handle).serve_forever()
