"""The parts from which the families build their scripts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Final

from caas_trio.conformance.case import Script
from caas_trio.conformance.cuts import WHOLE, Cut
from caas_trio.conformance.oracle import replies
from caas_trio.conformance.profile import UNDECLARED_LIMIT, Profile
from caas_trio.conformance.script import Connect, EndInput, Expect, ExpectEnd, Leave, Send, Step

#: A line may come in pieces. No CR is among them: what needs none is judged whatever becomes of CRs.
CUT: Final = ("FRAME-6.plain-lines/byte", "FRAME-6.plain-lines/thirds", "FRAME-6.serve-1-sentence/byte")

#: A line that no other one looks like. Its reply shows that nothing else came before it.
_MARKER: Final = b"MARKER\n"


#: More than the usual kernel takes for both directions of one connection.
_MORE_THAN_BUFFERS: Final = 64 << 20


def unending(profile: Profile) -> bytes:
    """Return more lines than fit into the network.

    They are as long as every server takes: with fewer lines, a slow server looks less like one that waits.
    """
    return _unending(min(profile.limit, UNDECLARED_LIMIT))


@lru_cache(maxsize=1)
def _unending(length: int) -> bytes:
    line = b"N" * length + b"\n"
    return line * (_MORE_THAN_BUFFERS // len(line))


def proof(profile: Profile, client: int = 0) -> Iterator[Step]:
    """Yield the steps that show that nothing more came than was due."""
    if profile.once:
        yield ExpectEnd(client)
    else:
        yield from served(profile, _MARKER, client)


def served(profile: Profile, data: bytes = _MARKER, client: int = 0) -> Iterator[Step]:
    """Yield the steps that send lines and receive their replies."""
    yield Send(data, client=client)
    yield Expect(replies(data, profile), client)


def exchange(data: bytes, cut: Cut = WHOLE) -> Script:
    """Return the script that sends lines, receives their replies and sees that nothing more came."""

    def script(profile: Profile) -> Iterator[Step]:
        yield Connect()
        yield Send(data, cut)
        yield Expect(replies(data, profile))
        yield from proof(profile)

    return script


def to_the_end(data: bytes, cut: Cut = WHOLE) -> Script:
    """Return the script that sends bytes, ends the input, and receives the replies and the end."""

    def script(profile: Profile) -> Iterator[Step]:
        yield Connect()
        yield Send(data, cut)
        yield EndInput()
        yield Expect(replies(data, profile, ended=True))
        yield ExpectEnd()

    return script


def conversations(
    sent: Callable[[Profile], list[bytes]],
    cut: Callable[[Profile], Cut] = lambda _: WHOLE,
    *,
    alone: bool = False,
) -> Script:
    """Return the script that holds a conversation for each input; unless `alone`, nothing more may come."""

    def script(profile: Profile) -> Iterator[Step]:
        for client, data in enumerate(sent(profile)):
            due = replies(data, profile)
            yield Connect(client)
            yield Send(data, cut(profile), client)
            yield Expect(due, client)
            if alone:
                yield Leave(client)
            else:
                yield from proof(profile, client)
            yield Leave(client)

    return script
