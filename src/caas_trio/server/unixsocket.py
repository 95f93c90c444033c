"""Unix sockets at a path: none is stolen, none is left behind, and none is missing during a takeover.

What is at a path is changed only by the server that holds the lock beside it (flock(2)), and it holds
the lock as long as the path is its own. So the lock says which server is alive, and the kernel releases
it when that is killed. No server acts on a file of a user other than its own and root, nor on a symbolic
link; see `pathlock`. Beside a path there may be

    PATH.lock   the lock; removed with the socket, by its holder
    PATH.new    a listening socket that has its mode, on its way to being renamed to PATH
    PATH.next   the listening socket of a server that waits to take over, under a lock of its own

A takeover: the new server listens at PATH.next, tells the old one to stop (SIGTERM), and waits for
the lock. The old one renames PATH.next to PATH, gives up the lock, and only then takes what waits
in its own accept queue. Every client finds a socket that listens, at any moment. What the old server does
for the clients that it has is decided in `Server`.
"""

from __future__ import annotations

import errno
import hashlib
import math
import os
import signal
import socket
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

import trio

from caas_trio.core.endpoint import Endpoint, Scheme
from caas_trio.core.errors import ListenError
from caas_trio.core.peer import credentials
from caas_trio.drivers.machine import MACHINE, Machine

from .pathlock import PathLock, absolute, is_at, kind_of_file, opened_at, status_at

#: As deep as the kernel allows: it lowers this to net.core.somaxconn by itself.
BACKLOG: Final = 65535

#: What sun_path of unix(7) holds, less the NUL that ends it.
_MAX_PATH_BYTES: Final = 107

#: A takeover: how long the old server may take to begin its stop, and how often the lock is tried.
_TAKEOVER_TIMEOUT_S: Final = 30.0
_TAKEOVER_POLL_S: Final = 0.005

#: A takeover: how long the lock may be held without a listener; a starting server does that briefly.
_SILENCE_S: Final = 2.0

_TAKEN: Final = "another server listens on it"
_SILENT: Final = "another server holds its lock and does not listen: its socket may have been removed"


class _Place:
    """A path at which there is a socket of ours, and the lock that makes it ours."""

    def __init__(self, path: Path, made: os.stat_result, lock: PathLock, machine: Machine) -> None:
        self.path = path
        self.made = made
        self.lock = lock
        self.machine = machine

    def give_up(self) -> bool:
        """Leave the path to a successor that waits, or leave nothing there; give up the lock.

        Return whether a successor has it.
        """
        with ExitStack() as opened:
            opened.callback(self.lock.release)
            if not is_at(self.path, self.made):
                return False
            if _hand_over(self.path, self.machine):
                return True
            self.path.unlink()
            return False


