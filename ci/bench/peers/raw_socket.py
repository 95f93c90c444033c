"""CaaS by `socket` alone, as tutorials show it: one client at a time, 1024 bytes at a time."""

import sys

from ci.bench.peers.listen import announce, listener

with listener(sys.argv[1]) as server:
    announce(server)
    while True:
        client, _ = server.accept()
        with client:
            while data := client.recv(1024):
                client.sendall(data.upper())
