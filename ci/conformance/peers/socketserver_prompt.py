"""The same with a prompt: the server speaks first."""

import socketserver


class Handler(socketserver.StreamRequestHandler):
    """Asks for a line and answers it."""

    def handle(self) -> None:
        """Serve a connection."""
        self.wfile.write(b"Enter some data to be capitalized:\n")
        self.wfile.write(self.rfile.readline().upper())


with socketserver.TCPServer(("127.0.0.1", 0), Handler) as server:
    print(f"listening on tcp://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()