class UnixSocket:
    """A Unix socket bound by the rules above: at a path, or beside it, waiting to take it over.

    Attributes:
        sock: non-blocking; a stream socket listens.
    """

    def __init__(self, endpoint: Endpoint, sock: socket.socket, place: _Place | None) -> None:
        self.sock = sock
        self._endpoint = endpoint
        self._path = absolute(endpoint.path)
        self._place = place

    async def take_over(self, timeout_s: float = _TAKEOVER_TIMEOUT_S) -> None:
        """Signal the server at the path to stop, and return once the path is ours; at once if it is.

        Cancelled, the socket goes on waiting beside the path. Withdrawn meanwhile, it returns, too.

        Args:
            timeout_s: seconds that the server may take.

        Raises:
            ListenError: that server is another user's, cannot be signalled, or does not stop; or no process
                listens, and the lock is held.
            OSError: it may not be signalled.
        """
        silent_until = trio.current_time() + _SILENCE_S  # for ever, once a process has been signalled
        with trio.move_on_after(timeout_s):
            while (beside := self._waits_beside()) is not None:
                lock = PathLock.take(self._path, beside.machine)
                if lock is not None:
                    self._move(beside, lock)
                    return
                try:
                    if silent_until < math.inf and self._tell_to_stop(beside.machine):
                        silent_until = math.inf
                except BlockingIOError:  # its queue is full
                    silent_until = trio.current_time() + _SILENCE_S
                if trio.current_time() >= silent_until:
                    raise ListenError(str(self._endpoint), _SILENT)
                await trio.sleep(_TAKEOVER_POLL_S)
            return
        raise ListenError(str(self._endpoint), "the server that listens on it does not stop")

    def withdraw(self) -> bool:
        """Leave the path, to a successor if one waits: no new client comes, those in the queue stay.

        Return whether a successor has it from now on.
        """
        place, self._place = self._place, None
        return place is not None and place.give_up()

    def close(self) -> None:
        """Withdraw, and close the socket."""
        try:
            self.withdraw()
        finally:
            self.sock.close()

    def _waits_beside(self) -> _Place | None:
        """Return where it waits for the path; None if that is its own, or it has withdrawn."""
        return None if self._place is None or self._place.path == self._path else self._place

    def _move(self, beside: _Place, lock: PathLock) -> None:
        """Move the socket to the path, whose lock is held."""
        with ExitStack() as opened:
            opened.callback(lock.release)
            if not is_at(self._path, beside.made):  # the old server was killed, or had stopped already
                _make_way(self._endpoint, self._path, beside.machine)
                beside.machine.rename(beside.path, self._path)
            beside.lock.release()
            self._place = _Place(self._path, beside.made, lock, beside.machine)
            opened.pop_all()

    def _tell_to_stop(self, machine: Machine) -> bool:
        """Send SIGTERM to the process that listens at the path; return whether there is one.

        Raises:
            BlockingIOError: its queue is full, so that its process cannot be found.
            ListenError: the process is another user's and not root's, or cannot be sent a signal.
        """
        with machine.new_socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.setblocking(False)  # noqa: FBT003 - the socket module's signature
            try:
                with opened_at(self._path) as (name, status):
                    self._check(status, machine)
                    sock.connect(name)
            except (ConnectionRefusedError, FileNotFoundError):
                return False
            peer = credentials(sock)
        if peer.pid in (-1, 0, os.getpid()):  # unknown, of another PID namespace, or this very process
            raise ListenError(str(self._endpoint), f"{_TAKEN}, and cannot be signalled to stop")
        if peer.uid not in {0, os.geteuid()}:
            raise ListenError(str(self._endpoint), f"a server of user {peer.uid} listens on it")
        with suppress(ProcessLookupError):
            machine.kill(peer.pid, signal.SIGTERM)
        return True

    def _check(self, status: os.stat_result, machine: Machine) -> None:
        """Refuse what may lead to a process of another user."""
        if not stat.S_ISSOCK(status.st_mode):
            there_is = f"there is a {kind_of_file(status.st_mode)} at {self._path}"
            raise ListenError(str(self._endpoint), f"{there_is}, and another server holds its lock")
        if not machine.is_trusted(status):
            raise ListenError(str(self._endpoint), f"its socket belongs to user {status.st_uid}")
        if status.st_nlink != 1:
            raise ListenError(str(self._endpoint), "its socket has another name, too")


def bind_unix(endpoint: Endpoint, mode: int, *, takeover: bool, machine: Machine = MACHINE) -> UnixSocket:
    """Return a socket bound to a unix (then it listens) or unixgram endpoint; the caller closes it.

    Args:
        endpoint: a path, or the name of an abstract socket.
        mode: the permissions of the socket at a path, whatever the umask; a process that may write to it may
            connect. It has them before the first client can reach it.
        takeover: where a server listens already, wait beside it; `UnixSocket.take_over` goes on.
        machine: what the socket is on. Without a file system there, a path is a name like any other:
            no mode, no lock, no takeover.

    Raises:
        ListenError: another server listens there, or what is there is no socket.
        OSError: the machine does not allow it.
    """
    kind = socket.SOCK_STREAM if endpoint.scheme is Scheme.UNIX else socket.SOCK_DGRAM
    size = len(os.fsencode(endpoint.path))
    if size > _MAX_PATH_BYTES:
        excess = f"the path has {size} bytes; a Unix socket's has at most {_MAX_PATH_BYTES}"
        raise ListenError(str(endpoint), excess)
    if endpoint.path.startswith("@"):
        return UnixSocket(endpoint, _bind(f"\0{endpoint.path[1:]}", kind, None, machine), None)
    if not machine.has_files:
        return UnixSocket(endpoint, _bind(endpoint.path, kind, None, machine), None)
    path = absolute(endpoint.path)
    lock = PathLock.take(path, machine)
    if lock is not None:
        return _bind_at(endpoint, path, lock, mode, machine)
    beside = Path(f"{path}.next")
    lock = PathLock.take(beside, machine) if takeover and kind is socket.SOCK_STREAM else None
    if lock is None:
        raise ListenError(str(endpoint), _TAKEN)
    return _bind_at(endpoint, beside, lock, mode, machine)


