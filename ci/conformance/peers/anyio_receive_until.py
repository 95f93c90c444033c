"""anyio's buffered stream, and `receive_until`."""

import anyio
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream


async def serve(client: SocketStream) -> None:
    """Serve a connection."""
    async with client:
        lines = BufferedByteReceiveStream(client)
        try:
            while True:
                line = await lines.receive_until(b"\n", 65536)
                await client.send(line.upper() + b"\n")
        except (anyio.IncompleteRead, anyio.DelimiterNotFound, anyio.BrokenResourceError):
            return


async def main() -> None:
    """Listen for ever."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(SocketAttribute.local_port)  # noqa: S610 - no Django here
    print(f"listening on tcp://127.0.0.1:{port}", flush=True)
    await listener.serve(serve)


anyio.run(main)
