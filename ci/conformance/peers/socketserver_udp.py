"""`socketserver.UDPServer` and a `DatagramRequestHandler`."""

import socketserver


class Handler(socketserver.DatagramRequestHandler):
    """Answers a datagram."""

    def handle(self) -> None:
        """Serve a datagram."""
        self.wfile.write(self.rfile.read().upper())


with socketserver.UDPServer(("127.0.0.1", 0), Handler) as server:
    print(f"listening on udp://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()
