"""The parts that Python peers share: the listening socket, and the line that announces it.

One backlog and one `TCP_NODELAY` (accepted sockets inherit it) for all, so that the peers differ in what they
are and not in how they were set up.
"""

import os
import socket
import ssl

BACKLOG = 4096


def listener(endpoint: str) -> socket.socket:
    """Return a listening, blocking socket for `tcp://IPV4:PORT`, `tls:` or `unix:`; the caller closes it."""
    if endpoint.startswith("unix:"):
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(endpoint.removeprefix("unix:"))
    else:
        host, _, port = endpoint.partition("://")[2].rpartition(":")
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.bind((host, int(port)))
    sock.listen(BACKLOG)
    return sock


def secured(endpoint: str) -> ssl.SSLContext | None:
    """Return what to serve a `tls://` endpoint with, None for any other."""
    if not endpoint.startswith("tls://"):
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(os.environ["CAAS_TRIO_TLS_CERT"])
    return context


def announce(sock: socket.socket, scheme: str = "tcp") -> None:
    """Print where `sock` listens, with the real port."""
    name = sock.getsockname()
    where = f"unix:{name}" if sock.family == socket.AF_UNIX else f"{scheme}://{name[0]}:{name[1]}"
    print(f"listening on {where}", flush=True)
