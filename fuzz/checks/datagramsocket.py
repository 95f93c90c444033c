"""`DatagramSocket`: what is known of a datagram, and where its reply comes from, by what a kernel reports.

The kernel is played, since a simulated network reports no destinations. As ip(7), ipv6(7) and unix(7) have
it, each is reported to a socket that has asked for it, as far as there is room.
"""

from __future__ import annotations

import errno
import socket
import struct
from operator import index
from typing import Any, Final, NamedTuple, Self, TypeAlias

from caas_trio.core.datagramrules import MAX_BYTES
from caas_trio.core.peer import InternetPeer, LocalPeer, Peer
from caas_trio.drivers.datagramsocket import DatagramSocket
from caas_trio.drivers.machine import Machine

#: The numbers that Linux has for these.
_IP_PKTINFO, _IPV6_RECVPKTINFO, _IPV6_PKTINFO, _SO_PASSCRED, _SCM_CREDENTIALS = 8, 49, 50, 16, 2
_OWN4, _OWN6, _BROADCAST = "192.0.2.9", "2001:db8::9", "192.0.2.255"
_NOT_NOTED: Final = "0.0.0.0"  # noqa: S104 - nothing is bound
_INTERFACE: Final = 3
_PROCESS: Final = LocalPeer(7, 1000, 100)
_CLIENT4, _CLIENT6, _PORT = "192.0.2.1", "2001:db8::1", 50001
_ANYWHERE: Final = {"0.0.0.0", "::", "::ffff:0.0.0.0"}  # noqa: S104 - nothing is bound

#: Level, kind and value of a control message.
_Control: TypeAlias = tuple[int, int, bytes]


class _Bound(NamedTuple):
    """How a socket is bound: its family and name, and whether IPv4 does not reach it."""

    family: int
    name: str
    only: bool = False


class _Target(NamedTuple):
    """Where a datagram went: the address in its header, and the one of this machine that is noted of it."""

    address: str
    noted: str = ""
    to_many: bool = False

    @property
    def is_four(self) -> bool:
        return ":" not in self.address

    @property
    def as_source(self) -> _Control:
        """What makes a reply come from there, over any interface."""
        return _four(self.address, _NOT_NOTED) if self.is_four else _six(self.address)


_FOUR: Final = (
    _Target(_OWN4, _OWN4),
    _Target(_BROADCAST, _OWN4, to_many=True),
    _Target("224.0.0.1", _OWN4, to_many=True),
    _Target(_OWN4, _NOT_NOTED),
    _Target(_BROADCAST, _NOT_NOTED, to_many=True),
    _Target("239.255.255.255", _NOT_NOTED, to_many=True),
)
_SIX: Final = (_Target(_OWN6), _Target("fe80::ff"), _Target("ff02::1", to_many=True))
#: By sockets, what goes to them. What is bound to one address is told nothing, and needs nothing.
_REACHED_BY: Final = (
    (_Bound(socket.AF_INET, "0.0.0.0"), _FOUR),  # noqa: S104
    (_Bound(socket.AF_INET6, "::"), (*_FOUR, *_SIX)),
    (_Bound(socket.AF_INET6, "::", only=True), _SIX),
    (_Bound(socket.AF_INET6, "::ffff:0.0.0.0"), _FOUR),
    (_Bound(socket.AF_INET, _OWN4), _FOUR[:1]),
    (_Bound(socket.AF_INET6, _OWN6), _SIX[:1]),
    (_Bound(socket.AF_UNIX, "\0server"), (_Target("named"), _Target("nameless"))),
)


class _Silent(Machine):
    """A machine that can report nothing of a datagram."""

    ip_pktinfo: int | None = None
    ipv6_recvpktinfo: int | None = None
    so_passcred: int | None = None

    def new_socket(self, family: int, kind: int) -> Any:
        assert (family, kind) == (socket.AF_INET, socket.SOCK_DGRAM), f"a socket of another kind: {family}"
        return _Probe()


class _Linux(_Silent):
    ip_pktinfo, ipv6_recvpktinfo, so_passcred = _IP_PKTINFO, _IPV6_RECVPKTINFO, _SO_PASSCRED


