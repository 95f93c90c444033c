"""A right server of another build: plain threads and blocking sockets, nothing shared with the package.

    python -m ci.conformance.reference tcp://127.0.0.1:0 --first server --max-line 100 --oversize reject

It prints `listening on ENDPOINT` once it accepts. The conformance suite has to pass it everywhere;
`wrong.py` breaks one promise at a time by overriding one method of `Conversation` or of `Server`.
"""

from __future__ import annotations

import argparse
import contextlib
import socket
import threading
import time
from dataclasses import dataclass

from ci.conformance.proxying import Headers

PROMPT = b"Enter some data to be capitalized:\n"
READ_SIZE = 65536
#: How long the server reads on after its end, so that no reset overtakes the last reply.
LINGER = 2.0


@dataclass(frozen=True)
class Settings:
    """The settings of the server."""

    service: str = "upper"
    first: str = "client"
    prompt: bytes = PROMPT
    prompt_delay: float = 0.3
    max_line: int = 65536
    oversize: str = "stream"
    once: bool = False
    strict: bool = False
    proxy: str = ""


class Conversation:
    """One connection, served by one thread."""

    headers: type[Headers] = Headers

    def __init__(self, sock: socket.socket, settings: Settings, server: Server) -> None:
        self.sock = sock
        self.settings = settings
        self.server = server
        self.pending = bytearray()  # of the current line, what came and is not answered yet
        self.skipping = False  # inside an oversize line that got its notice
        self.streaming = False  # inside an oversize line that is answered piece by piece

    def run(self) -> None:
        """Serve the connection to its end."""
        with self.sock, contextlib.suppress(OSError):
            if self.settings.proxy and not self.headers(self.sock).take():
                return
            self.converse()
            self.end()

    def converse(self) -> None:
        """Send the prompt if it is due, then answer what comes until the end of input or a last answer."""
        self.begin()
        while data := self.read():
            replies, last = self.answer(data)
            self.say(replies)
            if last:
                return
        self.say(self.answer_tail())

    def begin(self) -> None:
        """Send the prompt if it is due; where either side may begin, wait for the client first."""
        if self.settings.first == "server":
            self.say(self.settings.prompt)
        elif self.settings.first == "either":
            self.sock.settimeout(self.settings.prompt_delay)
            try:
                self.sock.recv(1, socket.MSG_PEEK)
            except TimeoutError:
                self.say(self.settings.prompt)
            self.sock.settimeout(None)

    def read(self) -> bytes:
        """Return what one read gives; b"" at the end of input."""
        return self.sock.recv(READ_SIZE)

    def say(self, data: bytes) -> None:
        """Send everything."""
        if data:
            self.sock.sendall(data)

    def end(self) -> None:
        """End the output, then read on for a while so that no reset destroys what was said."""
        self.sock.shutdown(socket.SHUT_WR)
        deadline = time.monotonic() + LINGER
        while (left := deadline - time.monotonic()) > 0:
            self.sock.settimeout(left)
            if not self.sock.recv(READ_SIZE):
                return

    def serve(self, data: bytes) -> bytes:
        """Return the reply to a line, or to a piece of one."""
        return data.upper() if self.settings.service == "upper" else data

    def notice(self) -> bytes:
        """Return what is said of an oversize line."""
        return b"error: line longer than %d bytes\n" % self.settings.max_line

    def too_long(self, length: int) -> bool:
        """Return whether a line with `length` bytes before its LF is oversize."""
        return length > self.settings.max_line

    def answer(self, data: bytes) -> tuple[bytes, bool]:
        """Return the replies to what one read gave, and whether they are the last."""
        if self.settings.service == "echo-bytes":
            return data, False
        if self.settings.strict:
            return self.answer_strictly(data)
        replies = []
        for piece in split(data):
            replies.append(self.answer_piece(piece))
            if self.is_last(piece, replies[-1]):
                return b"".join(replies), True
        return b"".join(replies), False

    def is_last(self, piece: bytes, reply: bytes) -> bool:
        """Return whether the conversation ends with the reply to this piece."""
        if not reply:
            return False
        oversize_ends = self.settings.oversize == "reject" and reply == self.notice()
        return oversize_ends or (self.settings.once and piece.endswith(b"\n"))

    def answer_piece(self, piece: bytes) -> bytes:
        """Return the reply to a piece of a line: what comes behind the last LF, up to the next one."""
        complete = piece.endswith(b"\n")
        if self.skipping or self.streaming:
            reply = b"" if self.skipping else self.serve(piece)
            self.skipping, self.streaming = self.skipping and not complete, self.streaming and not complete
            return reply
        self.pending += piece
        if self.too_long(len(self.pending) - complete):
            return self.answer_oversize(complete=complete)
        if not complete:
            return b""
        return self.serve(self.take())

    def answer_oversize(self, *, complete: bool) -> bytes:
        """Return the reply to a line that has just become oversize."""
        line = self.take()
        if self.settings.oversize == "stream":
            self.streaming = not complete
            return self.serve(line)
        self.skipping = not complete
        return self.notice()

    def answer_strictly(self, data: bytes) -> tuple[bytes, bool]:
        """Return the same where CR LF alone ends a line."""
        self.pending += data
        replies = b""
        while (end := self.strict_end()) is not None:
            line = bytes(self.pending[:end])
            del self.pending[:end]
            broken = self.broken(line.removesuffix(b"\r\n"))
            if not self.skipping:
                replies += self.notice() if broken else self.serve(line)
            if broken and self.settings.oversize == "reject":
                return replies, True
            self.skipping = not line.endswith(b"\r\n")
        return replies, False

    def strict_end(self) -> int | None:
        """Return the end of the first line, or of what is broken or skipped of it; None for neither."""
        end = self.pending.find(b"\r\n")
        if end >= 0:
            return end + 2
        known = len(self.pending) - self.pending.endswith(b"\r")
        return known if known and (self.skipping or self.broken(bytes(self.pending[:known]))) else None

    def broken(self, payload: bytes) -> bool:
        """Return whether this payload, or the beginning of one, makes a line invalid."""
        return b"\r" in payload or b"\n" in payload or self.too_long(len(payload))

    def answer_tail(self) -> bytes:
        """Return the reply to what the end of input left without a terminator."""
        line = self.take()
        if self.settings.strict and self.broken(line):
            return b"" if self.skipping else self.notice()
        return self.serve(line)

    def take(self) -> bytes:
        """Return what is pending, and forget it."""
        line = bytes(self.pending)
        self.pending.clear()
        return line


