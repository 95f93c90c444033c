"""Sockets that this process was started with: `fd://N`, and `systemd:` by sd_listen_fds(3).

A descriptor is inherited if it came through `exec`, so it is without close-on-exec; whatever Python
opens has that flag. A taken one gets it too, so nothing is taken twice, and nothing of our own.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import socket
from functools import cache
from typing import Final, NamedTuple

from caas_trio.core.endpoint import Endpoint, Scheme
from caas_trio.core.errors import EndpointError, ListenError
from caas_trio.core.peer import unmapped
from caas_trio.drivers.machine import MACHINE, Machine

#: The schemes of endpoints that are inherited.
INHERITED: Final = frozenset({Scheme.FD, Scheme.SYSTEMD})

_COUNT: Final = re.compile(r"0|[1-9][0-9]{0,3}")
_UNNAMED: Final = "unknown"  # as sd_listen_fds_with_names(3) has it


#: By the kind of socket: what its addresses are called, and what it is.
_SCHEMES: Final = {
    socket.SOCK_STREAM: (Scheme.TCP, Scheme.UNIX),
    socket.SOCK_DGRAM: (Scheme.UDP, Scheme.UNIXGRAM),
}
_NAMES: Final = {socket.SOCK_STREAM: "stream", socket.SOCK_DGRAM: "datagram"}


class Inherited(NamedTuple):
    """A socket that was passed, and the endpoint it is bound to as far as that can be written."""

    endpoint: Endpoint
    sock: socket.socket


def passed(endpoint: Endpoint, kind: socket.SocketKind, machine: Machine = MACHINE) -> list[int]:
    """Return the descriptors that an fd or systemd endpoint names and that are of this kind.

    Anything but a datagram socket counts as a stream socket; `inherit` refuses what is neither.

    Raises:
        ListenError: systemd has passed nothing of that name.
    """
    numbers = [endpoint.fd] if endpoint.scheme is Scheme.FD else _passed(endpoint, machine)
    wanted = kind is socket.SOCK_DGRAM
    return [number for number in numbers if (_kind(number) == socket.SOCK_DGRAM) is wanted]


def inherit(
    endpoint: Endpoint, kind: socket.SocketKind = socket.SOCK_STREAM, machine: Machine = MACHINE
) -> list[Inherited]:
    """Return the sockets of this kind that an fd or systemd endpoint names; the caller closes them.

    They are made close-on-exec and non-blocking. The latter holds for every process that has the
    same socket: one that still accepts from it, and expects to block, gets an error.

    Raises:
        ListenError: none was passed, or what was passed cannot be served.
    """
    taken: list[Inherited] = []
    numbers = [endpoint.fd] if endpoint.scheme is Scheme.FD else passed(endpoint, kind, machine)
    if not numbers:
        raise ListenError(str(endpoint), f"no {_NAMES[kind]} socket of that name was passed")
    try:
        for number in numbers:
            sock = _take(endpoint, number, kind, machine.standard_streams)
            taken.append(Inherited(_bound_to(sock, kind, endpoint), sock))
    except ListenError:
        for each in taken:
            each.sock.close()
        raise
    return taken


@cache
def _environment() -> tuple[str | None, str | None, str | None]:
    """Return systemd's variables, and unset them: they are not for the processes that this one starts."""
    pid, count, names = (
        os.environ.pop(name, None) for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
    )
    return pid, count, names


def _passed(endpoint: Endpoint, machine: Machine) -> list[int]:
    """Return the descriptors that systemd has passed under the endpoint's name, or all."""
    pid, count, names = _environment()
    if pid is None or count is None:
        raise ListenError(str(endpoint), "no socket was passed to it (LISTEN_FDS is not set)")
    if pid != str(os.getpid()):
        raise ListenError(
            str(endpoint), f"the sockets were passed to process {pid}, and this is {os.getpid()}"
        )
    if not _COUNT.fullmatch(count):
        raise ListenError(str(endpoint), f"LISTEN_FDS is {count!r}, not a number of sockets")
    named = [_UNNAMED] * int(count) if names is None else names.split(":")
    if len(named) != int(count):
        raise ListenError(str(endpoint), f"LISTEN_FDS says {count}, and LISTEN_FDNAMES names {len(named)}")
    found = [number for number, name in enumerate(named, machine.first_passed) if endpoint.name in ("", name)]
    if not found:
        there_are = f"; there are: {', '.join(named)}" if named else ""
        raise ListenError(str(endpoint), f"no socket of that name was passed{there_are}")
    return found


