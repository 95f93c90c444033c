"""Servers that break one promise each, and keep all others: the suite has to name the broken one.

    python -m ci.conformance.wrong forgets-the-tail tcp://127.0.0.1:0

Each is the right server of `reference.py` with a method or two overridden; the docstring says what a
client sees. `WRONG` has them all.
"""

from __future__ import annotations

from . import (
    conduct,
    contents,
    crowds,
    datagrams,
    ending,
    flow,
    framing,
    greetings,
    limits,
    measures,
    order,
    proxied,
)
from .registry import WRONG, Wrong

__all__ = [
    "WRONG",
    "Wrong",
    "conduct",
    "contents",
    "crowds",
    "datagrams",
    "ending",
    "flow",
    "framing",
    "greetings",
    "limits",
    "measures",
    "order",
    "proxied",
]
