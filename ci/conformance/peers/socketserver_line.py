"""`socketserver` as its documentation shows it: a handler that answers one line."""

import socketserver


class Handler(socketserver.StreamRequestHandler):
    """Answers one line."""

    def handle(self) -> None:
        """Serve a connection."""
        self.wfile.write(self.rfile.readline().upper())


with socketserver.TCPServer(("127.0.0.1", 0), Handler) as server:
    print(f"listening on tcp://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()
