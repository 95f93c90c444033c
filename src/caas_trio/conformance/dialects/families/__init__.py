"""The cases for any dialect, in the order in which they are reported."""

from __future__ import annotations

from typing import Final

from caas_trio.conformance.case import Case

from . import bodies, cutting, ending, ends, exchanges, limits, others, upgrade

CASES: Final[tuple[Case, ...]] = (
    *exchanges.SANITY,
    *exchanges.CASES,
    *cutting.CASES,
    *ends.CASES,
    *bodies.CASES,
    *limits.CASES,
    *ending.CASES,
    *others.CASES,
    *upgrade.CASES,
)

STILL_SERVED: Final = exchanges.STILL_SERVED
