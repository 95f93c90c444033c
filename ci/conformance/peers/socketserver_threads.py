"""`socketserver` with a thread for each client, and a loop over its lines."""

import socketserver


class Handler(socketserver.StreamRequestHandler):
    """Answers line after line."""

    def handle(self) -> None:
        """Serve a connection."""
        for line in self.rfile:
            self.wfile.write(line.upper())


class Server(socketserver.ThreadingTCPServer):
    """Threads do not outlive the server."""

    daemon_threads = True


with Server(("127.0.0.1", 0), Handler) as server:
    print(f"listening on tcp://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()
