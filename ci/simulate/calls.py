"""Random scripts of socket calls, run on a simulated host and on this machine's kernel: both must agree.

`python -m ci.simulate.calls --scripts N` runs so many, from `--seed`, and names each that differs.
"""

from __future__ import annotations

import argparse
import errno
import itertools
import os
import random
import select
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from caas_trio.drivers.machine import MACHINE
from caas_trio.testing.kernel import Kernel
from caas_trio.testing.links import Conditions
from caas_trio.testing.streams import StreamSocket
from caas_trio.testing.world import World

#: How long the real kernel may take to do what the simulated one does at once.
_READY_TIMEOUT_S: Final = 2.0

#: What is compared of a socket's readiness.
_EVENTS: Final = select.EPOLLIN | select.EPOLLOUT | select.EPOLLERR | select.EPOLLHUP | select.EPOLLRDHUP

#: The calls, the more common ones more often.
_NAMES: Final = (
    *("send", "recv") * 3,
    *("shutdown", "close", "events") * 2,
    *("peek", "error", "peer", "linger", "connect", "accept", "unread", "listen", "bind"),
)

#: The calls that change nothing, and may be repeated until what they look at is there.
_LOOKS: Final = frozenset({"events", "peek", "unread", "peer"})

_STEPS: Final = 14
_SOCKETS: Final = 3


class Call(NamedTuple):
    """One call of a script: on which socket, which, and with what."""

    number: int
    name: str
    argument: int = 0

    def __str__(self) -> str:
        return f"{self.name}({self.number}, {self.argument})"


def script(seed: int) -> tuple[int, list[Call]]:
    """Return the family of a script's sockets, and its calls."""
    choices = random.Random(seed)  # noqa: S311 - to be repeated
    family = choices.choice((socket.AF_INET, socket.AF_UNIX))
    calls = [Call(0, "bind"), Call(0, "listen", choices.choice((0, 1, 5))), Call(1, "connect")]
    if choices.random() < 0.8:
        calls.append(Call(0, "accept"))
    if choices.random() < 0.15:
        calls = calls[choices.randrange(4) :]
    for _ in range(choices.randrange(_STEPS)):
        name = choices.choice(_NAMES)
        number = choices.choice((1, 1, 3, 3, 3, 0, 2, 4))
        argument = (
            choices.choice((0, 1, 7, 500)) if name in {"send", "recv", "peek"} else choices.randrange(3)
        )
        calls.append(Call(number, name, argument))
    calls += [Call(number, "recv", 3000) for number in (1, 3, 1, 3)]
    return family, calls


class Player:
    """Plays a script: sockets 0 to 2 are there, those from 3 on are accepted."""

    def __init__(self, new: Callable[[], Any], address: Any) -> None:
        self.sockets: dict[int, Any] = {number: new() for number in range(_SOCKETS)}
        self._address = address
        self._bound: Any = address

    def call(self, call: Call) -> str:
        """Return what a call comes to, as text."""
        sock = self.sockets.get(call.number)
        if sock is None:
            return "no such socket"
        try:
            return str(getattr(self, f"_{call.name}")(sock, call.argument))
        except OSError as error:
            return errno.errorcode[error.errno or 0]

    def _bind(self, sock: Any, _: int) -> None:
        sock.bind(self._address)
        if sock is self.sockets[0]:
            self._bound = sock.getsockname()

    def _listen(self, sock: Any, backlog: int) -> None:
        sock.listen(backlog)

    def _connect(self, sock: Any, _: int) -> None:
        sock.connect(self._bound)

    def _accept(self, sock: Any, _: int) -> None:
        accepted, _ = sock.accept()
        accepted.setblocking(False)  # noqa: FBT003 - the socket module's signature
        self.sockets[len(self.sockets)] = accepted

    def _send(self, sock: Any, size: int) -> int:
        return int(sock.send(b"x" * size))

    def _recv(self, sock: Any, size: int) -> int:
        return len(sock.recv(size))

    def _peek(self, sock: Any, size: int) -> int:
        return len(sock.recv(size, socket.MSG_PEEK))

    def _shutdown(self, sock: Any, how: int) -> None:
        sock.shutdown(how)

    def _close(self, sock: Any, _: int) -> None:
        sock.close()

    def _error(self, sock: Any, _: int) -> int:
        return int(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))

    def _peer(self, sock: Any, _: int) -> bool:
        return bool(sock.getpeername() is not None)

    def _linger(self, sock: Any, on: int) -> None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", on > 0, 0))


