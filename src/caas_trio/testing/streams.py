"""Stream sockets of a simulated host: `StreamSocket`, over TCP or of the Unix domain."""

from __future__ import annotations

import errno
import socket
import struct
from typing import Any, Final, NoReturn

from .connecting import ConnectingSocket, State
from .files import EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP, os_error
from .world import Node

#: struct linger of socket(7).
_LINGER: Final = struct.Struct("ii")

_SEND_BUFFER: Final = (socket.SOL_SOCKET, socket.SO_SNDBUF)
_RECEIVE_BUFFER: Final = (socket.SOL_SOCKET, socket.SO_RCVBUF)


class StreamSocket(ConnectingSocket):
    """A TCP or Unix stream socket.

    Attributes:
        max_sent: the most bytes that one `send` takes; 0 for as many as there is room for.
    """

    max_sent = 0

    def __init__(self, node: Node, family: int, *, opened: bool = True) -> None:
        super().__init__(node, family, opened=opened)
        self._inbox = bytearray()
        self._options[_SEND_BUFFER] = node.send_buffer
        self._options[_RECEIVE_BUFFER] = node.receive_buffer

    @property
    def ready(self) -> int:
        """What it is ready for; see epoll(7)."""
        state = self._state
        if state is State.CONNECTING:
            return 0
        over, new = state is State.OVER, state is State.NEW
        at_end = over or self._eof_received or self._input_ended
        events = EPOLLERR if self.error else 0
        if self._inbox or self._queue or at_end:
            events |= EPOLLIN
        if at_end:
            events |= EPOLLRDHUP
        if over or new or (at_end and self._output_ended):
            events |= EPOLLHUP
        if state is State.LISTENING:
            return events
        if over or new or self._output_ended or 3 * self._free >= self._options[_SEND_BUFFER]:
            events |= EPOLLOUT
        return events

    @property
    def unread(self) -> int:
        """How many bytes have arrived and are unread, as FIONREAD returns.

        Raises:
            OSError: EINVAL, of a listening socket.
        """
        self.require_open()
        if self._state is State.LISTENING:
            raise os_error(errno.EINVAL)
        return len(self._inbox)

    def getpeername(self) -> Any:
        """Return the other side's address.

        Raises:
            OSError: ENOTCONN.
        """
        self.require_open()
        if self._peer is None or (self._state is not State.CONNECTED and not self.is_local):
            raise os_error(errno.ENOTCONN)
        return self.remote

    def abandon(self) -> None:
        """Close a connection that was never accepted: its client gets a reset."""
        if self._state is State.CONNECTED:
            self._reset()
        self.close()

    # Bytes

    @property
    def _free(self) -> int:
        """How many bytes its send buffer has room for."""
        out, peer = self._out, self._peer
        assert out is not None  # noqa: S101 - it is connected
        assert peer is not None  # noqa: S101 - likewise
        unread = len(peer._inbox) if self.is_local else 0  # noqa: SLF001 - the sender of a Unix socket pays for it
        size: int = self._options[_SEND_BUFFER]
        return size - len(out.waiting) - out.flying - unread

    def send(self, data: bytes | bytearray | memoryview, flags: int = 0) -> int:  # noqa: ARG002
        """Send as many bytes as there is room for; return how many.

        Raises:
            OSError: EAGAIN, EPIPE, ECONNRESET, ENOTCONN.
        """
        self.require_open()
        if self._state is not State.CONNECTED or self._output_ended:
            self._refuse_to_send()
        assert self._out is not None  # noqa: S101 - it is connected
        rest = memoryview(data).cast("B")
        size, taken = min(len(rest), self.max_sent or len(rest)), 0
        while taken < size and (free := self._free) > 0:
            piece = bytes(rest[taken : min(taken + free, size)])
            self._out.send(piece)
            taken += len(piece)
        if size and not taken:
            raise os_error(errno.EAGAIN)
        return taken

    def _refuse_to_send(self) -> NoReturn:
        """Raise why nothing can be sent."""
        if self._state in {State.NEW, State.LISTENING}:
            raise os_error(errno.ENOTCONN if self.is_local else errno.EPIPE)
        if self._state is State.CONNECTING:
            raise os_error(errno.EAGAIN)
        if not self.is_local:
            self.raise_error()
        raise os_error(errno.EPIPE)

    def recv(self, max_bytes: int, flags: int = 0) -> bytes:
        """Return what has arrived, b"" at the end of the input.

        Raises:
            OSError: EAGAIN, ECONNRESET, ENOTCONN.
        """
        if not max_bytes:
            return b""
        self.require_open()
        data = bytes(self._inbox[:max_bytes])
        if data:
            if not flags & socket.MSG_PEEK:
                self._take(len(data))
            return data
        if self._state is State.LISTENING or (self._state is State.NEW and self.is_local):
            raise os_error(errno.EINVAL if self.is_local else errno.ENOTCONN)
        if self._eof_received and not self.is_local:
            return b""
        self.raise_error()
        if self._eof_received or self._input_ended or self._state is State.OVER:
            return b""
        if self._state is State.NEW:
            raise os_error(errno.ENOTCONN)
        raise os_error(errno.EAGAIN)

    def recv_into(self, buffer: Any, max_bytes: int = 0, flags: int = 0) -> int:
        """Receive into a buffer; return how many bytes. Otherwise as `recv`."""
        memory = memoryview(buffer).cast("B")
        data = self.recv(max_bytes or len(memory), flags)
        memory[: len(data)] = data
        return len(data)

    def _take(self, size: int) -> None:
        del self._inbox[:size]
        assert self._peer is not None  # noqa: S101 - it has sent this
        self._peer.go_on()

    def go_on(self) -> None:
        """Send on: the other side has more room."""
        if self._out is not None:
            if self._out.waiting:
                self._out.push()
            self.changed()

    def shutdown(self, how: int) -> None:
        """End the output, the input, or both.

        Raises:
            OSError: ENOTCONN.
        """
        self.require_open()
        reads, writes = how != socket.SHUT_WR, how != socket.SHUT_RD
        if not self.is_local and self._state in {State.LISTENING, State.CONNECTING}:
            if reads or self._state is State.CONNECTING:
                self._disconnect()
            return
        unconnected = not self.is_local and self._state is not State.CONNECTED
        self._shut_unconnected |= unconnected and self._state is State.OVER and not self._connect_reported
        self._connect_reported |= self._state is not State.NEW
        self._input_ended |= reads
        if writes:
            self._send_fin()
        if reads and self.is_local and self._peer is not None:
            self._peer.refuse_output()
        self.changed()
        if unconnected:
            raise os_error(errno.ENOTCONN)

    def refuse_output(self) -> None:
        """Note that the other side of a Unix socket has ended its input."""
        self._output_ended = True
        self.changed()

    def _send_fin(self) -> None:
        if not self._output_ended:
            self._output_ended = True
            if self._out is not None:
                self._out.end()

    # The end

    def _disconnect(self) -> None:
        self._inbox.clear()
        super()._disconnect()

    def _released(self) -> None:
        """Close as close(2) does: with a FIN, or with a reset if input is unread or SO_LINGER is 0."""
        super()._released()
        self._abandon_queue()
        if self._state is State.CONNECTED:
            if self._inbox or (not self.is_local and self._lingers_not):
                self._reset()
            else:
                self._send_fin()
                if self.is_local and self._peer is not None:
                    self._peer.refuse_output()
        self._inbox.clear()

    @property
    def _lingers_not(self) -> bool:
        """Whether SO_LINGER asks for a reset."""
        value = self._options.get((socket.SOL_SOCKET, socket.SO_LINGER))
        return isinstance(value, bytes) and _LINGER.unpack(value) == (1, 0)

    def _reset(self) -> None:
        assert self._out is not None  # noqa: S101 - it is connected
        self._become(State.OVER)
        self._out.reset()

    # Called by its wires

    def room(self) -> int:
        """Return how many more bytes it can hold."""
        if self.is_local or self.closed:
            return 1 << 30
        size: int = self._options[_RECEIVE_BUFFER]
        return size - len(self._inbox)

    def arrived(self, data: bytes) -> None:
        """Take what has arrived; if it is closed, the sender gets a reset."""
        if self.closed:
            if self._state is State.CONNECTED:
                self._reset()
        elif self._state is State.CONNECTED:
            if self._input_ended and self._output_ended and not self.is_local:
                self.error = errno.ECONNRESET
                self._reset()
            else:
                self._inbox += data
            self.changed()

    def ended(self) -> None:
        """Note that the other side has ended its output."""
        if self._state is State.CONNECTED:
            self._eof_received = True
            self._end_if_both_have()
            self.changed()

    def was_reset(self) -> None:
        """Note that the connection was reset."""
        if self._state is State.CONNECTED:
            self._become(State.OVER)
            self.error = errno.EPIPE if self._eof_received and not self.is_local else errno.ECONNRESET
            assert self._out is not None  # noqa: S101 - it is connected
            self._out.stop()
            self.changed()

    def left(self) -> None:
        """Note that what was sent has arrived."""
        self._end_if_both_have()
        self.changed()

    def _end_if_both_have(self) -> None:
        """End a TCP connection once each side has seen the end of the other's output."""
        if self._eof_received and not self.is_local and self._out is not None and self._out.ended:
            self._become(State.OVER)
