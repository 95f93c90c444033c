"""Clients on plain blocking sockets, and what descriptors are open."""

from __future__ import annotations

import socket
from pathlib import Path

from caas_trio import Endpoint


def connect(endpoint: Endpoint) -> socket.socket:
    """Return a connection to a server, whose calls end after 30 seconds; the caller closes it."""
    if endpoint.path:
        client = socket.socket(socket.AF_UNIX)
        client.connect(endpoint.path)
    else:
        client = socket.create_connection((endpoint.host, endpoint.port))
    client.settimeout(30)
    return client


def receive_all(client: socket.socket) -> bytes:
    """Return what comes up to the end of the stream."""
    return b"".join(iter(lambda: client.recv(65536), b""))


def talk(client: socket.socket, *pieces: bytes) -> bytes:
    """Send the pieces, end the output, return all that comes, and close."""
    with client:
        for piece in pieces:
            client.sendall(piece)
        client.shutdown(socket.SHUT_WR)
        return receive_all(client)


def descriptors() -> set[str]:
    """Return the descriptors of this process that are open."""
    return {entry.name for entry in Path("/proc/self/fd").iterdir() if entry.exists()}


def reply_to(endpoint: Endpoint, data: bytes) -> bytes:
    """Return the reply to a datagram."""
    with socket.socket(socket.AF_UNIX if endpoint.path else socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(30)
        if endpoint.path:
            client.bind("")  # a name of the kernel's choice
        client.connect(endpoint.path or (endpoint.host, endpoint.port))
        client.send(data)
        return client.recv(65536)


def get(address: tuple[str, int], page: str) -> tuple[bytes, bytes]:
    """Return the status and the body of a page for monitoring."""
    with socket.create_connection(address, timeout=30) as client:
        client.sendall(f"GET /{page} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        head, _, body = receive_all(client).partition(b"\r\n\r\n")
        return head.split()[1], body
