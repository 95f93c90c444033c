"""Unix sockets at a path: none is stolen, none is left behind, and at a takeover none is missing."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from caas_trio import Endpoint, ListenError, LocalPeer
from caas_trio.server import pathlock, unixsocket
from caas_trio.server.pathlock import PathLock, opened_at
from caas_trio.server.unixsocket import UnixSocket, bind_unix

MODE = 0o660


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "caas.sock"


def bind(path: Path | str, mode: int = MODE, scheme: str = "unix", *, takeover: bool = False) -> UnixSocket:
    return bind_unix(Endpoint.parse(f"{scheme}:{path}"), mode, takeover=takeover)


def reason(path: Path | str, scheme: str = "unix", *, takeover: bool = False) -> str:
    """Return why it cannot be bound."""
    with pytest.raises(ListenError) as caught:
        bind(path, scheme=scheme, takeover=takeover)
    assert caught.value.endpoint == f"{scheme}:{path}"
    assert "\n" not in caught.value.reason
    return caught.value.reason


TAKEN = "another server listens on it"


def reaches(path: Path | str, bound: UnixSocket) -> bool:
    """Return whether a client of the path gets to this socket."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        try:
            accepted, _ = bound.sock.accept()
        except BlockingIOError:
            return False
        accepted.close()
        return True


def names(directory: Path) -> set[str]:
    return {each.name for each in directory.iterdir()}


