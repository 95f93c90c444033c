"""Locks and trusted files in a directory that others may write to: `PathLock`.

A file is trusted if it belongs to this user or to root, and is no symbolic link. In a sticky directory, such
as /tmp, no other user can then put it there or remove it. In one that others may write to and that is
not sticky, they can take away anything at any time; nothing that a server does would help.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

from caas_trio.drivers.machine import MACHINE, Machine

#: How often the file of a lock may turn out to be another one than that which was opened.
_MAX_TRIES: Final = 100

_OPEN_FLAGS: Final = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


def absolute(path: str | Path, directory: str | None = None) -> Path:
    """Return a path that means the same when the directory it started in has been removed.

    Leading steps upwards are taken at once; others may lead over symbolic links, and are left.

    Args:
        path: relative or absolute.
        directory: where a relative one starts, with no symbolic link in it; None for the current directory.
    """
    if directory is None:
        with suppress(OSError):  # it may be gone already
            directory = os.getcwd()  # noqa: PTH109 - as text
    start, steps = Path(directory or ""), list(Path(path).parts)
    while start.is_absolute() and steps[:1] == [".."]:
        start = start.parent
        del steps[0]
    return start.joinpath(*steps)


def status_at(path: Path) -> os.stat_result | None:
    """Return the status of what is at a path, of a symbolic link itself; None if there is nothing."""
    try:
        return path.lstat()
    except FileNotFoundError:
        return None


def is_at(path: Path, made: os.stat_result) -> bool:
    """Return whether a file is the one at `path`."""
    found = status_at(path)
    return found is not None and os.path.samestat(found, made)


@contextmanager
def opened_at(
    path: Path, path_only: int | None = getattr(os, "O_PATH", None)
) -> Iterator[tuple[str, os.stat_result]]:
    """Yield a name for the file that is at a path now, whatever replaces it meanwhile, and its status.

    A symbolic link is not followed. The name is a short one, and good as long as the block lasts.

    Args:
        path: where it is.
        path_only: the flag by which a socket can be opened; where there is none (not Linux), the name
            is the path.

    Raises:
        FileNotFoundError: there is nothing at the path.
        OSError: the machine does not allow it.
    """
    if path_only is None:
        yield str(path), path.lstat()
        return
    file = os.open(path, path_only | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{file}", os.fstat(file)
    finally:
        os.close(file)


class PathLock:
    """The lock beside a path, held; the kernel releases it with the process."""

    def __init__(self, name: Path, file: int) -> None:
        self._name = name
        self._file = file

    @classmethod
    def take(cls, path: Path, machine: Machine = MACHINE) -> PathLock | None:
        """Return the lock of `path`, or None if another server holds it, of this process or not.

        The file of another user that no server holds is replaced: that user could take it away from us.

        Raises:
            PermissionError: another user holds it, or its file may not be opened or replaced.
            OSError: its file cannot be made, or is not a regular file.
        """
        name = Path(f"{path}.lock")
        for _ in range(_MAX_TRIES):
            with ExitStack() as opened:
                file = _open(name, machine)
                if file is None:
                    continue
                opened.callback(os.close, file)
                status = os.fstat(file)
                if not stat.S_ISREG(status.st_mode):
                    raise OSError(errno.EEXIST, "what is there is not a file", str(name))
                try:
                    machine.lock_file(file)
                except BlockingIOError:
                    if machine.is_trusted(status):
                        return None
                    raise PermissionError(errno.EPERM, "another user holds the lock", str(name)) from None
                # The last holder may have removed the file since it was opened; then it locks nothing.
                if not is_at(name, status):
                    continue
                if not machine.is_trusted(status):
                    name.unlink()
                    continue
                opened.pop_all()
                return cls(name, file)
        raise OSError(errno.EBUSY, "the lock comes and goes", str(name))

    def release(self) -> None:
        """Release it. Its file is removed first, while no other process can hold the lock."""
        try:
            if is_at(self._name, os.fstat(self._file)):
                self._name.unlink()
        finally:
            os.close(self._file)


def _open(name: Path, machine: Machine) -> int | None:
    """Return a descriptor of the file of a lock, which is made if need be; None if it came just now.

    What is there is opened without O_CREAT: `fs.protected_regular` forbids that for another user's file.
    """
    with suppress(FileNotFoundError):
        return machine.open_file(name, _OPEN_FLAGS)
    try:
        file = machine.open_file(name, _OPEN_FLAGS | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return None
    with ExitStack() as on_failure:
        on_failure.callback(os.close, file)
        os.fchmod(file, 0o600)  # whatever the umask: a later server has to open it
        on_failure.pop_all()
    return file


def kind_of_file(mode: int) -> str:
    """Return what a file is, in words."""
    if stat.S_ISDIR(mode):
        return "directory"
    return "symbolic link" if stat.S_ISLNK(mode) else "file"
