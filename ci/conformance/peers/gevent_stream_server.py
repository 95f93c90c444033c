"""gevent's `StreamServer`, as its echo server example has it."""

from gevent.server import StreamServer


def serve(connection, _address):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201 - gevent has no types
    """Serve a connection."""
    lines = connection.makefile(mode="rb")
    while line := lines.readline():
        connection.sendall(line.upper())
    lines.close()


server = StreamServer(("127.0.0.1", 0), serve)
server.start()
print(f"listening on tcp://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
