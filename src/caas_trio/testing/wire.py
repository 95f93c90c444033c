"""One direction of a simulated connection: `Wire`, from one end's buffer to the other's."""

from __future__ import annotations

from collections import deque
from typing import Final, Protocol

from .kernel import Kernel
from .links import Link

#: The longest piece that travels, as on loopback.
_SEGMENT: Final = 65536

_FIN: Final = "fin"
_RESET: Final = "reset"


class WireEnd(Protocol):
    """A socket at one end of a wire."""

    def room(self) -> int:
        """Return how many more bytes it can hold."""

    def arrived(self, data: bytes) -> None:
        """Take what has arrived."""

    def ended(self) -> None:
        """Note that the other side has ended its output."""

    def was_reset(self) -> None:
        """Note that the connection was reset."""

    def left(self) -> None:
        """Note that what was sent has arrived."""


class Wire:
    """Carries what one end sends to the other: in order, in pieces, with delays.

    Attributes:
        name: the connection and the direction, as text.
        waiting: what has not departed yet.
        flying: how many bytes have departed and not arrived.
        ended: whether the receiver knows that the output has ended.
    """

    def __init__(self, kernel: Kernel, link: Link, name: str, sender: WireEnd, receiver: WireEnd) -> None:
        self.name = name
        self.waiting = bytearray()
        self.flying = 0
        self._kernel = kernel
        self._link = link
        self._sender = sender
        self._receiver = receiver
        self.ended = False
        self._ends = False
        self._end_sent = False
        self._dead = False
        self._pushing = False
        self._flights: deque[bytes | str] = deque()
        self._last_arrival = 0.0
        self._paused_until = 0.0
        self._left_to_reset: int | None = None
        link.carried[self] = None
        if link.happens(link.conditions.reset):
            self._left_to_reset = link.choices.randrange(link.conditions.reset_within)

    def send(self, data: bytes) -> None:
        """Send what the sender's buffer has taken."""
        self._kernel.record(self.name, "sent", data)
        if self._is_clear and len(data) <= min(self._receiver.room(), _SEGMENT):
            self._kernel.record(self.name, "arrived", data)  # as `push` and `_fly` would have it
            self._receiver.arrived(data)
        else:
            self.waiting += data
            self.push()

    @property
    def _is_clear(self) -> bool:
        """Whether what is sent now arrives now: nothing is under way or pauses, and nothing goes wrong."""
        if not self._link.is_clear or self._left_to_reset is not None:
            return False
        if self.waiting or self._flights or self._dead:
            return False
        busy_until = max(self._last_arrival, self._paused_until)
        return not busy_until or busy_until <= self._kernel.now

    def arrive_later(self, seconds: float) -> None:
        """Delay everything until at least `seconds` from now."""
        self._last_arrival = self._kernel.now + seconds

    def end(self) -> None:
        """End the output behind all that was sent."""
        self._ends = True
        if self._is_clear:
            self._end_sent = True
            self._finish()
        else:
            self.push()

    def reset(self) -> None:
        """Drop what has not departed, and notify the receiver of the reset; a lost reset is not repeated."""
        self.stop()
        if not self._link.loses:
            self._fly(_RESET, 0)

    def stop(self) -> None:
        """Carry nothing more: the other direction has brought a reset."""
        self._dead = True
        self.waiting.clear()
        self._link.carried.pop(self, None)

    def push(self) -> None:
        """Send what the link and the receiver's window allow."""
        if self._pushing:
            return
        self._pushing = True
        try:
            while self.waiting and not self._dead and self._goes():
                room = self._receiver.room() - self.flying
                if room <= 0:
                    return
                size, pause = self._link.piece(min(len(self.waiting), room, _SEGMENT))
                if self._link.happens(self._link.conditions.stall):
                    pause += self._link.conditions.stall_time
                data = bytes(self.waiting[:size])
                del self.waiting[:size]
                self.flying += size
                self._fly(data, size)
                if pause:
                    self._pause(pause)
            if self._ends and not (self._end_sent or self.waiting or self._dead) and self._goes():
                self._end_sent = True
                self._fly(_FIN, 0)
        finally:
            self._pushing = False

    def _goes(self) -> bool:
        """Return whether something may depart now; if not, `push` is called later."""
        if not self._link.is_open:
            self._link.wait(self)
            return False
        return self._kernel.now >= self._paused_until

    def _pause(self, seconds: float) -> None:
        self._paused_until = self._kernel.now + seconds
        self._kernel.after(seconds, self.push)

    def _fly(self, flight: bytes | str, size: int) -> None:
        seconds = max(self._link.delay(size), self._last_arrival - self._kernel.now)
        self._flights.append(flight)
        if seconds <= 0 and len(self._flights) == 1:
            self._arrive()
        else:
            seconds = max(seconds, 0.0)
            self._last_arrival = self._kernel.now + seconds
            self._kernel.after(seconds, self._arrive)

    def _arrive(self) -> None:
        flight = self._flights.popleft()
        if isinstance(flight, bytes):
            self.flying -= len(flight)
            if self._left_to_reset is not None:
                self._left_to_reset -= len(flight)
                if self._left_to_reset < 0:
                    self.break_off()
                    return
            self._kernel.record(self.name, "arrived", flight)
            self._receiver.arrived(flight)
            self._sender.left()
            self.push()
            return
        if flight == _FIN:
            self._finish()
        else:
            self._kernel.record(self.name, flight)
            self._receiver.was_reset()

    def _finish(self) -> None:
        """Deliver the end of the output."""
        self._kernel.record(self.name, _FIN)
        self.ended = True
        self._receiver.ended()
        self._sender.left()

    def break_off(self) -> None:
        """Reset the connection from the middle: both ends see the reset."""
        self._kernel.record(self.name, "broken off")
        self.stop()
        self._receiver.was_reset()
        self._sender.was_reset()
