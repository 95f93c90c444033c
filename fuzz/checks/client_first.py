"""A conversation in which the client speaks first, driven as the fuzzer likes."""

from __future__ import annotations

from typing import Final

from caas_trio.core.session import First

from .conversation import TOKENS, converse

__all__ = ["MODULES", "TOKENS", "check"]

MODULES: Final = ("caas_trio.core.session",)


def check(data: bytes) -> None:
    """Run the conversation that `data` spells; the oracle checks every step."""
    converse(data, First.CLIENT)
