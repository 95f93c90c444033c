"""The choices of a seed: `Scenario`."""

from __future__ import annotations

import errno
import random
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from caas_trio import AtCapacity, First, Limits, Oversize
from caas_trio.drivers.choice import DriverName
from caas_trio.testing import Conditions

PORT: Final = 7
#: Where connections begin with a PROXY header.
PROXIED_PORT: Final = 8
PROMPT: Final = b"say:\n"
#: The service fails with a line that contains it.
FATAL: Final = b"!"

#: So long that a client which does its part never meets one.
_GENEROUS: Final = Limits(
    opening_timeout=120,
    prompt_delay=0.3,
    idle_timeout=120,
    line_timeout=120,
    write_timeout=120,
    linger_timeout=120,
    drain_timeout=10,
)
_TIGHT: Final = Limits(
    opening_timeout=2,
    prompt_delay=0.3,
    idle_timeout=5,
    line_timeout=2,
    write_timeout=2,
    linger_timeout=0.5,
    drain_timeout=1,
)

#: The errors of accept: of the connection, and of a machine that has no room.
_ACCEPT_ERRORS: Final = (
    errno.ECONNABORTED,
    errno.EPERM,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOBUFS,
    errno.ENOMEM,
)


#: The probability that nothing goes wrong between the hosts: the order of things is then the exact one.
_CALM: Final = 0.4


class Stop(NamedTuple):
    """How a server ends before its clients do.

    Attributes:
        at: when, in seconds.
        by: the client right behind whose first bytes the stop comes, if it is earlier; None for none.
        cancels: whether the server is cancelled instead of drained.
        retires: for how many seconds before the stop it accepts no more; 0 for none.
    """

    at: float
    by: int | None
    cancels: bool
    retires: float


class Fault(NamedTuple):
    """Something that goes wrong on the server's machine.

    Attributes:
        at: when, in seconds.
        errors: the error numbers that the next accepts fail with.
        descriptors: how many more descriptors it then has for a second; None for enough.
    """

    at: float
    errors: tuple[int, ...]
    descriptors: int | None


