"""A small IRC server: NICK, USER, JOIN, PART, PRIVMSG, NOTICE, PING and QUIT.

Lines for other members are posted: `Connection.post` never waits, so a member that does not read loses its
own connection and slows nobody. Members, channels and lines are bounded. A network is one process: serve it
with one worker.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import caas_trio

#: The most bytes of a line, in either direction, its CR LF included.
MAX_LINE: Final = 512
MAX_MEMBERS: Final = 1000
#: How many channels a member may be in.
MAX_JOINED: Final = 10
#: How many nicks a line of a channel's list has.
NICKS_IN_A_LINE: Final = 10

_NICK: Final = re.compile(rb"[A-Za-z\[\]\\`_^{|}][A-Za-z0-9\[\]\\`_^{|}-]{0,29}")
_CHANNEL: Final = re.compile(rb"#[^\0-\x20,:\x7f]{1,49}")
_GREETING: Final = {
    1: b":Welcome",
    2: b":Your host is caas",
    3: b":This server was created for an example",
    4: b"caas 1 - -",
    5: b"CASEMAPPING=ascii CHANTYPES=# CHANLIMIT=#:%d NICKLEN=30 :are supported" % MAX_JOINED,
    422: b":There is no message of the day",
}


@dataclass(eq=False)
class Member:
    """A connection: its nick, its user name, and the channels that it is in."""

    connection: caas_trio.Connection
    nick: bytes = b""
    user: bytes = b""
    channels: set[bytes] = field(default_factory=set)

    def line(self, *words: bytes) -> bytes:
        """Return a line that comes from it; its address is not shown."""
        return line(b":%b!%b@caas" % (self.nick, self.user), *words)

    def numeric(self, number: int, *words: bytes) -> bytes:
        """Return a line that the server replies to it."""
        return line(b":caas %03d" % number, self.nick or b"*", *words)


class Network:
    """The members by their nicks, and those of each channel; all names in lower case."""

    def __init__(self) -> None:
        self._members: dict[bytes, Member] = {}
        self._channels: dict[bytes, set[Member]] = {}

    async def handler(self, connection: caas_trio.Connection) -> None:
        """Serve one client."""
        member = Member(connection)
        reason = b"Connection closed"
        too_long = member.numeric(417, b":Input line was too long")
        try:
            async for command in connection.commands(too_long=too_long):
                name, *parameters = parse(command)
                if name == b"QUIT":
                    reason = b" ".join([b"Quit:", *parameters[:1]])
                    await connection.send(line(b"ERROR :Closing link"))
                    return
                await connection.send(b"".join(self.answer(member, name, parameters)))
        finally:
            self.leave(member, reason)

    def answer(  # noqa: C901 - a case for each command
        self, member: Member, name: bytes, parameters: list[bytes]
    ) -> Iterator[bytes]:
        """Carry out a command; yield what the member itself gets."""
        was_known = member.nick and member.user
        match name, parameters:
            case b"", _:
                pass
            case b"PING", [token, *_]:
                yield line(b":caas PONG caas", b":" + token)
            case b"NICK", [nick, *_]:
                yield from self._rename(member, nick)
            case b"USER", [user, _, _, _, *_] if not member.user:
                member.user = re.sub(rb"[^A-Za-z0-9._-]", b"", user)[:10] or b"user"
            case b"USER", [_, _, _, _, *_]:
                yield member.numeric(462, b":You may not reregister")
            case _ if not (member.nick and member.user):
                yield member.numeric(451, b":You have not registered")
            case b"JOIN" | b"PART", [names, *_]:
                act = self._join if name == b"JOIN" else self._part
                for channel in names.lower().split(b","):
                    yield from act(member, channel)
            case b"PRIVMSG" | b"NOTICE", [target, text, *_]:
                yield from self._tell(member, name, target.lower(), text)
            case b"NICK" | b"USER" | b"PING" | b"JOIN" | b"PART" | b"PRIVMSG" | b"NOTICE", _:
                yield member.numeric(461, name, b":Not enough parameters")
            case _:
                yield member.numeric(421, name, b":Unknown command")
        if member.nick and member.user and not was_known:
            yield from (member.numeric(number, words) for number, words in _GREETING.items())

    def leave(self, member: Member, reason: bytes) -> None:
        """Forget a member, and tell its neighbours."""
        post(member.line(b"QUIT", b":" + reason), self._neighbours(member))
        for channel in [*member.channels]:
            self._remove(member, channel)
        self._members.pop(member.nick.lower(), None)

    def _rename(self, member: Member, nick: bytes) -> Iterator[bytes]:
        if not _NICK.fullmatch(nick):
            yield member.numeric(432, nick, b":Erroneous nickname")
        elif self._members.get(nick.lower(), member) is not member:
            yield member.numeric(433, nick, b":Nickname is already in use")
        else:
            renamed = member.line(b"NICK", b":" + nick)
            former, member.nick = member.nick, nick
            self._members.pop(former.lower(), None)
            self._members[nick.lower()] = member
            post(renamed, self._neighbours(member))
            if former:
                yield renamed

    def _join(self, member: Member, channel: bytes) -> Iterator[bytes]:
        if not _CHANNEL.fullmatch(channel):
            yield member.numeric(403, channel, b":No such channel")
        elif channel not in member.channels and len(member.channels) == MAX_JOINED:
            yield member.numeric(405, channel, b":You have joined too many channels")
        elif channel not in member.channels:
            joined = member.line(b"JOIN", channel)
            members = self._channels.setdefault(channel, set())
            post(joined, members)
            members.add(member)
            member.channels.add(channel)
            yield joined
            nicks = sorted(other.nick for other in members)
            for start in range(0, len(nicks), NICKS_IN_A_LINE):
                some = b" ".join(nicks[start : start + NICKS_IN_A_LINE])
                yield member.numeric(353, b"=", channel, b":" + some)
            yield member.numeric(366, channel, b":End of /NAMES list")

    def _part(self, member: Member, channel: bytes) -> Iterator[bytes]:
        if channel in member.channels:
            parted = member.line(b"PART", channel)
            post(parted, self._channels[channel] - {member})
            self._remove(member, channel)
            yield parted
        else:
            yield member.numeric(442, channel, b":You're not on that channel")

    def _tell(self, member: Member, name: bytes, target: bytes, text: bytes) -> Iterator[bytes]:
        said = member.line(name, target, b":" + text)
        if target in member.channels:
            post(said, self._channels[target] - {member})
        elif target in self._members and self._members[target].user:
            post(said, {self._members[target]})
        elif name != b"NOTICE":  # which is never answered
            yield member.numeric(401, target, b":No such nick/channel")

    def _remove(self, member: Member, channel: bytes) -> None:
        member.channels.remove(channel)
        self._channels[channel].remove(member)
        if not self._channels[channel]:
            del self._channels[channel]

    def _neighbours(self, member: Member) -> set[Member]:
        """Return the others that are in a channel with a member."""
        return set[Member]().union(*(self._channels[each] for each in member.channels)) - {member}


def parse(command: bytes) -> list[bytes]:
    """Return the name of a command and its parameters; the name of an empty line is b""."""
    command = re.sub(rb"[\0\r]", b"", command)  # some clients take CR for the end of a line
    words, colon, last = re.sub(rb"^:[^ ]* *", b"", command).partition(b" :")
    name, *parameters = words.split() or [b""]
    return [name.upper(), *parameters, *([last] if colon else [])]


def line(*words: bytes) -> bytes:
    """Return a line, cut to what one may have."""
    return b" ".join(words)[: MAX_LINE - 2] + b"\r\n"


def post(posted: bytes, members: set[Member]) -> None:
    """Send a line to members without waiting for any."""
    for member in members:
        member.connection.post(posted)


app = caas_trio.App(
    handler=Network().handler,
    limits=caas_trio.Limits(max_line=MAX_LINE - 1, max_connections=MAX_MEMBERS, idle_timeout=math.inf),
)

if __name__ == "__main__":
    caas_trio.run(app, *sys.argv[1:])
