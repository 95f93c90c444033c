"""A client that knows what it is owed."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Final

from caas_trio.core.session import First
from caas_trio.testing import Host

from .conversation import Plan
from .failing_service import FAILURE

_READ_SIZE: Final = 65536
_REFUSAL: Final = b"error: too many connections\n"


class Client:
    """One client of a server that serves the sessions of a plan.

    Attributes:
        reading: whether it reads what it is sent.
        received: what it has read so far.
        eof: whether the server has ended its output.
        gone: whether it has left without a word, so that nothing is owed to it.
        lost: whether it could no longer send.
        reset: whether its connection ended in a reset instead of the end of the stream.
        lingered: whether it has stayed for longer than the server waits for it to leave.
        refused: whether there was no room for it.
        stranger: whether it may not connect, and so is sent nothing.
        slow: whether it does not show what it has to, and so is no stranger before that is noticed.
        waiting: whether it waits until there is room for it.
        failed: whether the service has failed it, as `expected` found.
        owed: what it is owed at least once the server has ended the conversation, because it stops
            or a timeout is over; None before.
        owed_at_most: what it is owed at most, once the server has asked the kernel what is left to be read.
        quiet: for how long it has sent nothing, in seconds.
        forsaken: whether the server may have dropped it because it does not read; that depends on
            the kernel, whose buffers may have taken the replies.
    """

    # Of the class, until something happens: setting all for each client would take longer than to connect.
    sent = b""
    ended = False
    reading = True
    received = b""
    eof = False
    gone = False
    lost = False
    reset = False
    lingered = False
    failed = False
    refused = False
    stranger = False
    slow = False
    waiting = False
    owed: bytes | None = None
    owed_at_most: bytes | None = None
    quiet = 0.0
    forsaken = False
    _shown = b""
    _said = b"", False
    _replies = b"", False

    def __init__(self, plan: Plan, host: Host, address: str) -> None:
        self.plan = plan
        self.prompted = plan.prompt if plan.first is First.SERVER else b""
        self.sock = host.new_socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.sock.connect(address)
        except OSError:
            self.sock.close()
            raise

    def send(self, data: bytes) -> None:
        """Send what the kernel takes."""
        self.show()
        if self.ended or self.gone or self.slow or not data:
            return
        try:
            taken = self.sock.send(data)
        except BlockingIOError:
            return
        except (BrokenPipeError, ConnectionResetError):
            self.lost = True
            return
        self.sent += data[:taken]
        self.quiet = 0

    def begin_to_show(self, header: bytes) -> None:
        """Show a part of what there is to show before the conversation; the rest comes with `show`."""
        half = len(header) // 2
        self.sock.send(header[:half])
        self._shown = header[half:]

    def show(self) -> bool:
        """Show the rest; return whether there was any."""
        rest, self._shown = self._shown, b""
        if rest and not self.gone:
            with suppress(BrokenPipeError, ConnectionResetError):
                self.sock.send(rest)
        return bool(rest)

    def end(self) -> None:
        """End the output."""
        self.show()
        if not (self.ended or self.gone):
            self.sock.shutdown(socket.SHUT_WR)
            self.ended = True

    def stop_reading(self) -> None:
        """Leave what it is sent in the kernel's buffers."""
        self.reading = False

    def go_on_reading(self) -> None:
        """Read again."""
        self.reading = True

    def leave(self) -> None:
        """Close the socket, whatever is unread."""
        self.sock.close()
        self.gone = True

    def read(self) -> bool:
        """Read what is there; return whether that was anything."""
        before = len(self.received), self.eof
        while not self.eof:
            try:
                data = self.sock.recv(_READ_SIZE)
            except BlockingIOError:
                break
            except ConnectionResetError:
                self.reset = True
                data = b""
            self.received += data
            self.eof = not data
        return before != (len(self.received), self.eof)

    @property
    def silent(self) -> bool:
        """Whether it has given no sign yet."""
        return not (self.sent or self.ended or self.gone)

    def expected(self) -> tuple[bytes, bool]:
        """Return what it is owed by now, and whether the server then ends its output."""
        if self.waiting:
            return b"", False
        if self.slow:
            return b"", self.ended or self.stranger
        if self.refused or self.stranger:
            return b"" if self.stranger else _REFUSAL, True
        said = self.sent, self.ended
        if said != self._said:  # it is asked for several times until more is said
            replies, _, over = self.plan.replies(self.sent, ended=self.ended)
            self._said, self._replies = said, (b"".join(replies), over)
        replied, over = self._replies
        before, failure, _ = (self.prompted + replied).partition(FAILURE)
        self.failed = bool(failure)
        return before, over or self.failed

    @property
    def done(self) -> bool:
        """Whether it expects nothing more."""
        return self.gone or self.eof

    @property
    def received_all(self) -> bool:
        """Whether it has received all that the server has sent to it, the end included."""
        return self.eof and not (self.gone or self.reset or self.refused or self.forsaken)

    @property
    def said_all(self) -> bool:
        """Whether the server has read all that it has sent, up to its own end."""
        unserved = self.stranger or self.slow or self.failed or self.lost
        return self.ended and self.owed is None and not (unserved or self.lingered)

    @property
    def wants_more(self) -> bool:
        """Whether more may come: a part of what it is owed, or the end of the stream."""
        due, over = self.expected()
        return not self.eof and (over or self.owed is not None or len(self.received) != len(due))

    @property
    def over(self) -> bool:
        """Whether the server has said its last to it, or it has left."""
        return self.gone or self.owed is not None or self.expected()[1]

    @property
    def amid_line(self) -> bool:
        """Whether it has begun a line and not ended it."""
        return not self.sent.endswith(self.plan.terminator.value) and bool(self.sent)

    def compare(self, *, cut_off: bool) -> None:
        """Compare what it has received with what it is owed."""
        whole, over = self.expected()
        least = whole
        if self.owed is not None:  # what came in later may be answered or not
            least, over = self.owed, True
        if cut_off or self.failed or self.forsaken or not self.reading:
            least = b""
        assert over or cut_off or self.forsaken or not self.lost, "the connection is lost"
        assert self.received.startswith(least), f"received {self.received!r}, owed {least!r}"
        most = whole if self.owed_at_most is None else self.owed_at_most
        assert most.startswith(self.received), f"received {self.received!r}, owed {most!r}"
        assert cut_off or self.forsaken or self.lingered or not self.reset, "a reset instead of an end"
        if self.reading and not self.forsaken:
            assert self.eof is (over or cut_off), "the end of the stream is early or missing"
