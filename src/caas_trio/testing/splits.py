"""The reply depends on what a client sends, and not on how a network cuts it: `check_any_split`."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import chain, combinations, pairwise
from typing import Any, Final, TypeAlias

from caas_trio.core.errors import UsageError
from caas_trio.core.limits import Limits
from caas_trio.drivers.choice import DriverName

from .conversing import Manner, Reply, converse
from .failure import CheckFailed, described, require_jumping_clock
from .network import Network
from .place import serving

#: Input of up to this many bytes is cut in every possible way.
SHORT: Final = 8

#: The most random cuts for longer input, beside every byte on its own.
_MAX_CUTS: Final = 12

#: Where input is cut: the numbers of bytes before each cut.
Cut: TypeAlias = tuple[int, ...]


async def check_any_split(
    app: object,
    data: bytes,
    *,
    seed: int = 0,
    rounds: int = 50,
    delay: float = 0.001,
    limits: Limits | None = None,
    driver: DriverName = "auto",
) -> None:
    """Check that the reply to what a client sends is the same however that is cut.

    The client sends `data` in one piece and ends its output; every other client, which sends the same in
    pieces, has to get the same. Each piece is read by the server before the next one comes, and each
    cut is tried twice: with a client that reads as it goes, and with one that reads once it has sent all.
    Input of up to 8 bytes is cut in all ways, longer input at each single place, at all of them, and at
    `rounds` sets of places that follow from `seed`. Every conversation has a server and a network of its
    own, so an app that counts its clients must do so in its context manager.

    A server with timers may answer differently after a long pause: with
    `First.EITHER`, keep the pauses, `delay` times the pieces, below `prompt_delay`.

    Args:
        app: see `serving`.
        data: what the client sends before it ends its output.
        seed: determines the random cuts, and all else that is random on the network.
        rounds: how many sets of random places are tried.
        delay: the pause between two pieces, in seconds.
        limits: see `serving`.
        driver: see `serving`.

    Raises:
        CheckFailed: some cut makes a difference, or the app has raised something; the message shows the
            smallest such cut that was found. It is an AssertionError.
        AppError: as from `serving`.
        UsageError: likewise; trio's clock does not jump, or a number is out of its range.
    """
    require_jumping_clock("check_any_split")
    if rounds < 0 or not delay > 0:
        raise UsageError("check_any_split needs rounds of 0 or more, and a delay of more than 0")
    attempts = _Attempts(app, data, seed, {"limits": limits, "driver": driver})
    expected = await attempts.reply((), Manner(delay))
    for cut in _cuts(len(data), seed, rounds):
        for reads_last in (False, True):
            manner = Manner(delay, reads_last=reads_last)
            if await attempts.differ(cut, manner, expected):
                smallest = await attempts.smallest(cut, manner, expected)
                await attempts.fail(smallest, manner, expected)


class _Attempts:
    """Conversations about the same data, each with a server of its own."""

    def __init__(self, app: object, data: bytes, seed: int, options: dict[str, Any]) -> None:
        self._app = app
        self._data = data
        self._seed = seed
        self._options = options
        self._network = Network(seed)

    async def reply(self, cut: Cut, manner: Manner) -> Reply:
        """Return the reply to the data with these cuts.

        Raises:
            CheckFailed: the app has raised something.
        """
        self._network = Network(self._seed)
        async with serving(self._app, network=self._network, **self._options) as place:
            reply = await converse(place, pieces(self._data, cut), manner)
            raised = place.take_failures()
        if raised:
            conversation = shown(self._data, cut, reply, reads_last=manner.reads_last)
            raise CheckFailed(
                f"the app has raised {described(raised)}\n{conversation}", self._network
            ) from raised[0]
        return reply

    async def differ(self, cut: Cut, manner: Manner, expected: Reply) -> bool:
        """Return whether these cuts make a difference; something raised is one."""
        try:
            return await self.reply(cut, manner) != expected
        except CheckFailed:
            return True

    async def smallest(self, cut: Cut, manner: Manner, expected: Reply) -> Cut:
        """Return some of these cuts that make a difference together, and would not with one less."""
        for place in cut:
            fewer = tuple(each for each in cut if each != place)
            if fewer and await self.differ(fewer, manner, expected):
                cut = fewer
        return cut

    async def fail(self, cut: Cut, manner: Manner, expected: Reply) -> None:
        """Raise `CheckFailed` for cuts that make a difference."""
        reply = await self.reply(cut, manner)
        whole = shown(self._data, (), expected)
        in_pieces = shown(self._data, cut, reply, reads_last=manner.reads_last)
        raise CheckFailed(f"the reply depends on how the input is cut\n{whole}\n{in_pieces}", self._network)


def shown(data: bytes, cut: Cut, reply: Reply, *, reads_last: bool = False) -> str:
    """Return a conversation as two lines of text."""
    cut_input = " | ".join(_short(piece) for piece in pieces(data, cut))
    reads = ", read once all was sent" if reads_last else ""
    return f"  sent:  {cut_input}\n  reply: {_short(reply.data)}, then {reply.end}{reads}"


def pieces(data: bytes, cut: Cut) -> list[bytes]:
    """Return the pieces of `data`, cut at these places."""
    return [data[begin:end] for begin, end in pairwise((0, *cut, len(data)))]


def _cuts(size: int, seed: int, rounds: int) -> Iterator[Cut]:
    """Return the cuts to try for input of `size` bytes, single cuts first."""
    places = range(1, size)
    if size <= SHORT:
        return chain.from_iterable(combinations(places, count) for count in places)
    choices = random.Random(f"cuts/{seed}")  # noqa: S311 - to be repeated, not to be secret
    drawn = (
        sorted(choices.sample(places, choices.randint(2, min(_MAX_CUTS, size - 1)))) for _ in range(rounds)
    )
    return chain(((place,) for place in places), [tuple(places)], map(tuple, drawn))


def _short(data: bytes) -> str:
    """Return bytes as text; of many, the first and the last ones."""
    if len(data) <= 2 * _SHOWN:
        return repr(data)
    return f"{data[:_SHOWN]!r} ({len(data) - 2 * _SHOWN} bytes) {data[-_SHOWN:]!r}"


_SHOWN: Final = 60
