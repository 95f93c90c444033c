"""The steps of a case: pure data, taken by `steps`.

`client` numbers the connections of one case, from 0. Sending never waits for the server: a step
that sends hands its bytes over to a writer, so that a later step can read meanwhile.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from .cuts import WHOLE, Cut
from .oracle import Part

if TYPE_CHECKING:
    from .dialects.talk import Talk


@dataclass(frozen=True, slots=True)
class Connect:
    """Open a connection; with `greet`, also take the prompt of a server that has to say one.

    A PROXY header comes first where one is declared, unless `bare`.
    """

    client: int = 0
    greet: bool = True
    bare: bool = False


@dataclass(frozen=True, slots=True)
class Send:
    """Send bytes, in pieces where they are cut."""

    data: bytes
    cut: Cut = WHOLE
    client: int = 0


@dataclass(frozen=True, slots=True)
class Expect:
    """Receive exactly these parts."""

    parts: tuple[Part, ...]
    client: int = 0


@dataclass(frozen=True, slots=True)
class ExpectSpeech:
    """Receive something the server says for itself: a line that ends in LF with a lower-case letter."""

    client: int = 0


@dataclass(frozen=True, slots=True)
class ExpectNoShouting:
    """Receive a line that is `reply` or the server's own, which has a lower-case letter and ends in LF.

    Nothing at all is right too: other cases judge whether something is due.
    """

    reply: bytes
    client: int = 0


@dataclass(frozen=True, slots=True)
class ExpectAny:
    """Receive at least one byte, whichever it is."""

    client: int = 0


@dataclass(frozen=True, slots=True)
class Silence:
    """Receive nothing for `seconds` once everything is sent; the connection stays open."""

    seconds: float
    client: int = 0


@dataclass(frozen=True, slots=True)
class EndInput:
    """Half-close: the client has sent its last byte."""

    client: int = 0


@dataclass(frozen=True, slots=True)
class ExpectEnd:
    """Receive the end of the server's output, and nothing before it; this grades the close."""

    client: int = 0


@dataclass(frozen=True, slots=True)
class ExpectRefusal:
    """Receive nothing but the end of the connection, be it a reset."""

    client: int = 0


@dataclass(frozen=True, slots=True)
class Reset:
    """Close with a reset."""

    client: int = 0


@dataclass(frozen=True, slots=True)
class Leave:
    """Close the connection."""

    client: int = 0


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait for `seconds`."""

    seconds: float


@dataclass(frozen=True, slots=True)
class SendUnread:
    """Send without reading until all is sent or the server takes no more for `quiet` seconds.

    The bytes are sent `times` times. With `must_block`, it is a failure if the server takes everything.
    """

    data: bytes
    quiet: float
    client: int = 0
    must_block: bool = False
    times: int = 1


@dataclass(frozen=True, slots=True)
class Growth:
    """Time two exchanges, one a multiple of the other, each over a connection of its own.

    It is a failure if the larger one takes more than `factor` times its share of the smaller one's
    time, and more than `floor` seconds, below which a clock proves nothing.
    """

    small: bytes
    large: bytes
    factor: float
    floor: float


@dataclass(frozen=True, slots=True)
class Ask:
    """Send one datagram and receive the one reply to it; datagrams may be lost, so ask up to three times.

    With `shorter`, any reply is right that is no longer than the request, and no reply, too. With
    `from_there`, it also has to come from the address that the request was sent to. `lost` is the clause
    that is broken if no reply comes.
    """

    data: bytes
    reply: bytes
    client: int = 0
    shorter: bool = False
    from_there: bool = False
    lost: str = "DGRAM-1"


@dataclass(frozen=True, slots=True)
class AskTogether:
    """Send a datagram from each of some sockets at once and receive the one reply at each, up to three times.

    Attributes:
        data: the datagrams.
        replies: what is due to each.
        quiet: seconds in which nothing more may come to any of them.
        shorter: whether any reply is right that is no longer than its request, and none too.
        gone: what a sender that is gone before its reply comes sends ahead of them; None if there is none.
    """

    data: tuple[bytes, ...]
    replies: tuple[bytes, ...]
    quiet: float = 0.1
    shorter: bool = False
    gone: bytes | None = None


@dataclass(frozen=True, slots=True)
class Abandon:
    """Send one datagram from a socket that is closed at once."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Converse:
    """Speak a dialect: a script of its own, whose next step depends on what was said."""

    run: Callable[[Talk], Awaitable[None]]


Step: TypeAlias = (
    Connect
    | Send
    | Expect
    | ExpectSpeech
    | ExpectNoShouting
    | ExpectAny
    | Silence
    | EndInput
    | ExpectEnd
    | ExpectRefusal
    | Leave
    | Reset
    | Pause
    | SendUnread
    | Growth
    | Ask
    | AskTogether
    | Abandon
    | Converse
)
