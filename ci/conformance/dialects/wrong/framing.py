"""TERM, SAME and LONG broken, one at a time."""

from __future__ import annotations

from caas_trio.conformance.dialects.dialect import Ends, Meaning
from ci.conformance.dialects.protocols import FINGER, MEMCACHED, SMTP
from ci.conformance.dialects.registry import UNKNOWN, WRONG, altered, variant, wrong
from ci.conformance.dialects.serving import Conversation

# TERM

# What ends a line for them ends a body too, so servers of mail are not declared to take any.


class _AlsoEnds(Conversation):
    """Takes something else for the end of a line as well."""

    also = b""

    def take(self, data: bytes) -> None:
        super().take(self.changed(data))

    def changed(self, data: bytes) -> bytes:
        """Return what is read, with each end as it should be."""
        return data.replace(self.also, b"\r\n")


@wrong("TERM-2", SMTP, body=None)
class EndsAtLf(Conversation):
    """Takes a bare LF for the end of a line."""

    def next_line(self) -> bytes | None:
        line, lf, rest = self.pending.partition(b"\n")
        if not lf:
            return None
        self.pending = rest
        return line.removesuffix(b"\r")


@wrong("TERM-3", SMTP, body=None)
class EndsAtCr(Conversation):
    """Takes a CR for the end of a line, and drops an LF behind it."""

    def next_line(self) -> bytes | None:
        line, cr, rest = self.pending.partition(b"\r")
        if not cr or not rest:
            return None
        self.pending = rest.removeprefix(b"\n")
        return line.removeprefix(b"\n")


wrong("TERM-2", FINGER, ends=Ends({"bare_lf": Meaning.PAYLOAD}))(EndsAtLf)
variant(
    "TERM-5",
    "EndsAtNul",
    "Takes a NUL for the end of a line.",
    SMTP,
    base=_AlsoEnds,
    also=b"\0",
    run={"body": None},
)
_NUL = Ends({"nul": Meaning.PAYLOAD})
variant(
    "TERM-5",
    "EndsAtNulToo",
    "Takes a NUL for the end of a line.",
    MEMCACHED,
    base=_AlsoEnds,
    also=b"\0",
    run={"ends": _NUL},
)
wrong("TERM-3", MEMCACHED, ends=Ends({"bare_cr": Meaning.PAYLOAD}))(EndsAtCr)


@wrong("TERM-4", SMTP, ends=Ends({"cr_cr_lf": Meaning.END}))
class SkipsCrCrLf(Conversation):
    """Takes CR CR LF for a part of the line."""

    def next_line(self) -> bytes | None:
        place = self.pending.find(b"\r\n")
        while place > 0 and self.pending[place - 1 : place] == b"\r":
            place = self.pending.find(b"\r\n", place + 2)
        if place < 0:
            return None
        line, self.pending = self.pending[:place], self.pending[place + 2 :]
        return line


class _AlsoEndsBodies(_AlsoEnds):
    """Takes something else for the end of a body as well."""

    def changed(self, data: bytes) -> bytes:
        return data.replace(self.also, b"\r\n.\r\n") if self.block is not None else data


for _name, _also in (("Lf", b"\n.\n"), ("Cr", b"\r.\r"), ("Half", b"\r\n.\n")):
    variant(
        "TERM-7",
        f"EndsBodiesAt{_name}",
        "Takes a lone dot between other ends for the end of a message: SMTP smuggling.",
        SMTP,
        base=_AlsoEndsBodies,
        also=_also,
    )


@wrong("TERM-1", MEMCACHED, terminators=(b"\r\n", b"\n"))
class WantsCrLf(Conversation):
    """Takes CRLF alone for the end of a line."""

    def next_line(self) -> bytes | None:
        line, end, rest = self.pending.partition(b"\r\n")
        if not end:
            return None
        self.pending = rest
        return line


@wrong("TERM-2", MEMCACHED, ends=Ends({"bare_lf": Meaning.END}))
class WantsTheCr(WantsCrLf):
    """Takes CRLF alone for the end of a line, where a bare LF is one too."""


@wrong("TERM-6", SMTP, body=None)
class EndsAtAReadsLf(Conversation):
    """Takes a bare LF for the end of a line if it ends a read."""

    def take(self, data: bytes) -> None:
        if data.endswith(b"\n") and (self.pending + data)[-2:] != b"\r\n":
            data = data[:-1] + b"\r\n"
        super().take(data)


@wrong("TERM-6", MEMCACHED)
class EndsAtAReadsNul(Conversation):
    """Takes a NUL for the end of a line if it ends a read."""

    def take(self, data: bytes) -> None:
        super().take(data[:-1] + b"\r\n" if data.endswith(b"\0") else data)


@wrong("SAME-1")
class EndsAtNulAtTimes(Conversation):
    """Takes a NUL for the end of a line on every third connection."""

    def take(self, data: bytes) -> None:
        super().take(data if self.number % 3 else data.replace(b"\0", b"\r\n"))


WRONG["EndsAtNulAtTimes-smtp"].declared.update(body=None, ends=Ends())


# LONG


@wrong("LONG-1")
class TakesOneLess(Conversation):
    """Refuses a line of exactly the limit."""

    def reply(self, line: bytes) -> bytes:
        exact = {"smtp": 510, "memcached": 255}[self.protocol.dialect]
        return UNKNOWN[self.protocol is MEMCACHED] if len(line) == exact else super().reply(line)


class _CutsLines(Conversation):
    """Takes what is beyond some bytes of a line for another one."""

    at = 0

    def next_line(self) -> bytes | None:
        if len(self.pending) > self.at and b"\n" not in self.pending[: self.at + 2]:
            line, self.pending = self.pending[: self.at], self.pending[self.at :]
            return line
        return super().next_line()


for _size in (1000, 1024, 2048, 4096):
    variant(
        "LONG-2",
        f"CutsLinesAt{_size}",
        f"Takes what is beyond {_size} bytes of a line for another one.",
        SMTP,
        base=_CutsLines,
        at=_size,
        too_long=lambda *_: False,
    )


@wrong("LONG-2", MEMCACHED)
class ExecutesTheTail(Conversation):
    """Takes the last sixteen kilobytes' overhang of a line for another one."""

    def reply(self, line: bytes) -> bytes:
        if len(line) > 16384:
            return self.protocol.too_long + super().reply(line[16384:])
        return super().reply(line)

    def too_long(self, _: bytes) -> bool:
        return False


variant(
    "LONG-3",
    "TellsTwice",
    "Says twice that a line is too long.",
    MEMCACHED,
    **altered(lambda _, __, reply: reply * 2 if reply.startswith(b"CLIENT_ERROR") else reply),
)
variant(
    "LONG-3",
    "AcceptsAnyKey",
    "Takes a key that is too long.",
    MEMCACHED,
    **altered(lambda _, __, reply: b"END\r\n" if reply.startswith(b"CLIENT_ERROR") else reply),
)


@wrong("LONG-4", MEMCACHED)
class LeavesAtLongLines(Conversation):
    """Ends the conversation behind a line that is too long."""

    def reply(self, line: bytes) -> bytes:
        reply = super().reply(line)
        self.last = self.last or reply.startswith(b"CLIENT_ERROR")
        return reply
