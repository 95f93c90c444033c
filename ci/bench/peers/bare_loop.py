"""A limit to compare with: `epoll`, `recv_into`, `upper`, `send`, and nothing else.

No framing, no limits, no deadlines. What the kernel does not take at once waits, and while it waits nothing
more is read from that connection.
"""

import select
import socket
import sys

from ci.bench.peers.listen import announce, listener

connections: dict[int, socket.socket] = {}
write_buffers: dict[int, bytearray] = {}
poller = select.epoll()


def accept(server: socket.socket) -> None:
    """Take what waits in the accept queue, within bounds."""
    for _ in range(64):
        try:
            client, _ = server.accept()
        except BlockingIOError:
            return
        client.settimeout(0)
        connections[client.fileno()] = client
        poller.register(client, select.EPOLLIN)


def keep(fd: int, rest: bytearray) -> None:
    """Wait until the kernel takes the rest of a reply, and read nothing more until then."""
    write_buffers[fd] = rest
    poller.modify(fd, select.EPOLLOUT)


def flush(fd: int) -> None:
    """Send what waits; once it is gone, read on."""
    try:
        del write_buffers[fd][: connections[fd].send(write_buffers[fd])]
    except OSError:
        close(fd)
        return
    if not write_buffers[fd]:
        del write_buffers[fd]
        poller.modify(fd, select.EPOLLIN)


def close(fd: int) -> None:
    """Close a connection."""
    write_buffers.pop(fd, None)
    connections.pop(fd).close()


def serve(server: socket.socket) -> None:
    """Serve until killed."""
    buffer = bytearray(1 << 18)
    poller.register(server, select.EPOLLIN)
    while True:
        for fd, _ in poller.poll():
            if (client := connections.get(fd)) is None:
                accept(server)
                continue
            if fd in write_buffers:
                flush(fd)
                continue
            try:
                data = buffer[: client.recv_into(buffer)].upper()
                sent = client.send(data) if data else 0
            except BlockingIOError:
                sent = 0
            except OSError:
                data, sent = bytearray(), 0
            if not data:
                close(fd)
            elif sent < len(data):
                keep(fd, data[sent:])


with listener(sys.argv[1]) as listening:
    listening.settimeout(0)
    announce(listening)
    serve(listening)
