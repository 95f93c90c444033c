"""CLOSE and LOAD broken, one at a time."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
import time

from ci.conformance.reference import Conversation, Server, Settings

from .registry import ONCE, REJECT, wrong


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
    """One lock around all sending: a client that does not read holds up all others."""

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