@dataclass(frozen=True)
class Scenario:
    """The course of one seed.

    Attributes:
        seed: the seed.
        driver: what moves the server's bytes.
        handler: whether an async handler serves, or a session.
        first: which side speaks first.
        oversize: what becomes of an oversize line.
        once: whether a conversation has one line.
        generous: whether the timeouts are longer than everything else.
        limits: the server's.
        conditions: of the links.
        clients: how many there are.
        hosts: on how many hosts they are.
        strangers: whether clients of the first host may not connect.
        proxied: whether the server also has a port where connections begin with a PROXY header.
        buffer: how many bytes the server's sockets hold for sending, and its clients' for reading.
        inbox: how many bytes the server's sockets hold for reading.
        burst: how many connections the server accepts in a turn.
        work: how many seconds a handler takes for a line, at most.
        fails: whether the service fails with some lines.
        begins_badly: the probability that it fails before there is a line.
        telemetry: how much the server reports: its failures, sums too, or each connection too.
        freezes: the probability that the machine stands still after something is sent.
        faults: of the server's machine.
        stop: how the server ends; None for after all clients.
    """

    seed: int
    driver: DriverName
    handler: bool
    first: First
    oversize: Oversize
    once: bool
    generous: bool
    limits: Limits
    conditions: Conditions
    clients: int
    hosts: int
    strangers: bool
    proxied: bool
    buffer: int
    inbox: int
    burst: int
    work: float
    fails: bool
    begins_badly: float
    telemetry: str
    freezes: float
    faults: tuple[Fault, ...]
    stop: Stop | None

    @classmethod
    def drawn(cls, seed: int) -> Scenario:
        """Return the scenario of a seed."""
        choices = random.Random(f"scenario/{seed}")  # noqa: S311 - to be repeated
        handler = choices.random() < 0.4
        generous = choices.random() < 0.6
        clients = choices.choice((1, 3, 8))
        return cls(
            seed=seed,
            driver=choices.choice(("hub", "stream")),
            handler=handler,
            first=choices.choice((First.CLIENT, First.SERVER) if handler else tuple(First)),
            oversize=choices.choice((Oversize.REJECT, Oversize.DISCARD) if handler else tuple(Oversize)),
            once=choices.random() < 0.2,
            generous=generous,
            limits=_limits(choices, _GENEROUS if generous else _TIGHT),
            conditions=_conditions(choices),
            clients=clients,
            hosts=choices.choice((1, 3, 8)),
            strangers=choices.random() < 0.1,
            proxied=choices.random() < 0.2,
            buffer=choices.choice((3, 50, 65536)),
            inbox=choices.choice((3, 65536, 65536)),
            burst=choices.choice((1, 2, 64)),
            work=choices.choice((0.0, 0.0, 0.2)),
            fails=choices.random() < 0.2,
            begins_badly=choices.choice((0.0,) * 9 + (0.3,)),
            telemetry=choices.choice(("failures", "sums", "sums", "each")),
            freezes=choices.choice((0.0, 0.0, 0.3)),
            faults=_faults(choices),
            stop=_stop(choices, clients),
        )

    @property
    def limit(self) -> int:
        """The longest line."""
        return self.limits.max_line

    @property
    def delays(self) -> bool:
        """Whether anything takes time between the hosts, which small buffers make long."""
        conditions = self.conditions
        return bool(conditions.latency or conditions.jitter or conditions.stall) or conditions.rate < 1e9

    @property
    def swift(self) -> bool:
        """Whether all that is sent at once is answered at once."""
        small = self.buffer < self.limits.max_line * 100
        return not (self.delays or self.freezes or small or self.inbox < self.buffer or self.handler)

    def replies(self, data: bytes, *, ended: bool) -> Replies:
        """Return the whole reply stream to received bytes, without the prompt."""
        said: list[bytes] = []
        *lines, tail = data.split(b"\n")
        notice = b"error: line longer than %d bytes\n" % self.limit
        for number, text in enumerate([*lines, tail]):
            whole = number < len(lines)
            too_long = len(text) > self.limit
            if too_long and self.oversize is not Oversize.STREAM:
                said.append(notice)
                if self.once or self.oversize is Oversize.REJECT:
                    return Replies(b"".join(said), over=True)
            elif whole or (text and (ended or too_long)):
                if self.fails and FATAL in text:
                    begun = text.partition(FATAL)[0].upper() if too_long else b""
                    return Replies(b"".join([*said, begun]), over=True, failed=True)
                said.append((text + b"\n" * whole).upper())
                if self.once and (whole or ended):
                    return Replies(b"".join(said), over=True)
        return Replies(b"".join(said), over=ended)


class Replies(NamedTuple):
    """A reply stream.

    Attributes:
        said: all of it.
        over: whether the conversation is over with it.
        failed: whether the service has failed, and so not all of it may have been sent.
    """

    said: bytes
    over: bool
    failed: bool = False


def _conditions(choices: random.Random) -> Conditions:
    if choices.random() < _CALM:
        return Conditions()
    return Conditions.drawn(choices, resets=choices.random() < 0.3)


def _limits(choices: random.Random, limits: Limits) -> Limits:
    changes: dict[str, Any] = {
        "max_line": choices.choice((1, 7, 100)),
        "max_connections": choices.choice((1, 3, 100, 100, 100)),
        "at_capacity": choices.choice((AtCapacity.REFUSE, AtCapacity.WAIT)),
        "max_per_host": choices.choice((None,) * 6 + (1, 2)),
        "max_rate_per_host": choices.choice((None,) * 6 + (1, 3)),
    }
    return Limits(**{**vars(limits), **changes})


def _faults(choices: random.Random) -> tuple[Fault, ...]:
    return tuple(
        Fault(
            choices.choice((0.0, choices.uniform(0, 1))),
            tuple(choices.choices(_ACCEPT_ERRORS, k=choices.randrange(4))),
            choices.choice((None, 0, 1, 2)),
        )
        for _ in range(choices.choice((0, 0, 0, 1, 2)))
    )


def _stop(choices: random.Random, clients: int) -> Stop | None:
    if choices.random() < 0.5:
        return None
    return Stop(
        at=choices.choice((0.0, choices.uniform(0, 3), 3.0)),
        by=choices.choice((None, choices.randrange(clients))),
        cancels=choices.random() < 0.2,
        retires=choices.choice((0.0, 0.0, 0.0, choices.uniform(0, 3))),
    )
