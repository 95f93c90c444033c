"""A right server of any dialect: plain threads and blocking sockets, nothing shared with the package.

A protocol (`protocols.py`) says what it answers; `wrong.py` overrides a method or two.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar

#: How long the server reads on after its end, so that no reset overtakes the last reply.
LINGER_S = 2.0
READ_SIZE = 65536

Answer = Callable[["Conversation", bytes], bytes]


@dataclass(frozen=True)
class Protocol:
    """The answers of a server.

    Attributes:
        dialect: the name of the dialect that comes along.
        answer: returns the reply to a line, without its end.
        greeting: what it says first.
        end: what ends a line.
        max_line: the most bytes of a line, its end included.
        too_long: what is said of a longer one.
    """

    dialect: str
    answer: Answer
    greeting: bytes = b""
    end: bytes = b"\r\n"
    max_line: int = 2048
    too_long: bytes = b"ERROR line too long\r\n"


class Conversation:
    """One connection, served by one thread."""

    certificate: ClassVar[ssl.SSLContext | None] = None
    idle_s: ClassVar[float | None] = None
    line_s: ClassVar[float | None] = None

    def __init__(self, sock: socket.socket, protocol: Protocol, server: DialectServer) -> None:
        self.sock = sock
        self.protocol = protocol
        self.server = server
        self.number = server.accepted
        self.pending = b""
        self.ready: deque[bytes] = deque()
        self.began: float | None = None
        self.skipping = False
        self.last = False
        #: What answers the next line, where the last one was not all of its request.
        self.block: Answer | None = None

    def run(self) -> None:
        """Serve the connection to its end."""
        with contextlib.suppress(OSError):
            self.converse()
            self.end()
        self.sock.close()

    def converse(self) -> None:
        """Greet, then answer what comes until the end of input or a last answer."""
        self.greet()
        while not self.last and (data := self.read()):
            self.take(data)
        self.finish()

    def greet(self) -> None:
        """Send the greeting."""
        self.say(self.protocol.greeting)

    def read(self) -> bytes:
        """Return what one read gives; b"" at the end of input, or where the client is too slow."""
        deadline = self.began + self.line_s if self.began is not None and self.line_s else None
        left = self.idle_s if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            return b""
        self.sock.settimeout(left)
        try:
            return self.sock.recv(READ_SIZE)
        except TimeoutError:
            return b""

    def take(self, data: bytes) -> None:
        """Answer the lines that are complete with some more bytes."""
        self.pending += data
        replies = []
        for line in self.lines():
            replies.append(self.reply(line))
            if self.last:
                break
        self.say(b"".join(replies))
        self.began = (self.began or time.monotonic()) if self.pending else None

    def lines(self) -> Iterator[bytes]:
        """Yield the lines that are complete, without their ends; what is too long is yielded as it is."""
        while (line := self.next_line()) is not None:
            if self.skipping:
                self.skipping = False
            else:
                yield line
        if self.too_long(self.pending) and not self.skipping:
            yield self.pending
            self.skipping = True
        if self.skipping:
            self.pending = self.pending[-len(self.protocol.end) :]

    def next_line(self) -> bytes | None:
        """Take the next line off what is pending; None if none is complete."""
        if not self.ready and self.protocol.end in self.pending:
            *lines, self.pending = self.pending.split(self.protocol.end)
            self.ready.extend(lines)
        return self.ready.popleft() if self.ready else None

    def too_long(self, line: bytes) -> bool:
        """Return whether a line is longer than it may be."""
        return len(line) + 2 > self.protocol.max_line

    def reply(self, line: bytes) -> bytes:
        """Return the reply to a line."""
        if self.too_long(line):
            return self.protocol.too_long
        if self.block is not None:
            block, self.block = self.block, None
            return block(self, line)
        return self.protocol.answer(self, line)

    def say(self, data: bytes) -> None:
        """Send everything."""
        if data:
            self.sock.sendall(data)

    def finish(self) -> None:
        """Do what is done at the end of input; a tail is dropped."""

    def turn_to_tls(self, go_ahead: bytes) -> bytes:
        """Send the go-ahead and turn to TLS; what came in plain behind the request is dropped."""
        self.say(go_ahead)
        self.drop_pending()
        if self.certificate is not None:
            self.sock = self.certificate.wrap_socket(self.sock, server_side=True)
        return b""

    def drop_pending(self) -> None:
        """Drop what came in plain behind the request for TLS."""
        self.pending = b""
        self.ready.clear()

    def end(self) -> None:
        """End the output, then read on for a while so that no reset destroys what was said."""
        self.sock.shutdown(socket.SHUT_WR)
        deadline = time.monotonic() + LINGER_S
        while (left := deadline - time.monotonic()) > 0:
            self.sock.settimeout(left)
            if not self.sock.recv(READ_SIZE):
                return


class DialectServer:
    """Listens, and gives each connection a thread."""

    conversation: ClassVar[type[Conversation]] = Conversation

    def __init__(self, protocol: Protocol) -> None:
        self.protocol = protocol
        self.sock = socket.create_server(("127.0.0.1", 0), backlog=500)
        self.accepted = 0
        self.open: set[Conversation] = set()

    @property
    def endpoint(self) -> str:
        """The endpoint where it listens."""
        return f"tcp://127.0.0.1:{self.sock.getsockname()[1]}"

    def run(self) -> None:
        """Accept connections until `stop`."""
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self.sock.accept()
                self.accepted += 1
                self.serve(self.conversation(sock, self.protocol, self))

    def serve(self, conversation: Conversation) -> None:
        """Serve a connection in a thread of its own."""
        self.open.add(conversation)
        threading.Thread(target=self.converse, args=(conversation,), daemon=True).start()

    def converse(self, conversation: Conversation) -> None:
        """Serve a connection to its end."""
        conversation.run()
        self.open.discard(conversation)

    def stop(self) -> None:
        """Listen no more."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()
