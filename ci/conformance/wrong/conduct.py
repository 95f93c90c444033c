"""CLOSE, LOAD, FLOW and TIME broken, one at a time."""

from __future__ import annotations

import contextlib
import queue
import select
import socket
import struct
import threading
import time

from ci.conformance.reference import READ_SIZE, Conversation, Server, Settings

from .bases import Unread
from .registry import ONCE, REJECT, variant, wrong


@wrong("CLOSE-1")
class HangsUpOnHalfClose(Conversation):
    """A client that has ended its input counts as gone: what it is owed is not sent."""

    tail = False

    def say(self, data: bytes) -> None:
        time.sleep(0.02 if len(data) < 1000 else 0)  # an end that comes with the line has arrived by then
        watch = select.poll()
        watch.register(self.sock, select.POLLRDHUP)
        if self.tail or not watch.poll(0):
            super().say(data)

    def answer_tail(self) -> bytes:
        self.tail = True
        return super().answer_tail()


@wrong("CLOSE-2")
class Resets(Conversation):
    """Every conversation ends with a reset."""

    def end(self) -> None:
        time.sleep(0.1)  # the replies arrive; it is the end alone that is wrong
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@wrong("CLOSE-2", REJECT)
class DoesNotLinger(Conversation):
    """The connection is closed with input unread, which makes the kernel send a reset."""

    def end(self) -> None:
        """Leave it to `close`."""


@wrong("CLOSE-3")
class NeverEnds(Conversation):
    """The server's output stays open after the client's end."""

    def end(self) -> None:
        time.sleep(20)  # longer than the suite waits for an end


@wrong("CLOSE-4")
class AnswersOneLine(Conversation):
    """The conversation ends after one line, as with a `socketserver` handler that reads one."""

    def is_last(self, piece: bytes, reply: bytes) -> bool:
        del piece
        return bool(reply)


@wrong("CLOSE-4", jobs=1)
class DropsTheThoughtful(Conversation):
    """A client that pauses in the middle of a line is dropped."""

    def read(self) -> bytes:
        self.sock.settimeout(0.5 if self.pending else None)
        try:
            return super().read()
        except TimeoutError:
            self.pending.clear()
            return b""
        finally:
            self.sock.settimeout(None)


@wrong("CLOSE-5", ONCE)
class AnswersAllThatCame(Conversation):
    """A server of one line per connection answers every line that came in the same read."""

    def answer(self, data: bytes) -> tuple[bytes, bool]:
        if data.count(b"\n") < 2:
            return super().answer(data)
        return self.serve(data), True


@wrong("LOAD-1", jobs=1)
class AnswersTheNewest(Conversation):
    """Short replies go to the client that connected last."""

    newest: Conversation

    def __init__(self, sock: socket.socket, settings: Settings, server: Server) -> None:
        super().__init__(sock, settings, server)
        AnswersTheNewest.newest = self

    def say(self, data: bytes) -> None:
        if len(data) >= 200:  # so that a case that leaves much unread ends here, and harms no later one
            super().say(data)
        else:
            with contextlib.suppress(OSError):
                self.newest.sock.sendall(data)


@wrong("LOAD-2", jobs=1)
class ServesOneAtATime(Server):
    """The next client is served when the one before has gone."""

    def serve_connections(self) -> None:
        while True:
            sock, _ = self.sock.accept()
            Conversation(sock, self.settings, self).run()


@wrong("LOAD-3", jobs=1)
class BreaksTheOldest(Conversation):
    """A client's reset breaks the connections that were there before it."""

    everybody: list[Conversation] = []  # noqa: RUF012 - sharing it is the fault

    def run(self) -> None:
        self.everybody.append(self)
        super().run()
        self.everybody.remove(self)

    def read(self) -> bytes:
        try:
            return super().read()
        except ConnectionResetError:
            for other in self.everybody[: self.everybody.index(self)]:
                other.sock.shutdown(socket.SHUT_RDWR)
            raise


