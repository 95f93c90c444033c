"""Unix sockets at a path: none is stolen, none is left behind, and at a takeover none is missing.

What is at a path is changed only by who holds the lock beside it (flock(2)), and a server holds it
for as long as the path is its own. So the lock says who is alive, and the kernel gives it up for
who was killed. Beside a path there may be

    PATH.lock   the lock; removed with the socket, by who holds it
    PATH.new    a listening socket that has its mode, on its way to being renamed to PATH
    PATH.next   the listening socket of a server that waits to take over, under a lock of its own

A takeover: the new server listens at PATH.next, tells the old one to stop (SIGTERM), and waits for
the lock. The old one renames PATH.next to PATH, gives up the lock, and only then takes what waits
in its own accept queue. Every client finds a socket that listens, at any moment. What else the old
server does for those it has is `Server`'s affair.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
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

#: As deep as the kernel allows: it lowers this to net.core.somaxconn by itself.
BACKLOG: Final = 65535

#: What sun_path of unix(7) holds, less the NUL that ends it.
_MAX_PATH_BYTES: Final = 107

#: A takeover: how long the old server may take to begin its stop, and how often the lock is tried.
_TAKEOVER_TIMEOUT_S: Final = 30.0
_TAKEOVER_POLL_S: Final = 0.005

_TAKEN: Final = "another server listens on it"


class PathLock:
    """The lock beside a path, held; the kernel gives it up with the process."""

    def __init__(self, name: Path, file: int) -> None:
        self._name = name
        self._file = file

    @classmethod
    def take(cls, path: Path) -> PathLock | None:
        """Return the lock of `path`, or None if another server holds it, of this process or not.

        Raises:
            OSError: its file cannot be made.
        """
        name = Path(f"{path}.lock")
        while True:
            file = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            with ExitStack() as opened:
                opened.callback(os.close, file)
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return None
                # Who held it may have removed the file since it was opened; then it locks nothing.
                if _is_at(name, os.fstat(file)):
                    opened.pop_all()
                    return cls(name, file)

    def release(self) -> None:
        """Give it up. Its file is removed first, while nobody else can hold the lock."""
        try:
            if _is_at(self._name, os.fstat(self._file)):
                self._name.unlink()
        finally:
            os.close(self._file)


class _Place:
    """A path at which there is a socket of ours, and the lock that makes it ours."""

    def __init__(self, path: Path, made: os.stat_result, lock: PathLock) -> None:
        self.path = path
        self.made = made
        self.lock = lock

    def give_up(self) -> bool:
        """Let a successor that waits have the path, or leave nothing there; give up the lock.

        Return whether a successor has it.
        """
        with ExitStack() as opened:
            opened.callback(self.lock.release)
            if not _is_at(self.path, self.made):
                return False
            if _hand_over(self.path):
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
        self._place = place

    async def take_over(self) -> None:
        """Tell the server at the path to stop, and return once the path is ours; at once if it is.

        Cancelled, the socket goes on waiting beside the path. Withdrawn meanwhile, it returns, too.

        Raises:
            ListenError: that server cannot be told, or does not stop.
            OSError: it may not be told.
        """
        path = Path(self._endpoint.path)
        told = False
        with trio.move_on_after(_TAKEOVER_TIMEOUT_S):
            while (beside := self._waits_beside(path)) is not None:
                lock = PathLock.take(path)
                if lock is not None:
                    self._move_to(path, lock, beside)
                else:
                    told = told or self._tell_to_stop(path)
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

    def _waits_beside(self, path: Path) -> _Place | None:
        """Return where it waits for the path; None if that is its own, or it has withdrawn."""
        return None if self._place is None or self._place.path == path else self._place

    def _move_to(self, path: Path, lock: PathLock, waited: _Place) -> None:
        with ExitStack() as opened:
            opened.callback(lock.release)
            if not _is_at(path, waited.made):  # the old server was killed, or had stopped already
                _make_way(self._endpoint, path)
                waited.path.rename(path)
            waited.lock.release()
            self._place = _Place(path, waited.made, lock)
            opened.pop_all()

    def _tell_to_stop(self, path: Path) -> bool:
        """Tell the process that listens at `path` to stop; return whether there is one."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.setblocking(False)  # noqa: FBT003 - the socket module's signature
            try:
                sock.connect(str(path))
            except (BlockingIOError, ConnectionRefusedError, FileNotFoundError):
                return False
            pid = credentials(sock).pid
        if pid in (-1, 0, os.getpid()):  # unknown, of another PID namespace, or this very process
            raise ListenError(str(self._endpoint), f"{_TAKEN}, and cannot be told to stop")
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        return True


