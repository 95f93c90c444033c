"""A harness for fuzzers: `harness`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import trio
from trio.testing import MockClock

from caas_trio.core.limits import Limits
from caas_trio.core.session import First
from caas_trio.drivers.choice import DriverName

from .conversing import WORDLESS, Manner, Reply, converse
from .failure import CheckFailed, described
from .network import Network
from .place import serving
from .splits import Cut, pieces, shown

#: The bits of an input's first byte: the client reads last; resets; listens first, if it may choose.
_READS_LAST: Final = 1
_RESETS: Final = 2
_LISTENS: Final = 4

#: The most places in which an input is cut; its second byte says in how many.
_MAX_CUTS: Final = 7


class _Plan(NamedTuple):
    """The plan that an input encodes.

    Attributes:
        manner: how the client converses.
        cut: where what it sends is cut.
        data: what it sends.
    """

    manner: Manner
    cut: Cut
    data: bytes


def harness(
    app: object,
    *,
    first: First = First.CLIENT,
    limits: Limits | None = None,
    driver: DriverName = "auto",
) -> Callable[[bytes], None]:
    """Return a function for a fuzzer: it takes bytes, and a client converses with an app as they say.

    The first byte says how the client behaves: whether it reads as it goes or once it has sent all, and
    whether it ends its output or resets the connection. The second byte says in how many places, up to 7,
    what it sends is cut, and as many bytes say where. What it sends is the rest. Any bytes will do.

    The function runs trio, with a clock of its own. It raises `CheckFailed`, an AssertionError, if the app
    has raised something, if the reply would have been another one without the cuts, and if the server is
    silent where it is to speak first; and what `serving` raises, if the server does not stop in order.

    Args:
        app: see `serving`.
        first: which side speaks first. With `First.SERVER`, the client waits until something has come; with
            `First.EITHER`, it does so if the first byte says so, and otherwise speaks at once.
        limits: see `serving`.
        driver: see `serving`.
    """
    options: dict[str, Any] = {"limits": limits, "driver": driver}

    def run(data: bytes) -> None:
        plan = _plan(data, first)
        trio.run(_try, app, plan, options, clock=MockClock(autojump_threshold=0))

    return run


def _plan(data: bytes, first: First) -> _Plan:
    how, count = data[:1] or b"\0", data[1:2] or b"\0"
    cuts = count[0] % (_MAX_CUTS + 1)
    places, sent = data[2 : 2 + cuts], data[2 + cuts :]
    listens = first is First.SERVER or (first is First.EITHER and bool(how[0] & _LISTENS))
    manner = Manner(
        reads_last=bool(how[0] & _READS_LAST), listens_first=listens, resets=bool(how[0] & _RESETS)
    )
    cut = {place * len(sent) // 256 for place in places} - {0}
    return _Plan(manner, tuple(sorted(cut)), sent)


async def _try(app: object, plan: _Plan, options: dict[str, Any]) -> None:
    reply, network = await _converse(app, plan, options)
    if not plan.cut or plan.manner.resets:
        return
    whole, _ = await _converse(app, plan._replace(cut=()), options)
    if reply != whole:
        raise CheckFailed(
            "the reply depends on how the input is cut\n"
            f"{shown(plan.data, (), whole)}\n{shown(plan.data, plan.cut, reply)}",
            network,
        )


async def _converse(app: object, plan: _Plan, options: dict[str, Any]) -> tuple[Reply, Network]:
    """Return the reply that a client gets by a plan, and the network."""
    network = Network()
    async with serving(app, network=network, **options) as place:
        reply = await converse(place, pieces(plan.data, plan.cut), plan.manner)
        raised = place.take_failures()
    if raised:
        raise CheckFailed(f"the app has raised {described(raised)}", network) from raised[0]
    if reply.end == WORDLESS:
        raise CheckFailed("the server is to speak first, and sends nothing", network)
    return reply, network
