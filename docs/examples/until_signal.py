"""What the examples share: serve until a signal comes, then drain."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from functools import partial

import trio

import caas_trio
from caas_trio.server import Handler


async def serve_until_signal(
    handler: Handler | type[caas_trio.StreamRequestHandler], endpoints: Sequence[str]
) -> None:
    """Serve until SIGTERM or Ctrl-C; then finish what has been received, and return."""
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        bound = await nursery.start(partial(caas_trio.serve, handler, *endpoints, stop=stop))
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            for endpoint in bound:
                print(f"listening on {endpoint}", flush=True)
            await anext(signals)
        # The signals mean again what they always did: a second one ends the process at once.
        stop.set()


def main(handler: Handler | type[caas_trio.StreamRequestHandler]) -> None:
    """Serve on the endpoints of the command line; tell what cannot be had in one line."""
    try:
        trio.run(serve_until_signal, handler, sys.argv[1:] or ["tcp://127.0.0.1:50007"])
    except* caas_trio.CaasError as group:
        sys.exit("\n".join(str(error) for error in group.exceptions))
