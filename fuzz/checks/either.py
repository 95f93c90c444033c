"""A conversation in which either side may speak first, and the same script in another order."""

from __future__ import annotations

from typing import Final

from caas_trio.core.session import First
from fuzz.script import header

from .conversation import TOKENS, converse

__all__ = ["MODULES", "TOKENS", "check"]

MODULES: Final = ("caas_trio.core.session",)


def check(data: bytes) -> None:
    """Run the conversation that `data` spells; in another order, if asked for, it gets the same replies."""
    conversation = converse(data, First.EITHER)
    order = header(data)[3]
    if conversation is None or not order & 4:
        return
    plan = conversation.plan
    replies = conversation.said.removeprefix(conversation.prompted)
    other, prompt = (First.SERVER, plan.prompt) if order & 16 else (First.CLIENT, b"")
    session = plan.session(other)
    said = session.open() + session.receive(conversation.received)
    if not session.closing:
        said += session.end_of_input()
    assert said == prompt + replies, f"{other}: {said!r} instead of {prompt + replies!r}"
