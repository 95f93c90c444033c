"""The registry of wrong servers: the clause that each breaks, its protocols, its declaration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from caas_trio.conformance.dialects.dialect import Dialect
from caas_trio.conformance.dialects.parsing import load

from .protocols import MEMCACHED, SMTP
from .serving import Conversation, DialectServer, Protocol

BOTH = (SMTP, MEMCACHED)
#: What the right servers answer to the steady request, and to an unknown one.
STEADY = {"smtp": b"250 OK\r\n", "memcached": b"VERSION 1\r\n"}
UNKNOWN = (b"500 unknown\r\n", b"ERROR\r\n")


@dataclass(frozen=True)
class Wrong:
    """A server that breaks one promise.

    Attributes:
        name: its class's name, and its dialect's.
        breaks: the clause.
        story: what a client sees.
        server: the server class.
        protocol: what it speaks.
        declared: where the declaration differs from the included dialect.
        jobs: how many cases run side by side; 1 where clients of two cases would harm each other.
    """

    name: str
    breaks: str
    story: str
    server: type[DialectServer]
    protocol: Protocol
    declared: dict[str, Any]
    jobs: int

    @property
    def dialect(self) -> Dialect:
        """The dialect that is declared to the suite."""
        return replace(load(self.protocol.dialect), **self.declared)


WRONG: dict[str, Wrong] = {}
Kind = TypeVar("Kind", bound=type[Conversation] | type[DialectServer])


def wrong(breaks: str, *protocols: Protocol, jobs: int = 8, **declared: Any) -> Callable[[Kind], Kind]:
    """Register a class as a server that breaks a clause, for each of some protocols."""

    def register(kind: Kind) -> Kind:
        is_server = issubclass(kind, DialectServer)
        server = (
            kind if is_server else type(f"{kind.__name__}Server", (DialectServer,), {"conversation": kind})
        )
        for protocol in protocols or BOTH:
            name = f"{kind.__name__}-{protocol.dialect}"
            story = (kind.__doc__ or "").strip()
            WRONG[name] = Wrong(name, breaks, story, server, protocol, declared, jobs)
        return kind

    return register


def variant(
    breaks: str,
    name: str,
    story: str,
    *protocols: Protocol,
    base: type[Conversation | DialectServer] = Conversation,
    run: dict[str, Any] | None = None,
    **members: Any,
) -> None:
    """Register `base` with other members, by a name of its own."""
    wrong(breaks, *protocols, **(run or {}))(type(name, (base,), {"__doc__": story, **members}))


def altered(change: Callable[[Any, bytes, bytes], bytes]) -> dict[str, Any]:
    """Return the member of a conversation that alters its replies, given itself, the line and the reply."""
    return {"reply": lambda self, line: change(self, line, Conversation.reply(self, line))}
