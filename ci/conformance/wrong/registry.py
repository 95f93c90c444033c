"""The registry of wrong servers: the clause that each breaks, and how it is run and declared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from ci.conformance.reference import Conversation, Server, Settings


@dataclass(frozen=True)
class Wrong:
    """A server that breaks one promise.

    Attributes:
        name: its class's name.
        breaks: the clause.
        story: what a client sees.
        server: the server class.
        settings: its settings.
        declared: its declaration to the suite, where that differs.
        limited: whether its limit is declared to the suite.
        scheme: how it is reached.
        jobs: how many cases run side by side; 1 where clients of two cases would harm each other.
    """

    name: str
    breaks: str
    story: str
    server: type[Server]
    settings: Settings
    declared: Settings
    limited: bool
    scheme: str
    jobs: int


WRONG: dict[str, Wrong] = {}
Kind = TypeVar("Kind", bound=type[Conversation] | type[Server])


def wrong(
    breaks: str,
    settings: Settings | None = None,
    *,
    scheme: str = "tcp",
    jobs: int = 8,
    declared: dict[str, Any] | None = None,
    limited: bool | None = None,
) -> Callable[[Kind], Kind]:
    """Register a class as a server that breaks a clause; a limit is declared if it is not the default."""
    settings = settings or Settings()

    def register(kind: Kind) -> Kind:
        if issubclass(kind, Conversation):
            server = type(f"{kind.__name__}Server", (Server,), {"conversation": kind})
        else:
            server = kind
        WRONG[kind.__name__] = Wrong(
            name=kind.__name__,
            breaks=breaks,
            story=(kind.__doc__ or "").strip(),
            server=server,
            settings=settings,
            declared=replace(settings, **(declared or {})),
            limited=settings.max_line != Settings.max_line if limited is None else limited,
            scheme=scheme,
            jobs=jobs,
        )
        return kind

    return register


def variant(
    breaks: str,
    name: str,
    story: str,
    settings: Settings | None = None,
    *,
    base: type[Conversation | Server] = Conversation,
    run: dict[str, Any] | None = None,
    **members: Any,
) -> None:
    """Register `base` with other members, by a name of its own.

    Args:
        breaks: the clause.
        name: the name of the server.
        story: what a client sees.
        settings: its settings.
        base: what it is but for the members.
        run: the other arguments of `wrong`.
        members: the methods and attributes that are wrong.
    """
    wrong(breaks, settings, **(run or {}))(type(name, (base,), {"__doc__": story, **members}))


SERVER_FIRST = Settings(first="server")
EITHER_FIRST = Settings(first="either")
PROXIED_1 = Settings(proxy="v1")
PROXIED_2 = Settings(proxy="v2")
PROXIED_FIRST = Settings(first="server", proxy="v2")
ONCE = Settings(once=True)
REJECT = Settings(max_line=100, oversize="reject")
DISCARD = Settings(max_line=100, oversize="discard")
STRICT = Settings(max_line=100, oversize="reject", strict=True)
STRICT_DISCARD = Settings(max_line=100, oversize="discard", strict=True)
STREAMED = Settings(max_line=1000)
ALONE = {"jobs": 1}
