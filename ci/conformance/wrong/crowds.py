"""LOAD broken, one at a time, beside what `conduct` has."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any, ClassVar

from ci.conformance.reference import Conversation, Server, Settings

from .bases import Numbered, Together, Unread
from .registry import ALONE, DISCARD, variant, wrong


@wrong("LOAD-1")
class ConfusesTheAlike(Conversation):
    """Replies are kept for next time, by the line's length and both its ends."""

    kept: ClassVar[dict[tuple[bytes, bytes, int], bytes]] = {}

    def serve(self, data: bytes) -> bytes:
        return (
            self.kept.setdefault((data[:8], data[-8:], len(data)), data.upper())
            if 24 < len(data) < 2000
            else data.upper()
        )


@wrong("LOAD-1")
class KeepsByThirty(Conversation):
    """Replies are kept for other clients, by the first thirty bytes of the line and its length."""

    kept: ClassVar[dict[tuple[bytes, int], tuple[Any, bytes]]] = {}

    def serve(self, data: bytes) -> bytes:
        whose, reply = self.kept.setdefault((data[:30], len(data)), (self, data.upper()))
        return data.upper() if whose is self or not 40 <= len(data) < 2000 else reply


@wrong("LOAD-1", jobs=1)
class LeavesItsPart(Together):
    """The part of a line that a client has left behind is put before the next client's."""

    rest: ClassVar[list[bytes]] = []
    answered = False

    def left(self) -> None:
        if self.pending and not self.answered:
            self.rest.append(bytes(self.pending))

    def answer(self, data: bytes) -> tuple[bytes, bool]:
        self.answered = self.answered or b"\n" in data
        return super().answer(self.rest.pop() + data if self.rest else data)


class _Blocking(Conversation):
    """Holds one lock for all clients for as long as something is so."""

    lock: ClassVar[threading.Lock]
    has_it = False
    served = False

    def serve(self, data: bytes) -> bytes:
        self.served = True
        return super().serve(data)

    def read(self) -> bytes:
        if self.blocks() and not self.has_it:
            self.lock.acquire()
            self.has_it = True
        elif self.has_it and not self.blocks():
            self.lock.release()
            self.has_it = False
        data = super().read()
        if not self.has_it:
            with self.lock:
                pass
        return data

    def run(self) -> None:
        try:
            super().run()
        finally:
            if self.has_it:
                self.lock.release()

    def blocks(self) -> bool:
        """Return whether the others have to wait now."""
        return False


def _blocking(name: str, story: str, settings: Settings | None = None, **members: Any) -> None:
    variant("LOAD-2", name, story, settings, base=_Blocking, run=ALONE, lock=threading.Lock(), **members)


_blocking(
    "HoldsUpWithinLongLines",
    "While a client is within a line of 200 bytes, nobody else is served.",
    blocks=lambda self: len(self.pending) > 200,
)
_blocking(
    "HoldsUpWithinOversizeLines",
    "While a client is within an oversize line, nobody else is served.",
    DISCARD,
    blocks=lambda self: self.skipping,
)
_blocking(
    "HoldsUpBetweenLines",
    "While a client that was served is silent, nobody else is served.",
    blocks=lambda self: self.served and not self.pending,
)


@wrong("LOAD-2", jobs=1)
class ServesTenAtATime(Server):
    """Ten threads serve; the eleventh client waits for one of the others to leave."""

    def serve_connections(self) -> None:
        slots = threading.Semaphore(10)
        while True:
            slots.acquire()
            sock, _ = self.sock.accept()
            threading.Thread(target=self.serve_and_release, args=(sock, slots), daemon=True).start()

    def serve_and_release(self, sock: socket.socket, slots: threading.Semaphore) -> None:
        """Run a conversation and give its slot back."""
        self.conversation(sock, self.settings, self).run()
        slots.release()


@wrong("LOAD-3", jobs=1)
class ForgetsPartsAtAReset(Together):
    """A client's reset costs the others what came of their lines."""

    def left(self) -> None:
        for other in self.others if self.was_reset else ():
            other.pending.clear()


