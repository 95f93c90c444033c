"""What the examples share: serve until a signal comes, then drain."""

from __future__ import annotations

import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import trio

import caas_trio


async def serve_until_signal(serve: Callable[..., Awaitable[None]], endpoints: Sequence[str]) -> None:
    """Serve until SIGTERM or Ctrl-C; then finish what has been received, and return."""
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        bound = await nursery.start(partial(serve, *endpoints, stop=stop))
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            for endpoint in bound:
                # In one piece, since several processes may share the output, buffered or not.
                print(f"listening on {endpoint}\n", end="", flush=True)
            await anext(signals)
        # The signals mean again what they always did: a second one ends the process at once.
        stop.set()


def main(
    handler: object,
    serve: Callable[..., Awaitable[None]] = caas_trio.serve,
    endpoint: str = "tcp://127.0.0.1:50007",
) -> None:
    """Serve on the endpoints of the command line; tell what cannot be had in one line."""
    try:
        trio.run(serve_until_signal, partial(serve, handler), sys.argv[1:] or [endpoint])
    except* caas_trio.CaasError as group:
        sys.exit("\n".join(str(error) for error in group.exceptions))
