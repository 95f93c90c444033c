"""The replies of a right server: the whole input in, the reply stream out, written in the slow and plain way.

It shares nothing with the server's own framing, so that a mistake there cannot hide here.
"""

from __future__ import annotations

import enum
from typing import TypeAlias

from caas_trio.core.session import Oversize

from .profile import Profile


class Notice(enum.Enum):
    """A place in the reply stream for the server's notice that a line was oversize."""

    NOTICE = "a notice in its own words"


NOTICE = Notice.NOTICE
Part: TypeAlias = bytes | Notice


def notice_text(limit: int) -> bytes:
    """Return the required notice."""
    return b"error: line longer than %d bytes\n" % limit


def replies(data: bytes, profile: Profile, *, ended: bool = False) -> tuple[Part, ...]:
    """Return the reply stream to all of `data`, the prompt apart.

    Args:
        data: everything the client sends.
        profile: what the server is declared to be.
        ended: whether the client ends its input behind it, which makes a tail a line.
    """
    if not profile.service.has_lines:
        return joined([profile.service.reply(data)] if data else [])
    parts: list[Part] = []
    *lines, tail = data.split(b"\n")
    for line in lines:
        if not profile.takes(len(line)):
            parts.append(NOTICE)
            if profile.oversize is Oversize.REJECT:
                return joined(parts)
        else:
            parts.append(profile.service.reply(line + b"\n"))
        if profile.once:
            return joined(parts)
    if not profile.takes(len(tail)):
        parts.append(NOTICE)
    elif tail and ended:
        parts.append(profile.service.reply(tail))
    return joined(parts)


def strict_replies(data: bytes, profile: Profile, *, ended: bool = False) -> tuple[Part, ...]:
    """Return the same where CR LF alone ends a line, and what is wrong with one gets a notice."""
    parts: list[Part] = []
    rest = data
    while rest:
        line, end, behind = rest.partition(b"\r\n")
        known = line if end or ended else line.removesuffix(b"\r")
        if b"\r" in known or b"\n" in known or not profile.takes(len(known)):
            parts.append(NOTICE)
            if profile.oversize is not Oversize.DISCARD:
                break
        elif end or ended:
            parts.append(profile.service.reply(line + end))
        rest = behind
    return joined(parts)


def joined(parts: list[Part]) -> tuple[Part, ...]:
    """Return `parts` with each run of bytes made one."""
    result: list[Part] = []
    run: list[bytes] = []
    for part in parts:
        if isinstance(part, bytes):
            run.append(part)
            continue
        if run:
            result.append(b"".join(run))
            run.clear()
        result.append(part)
    if run:
        result.append(b"".join(run))
    return tuple(result)