class _Probe:
    """A socket that connects to an address unless that is a broadcast one, which it has not asked for."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def connect(self, address: tuple[str, int]) -> None:
        if address[0] == _BROADCAST:
            raise PermissionError(errno.EACCES, "a broadcast address")


class _Played:
    """A bound socket, on which one datagram waits, or none.

    Attributes:
        options: what it was asked for.
        sent: what was sent.
        failure: how sending fails; None if it does not.
    """

    def __init__(self, bound: _Bound, target: _Target, data: bytes) -> None:
        self.family, self._name, only = bound
        self._target = target
        self._waiting: list[bytes] = [data]
        self.options: dict[tuple[int, int], int] = {(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY): only}
        self.sent: tuple[object, ...] = ()
        self.failure: OSError | None = None

    def getsockname(self) -> object:
        return self._name if self.family == socket.AF_UNIX else (self._name, 7)

    def setsockopt(self, level: int, name: int, value: int) -> None:
        self.options[self._option(level, name)] = index(value)

    def getsockopt(self, level: int, name: int) -> int:
        return self.options.get(self._option(level, name), 1 << 18)

    def _option(self, level: int, name: int) -> tuple[int, int]:
        if level == socket.IPPROTO_IPV6 and self.family != socket.AF_INET6:
            raise OSError(errno.ENOPROTOOPT, "an option of IPv6")
        return index(level), index(name)

    def recvmsg_into(self, buffers: list[bytearray], room: int) -> tuple[int, list[_Control], int, object]:
        if not self._waiting:
            raise BlockingIOError
        data = self._waiting.pop()
        size = min(len(data), len(buffers[0]))
        buffers[0][:size] = data[:size]
        flags = socket.MSG_TRUNC if size < len(data) else 0
        control = []
        for each in self._reported():
            space = socket.CMSG_SPACE(len(each[2]))
            if space > room:
                flags |= socket.MSG_CTRUNC
                break
            room -= space
            control.append(each)
        return size, control, flags, self.sender

    @property
    def sender(self) -> object:
        """The sender's address, as the socket module has it."""
        if self.family == socket.AF_UNIX:
            return "\0client" if self._target.address == "named" else None
        if self.family == socket.AF_INET:
            return _CLIENT4, _PORT
        return f"::ffff:{_CLIENT4}" if self._target.is_four else _CLIENT6, _PORT, 0, 0

    def peer(self, process: LocalPeer) -> Peer:
        """Return the sender, which is a process where it is no address."""
        if self.family == socket.AF_UNIX:
            return process
        return InternetPeer(_CLIENT4 if self._target.is_four else _CLIENT6, _PORT)

    def _reported(self) -> list[_Control]:
        """Return what is reported of the datagram, as far as that was asked for."""
        asked = {option for option, value in self.options.items() if value}
        target, found = self._target, []
        if (socket.SOL_SOCKET, _SO_PASSCRED) in asked:
            sender = struct.pack("@3i", _PROCESS.pid, _PROCESS.uid, _PROCESS.gid)
            found.append((socket.SOL_SOCKET, _SCM_CREDENTIALS, sender))
        if (socket.IPPROTO_IPV6, _IPV6_RECVPKTINFO) in asked:
            found.append(_six("::ffff:" * target.is_four + target.address, _INTERFACE))
        if target.is_four and (socket.IPPROTO_IP, _IP_PKTINFO) in asked:
            found.append(_four(target.noted, target.address, _INTERFACE))
        return found

    def sendmsg(self, buffers: list[bytes], *rest: object) -> int:
        if self.failure is not None:
            raise self.failure
        self.sent = (b"".join(buffers), *rest)
        return len(self.sent)


def _four(noted: str, address: str, interface: int = 0) -> _Control:
    """Return a struct in_pktinfo as a control message; on the way out the second address means nothing."""
    addresses = socket.inet_aton(noted) + socket.inet_aton(address)
    return socket.IPPROTO_IP, _IP_PKTINFO, struct.pack("@i", interface) + addresses


def _six(address: str, interface: int = 0) -> _Control:
    """Return a struct in6_pktinfo as a control message."""
    packed = socket.inet_pton(socket.AF_INET6, address)
    return socket.IPPROTO_IPV6, _IPV6_PKTINFO, packed + struct.pack("@I", interface)


def check_socket(choice: int, more: int) -> None:
    """Receive one datagram and reply to it, and compare both with what is due.

    Args:
        choice: a byte, which chooses the socket, where the datagram went, and how much is received at most.
        more: a byte, which chooses its length, the machine, and whether the reply can be sent.
    """
    bound, targets = _REACHED_BY[(choice & 7) % len(_REACHED_BY)]
    target = targets[(choice >> 3 & 15) % len(targets)]
    data, memory = b"hello"[: more & 7], bytearray(2 if choice & 128 else 8)
    silent, fails = bool(more & 64), bool(more & 128)
    played = _Played(bound, target, data)
    server = DatagramSocket(played, _Silent() if silent else _Linux())  # type: ignore[arg-type]
    datagram = server.receive(memory)
    assert datagram is not None, "a datagram is lost"
    assert server.receive(memory) is None, "a datagram comes twice"
    assert datagram.data == data[: len(memory)], f"{datagram.data!r} of {data!r}"
    assert datagram.whole is (len(data) <= len(memory)), f"whole: {datagram.whole}, {datagram.data!r}"
    peer = played.peer(LocalPeer() if silent else _PROCESS)
    assert datagram.peer == peer, f"{datagram.peer} instead of {peer}"
    asks = not silent and bound.name in _ANYWHERE
    assert datagram.to_many is (asks and target.to_many), f"to many: {datagram.to_many}, to {target}"
    played.failure = PermissionError() if fails else None
    failure = server.send(b"reply", datagram)
    assert failure is played.failure, f"sending fails: {failure!r}"
    if not (fails or datagram.to_many):  # which gets no reply
        due = b"reply", (target.as_source,) if asks else (), 0, played.sender
        assert played.sent == due, f"sent {played.sent}, due {due}"
    if bound.family == socket.AF_UNIX:
        room = played.options[socket.SOL_SOCKET, socket.SO_SNDBUF]
        assert room >= MAX_BYTES, f"of {MAX_BYTES} bytes, which may come, {room} can be sent"
