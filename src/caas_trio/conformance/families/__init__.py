"""The cases, in the order in which they are reported: one module per section of the specification."""

from __future__ import annotations

from typing import Final

from caas_trio.conformance.case import Case
from caas_trio.conformance.dialects import families as dialects
from caas_trio.conformance.profile import Profile

from . import (
    concurrency,
    counting,
    datagrams,
    ending,
    flow,
    framing,
    limits,
    lines,
    order,
    others,
    oversize,
    proxied,
    strict,
    watching,
)

CASES: Final[tuple[Case, ...]] = (
    *order.SANITY,
    *strict.SANITY,
    *framing.CASES,
    *strict.CASES,
    *lines.CASES,
    *order.CASES,
    *limits.CASES,
    *counting.CASES,
    *oversize.CASES,
    *ending.CASES,
    *watching.CASES,
    *others.CASES,
    *concurrency.CASES,
    *flow.CASES,
    *datagrams.CASES,
    *proxied.CASES,
)

#: The cases that show whether a server still serves; one of them fits each profile.
STILL_SERVED: Final = (
    order.STILL_SERVED,
    strict.STILL_SERVED,
    datagrams.STILL_SERVED,
    dialects.STILL_SERVED,
)


def cases_of(profile: Profile) -> tuple[Case, ...]:
    """Return the cases for a server, by what it is declared to be."""
    return CASES if profile.dialect is None else dialects.CASES
