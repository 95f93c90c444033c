"""Descriptors of a simulated machine, and which of them are ready: `File`, `Descriptors`, `Poll`, `Epoll`."""

from __future__ import annotations

import abc
import errno
import heapq
import os
from collections.abc import Callable
from typing import Final

#: epoll(7); the select module lacks the names on other systems.
EPOLLIN: Final = 0x001
EPOLLOUT: Final = 0x004
EPOLLERR: Final = 0x008
EPOLLHUP: Final = 0x010
EPOLLRDHUP: Final = 0x2000

#: The events that epoll reports, asked for or not.
_ALWAYS: Final = EPOLLERR | EPOLLHUP

#: The descriptors below are the standard streams.
_FIRST: Final = 3


def os_error(number: int) -> OSError:
    """Return the OSError of an error number."""
    return OSError(number, os.strerror(number))


class Descriptors:
    """The table of one machine's open descriptors.

    Attributes:
        limit: how many may be open at a time.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._free: list[int] = []
        self._files: dict[int, File | None] = {}

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, fd: int) -> File:
        file = self._files.get(fd)
        if file is None:
            raise os_error(errno.EBADF)
        return file

    def open(self, file: File | None) -> int:
        """Return the lowest free descriptor, for a file or for nothing.

        Raises:
            OSError: EMFILE, if none is left.
        """
        self.require_room()
        fd = heapq.heappop(self._free) if self._free else _FIRST + len(self._files)
        self._files[fd] = file
        return fd

    def require_room(self) -> None:
        """Raise EMFILE if no descriptor is left."""
        if len(self._files) >= self.limit:
            raise os_error(errno.EMFILE)

    def close(self, fd: int) -> None:
        """Free a descriptor.

        Raises:
            OSError: EBADF, if it is not open.
        """
        if fd not in self._files:
            raise os_error(errno.EBADF)
        del self._files[fd]
        heapq.heappush(self._free, fd)


class File(abc.ABC):
    """Something with a descriptor that is ready for reading or writing, or is not.

    Args:
        descriptors: the table it is in.
        opened: whether it has a descriptor; a connection gets its own when it is accepted.

    Attributes:
        closed: whether it has been closed.
        watchers: what is called when that may have changed.
    """

    def __init__(self, descriptors: Descriptors, *, opened: bool = True) -> None:
        self.closed = False
        self.watchers: list[Callable[[], object]] = []
        self._descriptors = descriptors
        self._fd = descriptors.open(self) if opened else -1

    def fileno(self) -> int:
        """Return the descriptor; -1 while it has none."""
        return self._fd

    def open_descriptor(self) -> None:
        """Assign a descriptor.

        Raises:
            OSError: EMFILE.
        """
        self._fd = self._descriptors.open(self)

    @property
    @abc.abstractmethod
    def ready(self) -> int:
        """The events of epoll that it is ready for."""

    def changed(self) -> None:
        """Notify all watchers."""
        for watcher in tuple(self.watchers):
            watcher()

    def close(self) -> None:
        """Close it. May be called again."""
        if not self.closed:
            self.closed = True
            fd, self._fd = self._fd, -1
            if fd >= 0:
                self._descriptors.close(fd)
            self._released()
            self.changed()

    def _released(self) -> None:  # noqa: B027 - for some nothing follows
        """Release what the file holds; called by `close`."""


class Poll:
    """A set of descriptors to ask about, as poll(2) takes it; it has no descriptor of its own."""

    def __init__(self, descriptors: Descriptors) -> None:
        self._descriptors = descriptors
        self._events: dict[int, int] = {}

    def register(self, fd: int, events: int) -> None:
        """Ask about a descriptor, or about other events of it."""
        self._events[fd] = events

    def unregister(self, fd: int) -> None:
        """Ask about it no more.

        Raises:
            KeyError: it is not in the set.
        """
        del self._events[fd]

    def poll(self, timeout: float = 0) -> list[tuple[int, int]]:
        """Return what is ready, in the order of registration, without waiting, whatever the timeout."""
        del timeout
        ready = (
            (fd, self._descriptors[fd].ready & (events | _ALWAYS)) for fd, events in self._events.items()
        )
        return [(fd, events) for fd, events in ready if events]


class _Interest:
    """The events for which an epoll watches a file."""

    def __init__(self, epoll: Epoll, file: File, events: int) -> None:
        self.file = file
        self.events = events
        self._epoll = epoll
        self._fd = file.fileno()
        file.watchers.append(self)

    def __call__(self) -> None:
        self._epoll.update(self._fd, self)

    @property
    def ready(self) -> int:
        return 0 if self.file.closed else self.file.ready & (self.events | _ALWAYS)


class Epoll(File):
    """An epoll descriptor: level-triggered; those that have waited longest are reported first."""

    def __init__(self, descriptors: Descriptors) -> None:
        super().__init__(descriptors)
        self._interests: dict[int, _Interest] = {}
        self._ready: dict[int, _Interest] = {}

    @property
    def ready(self) -> int:
        """Readable while anything it watches is ready."""
        return EPOLLIN if any(each.ready for each in self._ready.values()) else 0

    def register(self, fd: int, events: int) -> None:
        """Watch a descriptor.

        Raises:
            OSError: EEXIST, EBADF.
        """
        file = self._descriptors[fd]
        if fd in self._interests:
            raise os_error(errno.EEXIST)
        self._interests[fd] = interest = _Interest(self, file, events)
        interest()

    def modify(self, fd: int, events: int) -> None:
        """Watch it for other events.

        Raises:
            OSError: ENOENT, EBADF.
        """
        interest = self._found(fd)
        interest.events = events
        interest()

    def unregister(self, fd: int) -> None:
        """Stop watching a descriptor.

        Raises:
            OSError: ENOENT, EBADF.
        """
        interest = self._found(fd)
        self._forget(fd, interest)

    def poll(self, timeout: float = 0, maxevents: int = -1) -> list[tuple[int, int]]:
        """Return what is ready, without waiting, whatever the timeout."""
        del timeout
        found: list[tuple[int, int]] = []
        for fd in list(self._ready):
            if len(found) == maxevents:
                break
            interest = self._ready.pop(fd)
            if events := interest.ready:
                found.append((fd, events))
                self._ready[fd] = interest  # behind those that have not been reported
        return found

    def update(self, fd: int, interest: _Interest) -> None:
        """Note that a file may have become ready, or is closed."""
        if interest.file.closed:
            self._forget(fd, interest)
        elif interest.ready:
            self._ready.setdefault(fd, interest)
            self.changed()

    def _found(self, fd: int) -> _Interest:
        if fd not in self._interests:
            self._descriptors[fd]  # EBADF, if it is not open
            raise os_error(errno.ENOENT)
        return self._interests[fd]

    def _forget(self, fd: int, interest: _Interest) -> None:
        interest.file.watchers.remove(interest)
        del self._interests[fd]
        self._ready.pop(fd, None)
