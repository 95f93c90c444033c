"""The echo server of trio's tutorial, with `upper`: a chunk is an answer's worth."""

from functools import partial

import trio


async def serve(stream: trio.SocketStream) -> None:
    """Serve a connection."""
    try:
        async for data in stream:
            await stream.send_all(data.upper())
    except trio.BrokenResourceError:
        return


async def main() -> None:
    """Listen for ever."""
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
        print(f"listening on tcp://127.0.0.1:{listeners[0].socket.getsockname()[1]}", flush=True)


trio.run(main)
