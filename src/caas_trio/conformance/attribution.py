"""The clause that a difference breaks, where it is not the one that the case judges."""

from __future__ import annotations

from typing import Final

from caas_trio.core.session import First

from .oracle import notice_text
from .profile import Profile, Service

#: The clause that forbids a server to speak unasked, by which side speaks first.
_UNASKED: Final = {First.CLIENT: "ORDER-1", First.SERVER: "ORDER-3", First.EITHER: "ORDER-5"}
#: The clauses that require a prompt.
_UNSAID: Final = {First.CLIENT: "SAY-1", First.SERVER: "ORDER-2", First.EITHER: "ORDER-5"}


def reply_clause(clause: str, profile: Profile, expected: bytes, received: bytes, *, greeted: bool) -> str:
    """Return the clause that a wrong reply breaks: a prompt where none is due is about prompts.

    Args:
        clause: what the case judges.
        profile: what the server is declared to be.
        expected: what was due.
        received: what came instead.
        greeted: whether the client has had its prompt.
    """
    if profile.first is First.SERVER and clause == "ORDER-3" and not received and expected == profile.prompt:
        return "ORDER-2"
    if clause == "LIMIT-8" and (notice := notice_text(profile.limit)) in received and notice not in expected:
        return "LIMIT-9"
    is_prompt = profile.prompt in received and profile.prompt not in expected
    if not is_prompt or profile.first is First.CLIENT or clause in ("ORDER-5", "ORDER-6"):
        return clause
    if profile.first is First.SERVER:
        return "ORDER-3"
    return "ORDER-5" if greeted else "ORDER-6"


def prompt_clause(clause: str, *, nothing_came: bool) -> str:
    """Return the clause that a wrong prompt breaks; if it goes to another client, that is the case's own."""
    if clause.startswith("LOAD-"):
        return clause
    return "ORDER-2" if nothing_came else "ORDER-3"


def unsaid_clause(profile: Profile) -> str:
    """Return the clause that is broken if a server does not send what it has to send first."""
    return _UNSAID[profile.first]


def unasked_clause(clause: str, profile: Profile, said: bytes, *, greeted: bool) -> str:
    """Return the clause that a server breaks by speaking unasked.

    Args:
        clause: what the case judges.
        profile: what the server is declared to be.
        said: what the server says.
        greeted: whether the client has had its prompt.
    """
    if clause != "CLOSE-4":
        return clause
    if profile.first is First.EITHER and said.startswith(profile.prompt) and not greeted:
        return "ORDER-6"
    return _UNASKED[profile.first]


def unasked_reason(service: Service, tail: bytes, said: bytes) -> str:
    """Return the reason for a server that speaks unasked.

    Args:
        service: what it does.
        tail: what the client has sent of a line that is not complete.
        said: what the server says.
    """
    if not tail or not service.reply(tail).startswith(said):
        return "the server spoke unasked"
    reason = "the server answered a line that was not complete"
    if service is Service.ECHO:
        reason += "; if it echoes bytes as they come (RFC 862), declare --service echo-bytes"
    return reason


def still_open_clause(clause: str, profile: Profile, *, ended_input: bool) -> str:
    """Return the clause that is broken if the output stays open, by what should have ended it."""
    if ended_input:
        return "CLOSE-3"
    return "CLOSE-5" if profile.once else clause


def gone_clause(profile: Profile) -> str:
    """Return the clause that a server breaks by not accepting a connection."""
    return "LOAD-6" if profile.dialect is None else "HARM-6"


def second_datagram_clause(reply: bytes, other: bytes) -> str:
    """Return the clause that a second datagram breaks: it was meant for another client, or for none.

    Args:
        reply: the reply that was due.
        other: what came beside it.
    """
    meant_for_nobody = other == reply or other != other.upper()
    return "DGRAM-2" if meant_for_nobody else "DGRAM-4"
