"""Capitals over UDP, in the words of `socketserver`: one datagram, one reply."""

from __future__ import annotations

import sys

import caas_trio


class CaaSHandler(caas_trio.DatagramRequestHandler):
    """Answers a datagram; each has a task of its own, so it may wait."""

    async def handle(self) -> None:
        """Serve one datagram."""
        data = await self.rfile.read()
        await self.wfile.write(data.upper())


if __name__ == "__main__":
    caas_trio.run(CaaSHandler, *(sys.argv[1:] or ["udp://127.0.0.1:50007"]))