def split(data: bytes) -> list[bytes]:
    """Return the lines of some bytes, terminators included, and what is behind the last one."""
    *lines, rest = data.split(b"\n")
    return [line + b"\n" for line in lines] + ([rest] if rest else [])


class Server:
    """Accepts connections, a thread each, or answers datagrams."""

    conversation: type[Conversation] = Conversation

    def __init__(self, endpoint: str, settings: Settings) -> None:
        self.settings = settings
        self.scheme, _, rest = endpoint.partition(":")
        kind = socket.SOCK_DGRAM if self.scheme in ("udp", "unixgram") else socket.SOCK_STREAM
        if self.scheme in ("unix", "unixgram"):
            self.sock = socket.socket(socket.AF_UNIX, kind)
            self.sock.bind(f"\0{rest[1:]}" if rest.startswith("@") else rest)
            self.endpoint = endpoint
        else:
            host, _, port = rest.removeprefix("//").rpartition(":")
            self.sock = socket.socket(socket.AF_INET, kind)
            self.sock.bind((host, int(port)))
            self.endpoint = f"{self.scheme}://{host}:{self.sock.getsockname()[1]}"
        if kind == socket.SOCK_STREAM:
            self.sock.listen(1024)

    def run(self) -> None:
        """Serve until the listening socket is closed."""
        with contextlib.suppress(OSError):
            if self.sock.type == socket.SOCK_DGRAM:
                self.serve_datagrams()
            else:
                self.serve_connections()

    def serve_connections(self) -> None:
        """Serve each connection in a thread."""
        while True:
            sock, _ = self.sock.accept()
            conversation = self.conversation(sock, self.settings, self)
            threading.Thread(target=conversation.run, daemon=True).start()

    def serve_datagrams(self) -> None:
        """Answer each datagram; a sender that cannot be reached costs nothing."""
        while True:
            data, sender = self.sock.recvfrom(READ_SIZE)
            if sender is None:  # what `stop` wakes it with
                return
            with contextlib.suppress(OSError):
                self.answer_datagram(data, sender)

    def answer_datagram(self, data: bytes, sender: object) -> None:
        """Send the one reply to a datagram."""
        self.sock.sendto(data.upper() if self.settings.service == "upper" else data, sender)  # type: ignore[call-overload]

    def stop(self) -> None:
        """Stop accepting; conversations end with their clients."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()


def parse(arguments: list[str] | None = None) -> tuple[argparse.Namespace, Settings]:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("endpoint")
    parser.add_argument("--service", default="upper", choices=["upper", "echo", "echo-bytes"])
    parser.add_argument("--first", default="client", choices=["client", "server", "either"])
    parser.add_argument("--prompt", default=PROMPT[:-1].decode())
    parser.add_argument("--prompt-delay", type=float, default=0.3)
    parser.add_argument("--max-line", type=int, default=65536)
    parser.add_argument("--oversize", default="stream", choices=["reject", "discard", "stream"])
    parser.add_argument("--once", action="store_true")
    parser.add_argument("--strict", action="store_true")
    parser.add_argument("--proxy", default="", choices=["v1", "v2"])
    options = parser.parse_args(arguments)
    settings = Settings(
        service=options.service,
        first=options.first,
        prompt=options.prompt.encode() + b"\n",
        prompt_delay=options.prompt_delay,
        max_line=options.max_line,
        oversize=options.oversize,
        once=options.once,
        strict=options.strict,
        proxy=options.proxy,
    )
    return options, settings


def main() -> None:
    """Serve one endpoint until killed."""
    options, settings = parse()
    server = Server(options.endpoint, settings)
    print(f"listening on {server.endpoint}", flush=True)
    server.run()


if __name__ == "__main__":
    main()
