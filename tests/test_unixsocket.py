"""Unix sockets at a path: none is stolen, none is left behind, and at a takeover none is missing."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from caas_trio import Endpoint, ListenError
from caas_trio.drivers.machine import MACHINE, Machine
from caas_trio.server.pathlock import PathLock, opened_at
from caas_trio.server.unixsocket import UnixSocket, bind_unix

from .support.machines import HookedMachine, forbid
from .support.sockets import descriptors

MODE = 0o660


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "caas.sock"


def bind(
    path: Path | str,
    mode: int = MODE,
    scheme: str = "unix",
    *,
    takeover: bool = False,
    machine: Machine = MACHINE,
) -> UnixSocket:
    return bind_unix(Endpoint.parse(f"{scheme}:{path}"), mode, takeover=takeover, machine=machine)


def reason(path: Path | str, scheme: str = "unix", *, takeover: bool = False) -> str:
    """Return why it cannot be bound."""
    with pytest.raises(ListenError) as caught:
        bind(path, scheme=scheme, takeover=takeover)
    assert caught.value.endpoint == f"{scheme}:{path}"
    assert "\n" not in caught.value.reason
    return caught.value.reason


@contextmanager
def unusable(path: Path, reason: str) -> Iterator[None]:
    """Hold a block to raise just this `ListenError` about a path."""
    with pytest.raises(ListenError) as caught:
        yield
    assert (caught.value.endpoint, caught.value.reason) == (f"unix:{path}", reason)


@contextmanager
def refused(number: int, words: str, file: Path | str) -> Iterator[None]:
    """Hold a block to raise just this error of the machine, about this file."""
    with pytest.raises(OSError, match=words) as caught:
        yield
    error = caught.value
    assert (error.errno, error.strerror, error.filename) == (number, words, str(file))


TAKEN = "another server listens on it"
SILENT = "another server holds its lock and does not listen: its socket may have been removed"


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
def test_the_mode_is_set_before_the_first_client(path: Path, mode: int, mask: int) -> None:
    seen: list[tuple[set[str], int]] = []

    def look_first(sock: socket.socket, _: int) -> None:
        made = Path(os.fsdecode(sock.getsockname()))
        seen.append((names(path.parent), stat.S_IMODE(made.lstat().st_mode)))

    with umask(mask), closing(bind(path, mode, machine=HookedMachine(listen=look_first))) as bound:
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


def test_a_datagram_socket_is_bound_with_its_mode(path: Path) -> None:
    modes: list[int] = []

    def look(_: socket.socket, name: str) -> None:
        modes.append(stat.S_IMODE(Path(name).stat().st_mode))

    machine = HookedMachine(bound=look)
    with umask(0), closing(bind(path, 0o600, "unixgram", machine=machine)) as bound:
        assert modes == [0o600]
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
            client.sendto(b"hello", str(path))
        assert bound.sock.recv(100) == b"hello"


def test_where_only_files_have_a_mode_the_file_gets_it(path: Path) -> None:
    modes: list[int] = []

    def look(_: socket.socket, name: str) -> None:
        modes.append(stat.S_IMODE(Path(name).stat().st_mode))

    modeless = os.open(path.parent, os.O_PATH)
    machine = HookedMachine(fileno=lambda: modeless, bound=look)
    with umask(0), closing(bind(path, 0o600, "unixgram", machine=machine)):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    os.close(modeless)
    assert modes == [0o777]


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


def test_a_socket_we_may_not_probe_is_left(path: Path) -> None:
    leave_a_dead_socket(path)
    with pytest.raises(PermissionError):
        bind(path, machine=HookedMachine(connect=forbid))
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


def test_without_a_file_system_a_path_is_but_a_name(path: Path) -> None:
    """As on a simulated machine; here the name leads to a file all the same."""

    class Fileless(HookedMachine):
        has_files = False

    with closing(bind(path, machine=Fileless(lock=forbid, rename=forbid))) as bound:
        assert names(path.parent) == {"caas.sock"}
        assert reaches(path, bound)
        assert not bound.withdraw()


def test_a_failed_rename_leaves_no_temporary_socket(path: Path) -> None:
    with pytest.raises(PermissionError):
        bind(path, machine=HookedMachine(rename=forbid))
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

    def test_a_removed_lock_file_locks_nothing(self, path: Path) -> None:
        """The last holder removes the file between our opening it and our locking it."""
        tries: list[int] = []

        def remove_it_once(file: int) -> None:
            tries.append(file)
            if len(tries) == 1:
                Path(f"{path}.lock").unlink()

        lock = PathLock.take(path, HookedMachine(lock=remove_it_once))
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

    def test_an_existing_lock_file_is_opened_without_creating(self, path: Path) -> None:
        """The kernel forbids it (fs.protected_regular) for another user's file in a sticky directory."""

        def protected(name: Path, flags: int, mode: int) -> int:
            if flags & os.O_CREAT and name.exists():
                raise PermissionError
            return os.open(name, flags, mode)

        leave_a_dead_socket(path)
        Path(f"{path}.lock").touch()
        with closing(bind(path, machine=HookedMachine(open_file=protected))) as bound:
            assert reaches(path, bound)

    def test_a_lock_file_created_meanwhile_is_opened(self, path: Path) -> None:
        def made_just_now(name: Path, flags: int, mode: int) -> int:
            if flags & os.O_CREAT:
                os.close(os.open(name, os.O_CREAT, 0o600))
            return os.open(name, flags, mode)

        lock = PathLock.take(path, HookedMachine(open_file=made_just_now))
        assert lock is not None
        lock.release()

    def test_no_other_user_can_open_the_lock_file_even_as_it_is_created(self, path: Path) -> None:
        modes: list[int] = []

        def look(name: Path, flags: int, mode: int) -> int:
            file = os.open(name, flags, mode)
            modes.append(stat.S_IMODE(os.fstat(file).st_mode))
            return file

        with umask(0), closing(bind(path, machine=HookedMachine(open_file=look))):
            assert modes == [0o600]

    def test_a_lock_file_whose_mode_cannot_be_set_is_closed(self, path: Path) -> None:
        def without_modes(name: Path, flags: int, mode: int) -> int:
            file = os.open(name, flags, mode)
            with closing(os.fdopen(file)):
                return os.open(name, os.O_PATH)

        before = descriptors()
        with pytest.raises(OSError, match="Bad file descriptor"):
            PathLock.take(path, HookedMachine(open_file=without_modes))
        assert descriptors() == before

    def test_a_lock_file_that_keeps_changing_is_an_error(self, path: Path) -> None:
        def remove_it(_: int) -> None:
            Path(f"{path}.lock").unlink()

        with refused(errno.EBUSY, "the lock comes and goes", f"{path}.lock"):
            PathLock.take(path, HookedMachine(lock=remove_it))

    def test_a_lock_that_is_no_file_is_refused(self, path: Path) -> None:
        os.mkfifo(f"{path}.lock")
        with refused(errno.EEXIST, "what is there is not a file", f"{path}.lock"):
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
    def strangers(self) -> set[int]:
        """The inodes that belong to the other user."""
        return set()

    @pytest.fixture
    def machine(self, strangers: set[int]) -> HookedMachine:
        """A machine on which they do, and on which no process may get a signal."""
        return HookedMachine(strangers)

    def leave(self, strangers: set[int], file: Path | str) -> None:
        strangers.add(os.lstat(file).st_ino)

    def test_a_free_lock_is_replaced(self, path: Path, machine: HookedMachine, strangers: set[int]) -> None:
        file = Path(f"{path}.lock")
        file.touch()
        self.leave(strangers, file)
        with file.open() as theirs:
            lock = PathLock.take(path, machine)
            assert lock is not None
            fcntl.flock(theirs, fcntl.LOCK_EX | fcntl.LOCK_NB)  # theirs locks nothing
            assert PathLock.take(path, machine) is None
        lock.release()
        assert names(path.parent) == set()

    @pytest.mark.parametrize(("suffix", "takeover"), [("", False), ("", True), (".next", True)])
    def test_a_lock_that_another_user_holds_is_named(
        self, path: Path, machine: HookedMachine, strangers: set[int], suffix: str, *, takeover: bool
    ) -> None:
        with ExitStack() as held:
            if suffix:
                held.enter_context(closing(bind(path)))
            theirs = PathLock.take(Path(f"{path}{suffix}"), machine)
            assert theirs is not None
            held.callback(theirs.release)
            self.leave(strangers, f"{path}{suffix}.lock")
            with refused(errno.EPERM, "another user holds the lock", f"{path}{suffix}.lock"):
                bind(path, takeover=takeover, machine=machine)

    async def test_a_lock_that_another_user_gets_during_a_takeover_is_named(
        self, path: Path, machine: HookedMachine, strangers: set[int]
    ) -> None:
        theirs = PathLock.take(path, machine)
        assert theirs is not None
        with closing(bind(path, takeover=True, machine=machine)) as new:
            self.leave(strangers, f"{path}.lock")
            with refused(errno.EPERM, "another user holds the lock", f"{path}.lock"):
                await new.take_over()
        theirs.release()

    async def refusal(self, path: Path, machine: HookedMachine) -> str:
        """Return why a path cannot be taken over whose lock is held."""
        lock = PathLock.take(path, machine)
        assert lock is not None
        with closing(bind(path, takeover=True, machine=machine)) as new, pytest.raises(ListenError) as caught:
            await new.take_over()
        lock.release()
        assert caught.value.endpoint == f"unix:{path}"
        return caught.value.reason

    async def test_a_symbolic_link_is_never_a_successors_lock(
        self, path: Path, machine: HookedMachine, strangers: set[int]
    ) -> None:
        with closing(bind(path.with_name("other"))) as other:
            path.symlink_to("other")  # noqa: ASYNC240 - nothing else runs
            told = f"there is a symbolic link at {path}, and another server holds its lock"
            assert await self.refusal(path, machine) == told
            with pytest.raises(BlockingIOError):
                other.sock.accept()
        assert not strangers

    async def test_the_socket_of_another_user_is_never_signalled(
        self, path: Path, machine: HookedMachine, strangers: set[int]
    ) -> None:
        with socket.socket(socket.AF_UNIX) as theirs:
            theirs.bind(str(path))
            theirs.listen()
            self.leave(strangers, path)
            assert await self.refusal(path, machine) == f"its socket belongs to user {os.getuid()}"

    async def test_a_hard_link_is_never_a_successors_lock(
        self, path: Path, machine: HookedMachine, strangers: set[int]
    ) -> None:
        with closing(bind(path.with_name("other"))):
            path.hardlink_to(path.with_name("other"))  # noqa: ASYNC240 - nothing else runs
            assert await self.refusal(path, machine) == "its socket has another name, too"
        assert not strangers

    async def test_a_process_of_another_user_is_not_signalled(
        self, path: Path, machine: HookedMachine, strangers: set[int]
    ) -> None:
        machine.hooks["peer"] = lambda: (12345, os.getuid() + 1, 0)
        with socket.socket(socket.AF_UNIX) as ours:
            ours.bind(str(path))
            ours.listen()
            told = f"a server of user {os.getuid() + 1} listens on it"
            assert await self.refusal(path, machine) == told
        assert not strangers

    @pytest.mark.parametrize("which", ["", ".lock"])
    def test_a_successor_of_another_user_is_ignored(
        self, path: Path, machine: HookedMachine, strangers: set[int], which: str
    ) -> None:
        old = bind(path, machine=machine)
        new = bind(path, takeover=True, machine=machine)
        self.leave(strangers, f"{path}.next{which}")
        assert not old.withdraw()
        assert not path.exists()
        old.close()
        new.close()

    def test_a_successor_replaced_meanwhile_is_ignored(self, path: Path, machine: HookedMachine) -> None:
        old = bind(path, machine=machine)
        new = bind(path, takeover=True)

        def replace(beside: Path, _: Path) -> None:
            beside.unlink()
            leave_a_dead_socket(beside)

        machine.hooks["rename"] = replace
        assert not old.withdraw()
        assert not path.exists()
        new.close()
        old.close()

    def test_a_socket_replaced_during_bind_is_refused(self, path: Path, machine: HookedMachine) -> None:
        precious = path.with_name("precious")
        precious.touch(0o600)

        def replace(_: socket.socket, address: str) -> None:
            Path(address).unlink()
            Path(address).symlink_to(precious)

        machine.hooks["bound"] = replace
        with refused(errno.EPERM, "it was replaced while it was made", f"{path}.new"):
            bind(path, 0o666, machine=machine)
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