@wrong("LOAD-4", jobs=1)
class SendsInTurn(Conversation):
    """One lock around all sending: who does not read holds up everybody."""

    lock = threading.Lock()

    def say(self, data: bytes) -> None:
        with self.lock:
            super().say(data)


@wrong("LOAD-5")
class ServesAHundred(Server):
    """The hundred-and-first client at once waits for ever."""

    def serve_connections(self) -> None:
        slots = threading.Semaphore(100)
        while True:
            slots.acquire()
            sock, _ = self.sock.accept()
            conversation = self.conversation(sock, self.settings, self)
            threading.Thread(target=self.serve_and_release, args=(conversation, slots), daemon=True).start()

    @staticmethod
    def serve_and_release(conversation: Conversation, slots: threading.Semaphore) -> None:
        """Run a conversation and give its slot back."""
        with contextlib.closing(conversation.sock):
            conversation.run()
        slots.release()


@wrong("LOAD-6", jobs=1)
class GetsTired(Server):
    """After a hundred connections the server takes no more."""

    def serve_connections(self) -> None:
        for _ in range(100):
            sock, _ = self.sock.accept()
            threading.Thread(target=self.conversation(sock, self.settings, self).run, daemon=True).start()
        self.sock.close()
        threading.Event().wait()


@wrong("FLOW-1", jobs=1)
class LosesPatience(Conversation):
    """What a client does not take for a while is thrown away, once."""

    lost = False

    def say(self, data: bytes) -> None:
        self.sock.settimeout(None if self.lost else 0.3)
        try:
            super().say(data)
        except TimeoutError:
            self.lost = True
        self.sock.settimeout(None)


@wrong("FLOW-2")
class GivesUpWhenBusy(Conversation):
    """From the fourth MiB of replies on, one in a thousand bytes is lost while more input waits."""

    said = 0

    def say(self, data: bytes) -> None:
        self.said += len(data)
        busy = b"\n" in data and 4 << 20 < self.said < 12 << 20 and select.select([self.sock], [], [], 0)[0]
        super().say(data[:-1] if busy else data)


@wrong("FLOW-3")
class ReadsWithoutEnd(Conversation):
    """The server reads on while its replies pile up."""

    def __init__(self, sock: socket.socket, settings: Settings, server: Server) -> None:
        super().__init__(sock, settings, server)
        self.backlog: queue.Queue[bytes] = queue.Queue()

    def begin(self) -> None:
        self.sender = threading.Thread(target=self.send_all, daemon=True)
        self.sender.start()
        super().begin()

    def send_all(self) -> None:
        """Send what piles up, until an empty entry."""
        with contextlib.suppress(OSError):
            while data := self.backlog.get():
                self.sock.sendall(data)

    def say(self, data: bytes) -> None:
        if data:
            self.backlog.put(data)

    def end(self) -> None:
        self.backlog.put(b"")
        self.sender.join()
        super().end()


@wrong("TIME-1")
class WaitsForTheBeginner(Conversation):
    """While a next line has begun, the replies to those before it are held back, up to a read's worth."""

    held = b""

    def answer(self, data: bytes) -> tuple[bytes, bool]:
        replies, last = super().answer(data)
        self.held += replies
        # Without a bound, reads that all end inside a line would be a firehose taken in whole: FLOW-3 too.
        if self.pending and len(self.held) < READ_SIZE:
            return b"", last
        held, self.held = self.held, b""
        return held, last

    def answer_tail(self) -> bytes:
        return self.held + super().answer_tail()


@wrong("TIME-1")
class AnswersOneReadBehind(Conversation):
    """Of many lines in one read, the last reply is held back until the next read."""

    held = b""

    def answer(self, data: bytes) -> tuple[bytes, bool]:
        replies, last = super().answer(data)
        held, self.held = self.held, b""
        if replies.count(b"\n") > 1:
            cut = replies.rindex(b"\n", 0, -1) + 1
            replies, self.held = replies[:cut], replies[cut:]
        return held + replies, last

    def answer_tail(self) -> bytes:
        return self.held + super().answer_tail()