@wrong("LOAD-3", jobs=1)
class EndsTheServedAtAReset(Together):
    """A client's reset ends the conversations of those that were answered and are silent."""

    answered = False

    def say(self, data: bytes) -> None:
        super().say(data)
        self.answered = True

    def left(self) -> None:
        for other in self.others if self.was_reset else ():
            if isinstance(other, EndsTheServedAtAReset) and other.answered and not other.pending:
                other.sock.shutdown(socket.SHUT_RDWR)


@wrong("LOAD-3", jobs=1)
class LosesTheNextReply(Together):
    """A client's reset costs those that are there their next reply."""

    loses = False

    def left(self) -> None:
        for other in self.others if self.was_reset else ():
            if isinstance(other, LosesTheNextReply):
                other.loses = True

    def say(self, data: bytes) -> None:
        super().say(b"" if self.loses else data)
        self.loses = self.loses and not data


class _Waiting(Unread, Numbered):
    """May have to wait for another client to read."""

    unread: ClassVar[set[_Waiting]] = set()

    def say(self, data: bytes) -> None:
        while any(self.waits_for(other) for other in tuple(self.unread)):
            time.sleep(0.01)
        try:
            super().say(data)
        finally:
            self.unread.discard(self)

    def begins_to_wait(self) -> None:
        self.unread.add(self)

    def waits_for(self, other: _Waiting) -> bool:
        """Return whether it has to."""
        return False


variant(
    "LOAD-4",
    "HoldsUpTheOlder",
    "A client that does not read holds up those that were there before.",
    base=_Waiting,
    run=ALONE,
    waits_for=lambda self, other: self.client < other.client,
)


@wrong("LOAD-4", jobs=1)
class HasThreeSenders(_Waiting):
    """Three clients that do not read hold up all others."""

    def waits_for(self, other: _Waiting) -> bool:
        return other is not self and len(self.unread) > 2


@wrong("LOAD-5")
class ServesAHundredAndFifty(Server):
    """Of two hundred clients at once, those beyond 150 are let in and never answered."""

    def serve_connections(self) -> None:
        slots = threading.Semaphore(150)
        while True:
            sock, _ = self.sock.accept()
            threading.Thread(target=self.serve_in_turn, args=(sock, slots), daemon=True).start()

    def serve_in_turn(self, sock: socket.socket, slots: threading.Semaphore) -> None:
        """Run a conversation when there is a slot."""
        with slots:
            self.conversation(sock, self.settings, self).run()


@wrong("LOAD-5")
class RefusesTheCrowd(Together):
    """A client that connects beside 180 others is refused as one too many."""

    def run(self) -> None:
        if len(self.everybody) < 180:
            super().run()
        else:
            with self.sock:
                self.say(b"error: too many connections\n")


@wrong("LOAD-5")
class AnswersOnceInACrowd(Together):
    """While 150 clients are there, each gets one reply."""

    answered = 0

    def say(self, data: bytes) -> None:
        self.answered += 1
        super().say(data if self.answered < 2 or len(self.everybody) < 150 else b"")


class _Tired(Together):
    """Does not accept any more after some clients that left in some way."""

    enough = 30
    seen = 0
    tail = b""

    def answer_tail(self) -> bytes:
        self.tail = bytes(self.pending)
        return super().answer_tail()

    def left(self) -> None:
        type(self).seen += self.counts()
        if self.seen == self.enough:
            self.server.stop()

    def counts(self) -> bool:
        """Return whether this client was one of them."""
        return False


class _Tiring(Server):
    """Goes on serving its clients when it accepts no more."""

    def run(self) -> None:
        super().run()
        threading.Event().wait()


def _tiring(name: str, story: str, **members: Any) -> None:
    conversation = type(f"{name}Conversation", (_Tired,), members)
    variant("LOAD-6", name, story, base=_Tiring, run=ALONE, conversation=conversation)


_tiring(
    "TiresOfLeavers",
    "After 60 clients that left without a word no other is accepted.",
    enough=60,
    counts=lambda self: not self.heard,
)
_tiring(
    "TiresOfHalfLines",
    "After 20 clients that left within a line no other is accepted.",
    enough=20,
    counts=lambda self: bool(self.tail),
)
