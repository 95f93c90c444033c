"""A chat: what one says, all others read, and nobody has to wait for a slow reader.

The first line is a name. Every later line goes to everybody else. Sending to somebody else's connection
directly would wait for that client: one that does not read would hold up everybody. So each member has
an outbox of its own, which a task of its own empties, and whoever lets it fill up is out.
"""

from __future__ import annotations

import math
import sys

import trio

import caas_trio

#: How many lines may wait for one member.
MAX_UNREAD = 100


class Member:
    """A member: a name, and the lines that wait to be sent."""

    def __init__(self, name: bytes, connection: caas_trio.Connection) -> None:
        self.name = name
        self.scope = trio.CancelScope()
        self._connection = connection
        self._put, self._outbox = trio.open_memory_channel[bytes](MAX_UNREAD)

    def post(self, line: bytes) -> None:
        """Queue a line for this member; never wait for it."""
        try:
            self._put.send_nowait(line)
        except trio.WouldBlock:
            self.scope.cancel()

    async def deliver(self) -> None:
        """Send what is posted, for as long as the member takes part."""
        async for line in self._outbox:
            await self._connection.send(line)

    def leave(self) -> None:
        """End `deliver` once all that was posted is sent."""
        self._put.close()


class Room:
    """All members of the chat."""

    def __init__(self) -> None:
        self.members: set[Member] = set()

    def say(self, line: bytes, but: Member) -> None:
        """Post a line to everybody but one."""
        for member in self.members - {but}:
            member.post(line)

    async def handler(self, connection: caas_trio.Connection) -> None:
        """Serve one member."""
        await connection.send(b"your name?\n")
        name = (await connection.receive_line()).strip()
        if not name:
            return
        member = Member(name, connection)
        with member.scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(member.deliver)
                self.members.add(member)
                self.say(b"* %b is here\n" % name, but=member)
                try:
                    async for line in connection:
                        self.say(b"%b: %b\n" % (name, line.strip()), but=member)
                finally:
                    self.members.remove(member)
                    self.say(b"* %b has left\n" % name, but=member)
                    member.leave()


#: One room for one process: serve it with one worker.
app = caas_trio.App(
    handler=Room().handler,
    # A line of a chat is short, and a member may listen for as long as it likes.
    limits=caas_trio.Limits(max_line=1000, idle_timeout=math.inf, write_timeout=10),
)

if __name__ == "__main__":
    caas_trio.run(app, *sys.argv[1:])
