r"""Lines and counted bytes in one protocol: a box that holds one thing for all clients.

PUT <n>\n<n bytes>      ok\n
GET\n                   <n>\n<n bytes>
QUIT\n                  the end
"""

from __future__ import annotations

import sys

import caas_trio

MAX_DIGITS = 6


class Box:
    """The content, and the conversation about it."""

    def __init__(self) -> None:
        self.content = b""

    async def handler(self, connection: caas_trio.Connection) -> None:
        """Serve one client."""
        try:
            async for line in connection:
                if not line.endswith(b"\n"):
                    # The client was cut off, perhaps within a number: half a command is none.
                    await connection.send(b"error: the last line has no end\n")
                    return
                match line.split():
                    case [b"PUT", size] if size.isdigit() and len(size) <= MAX_DIGITS:
                        self.content = await connection.receive_exactly(int(size))
                        await connection.send(b"ok\n")
                    case [b"GET"]:
                        await connection.send(b"%d\n%b" % (len(self.content), self.content))
                    case [b"QUIT"]:
                        return
                    case [b"PUT", *_]:
                        # Its bytes may follow, and where they end is unknown: there is no going on.
                        await connection.send(
                            b"error: PUT needs a number of bytes, %d digits at most\n" % MAX_DIGITS
                        )
                        return
                    case _:
                        await connection.send(b"error: expected PUT <n>, GET or QUIT\n")
        except (caas_trio.LineTooLong, caas_trio.InputEnded) as error:
            await connection.send(b"error: %b\n" % str(error).encode())


if __name__ == "__main__":
    caas_trio.run(Box().handler, *sys.argv[1:])
