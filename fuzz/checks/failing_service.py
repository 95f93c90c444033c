"""A service that fails on lines with an exclamation mark."""

from __future__ import annotations

from typing import Final

from caas_trio.core.session import Oversize

from .conversation import Plan

#: What the oracle has in place of the reply that a failing service never gives; no capitals contain it.
FAILURE: Final = b"\0bomb\0"


class ServiceFailedError(RuntimeError):
    """The error of a failing service."""


def failing_upper(line: bytes) -> bytes:
    """Return a line in capitals; raise ServiceFailedError if there is a "!" in it."""
    if b"!" in line:
        raise ServiceFailedError
    return line.upper()


def expected_reply(plan: Plan, line: bytes) -> bytes:
    """Return the reply to a line, or `FAILURE` and what is sent before it."""
    before, mark, _ = line.partition(b"!")
    if not mark:
        return line.upper()
    streamed = plan.oversize is Oversize.STREAM and len(line.removesuffix(b"\n")) > plan.limit
    return before.upper() + FAILURE if streamed else FAILURE  # pieces of it may have been answered