def leave_a_dead_socket(path: Path) -> None:
    """Leave what a server leaves that was killed."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
        dead.listen()


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@pytest.mark.parametrize("mask", [0, 0o077])
@pytest.mark.parametrize("mode", [0o600, 0o660, 0o666])
def test_the_mode_is_set_before_the_first_client(
    path: Path, mode: int, mask: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[set[str], int]] = []
    listen = socket.socket.listen

    def look_first(sock: socket.socket, backlog: int) -> None:
        made = Path(os.fsdecode(sock.getsockname()))
        seen.append((names(path.parent), stat.S_IMODE(made.lstat().st_mode)))
        listen(sock, backlog)

    monkeypatch.setattr(socket.socket, "listen", look_first)
    with umask(mask), closing(bind(path, mode)) as bound:
        assert seen == [({"caas.sock.new", "caas.sock.lock"}, mode)]
        assert stat.S_IMODE(path.lstat().st_mode) == mode
        assert bound.sock.getblocking() is False
        assert reaches(path, bound)


@pytest.mark.parametrize("scheme", ["unix", "unixgram"])
def test_the_lock_is_removed_with_the_socket(path: Path, scheme: str) -> None:
    with closing(bind(path, scheme=scheme)):
        assert names(path.parent) == {"caas.sock", "caas.sock.lock"}
        assert stat.S_IMODE(Path(f"{path}.lock").stat().st_mode) == 0o600
    assert names(path.parent) == set()


def test_a_datagram_socket_is_bound_with_its_mode(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modes: list[int] = []
    chmod = Path.chmod

    def look_first(made: Path, mode: int) -> None:
        modes.append(stat.S_IMODE(made.stat().st_mode))
        chmod(made, mode)

    monkeypatch.setattr(Path, "chmod", look_first)
    with umask(0), closing(bind(path, 0o600, "unixgram")) as bound:
        assert modes == [0o600]
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
            client.sendto(b"hello", str(path))
        assert bound.sock.recv(100) == b"hello"


@pytest.mark.parametrize("scheme", ["unix", "unixgram"])
@pytest.mark.parametrize("takeover", [False, True])
def test_the_path_of_a_running_server_is_not_taken(path: Path, scheme: str, *, takeover: bool) -> None:
    with closing(bind(path)) as first:
        if scheme == "unix" and takeover:
            with closing(bind(path, takeover=True)):
                assert reason(path, takeover=True) == TAKEN  # one successor is enough
        assert reason(path, scheme, takeover=takeover and scheme == "unixgram") == TAKEN
        assert reaches(path, first)
        assert names(path.parent) == {"caas.sock", "caas.sock.lock"}


@pytest.mark.parametrize("lock", [False, True])
def test_the_socket_of_a_killed_server_is_replaced(path: Path, *, lock: bool) -> None:
    leave_a_dead_socket(path)
    leave_a_dead_socket(Path(f"{path}.new"))
    if lock:
        Path(f"{path}.lock").touch()
    with closing(bind(path)) as bound:
        assert reaches(path, bound)
    assert names(path.parent) == set()


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_server_without_our_lock_keeps_its_path(path: Path, kind: socket.SocketKind) -> None:
    with socket.socket(socket.AF_UNIX, kind) as foreign:
        foreign.bind(str(path))
        if kind is socket.SOCK_STREAM:
            assert reason(path) == TAKEN
            foreign.listen()
        foreign.settimeout(0)
        assert reason(path) == TAKEN
        assert reason(path, takeover=True) == TAKEN
        with pytest.raises(BlockingIOError):
            foreign.accept() if kind is socket.SOCK_STREAM else foreign.recv(1)
        assert names(path.parent) == {"caas.sock"}


def test_a_socket_we_may_not_probe_is_left(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave_a_dead_socket(path)

    def forbid(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(socket.socket, "connect", forbid)
    with pytest.raises(PermissionError):
        bind(path)
    assert names(path.parent) == {"caas.sock"}


@pytest.mark.parametrize("suffix", ["", ".new"])
def test_a_file_that_is_no_socket_is_refused_and_kept(path: Path, suffix: str) -> None:
    occupied = Path(f"{path}{suffix}")
    occupied.write_text("data")
    assert reason(path) == f"there is a file at {occupied} already"
    assert occupied.read_text() == "data"
    occupied.unlink()
    occupied.mkdir()
    assert reason(path) == f"there is a directory at {occupied} already"
    occupied.rmdir()
    with closing(bind(path.with_name("other"))) as other:
        occupied.symlink_to("other")
        assert reason(path) == f"there is a symbolic link at {occupied} already"
        assert occupied.is_symlink()
        assert reaches(path.with_name("other"), other)


def test_a_path_has_at_most_107_bytes() -> None:
    assert reason("/" + "a" * 107) == "the path has 108 bytes; a Unix socket's has at most 107"
    assert reason("/" + "ä" * 54) == "the path has 109 bytes; a Unix socket's has at most 107"


@pytest.mark.parametrize("relative", [False, True])
def test_a_path_may_have_all_its_107_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, relative: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d" / "e").mkdir(parents=True)
    start = "" if relative else "d/../d/e/"
    path = start + "a" * (107 - len(start))
    with closing(bind(path)) as first:
        assert reason(path) == TAKEN
        assert reaches(path, first)
        with closing(bind(path, takeover=True)):
            assert reaches(path, first)
    assert names(tmp_path) == {"d"}
    assert names(tmp_path / "d/e") == set()


def test_an_abstract_socket_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = tmp_path.name + tmp_path.parent.name
    with closing(bind(f"@{name}")) as bound:
        assert reaches(f"\0{name}", bound)
        with pytest.raises(OSError, match="in use"):
            bind(f"@{name}", takeover=True)
        assert names(tmp_path) == set()
    with closing(bind(f"@{name}")):
        assert names(tmp_path) == set()


def test_a_failed_rename_leaves_no_temporary_socket(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbid(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "rename", forbid)
    with pytest.raises(PermissionError):
        bind(path)
    assert names(path.parent) == set()


def test_a_file_that_replaced_the_socket_is_kept(path: Path) -> None:
    with closing(bind(path)) as bound:
        path.unlink()
        path.write_text("somebody else's")
        assert not bound.withdraw()
    assert names(path.parent) == {"caas.sock"}
    assert path.read_text() == "somebody else's"


def test_an_already_removed_socket_is_no_error(path: Path) -> None:
    with closing(bind(path)):
        path.unlink()
    assert names(path.parent) == set()


class TestTheLock:
    """The holder of the lock decides what is at the path."""

    def test_the_lock_has_one_holder_at_a_time(self, path: Path) -> None:
        lock = PathLock.take(path)
        assert lock is not None
        assert PathLock.take(path) is None
        lock.release()
        assert names(path.parent) == set()
        again = PathLock.take(path)
        assert again is not None
        again.release()

    def test_a_removed_lock_file_locks_nothing(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The last holder removes the file between our opening it and our locking it."""
        flock = fcntl.flock
        tries: list[int] = []

        def slowly(file: int, operation: int) -> None:
            tries.append(file)
            if len(tries) == 1:
                Path(f"{path}.lock").unlink()
            flock(file, operation)

        monkeypatch.setattr(fcntl, "flock", slowly)
        lock = PathLock.take(path)
        assert lock is not None
        assert len(tries) == 2
        assert PathLock.take(path) is None
        lock.release()

    def test_release_removes_only_its_own_lock_file(self, path: Path) -> None:
        first = bind(path)
        Path(f"{path}.lock").unlink()
        assert reason(path) == TAKEN  # the socket has an owner all the same
        other = PathLock.take(path)
        assert other is not None
        first.close()
        assert PathLock.take(path) is None
        other.release()

    def test_the_lock_file_ignores_the_umask(self, path: Path) -> None:
        with umask(0o777):
            lock = PathLock.take(path)
        assert lock is not None
        assert stat.S_IMODE(Path(f"{path}.lock").stat().st_mode) == 0o600
        lock.release()

    def test_an_existing_lock_file_is_opened_without_creating(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The kernel forbids it (fs.protected_regular) for another user's file in a sticky directory."""
        opened = os.open

        def protected(name: Any, flags: int, *mode: int) -> int:
            if flags & os.O_CREAT and Path(name).exists():
                raise PermissionError
            return opened(name, flags, *mode)

        monkeypatch.setattr(os, "open", protected)
        leave_a_dead_socket(path)
        Path(f"{path}.lock").touch()
        with closing(bind(path)) as bound:
            assert reaches(path, bound)

    def test_a_lock_file_created_meanwhile_is_opened(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        opened = os.open

        def made_just_now(name: Any, flags: int, *mode: int) -> int:
            if flags & os.O_CREAT:
                os.close(opened(name, os.O_CREAT, 0o600))
            return opened(name, flags, *mode)

        monkeypatch.setattr(os, "open", made_just_now)
        lock = PathLock.take(path)
        assert lock is not None
        lock.release()

    def test_a_lock_file_that_keeps_changing_is_an_error(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pathlock, "is_at", lambda *_: False)
        with pytest.raises(OSError, match="the lock comes and goes"):
            PathLock.take(path)

    def test_a_lock_that_is_no_file_is_refused(self, path: Path) -> None:
        os.mkfifo(f"{path}.lock")
        with pytest.raises(OSError, match="what is there is no file"):
            PathLock.take(path)
        assert names(path.parent) == {"caas.sock.lock"}

    def test_a_symbolic_link_is_not_followed(self, path: Path) -> None:
        Path(f"{path}.lock").symlink_to("elsewhere")
        with pytest.raises(OSError, match="symbolic links"):
            bind(path)
        assert names(path.parent) == {"caas.sock.lock"}


class TestStrangers:
    """Another user may write to the directory, and has left something there."""

    @pytest.fixture
    def strangers(self, monkeypatch: pytest.MonkeyPatch) -> set[int]:
        """The inodes that belong to the other user."""
        inodes: set[int] = set()
        for module in (pathlock, unixsocket):
            monkeypatch.setattr(module, "is_trusted", lambda status: status.st_ino not in inodes)
        monkeypatch.delattr(os, "kill")
        return inodes

    def leave(self, strangers: set[int], file: Path | str) -> None:
        strangers.add(os.lstat(file).st_ino)

    def test_a_free_lock_is_replaced(self, path: Path, strangers: set[int]) -> None:
        file = Path(f"{path}.lock")
        file.touch()
        self.leave(strangers, file)
        with file.open() as theirs:
            lock = PathLock.take(path)
            assert lock is not None
            fcntl.flock(theirs, fcntl.LOCK_EX | fcntl.LOCK_NB)  # theirs locks nothing
            assert PathLock.take(path) is None
        lock.release()
        assert names(path.parent) == set()

    @pytest.mark.parametrize("takeover", [False, True])
    def test_a_lock_that_another_user_holds_is_named(
        self, path: Path, strangers: set[int], *, takeover: bool
    ) -> None:
        theirs = PathLock.take(path)
        assert theirs is not None
        self.leave(strangers, f"{path}.lock")
        with pytest.raises(PermissionError, match="another user holds the lock"):
            bind(path, takeover=takeover)
        theirs.release()

    async def refusal(self, path: Path) -> str:
        """Return why a path cannot be taken over whose lock is held."""
        lock = PathLock.take(path)
        assert lock is not None
        with closing(bind(path, takeover=True)) as new, pytest.raises(ListenError) as caught:
            await new.take_over()
        lock.release()
        return caught.value.reason

    async def test_a_symbolic_link_is_never_a_successors_lock(self, path: Path, strangers: set[int]) -> None:
        with closing(bind(path.with_name("other"))) as other:
            path.symlink_to("other")  # noqa: ASYNC240 - nothing else runs
            told = f"there is a symbolic link at {path}, and another server holds its lock"
            assert await self.refusal(path) == told
            with pytest.raises(BlockingIOError):
                other.sock.accept()
        assert not strangers

    async def test_the_socket_of_another_user_is_never_signalled(
        self, path: Path, strangers: set[int]
    ) -> None:
        with socket.socket(socket.AF_UNIX) as theirs:
            theirs.bind(str(path))
            theirs.listen()
            self.leave(strangers, path)
            assert await self.refusal(path) == f"its socket belongs to user {os.getuid()}"

    async def test_a_hard_link_is_never_a_successors_lock(self, path: Path, strangers: set[int]) -> None:
        with closing(bind(path.with_name("other"))):
            path.hardlink_to(path.with_name("other"))  # noqa: ASYNC240 - nothing else runs
            assert await self.refusal(path) == "its socket has another name, too"
        assert not strangers

    async def test_a_process_of_another_user_is_not_signalled(
        self, path: Path, strangers: set[int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(unixsocket, "credentials", lambda _: LocalPeer(12345, os.getuid() + 1, 0))
        with socket.socket(socket.AF_UNIX) as ours:
            ours.bind(str(path))
            ours.listen()
            told = f"a server of user {os.getuid() + 1} listens on it"
            assert await self.refusal(path) == told
        assert not strangers

    @pytest.mark.parametrize("which", ["", ".lock"])
    def test_a_successor_of_another_user_is_ignored(
        self, path: Path, strangers: set[int], which: str
    ) -> None:
        old = bind(path)
        new = bind(path, takeover=True)
        self.leave(strangers, f"{path}.next{which}")
        assert not old.withdraw()
        assert not path.exists()
        old.close()
        new.close()

    def test_a_successor_replaced_meanwhile_is_ignored(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        old = bind(path)
        new = bind(path, takeover=True)
        rename = Path.rename

        def replaced(beside: Path, target: Path) -> None:
            beside.unlink()
            leave_a_dead_socket(beside)
            rename(beside, target)

        with monkeypatch.context() as raced:
            raced.setattr(Path, "rename", replaced)
            assert not old.withdraw()
        assert not path.exists()
        new.close()
        old.close()

    def test_a_socket_replaced_during_bind_is_refused(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        precious = path.with_name("precious")
        precious.touch(0o600)

        def replaced(sock: socket.socket, address: str) -> None:
            Path(address).symlink_to(precious)

        monkeypatch.setattr(socket.socket, "bind", replaced)
        with pytest.raises(PermissionError, match="it was replaced while it was made"):
            bind(path, 0o666)
        assert stat.S_IMODE(precious.stat().st_mode) == 0o600


def test_without_o_path_the_path_is_used(path: Path) -> None:
    leave_a_dead_socket(path)
    with opened_at(path, path_only=None) as (name, status):
        assert (name, status.st_ino) == (str(path), path.lstat().st_ino)


def test_a_relative_path_survives_the_removal_of_its_directory(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = path.with_name("gone")
    directory.mkdir()
    monkeypatch.chdir(directory)
    with closing(bind("../caas.sock")) as bound:
        directory.rmdir()
        assert reaches(path, bound)
    assert names(path.parent) == set()
    with closing(bind("../caas.sock")) as bound:
        assert reaches(path, bound)


class TestATakeover:
    """Both servers are of this process here, and a signal is what `tell` makes of it."""

    @pytest.fixture
    def told(self, monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], object]]:
        """What happens when the old server is told to stop, in turn."""
        actions: list[Callable[[], object]] = []

        def kill(pid: int, number: int) -> None:
            assert (pid, number) == (12345, signal.SIGTERM)
            actions.pop(0)()

        monkeypatch.setattr(os, "kill", kill)
        monkeypatch.setattr(unixsocket, "credentials", lambda _: LocalPeer(12345, 0, 0))
        return actions

    async def test_without_a_predecessor_a_takeover_does_not_wait(self, path: Path) -> None:
        with closing(bind(path, takeover=True)) as bound:
            await bound.take_over()
            assert reaches(path, bound)
            assert names(path.parent) == {"caas.sock", "caas.sock.lock"}

    async def test_a_takeover_hands_the_path_over_and_keeps_the_queue(
        self, path: Path, told: list[Callable[[], object]]
    ) -> None:
        old = bind(path)
        new = bind(path, takeover=True)
        assert reaches(path, old)
        assert names(path.parent) == {
            *("caas.sock", "caas.sock.lock"),
            *("caas.sock.next", "caas.sock.next.lock"),
        }
        with socket.socket(socket.AF_UNIX) as early:
            early.connect(str(path))
            handed_over: list[bool] = []
            told.append(lambda: handed_over.append(old.withdraw()))
            await new.take_over()
            assert handed_over == [True]
            assert reaches(path, new)
            old.sock.accept()[0].close()  # the early one
            old.sock.accept()[0].close()  # and the one that asked who listens
        old.close()
        assert reaches(path, new)
        assert names(path.parent) == {"caas.sock", "caas.sock.lock"}
        assert reason(path) == TAKEN
        new.close()
        assert names(path.parent) == set()

    async def test_the_old_server_exits_before_the_signal(self, path: Path) -> None:
        old = bind(path)
        new = bind(path, takeover=True)
        beside, away = f"{path}.next", f"{path}.away"
        os.rename(beside, away)  # noqa: PTH104 - as if it came too late to be seen
        old.close()
        os.rename(away, beside)  # noqa: PTH104
        await new.take_over()
        assert reaches(path, new)
        new.close()
        assert names(path.parent) == set()

    async def test_the_old_server_exits_at_the_signal(
        self, path: Path, told: list[Callable[[], object]]
    ) -> None:
        old = bind(path)
        new = bind(path, takeover=True)

        def gone() -> None:
            old.close()
            raise ProcessLookupError

        told.append(gone)
        await new.take_over()
        assert reaches(path, new)
        new.close()

    async def test_the_old_server_was_killed(self, path: Path) -> None:
        lock = PathLock.take(path)
        assert lock is not None
        leave_a_dead_socket(path)
        new = bind(path, takeover=True)
        lock.release()
        await new.take_over()
        assert reaches(path, new)
        new.close()
        assert names(path.parent) == set()

    async def test_a_file_created_at_the_path_is_kept(self, path: Path) -> None:
        lock = PathLock.take(path)
        assert lock is not None
        new = bind(path, takeover=True)
        lock.release()
        path.mkdir()  # noqa: ASYNC240 - nothing else runs
        with pytest.raises(ListenError, match="there is a directory at"):
            await new.take_over()
        new.close()
        assert names(path.parent) == {"caas.sock"}

    async def test_a_successor_that_gives_up_leaves_the_path_alone(
        self,
        path: Path,
        autojump_clock: MockClock,  # noqa: ARG002 - it only has to be there
    ) -> None:
        lock = PathLock.take(path)
        assert lock is not None
        new = bind(path, takeover=True)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(new.take_over)
            await trio.sleep(1)  # the mock clock's
            new.close()
            lock.release()
        assert names(path.parent) == set()

    async def test_a_starting_server_is_signalled_once_it_listens(
        self,
        path: Path,
        told: list[Callable[[], object]],
        autojump_clock: MockClock,  # noqa: ARG002 - it only has to be there
    ) -> None:
        lock = PathLock.take(path)
        assert lock is not None
        new = bind(path, takeover=True)
        leave_a_dead_socket(path)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(new.take_over)
            await trio.sleep(1)  # the mock clock's
            path.unlink()  # noqa: ASYNC240 - it takes no time
            await trio.sleep(0.5)
            with socket.socket(socket.AF_UNIX) as listening:
                listening.bind(str(path))
                listening.listen(0)
                with socket.socket(socket.AF_UNIX) as full:
                    full.connect(str(path))
                    await trio.sleep(5)
                    listening.accept()[0].close()

                def hand_over() -> None:
                    Path(f"{path}.next").rename(path)
                    lock.release()

                told.append(hand_over)
                await trio.sleep(1)
        assert not told
        assert reaches(path, new)
        new.close()

    @pytest.mark.parametrize("left", ["nothing", "dead"])
    async def test_a_lock_without_a_listener_times_out(
        self, path: Path, left: str, autojump_clock: MockClock
    ) -> None:
        """As when a cleaner of old files has taken the socket away, and its server runs on."""
        lock = PathLock.take(path)
        assert lock is not None
        if left == "dead":
            leave_a_dead_socket(path)
        with closing(bind(path, takeover=True)) as new, pytest.raises(ListenError) as caught:
            await new.take_over()
        assert caught.value.reason == (
            "another server holds its lock and does not listen: its socket may have been removed"
        )
        assert autojump_clock.current_time() == pytest.approx(2, abs=0.1)
        lock.release()

    async def test_a_server_that_does_not_stop_keeps_its_path(
        self,
        path: Path,
        told: list[Callable[[], object]],
        monkeypatch: pytest.MonkeyPatch,
        autojump_clock: MockClock,  # noqa: ARG002 - it only has to be there
    ) -> None:
        monkeypatch.setattr(unixsocket, "_TAKEOVER_TIMEOUT_S", 0.5)
        old = bind(path)
        new = bind(path, takeover=True)
        told.append(lambda: None)
        with pytest.raises(ListenError, match="does not stop"):
            await new.take_over()
        new.close()
        assert names(path.parent) == {"caas.sock", "caas.sock.lock"}
        old.close()

    @pytest.mark.parametrize("pid", [-1, 0, os.getpid()], ids=["unknown", "elsewhere", "this"])
    async def test_a_server_that_cannot_be_signalled_keeps_its_path(
        self, path: Path, pid: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(unixsocket, "credentials", lambda _: LocalPeer(pid))
        monkeypatch.delattr(os, "kill")
        with closing(bind(path)) as old, closing(bind(path, takeover=True)) as new:
            with pytest.raises(
                ListenError, match="another server listens on it, and cannot be signalled to stop"
            ):
                await new.take_over()
            old.sock.accept()[0].close()
            assert reaches(path, old)

    def test_the_socket_of_a_killed_successor_is_removed(self, path: Path) -> None:
        old = bind(path)
        leave_a_dead_socket(Path(f"{path}.next"))
        Path(f"{path}.next.lock").touch()
        assert not old.withdraw()
        old.close()
        assert names(path.parent) == set()

    def test_a_live_successor_socket_without_a_lock_is_kept(self, path: Path) -> None:
        beside = f"{path}.next"
        with closing(bind(path)) as old, socket.socket(socket.AF_UNIX) as other:
            other.bind(beside)
            other.listen()
            assert not old.withdraw()
            assert names(path.parent) == {"caas.sock.next"}

    def test_a_file_is_no_successor(self, path: Path) -> None:
        old = bind(path)
        beside = Path(f"{path}.next")
        beside.write_text("data")
        assert reason(path, takeover=True) == f"there is a file at {beside} already"
        old.close()
        assert names(path.parent) == {"caas.sock.next"}

    def test_a_successor_whose_rename_fails_keeps_waiting(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        old = bind(path)
        new = bind(path, takeover=True)

        def forbid(*_: Any) -> None:
            raise PermissionError

        with monkeypatch.context() as sticky:
            sticky.setattr(Path, "rename", forbid)
            assert not old.withdraw()
        old.close()
        assert names(path.parent) == {"caas.sock.next", "caas.sock.next.lock"}
        new.close()
        assert names(path.parent) == set()