def test_a_relative_path_stays_what_it_was_when_the_process_changes_its_directory(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    with closing(bind("caas.sock")):
        monkeypatch.chdir("/")
    assert names(path.parent) == set()


def test_from_a_removed_directory_only_relative_paths_are_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = path.with_name("gone")
    directory.mkdir()
    monkeypatch.chdir(directory)
    directory.rmdir()
    with refused(errno.ENOENT, "No such file or directory", "caas.sock.lock"):
        bind("caas.sock")
    with closing(bind(path)) as bound:
        assert reaches(path, bound)


class TestATakeover:
    """Both servers are of this process here, and a signal is what the test makes of it."""

    @pytest.fixture
    def told(self) -> list[Callable[[], object]]:
        """The actions at each request to the old server to stop, in turn."""
        return []

    @pytest.fixture
    def machine(self, told: list[Callable[[], object]]) -> HookedMachine:
        """A machine on which the old server is another process."""

        def kill(pid: int, number: int) -> None:
            assert (pid, number) == (12345, signal.SIGTERM)
            told.pop(0)()

        return HookedMachine(kill=kill, peer=lambda: (12345, 0, 0))

    async def test_without_a_predecessor_a_takeover_does_not_wait(self, path: Path) -> None:
        with closing(bind(path, takeover=True)) as bound:
            await bound.take_over()
            assert reaches(path, bound)
            assert names(path.parent) == {"caas.sock", "caas.sock.lock"}

    async def test_a_takeover_hands_the_path_over_and_keeps_the_queue(
        self, path: Path, told: list[Callable[[], object]], machine: HookedMachine
    ) -> None:
        old = bind(path)
        new = bind(path, takeover=True, machine=machine)
        assert reaches(path, old)
        assert names(path.parent) == {
            *("caas.sock", "caas.sock.lock"),
            *("caas.sock.next", "caas.sock.next.lock"),
        }
        assert stat.S_IMODE(os.lstat(f"{path}.next").st_mode) == MODE
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
        with closing(bind(path, takeover=True)) as third:  # in its turn
            assert new.withdraw()
            new.close()
            assert reaches(path, third)
            await third.take_over()
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
        self, path: Path, told: list[Callable[[], object]], machine: HookedMachine
    ) -> None:
        old = bind(path)
        new = bind(path, takeover=True, machine=machine)

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
        with unusable(path, f"there is a directory at {path} already"):
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
        machine: HookedMachine,
        autojump_clock: MockClock,  # noqa: ARG002 - it only has to be there
    ) -> None:
        lock = PathLock.take(path)
        assert lock is not None
        new = bind(path, takeover=True, machine=machine)
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
        machine = HookedMachine()
        with closing(bind(path, takeover=True, machine=machine)) as new:
            if left == "nothing":  # it is looked at when the time is over to the instant
                machine.hooks["lock"] = lambda _: autojump_clock.jump(2)
            with unusable(path, SILENT):
                await new.take_over()
        assert autojump_clock.current_time() == pytest.approx(2, abs=0.006)
        lock.release()

    async def test_a_server_that_does_not_stop_keeps_its_path(
        self,
        path: Path,
        told: list[Callable[[], object]],
        machine: HookedMachine,
        autojump_clock: MockClock,  # noqa: ARG002 - it only has to be there
    ) -> None:
        old = bind(path)
        new = bind(path, takeover=True, machine=machine)
        told.append(lambda: None)
        with unusable(path, "the server that listens on it does not stop"):
            await new.take_over(timeout_s=0.5)
        new.close()
        assert names(path.parent) == {"caas.sock", "caas.sock.lock"}
        old.close()

    @pytest.mark.parametrize(
        "pid_of", [lambda: -1, lambda: 0, os.getpid], ids=["unknown", "elsewhere", "this"]
    )
    async def test_a_server_that_cannot_be_signalled_keeps_its_path(
        self, path: Path, pid_of: Callable[[], int]
    ) -> None:
        machine = HookedMachine(peer=lambda: (pid_of(), -1, -1))
        with closing(bind(path)) as old, closing(bind(path, takeover=True, machine=machine)) as new:
            with unusable(path, f"{TAKEN}, and cannot be signalled to stop"):
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

    def test_a_successor_whose_rename_fails_keeps_waiting(self, path: Path) -> None:
        sticky = HookedMachine()
        old = bind(path, machine=sticky)
        new = bind(path, takeover=True)
        sticky.hooks["rename"] = forbid
        assert not old.withdraw()
        old.close()
        assert names(path.parent) == {"caas.sock.next", "caas.sock.next.lock"}
        new.close()
        assert names(path.parent) == set()
