"""The Redis of docs/examples over asyncio streams, to compare with; `uvloop` as second argument: on uvloop.

    python -m ci.protocols.streams PORT [uvloop]

As one writes it there: a line, then as many counted words, and a reply for each command. It keeps no limits
but those that the streams have.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio import StreamReader, StreamWriter

values: dict[bytes, bytes] = {}


async def read_command(reader: StreamReader) -> list[bytes]:
    """Return the words of the next command; none at the end of the input."""
    line = await reader.readline()
    if not line.startswith(b"*"):
        return line.split()
    words = []
    for _ in range(int(line[1:])):
        size = int((await reader.readline())[1:])
        words.append((await reader.readexactly(size + 2))[:-2])
    return words


def answer(words: list[bytes]) -> bytes:
    """Carry a command out; return the reply."""
    match [words[0].upper(), *words[1:]]:
        case [b"PING"]:
            return b"+PONG\r\n"
        case [b"SET", key, value]:
            values[key] = value
            return b"+OK\r\n"
        case [b"GET", key]:
            found = values.get(key)
            return b"$-1\r\n" if found is None else b"$%d\r\n%b\r\n" % (len(found), found)
    return b"-ERR unknown command\r\n"


async def serve_one(reader: StreamReader, writer: StreamWriter) -> None:
    """Serve one client."""
    while words := await read_command(reader):
        writer.write(answer(words))
        await writer.drain()
    writer.close()


async def main(port: int) -> None:
    """Serve until killed."""
    server = await asyncio.start_server(serve_one, "127.0.0.1", port)
    print("listening on tcp://{}:{}".format(*server.sockets[0].getsockname()), flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    if "uvloop" in sys.argv[2:]:
        import uvloop

        uvloop.run(main(int(sys.argv[1])))
    else:
        asyncio.run(main(int(sys.argv[1])))