@wrong("TIME-1", Settings(service="echo"), declared={"service": "echo-bytes"})
class EchoesWholeLines(Conversation):
    """What is no line yet is not echoed, where bytes are to be."""


@wrong("TIME-1")
class AnswersAtTheEnd(Conversation):
    """All replies come when the client has ended its input."""

    held = b""

    def answer(self, data: bytes) -> tuple[bytes, bool]:
        replies, last = super().answer(data)
        self.held += replies
        return b"", last

    def answer_tail(self) -> bytes:
        return self.held + super().answer_tail()


@wrong("TIME-2")
class IsQuadratic(Conversation):
    """The time for a line grows with the square of its length; a sleep stands for the work."""

    length = 0

    def answer(self, data: bytes) -> tuple[bytes, bool]:
        self.length += len(data)
        if b"\n" in data:
            time.sleep(min(2.0, 1.5 * (self.length / (8 << 20)) ** 2) if data.count(b"\n") == 1 else 0)
            self.length = 0
        return super().answer(data)


class _Lossy(Unread):
    """Loses something of what a client does not take at once."""

    seconds = 0.3
    waited = False

    def say(self, data: bytes) -> None:
        super().say(self.late(data) if self.waited else data)

    def begins_to_wait(self) -> None:
        self.waited = True

    def late(self, data: bytes) -> bytes:
        """Return what is left of the replies behind a wait."""
        self.waited = False
        return data


@wrong("FLOW-1", jobs=1)
class LosesALineLate(_Lossy):
    """Behind a wait of 0.3 seconds for the client to read, one line is lost."""

    def late(self, data: bytes) -> bytes:
        self.waited = False
        return data[: data.rfind(b"\n", 0, -1) + 1] if data.count(b"\n") > 2 else data


@wrong("FLOW-1", jobs=1)
class RepeatsLate(_Lossy):
    """Behind a wait of 0.3 seconds for the client to read, the next replies come twice."""

    def late(self, data: bytes) -> bytes:
        self.waited = False
        return data + data if data.endswith(b"\n") else data


class _Busy(Conversation):
    """Does something to the replies while more input waits, behind some MiB of them."""

    said = 0

    def say(self, data: bytes) -> None:
        self.said += len(data)
        busy = 2 << 20 < self.said < 7 << 20 and select.select([self.sock], [], [], 0)[0]
        super().say(self.mangled(data) if busy and data.count(b"\n") > 4 else data)

    def mangled(self, data: bytes) -> bytes:
        """Return what is sent."""
        return data


variant(
    "FLOW-2",
    "SwapsWhenBusy",
    "While more input waits, the first two lines of a read change places.",
    base=_Busy,
    mangled=lambda _, data: b"\n".join([*data.split(b"\n")[1::-1], *data.split(b"\n")[2:]]),
)


@wrong("FLOW-2")
class StopsAtTenMib(Conversation):
    """After six MiB of replies the server reads only when the client has taken all it was sent."""

    said = 0

    def say(self, data: bytes) -> None:
        super().say(data)
        self.said += len(data)
        if b"\n" in data and self.said > 6 << 20 and select.select([self.sock], [], [], 0)[0]:
            time.sleep(15)


@wrong("TIME-1")
class HoldsLongReplies(Conversation):
    """The reply to a single line of more than 300 bytes waits for the next read."""

    held = b""

    def answer(self, data: bytes) -> tuple[bytes, bool]:
        replies, last = super().answer(data)
        held, self.held = self.held, b""
        if 300 < len(replies) < 2000 and replies.count(b"\n") == 1:
            replies, self.held = b"", replies
        return held + replies, last

    def answer_tail(self) -> bytes:
        return self.held + super().answer_tail()
