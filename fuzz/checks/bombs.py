"""A service that fails when it is told to."""

from __future__ import annotations

from typing import Final

from caas_trio.core.session import Oversize

from .conversation import Plan

#: What a service that fails is taken to answer; no reply in capitals contains it.
BOMB: Final = b"\0bomb\0"


class BombError(RuntimeError):
    """What a failing service raises."""


def explosive(line: bytes) -> bytes:
    """Answer a line, unless there is a bang in it."""
    if b"!" in line:
        raise BombError
    return line.upper()


def explode(plan: Plan, line: bytes) -> bytes:
    """Return what the oracle takes for the answer."""
    before, bang, _ = line.partition(b"!")
    if not bang:
        return line.upper()
    streamed = plan.oversize is Oversize.STREAM and len(line.removesuffix(b"\n")) > plan.limit
    return before.upper() + BOMB if streamed else BOMB  # pieces of it may have been answered