def _bind_at(endpoint: Endpoint, path: Path, lock: PathLock, mode: int, machine: Machine) -> UnixSocket:
    """Bind at `path`, whose lock is held and is given up should that fail."""
    with ExitStack() as opened:
        opened.callback(lock.release)
        _make_way(endpoint, path, machine)
        if endpoint.scheme is Scheme.UNIXGRAM:
            # No detour: its replies bear the name it was bound to, and a client may look at that.
            sock = opened.enter_context(_bind(endpoint.path, socket.SOCK_DGRAM, mode, machine))
            made = path.lstat()
        else:
            sock, made = _bind_and_rename(endpoint, path, mode, machine)
        opened.pop_all()
    return UnixSocket(endpoint, sock, _Place(path, made, lock, machine))


def _bind_and_rename(
    endpoint: Endpoint, path: Path, mode: int, machine: Machine
) -> tuple[socket.socket, os.stat_result]:
    """Return a socket that listens when it comes to `path`, and what is there then."""
    with ExitStack() as opened, _bindable_name(path) as new:
        _make_way(endpoint, new, machine)
        sock = opened.enter_context(_bind(str(new), socket.SOCK_STREAM, mode, machine))
        made = new.lstat()
        try:
            machine.rename(new, path)
        except OSError:
            new.unlink()
            raise
        opened.pop_all()
    return sock, made


def _bind(address: str, kind: socket.SocketKind, mode: int | None, machine: Machine) -> socket.socket:
    with ExitStack() as opened:
        sock = opened.enter_context(machine.new_socket(socket.AF_UNIX, kind))
        if mode is not None:
            # Linux makes the file with the socket's mode, less the umask's bits: never wider than asked.
            with suppress(OSError):
                os.fchmod(sock.fileno(), mode)
        sock.bind(address)
        if mode is not None:
            _set_mode(Path(address), mode)
        if kind is socket.SOCK_STREAM:
            sock.listen(BACKLOG)
        sock.setblocking(False)  # noqa: FBT003 - the socket module's signature
        opened.pop_all()
    return sock


def _set_mode(path: Path, mode: int) -> None:
    """Set the permissions of the socket that was bound at a path, and of nothing that came in its place."""
    with opened_at(path) as (name, status):
        if not stat.S_ISSOCK(status.st_mode) or status.st_uid != os.geteuid():
            raise PermissionError(errno.EPERM, "it was replaced while it was made", str(path))
        Path(name).chmod(mode)


@contextmanager
def _bindable_name(path: Path) -> Iterator[Path]:
    """Yield a name in the directory of `path` that is short enough to bind to."""
    new = Path(f"{path}.new")
    if len(os.fsencode(new)) <= _MAX_PATH_BYTES:
        yield new
        return
    short = hashlib.blake2b(os.fsencode(path.name), digest_size=8).hexdigest()
    opened = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield Path(f"/proc/self/fd/{opened}/{short}.new")
    finally:
        os.close(opened)


def _make_way(endpoint: Endpoint, path: Path, machine: Machine) -> None:
    """Remove a dead socket from `path`; refuse anything else that is there."""
    status = status_at(path)
    if status is None:
        return
    if not stat.S_ISSOCK(status.st_mode):
        raise ListenError(str(endpoint), f"there is a {kind_of_file(status.st_mode)} at {path} already")
    if _is_alive(path, machine):
        raise ListenError(str(endpoint), _TAKEN)
    path.unlink()


def _is_alive(path: Path, machine: Machine) -> bool:
    """Return whether a process has the socket at `path`, one without our lock.

    A datagram socket asks: a server of connections does not notice, a full queue does not matter, and a
    dead socket differs from one of another kind, which refuses with EPROTOTYPE.
    """
    with machine.new_socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        try:
            with opened_at(path) as (name, _):
                sock.connect(name)
        except ConnectionRefusedError:
            return False
        except OSError as error:
            if error.errno != errno.EPROTOTYPE:
                raise
    return True


def _hand_over(path: Path, machine: Machine) -> bool:
    """Rename the socket of a living successor to `path`; return whether there is one."""
    beside = Path(f"{path}.next")
    made = status_at(beside)
    if made is None or not stat.S_ISSOCK(made.st_mode) or not machine.is_trusted(made):
        return False
    try:
        lock = PathLock.take(beside, machine)
        if lock is None:
            machine.rename(beside, path)
            return is_at(path, made)
        with ExitStack() as held:  # it was killed, or what is there is another program's
            held.callback(lock.release)
            if not _is_alive(beside, machine):
                beside.unlink()
    except OSError:  # it gave up just now, or is another user's in a sticky directory
        return False
    return False
