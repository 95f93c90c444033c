"""Machines that are the real one but for what a test says."""

from __future__ import annotations

import os
import select
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from caas_trio.drivers.machine import Machine


def nothing_of(*_: object) -> None:
    """Do nothing."""


def forbid(*_: object) -> None:
    """Raise PermissionError."""
    raise PermissionError


def failing(*errors: int) -> Callable[..., None]:
    """Return a hook that raises these errors, one a call, and then nothing."""
    left = list(errors)

    def fail(*_: object) -> None:
        if left:
            number = left.pop(0)
            raise OSError(number, os.strerror(number))

    return fail


class HookedSocket(socket.socket):
    """A socket that calls a hook before it does something.

    Attributes:
        hooks: what is called with the socket and the arguments, by the name of the method.
    """

    hooks: dict[str, Callable[..., Any]]

    def bind(self, address: Any) -> None:
        """Bind it; then call the hook `bound`."""
        self.hooks.get("bind", nothing_of)(self, address)
        super().bind(address)
        self.hooks.get("bound", nothing_of)(self, address)

    def connect(self, address: Any) -> None:
        """Connect it."""
        self.hooks.get("connect", nothing_of)(self, address)
        super().connect(address)

    def sendmsg(self, buffers: Any, ancillary: Any = (), flags: int = 0, address: Any = None) -> int:
        """Send a datagram."""
        self.hooks.get("sendmsg", nothing_of)(self)
        return super().sendmsg(buffers, ancillary, flags, address)

    def recvmsg_into(self, buffers: Any, ancillary_size: int = 0, flags: int = 0) -> Any:
        """Receive a datagram."""
        self.hooks.get("recvmsg_into", nothing_of)(self)
        return super().recvmsg_into(buffers, ancillary_size, flags)

    def fileno(self) -> int:
        """Return the descriptor; the hook returns another one."""
        return int(self.hooks.get("fileno", super().fileno)())

    def listen(self, backlog: int = 128) -> None:
        """Listen."""
        self.hooks.get("listen", nothing_of)(self, backlog)
        super().listen(backlog)

    def getsockopt(self, level: int, option: int, size: int = 0) -> Any:
        """Return an option; the hook `peer` returns whose the other end is."""
        if option == socket.SO_PEERCRED and "peer" in self.hooks:
            return struct.pack("3i", *self.hooks["peer"]())
        return super().getsockopt(level, option, size) if size else super().getsockopt(level, option)


class HookedMachine(Machine):
    """The machine, with hooks for what it does to Unix sockets and their paths.

    Args:
        strangers: the inodes that belong to another user.
        **hooks: for sockets see `HookedSocket`; `rename` and `lock` are called first, `open_file` and
            `kill` in place of what the machine does.
    """

    def __init__(self, strangers: set[int] | None = None, **hooks: Callable[..., Any]) -> None:
        self._strangers = strangers if strangers is not None else set[int]()
        self.hooks = hooks

    def new_socket(self, family: int, kind: int) -> socket.socket:
        """Return a socket with the hooks."""
        sock = HookedSocket(family, kind)
        sock.hooks = self.hooks
        return sock

    def open_file(self, path: Path, flags: int, mode: int = 0o777) -> int:
        """Return a descriptor of a file."""
        opened: Any = self.hooks.get("open_file", super().open_file)
        return int(opened(path, flags, mode))

    def lock_file(self, file: int) -> None:
        """Lock a file."""
        self.hooks.get("lock", nothing_of)(file)
        super().lock_file(file)

    def rename(self, path: Path, target: Path) -> None:
        """Rename a file."""
        self.hooks.get("rename", nothing_of)(path, target)
        super().rename(path, target)

    def is_trusted(self, status: os.stat_result) -> bool:
        """Return whether a file does not belong to the other user."""
        return status.st_ino not in self._strangers

    def kill(self, pid: int, number: int) -> None:
        """Call the hook: no process gets a signal."""
        self.hooks["kill"](pid, number)


class ScriptedMachine(Machine):
    """A machine whose next accepts fail as a script says; at a 0 in it they do not."""

    def __init__(self, *script: int) -> None:
        self.script = list(script)

    def accept(self, listening: socket.socket, family: int, kind: int) -> tuple[socket.socket, Any]:
        """Accept a connection, or fail."""
        error = self.script.pop(0) if self.script else 0
        if error:
            raise OSError(error, "scripted")
        return super().accept(listening, family, kind)


class Polls:
    """The machine's poll; between two polls something may happen."""

    def __init__(self, machine: CountingMachine) -> None:
        self._machine = machine
        self._poll = select.poll()

    def register(self, *what: int) -> None:
        """Register a descriptor, as `select.poll.register` does."""
        self._poll.register(*what)

    def poll(self, timeout: int) -> list[tuple[int, int]]:
        """Return what is ready."""
        assert timeout == 0
        self._machine.polls += 1
        if self._machine.polls == 2:
            self._machine.happens()
        return self._poll.poll(timeout)


class CountingMachine(Machine):
    """Where each look at the clock takes a second, and something happens before the second poll.

    Attributes:
        polls: how many there were.
        happens: what happens.
    """

    def __init__(self) -> None:
        self.polls = 0
        self.seconds = 100.0
        self.happens: Callable[[], Any] = int

    def monotonic(self) -> float:
        """Return the time."""
        self.seconds += 1
        return self.seconds

    def poll(self) -> Any:
        """Return an object that polls."""
        return Polls(self)
