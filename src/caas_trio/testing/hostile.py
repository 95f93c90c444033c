"""A server stays up, whatever its clients do: `check_hostile`."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

import trio

from caas_trio.core.errors import UsageError
from caas_trio.core.limits import Limits
from caas_trio.drivers.choice import DriverName

from .attacks import ATTACKS, Attacker
from .failure import CheckFailed, described, require_jumping_clock
from .network import Network
from .place import Place, serving

#: When good clients come, in seconds since the attack began, and how much later than undisturbed they may
#: be served.
_LOOKS_S: Final = (0.1, 5.0)
_EXTRA_TIME_S: Final = 10.0

#: How long the server has to close what bad clients have left (seconds).
_SETTLING_S: Final = 60.0

_MIB: Final = 1024 * 1024


async def check_hostile(
    app: object,
    *,
    data: bytes = b"hello\n",
    seed: int = 0,
    max_memory: int = _MIB,
    limits: Limits | None = None,
    driver: DriverName = "auto",
) -> None:
    """Check that a server serves on, whatever its clients do.

    Clients reset, end their output, are silent, read or send slowly or never, send lines without end, garbage
    and damaged data, or come in a crowd: each kind on a server and a network of its own. Meanwhile and
    afterwards another client converses as usual, and has to get what it gets from a server that is left
    alone, in that time and ten seconds. Once the bad clients have gone, no connection, descriptor or task
    is left of them within a minute; the app raises nothing; and the stop is in order. All this time is
    the mock clock's.

    Memory is what `tracemalloc` sees of this process: Python's own, without that of other libraries.

    Args:
        app: see `serving`.
        data: what a good client sends before it ends its output. It should make the server reply, and be
            what the app's protocol is about: attacks break it off, repeat it and damage it.
        seed: determines the random bytes, and all else that is random on the network.
        max_memory: how many bytes may be held on account of an attack by one client, or a few. One that
            sends without end sends enough for that to be exceeded if the server keeps it, or an object for
            each `data`; with more, the check takes longer.
        limits: see `serving`.
        driver: see `serving`.

    Raises:
        CheckFailed: the server has not stood an attack; the message says which, and what was wrong. It is an
            AssertionError.
        AppError: as from `serving`, without an attack.
        UsageError: likewise; trio's clock does not jump, or there is no data.
    """
    require_jumping_clock("check_hostile")
    if not data or max_memory < 1:
        raise UsageError("check_hostile needs data, and a max_memory of 1 or more")
    async with serving(app, limits=limits, driver=driver) as place:
        begun = trio.current_time()
        expected = await place.talk(data)
        good = _Good(data, expected, trio.current_time() - begun + _EXTRA_TIME_S)
    with _tracing():
        for name, attack in ATTACKS.items():
            network = Network(seed)
            try:
                async with serving(app, network=network, limits=limits, driver=driver) as place:
                    attacker = Attacker(place, data, network.random("attack"), max_memory)
                    await _judge(place, attacker, attack, good, max_memory)
            except Exception as error:
                raise CheckFailed(f"while {name}: {_what(error)}", network) from error


class _Good(NamedTuple):
    """A good client.

    Attributes:
        data: what it sends.
        expected: what it has to get.
        timeout_s: within how many seconds.
    """

    data: bytes
    expected: bytes
    timeout_s: float

    async def talk(self, place: Place) -> None:
        """Converse with a server.

        Raises:
            _Wrong: it is not served as it should be.
        """
        received = None
        try:
            with trio.move_on_after(self.timeout_s):
                received = await place.talk(self.data, client="good")
        except (OSError, trio.BrokenResourceError) as error:
            raise _Wrong(f"another client is not served: {str(error) or 'reset'}") from error
        if received is None:
            raise _Wrong(f"another client is not served within {self.timeout_s:g} seconds")
        if received != self.expected:
            raise _Wrong(f"another client gets {received[:100]!r}, and not {self.expected[:100]!r}")


class _Wrong(Exception):  # noqa: N818 - it never leaves this module
    """A server has done something wrong."""


_OPEN: Final = ("descriptor", "task")


class _Open(NamedTuple):
    """The numbers of what is open."""

    descriptors: int
    tasks: int

    @classmethod
    def of(cls, place: Place) -> _Open:
        return cls(place.host.open_descriptors, trio.lowlevel.current_statistics().tasks_living)

    def leftovers(self, before: _Open) -> str:
        """Return a text about what is open that was not before; "" for nothing."""
        more = [now - then for now, then in zip(self, before, strict=True)]
        each = [
            f"{count} {name}{'s' * (count > 1)}" for count, name in zip(more, _OPEN, strict=True) if count > 0
        ]
        return " and ".join(each)


async def _judge(
    place: Place,
    attacker: Attacker,
    attack: Callable[[Attacker], Awaitable[None]],
    good: _Good,
    max_memory: int,
) -> None:
    """Run an attack, and check the server meanwhile and afterwards."""
    await good.talk(place)
    await trio.sleep(1)
    before, held = _Open.of(place), _traced()
    tracemalloc.reset_peak()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(attack, attacker)
        for seconds in _LOOKS_S:
            await trio.sleep(seconds)
            await good.talk(place)
        nursery.cancel_scope.cancel()
    most = tracemalloc.get_traced_memory()[1] - held
    place.reset_all()
    await good.talk(place)
    with trio.move_on_after(_SETTLING_S):
        while _Open.of(place).leftovers(before):  # noqa: ASYNC110 - there is no event for it
            await trio.sleep(1)
    left = _Open.of(place).leftovers(before)
    if left:
        raise _Wrong(f"{left} more than before, {_SETTLING_S:g} seconds after the client has gone")
    raised = place.take_failures()
    if raised:
        raise _Wrong(f"the app has raised {described(raised)}") from raised[0]
    if most > max_memory:
        raise _Wrong(f"{most / _MIB:.1f} MiB are held, and {max_memory / _MIB:.1f} MiB may be")


def _traced() -> int:
    """Return how many bytes reachable objects hold."""
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def _what(error: Exception) -> str:
    """Return what was wrong, with the errors that the app has raised meanwhile."""
    cause: BaseException = error
    while isinstance(cause, BaseExceptionGroup):
        cause = cause.exceptions[0]
    text = str(cause) if isinstance(cause, _Wrong) else described([cause])
    return "; ".join([text, *getattr(error, "__notes__", ())])


@contextmanager
def _tracing() -> Iterator[None]:
    """Trace memory, unless it is traced already."""
    if tracemalloc.is_tracing():
        yield
        return
    tracemalloc.start()
    try:
        yield
    finally:
        tracemalloc.stop()