def bind_unix(endpoint: Endpoint, mode: int, *, takeover: bool = False) -> UnixSocket:
    """Return a socket bound to a unix (then it listens) or unixgram endpoint; the caller closes it.

    Args:
        endpoint: a path, or the name of an abstract socket.
        mode: the permissions of the socket at a path, whatever the umask; who may write to it may
            connect. It has them before the first client can reach it.
        takeover: where a server listens already, wait beside it; `UnixSocket.take_over` goes on.

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
        return UnixSocket(endpoint, _bind(f"\0{endpoint.path[1:]}", kind, None), None)
    path = Path(endpoint.path)
    lock = PathLock.take(path)
    if lock is not None:
        return _bind_at(endpoint, path, lock, kind, mode)
    beside = Path(f"{path}.next")
    lock = PathLock.take(beside) if takeover and kind is socket.SOCK_STREAM else None
    if lock is None:
        raise ListenError(str(endpoint), _TAKEN)
    return _bind_at(endpoint, beside, lock, kind, mode)


def _bind_at(
    endpoint: Endpoint, path: Path, lock: PathLock, kind: socket.SocketKind, mode: int
) -> UnixSocket:
    """Bind at `path`, whose lock is held and is given up should that fail."""
    with ExitStack() as opened:
        opened.callback(lock.release)
        _make_way(endpoint, path)
        if kind is socket.SOCK_DGRAM:
            # No detour: its replies bear the name it was bound to, and a client may look at that.
            sock = opened.enter_context(_bind(str(path), kind, mode))
            made = path.lstat()
        else:
            sock, made = _bind_and_rename(endpoint, path, mode)
        opened.pop_all()
    return UnixSocket(endpoint, sock, _Place(path, made, lock))


def _bind_and_rename(endpoint: Endpoint, path: Path, mode: int) -> tuple[socket.socket, os.stat_result]:
    """Return a socket that listens when it comes to `path`, and what is there then."""
    with ExitStack() as opened, _bindable_name(path) as new:
        _make_way(endpoint, new)
        sock = opened.enter_context(_bind(str(new), socket.SOCK_STREAM, mode))
        made = new.lstat()
        try:
            new.rename(path)
        except OSError:
            new.unlink()
            raise
        opened.pop_all()
    return sock, made


def _bind(address: str, kind: socket.SocketKind, mode: int | None) -> socket.socket:
    with ExitStack() as opened:
        sock = opened.enter_context(socket.socket(socket.AF_UNIX, kind))
        if mode is not None:
            # Linux makes the file with the socket's mode, less the umask's bits: never wider than asked.
            with suppress(OSError):
                os.fchmod(sock.fileno(), mode)
        sock.bind(address)
        if mode is not None:
            Path(address).chmod(mode)
        if kind is socket.SOCK_STREAM:
            sock.listen(BACKLOG)
        sock.setblocking(False)  # noqa: FBT003 - the socket module's signature
        opened.pop_all()
    return sock


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


def _make_way(endpoint: Endpoint, path: Path) -> None:
    """Remove a socket that nobody has any more from `path`; refuse what else is there."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ListenError(str(endpoint), f"there is a {_kind_of_file(mode)} at {path} already")
    if _is_alive(path):
        raise ListenError(str(endpoint), _TAKEN)
    path.unlink()


def _is_alive(path: Path) -> bool:
    """Return whether a process has the socket at `path`, one without our lock.

    A datagram socket asks: a server of connections notices nothing of it, a full queue does not
    matter, and a dead socket is told from one of another kind, which refuses with EPROTOTYPE.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(str(path))
        except ConnectionRefusedError:
            return False
        except OSError as error:
            if error.errno != errno.EPROTOTYPE:
                raise
    return True


def _hand_over(path: Path) -> bool:
    """Rename the socket of a living successor to `path`; return whether there is one."""
    beside = Path(f"{path}.next")
    if not beside.is_socket():
        return False
    lock = PathLock.take(beside)
    try:
        if lock is None:
            beside.rename(path)
        else:  # it was killed
            beside.unlink()
    except OSError:  # it gave up just now, or is another user's in a sticky directory
        return False
    finally:
        if lock is not None:
            lock.release()
    return lock is None


def _is_at(path: Path, made: os.stat_result) -> bool:
    """Return whether a file is the one at `path`."""
    try:
        return os.path.samestat(path.lstat(), made)
    except FileNotFoundError:
        return False


def _kind_of_file(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "directory"
    return "symbolic link" if stat.S_ISLNK(mode) else "file"