class Simulated(Player):
    """Plays it on a simulated host."""

    def __init__(self, family: int) -> None:
        self.kernel = Kernel(0, lambda: 0.0)
        node = World(self.kernel, Conditions()).add("host", 100)
        super().__init__(lambda: StreamSocket(node, family), _address(family))

    def call(self, call: Call) -> str:
        """Return what a call comes to, with all that follows from it."""
        result = super().call(call)
        self.kernel.run_due()
        return result

    def _events(self, sock: Any, _: int) -> int:
        sock.require_open()
        return int(sock.ready) & _EVENTS

    def _unread(self, sock: Any, _: int) -> int:
        return int(sock.unread)


class Real(Player):
    """Plays it on this machine's kernel."""

    def __init__(self, family: int) -> None:
        super().__init__(lambda: _non_blocking(family), _address(family))

    def go_on(self, call: Call, found: str, expected: str) -> str:
        """Return what a call comes to that has come to too little."""
        if not _is_fewer(found, expected) or call.name != "recv":
            return self.call(call)
        rest = self.call(call._replace(argument=int(expected) - int(found)))
        return str(int(found) + int(rest)) if rest.isdigit() else found

    def _events(self, sock: Any, _: int) -> int:
        poll = select.poll()
        poll.register(_require_open(sock), _EVENTS)
        return sum(events for _, events in poll.poll(0)) & _EVENTS

    def _unread(self, sock: Any, _: int) -> int:
        return MACHINE.waiting(_require_open(sock))


def _require_open(sock: socket.socket) -> socket.socket:
    if sock.fileno() < 0:
        raise OSError(errno.EBADF, "closed")
    return sock


_names = itertools.count()


def _address(family: int) -> Any:
    return ("127.0.0.1", 0) if family == socket.AF_INET else f"\0caas-{os.getpid()}-{next(_names)}"


def _non_blocking(family: int) -> socket.socket:
    sock = socket.socket(family)
    sock.setblocking(False)  # noqa: FBT003 - the socket module's signature
    return sock


def difference(seed: int) -> str | None:
    """Run a script on both; return where they differ, None if they agree."""
    family, calls = script(seed)
    simulated, real = Simulated(family), Real(family)
    done: list[str] = []
    try:
        for call in calls:
            expected, found = simulated.call(call), real.call(call)
            until = time.monotonic() + _READY_TIMEOUT_S
            while found != expected and _may_come(call, found, expected) and time.monotonic() < until:
                time.sleep(0.001)
                found = real.go_on(call, found, expected)
            done.append(f"{call} = {found}")
            if found != expected:
                where = f"seed {seed}, {socket.AddressFamily(family).name}"
                return f"{where}: {'; '.join(done)}, simulated {expected}"
    finally:
        for sock in (*real.sockets.values(), *simulated.sockets.values()):
            sock.close()
    return None


def _may_come(call: Call, found: str, expected: str) -> bool:
    """Return whether the real kernel may say what is expected a moment later: it was not through yet."""
    if found in {"EAGAIN", "EALREADY"}:
        return True
    return call.name in _LOOKS or (call.name == "recv" and _is_fewer(found, expected))


def _is_fewer(found: str, expected: str) -> bool:
    return found.isdigit() and expected.isdigit() and 0 < int(found) < int(expected)


def differences(scripts: int, seed: int = 0) -> Iterator[str]:
    """Yield what differs, over so many scripts."""
    for number in range(seed, seed + scripts):
        if (found := difference(number)) is not None:
            yield found


def main() -> int:
    """Run the command; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scripts", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    failures = 0
    for found in differences(options.scripts, options.seed):
        failures += 1
        print(found)
    print(f"{options.scripts} scripts, {failures} differ")
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