def is_listening(number: int) -> bool:
    """Return whether a descriptor is a socket that listens."""
    try:
        with _looked_at(number) as sock:
            return bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    except OSError:
        return False


def _kind(number: int) -> int | None:
    """Return the kind of socket that a descriptor is; None if it is not a socket."""
    try:
        with _looked_at(number) as sock:
            return sock.type
    except OSError:
        return None


def _looked_at(number: int) -> socket.socket:
    """Return a socket object of a descriptor that may be none, to be closed by the caller.

    Raises:
        OSError: it is not a socket.
    """
    copy = os.dup(number)
    try:
        return socket.socket(fileno=copy)
    except OSError:
        os.close(copy)
        raise


def _take(endpoint: Endpoint, number: int, kind: socket.SocketKind, streams: range) -> socket.socket:
    """Return the socket of a descriptor, which from now on is ours alone to close."""
    sock: socket.socket | None = None
    try:
        if not os.get_inheritable(number):
            raise _unfit(endpoint, number, "was not passed to this process, or is in use already")
        sock = socket.socket(fileno=number)
        what = _unfitness(sock, kind)
        if what is not None:
            raise _unfit(endpoint, number, what)
    except OSError as error:
        is_open = error.errno != errno.EBADF
        raise _unfit(endpoint, number, "is no socket" if is_open else "is not open") from error
    except ListenError:
        if sock is not None:
            sock.detach()
        raise
    if number in streams:
        sock = _moved_up(sock, streams)
    os.set_inheritable(sock.fileno(), False)  # noqa: FBT003 - the os module's signature
    sock.setblocking(False)  # noqa: FBT003 - the socket module's signature
    return sock


def _moved_up(sock: socket.socket, streams: range) -> socket.socket:
    """Return a socket that was a standard stream under a number of its own.

    In its place, and of its copies (inetd makes three), there is /dev/null from now on: a process that
    is started puts its own standard streams over these numbers, and what is printed is for no client.
    """
    made = os.fstat(sock.fileno())
    moved = socket.socket(fileno=fcntl.fcntl(sock, fcntl.F_DUPFD_CLOEXEC, streams.stop))
    nowhere = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for number in streams:
        if _is_open(number) and os.path.samestat(os.fstat(number), made):
            os.dup2(nowhere, number)
    os.close(nowhere)
    sock.detach()
    return moved


def fill_standard_streams(machine: Machine = MACHINE) -> None:
    """Open /dev/null in the place of standard streams that are closed, or the next socket would take it."""
    for number in machine.standard_streams:
        if not _is_open(number):
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # noqa: FBT003 - the os module's signature


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _unfit(endpoint: Endpoint, number: int, what: str) -> ListenError:
    return ListenError(str(endpoint), f"descriptor {number} {what}")


def _unfitness(sock: socket.socket, kind: socket.SocketKind) -> str | None:
    """Return why it cannot be served, None if it can."""
    if sock.family not in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX):
        return "belongs to no family that is served"
    if sock.type != kind:
        return f"is no {_NAMES[kind]} socket"
    if kind is socket.SOCK_STREAM and not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        return "is a socket that does not listen"
    return None


def _bound_to(sock: socket.socket, kind: socket.SocketKind, asked: Endpoint) -> Endpoint:
    """Return the endpoint of the socket's own address; the one asked for if none can be written."""
    address = sock.getsockname()
    internet, local = _SCHEMES[kind]
    try:
        match address:
            case (str(host), int(port), *_):
                return Endpoint(internet, host=unmapped(host), port=port)
            case bytes():  # abstract: a NUL, then the name
                return Endpoint(local, path=f"@{os.fsdecode(address[1:])}")
            case _:
                return Endpoint(local, path=address)
    except EndpointError:
        return asked
