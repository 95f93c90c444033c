"""Servers of two dialects that break one promise each, and keep all others: the suite has to name it.

Each is the right server of `serving.py` with a method or two overridden; the docstring says what a client
sees. `WRONG` has them all.
"""

from __future__ import annotations

from ci.conformance.dialects.registry import WRONG, Wrong

from . import conduct, crowds, exchanges, framing

__all__ = ["WRONG", "Wrong", "conduct", "crowds", "exchanges", "framing"]
