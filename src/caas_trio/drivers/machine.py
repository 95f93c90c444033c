"""The operating system as servers, drivers and clients see it: `Machine`."""

from __future__ import annotations

import fcntl
import os
import resource
import select
import socket
import sys
import termios
import time
from pathlib import Path
from typing import Any, Final

import trio


class Machine:
    """Sockets, epoll, waiting for them, the clock that measures work, descriptors, and what Unix paths need.

    A server or client gets one as a parameter and uses it for all of these; `MACHINE` is the real one. A
    simulated one, as `caas_trio.testing` has it, replaces its methods, and its sockets have the methods of
    `socket.socket` that are called here.

    Attributes:
        has_epoll: whether there is epoll, so that the hub can run.
        has_files: whether Unix sockets are at paths of the file system, beside locks.
        accept_burst: how many connections one wake-up accepts before other tasks have their turn.
        datagram_burst: how many datagrams one wake-up serves before that.
        busy_polls: how many polls in a row may find nothing, where a client is alone, before the hub waits:
            about as long as two processes take to wake each other.
        gentle_refusals: how many refused connections may linger at a time; one more is closed at once.
        first_passed: the first descriptor that systemd passes, SD_LISTEN_FDS_START of sd_listen_fds(3).
        standard_streams: the descriptors of input, output and errors.
        ip_pktinfo: the option by which a datagram over IPv4 comes with the address it was sent to, ip(7);
            None where there is none.
        ipv6_recvpktinfo: the same over IPv6.
        so_passcred: the option by which one on a Unix socket comes with its sender, unix(7); or None.
    """

    has_epoll = hasattr(select, "epoll")
    has_files = True
    accept_burst = 64
    datagram_burst = 64
    busy_polls = 100
    gentle_refusals = 16
    first_passed = 3
    standard_streams = range(3)
    #: The socket module names it since Python 3.12.
    ip_pktinfo: int | None = 8 if sys.platform == "linux" else None
    ipv6_recvpktinfo: int | None = getattr(socket, "IPV6_RECVPKTINFO", None)
    so_passcred: int | None = getattr(socket, "SO_PASSCRED", None)

    wait_readable = staticmethod(trio.lowlevel.wait_readable)
    wait_writable = staticmethod(trio.lowlevel.wait_writable)
    notify_closing = staticmethod(trio.lowlevel.notify_closing)
    sleep = staticmethod(trio.sleep)
    monotonic = staticmethod(time.monotonic)

    def new_socket(self, family: int, kind: int) -> socket.socket:
        """Return a new socket, which the caller closes."""
        return socket.socket(family, kind)

    def accept(self, listening: socket.socket, family: int, kind: int) -> tuple[socket.socket, Any]:
        """Return what `listening.accept()` does, in two thirds of the time.

        `socket.accept` asks for family, type and timeouts again for each connection.
        """
        fd, address = listening._accept()  # type: ignore[attr-defined]  # noqa: SLF001 - as gevent does
        return socket.socket(family, kind, 0, fd), address

    def stream(self, sock: socket.socket) -> trio.abc.HalfCloseableStream:
        """Return a stream over a connected socket, which it owns."""
        return trio.SocketStream(trio.socket.from_stdlib_socket(sock))

    def poll(self) -> select.poll:
        """Return an object of the select module that polls descriptors."""
        return select.poll()

    def epoll(self) -> select.epoll:
        """Return a new epoll descriptor, which the caller closes."""
        return select.epoll()

    def waiting(self, sock: socket.socket) -> int:
        """Return how many bytes the kernel has received on a socket that are unread."""
        return int.from_bytes(fcntl.ioctl(sock, termios.FIONREAD, bytes(4)), sys.byteorder)

    async def getaddrinfo(
        self, host: str, port: int, *, kind: int
    ) -> list[tuple[int, int, int, str, tuple[Any, ...]]]:
        """Resolve a host name; see `trio.socket.getaddrinfo`."""
        return list(await trio.socket.getaddrinfo(host, port, type=kind))

    async def open_tcp(self, host: str, port: int) -> trio.SocketStream:
        """Connect to a TCP port.

        A host name may have several addresses: they are tried side by side (RFC 8305).

        Raises:
            OSError: there is no connection.
        """
        return await trio.open_tcp_stream(host, port)

    async def open_unix(self, path: str) -> trio.SocketStream:
        """Connect to a Unix socket; the name of an abstract one begins with a NUL.

        Raises:
            OSError: no server listens there.
        """
        # Not trio.open_unix_socket: it takes no abstract names.
        sock = trio.socket.socket(socket.AF_UNIX)
        try:
            await sock.connect(path)
        except BaseException:
            sock.close()
            raise
        return trio.SocketStream(sock)

    def open_spare(self) -> int:
        """Open a descriptor that reserves a place in the table; `close` closes it.

        Raises:
            OSError: there is none left.
        """
        return os.open(os.devnull, os.O_RDONLY)

    def close(self, fd: int) -> None:
        """Close a descriptor."""
        os.close(fd)

    def open_file(self, path: Path, flags: int, mode: int = 0o777) -> int:
        """Return a descriptor of a file; see `os.open`."""
        return os.open(path, flags, mode)

    def lock_file(self, file: int) -> None:
        """Lock a file for this process alone; it is released with the descriptor.

        Raises:
            BlockingIOError: another process has it.
        """
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def rename(self, path: Path, target: Path) -> None:
        """Rename a file, over what is at `target`."""
        path.rename(target)

    def is_trusted(self, status: os.stat_result) -> bool:
        """Return whether a file belongs to this user or to root."""
        return status.st_uid in {0, os.geteuid()}

    def kill(self, pid: int, number: int) -> None:
        """Send a signal to a process."""
        os.kill(pid, number)

    def max_descriptors(self) -> int | None:
        """Return how many descriptors the process may have open; None for any number."""
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return finite(soft)


def finite(limit: int) -> int | None:
    """Return a limit of resources as getrlimit(2) has it; None if there is none."""
    return None if limit == resource.RLIM_INFINITY else limit


#: The one that this process runs on.
MACHINE: Final = Machine()
