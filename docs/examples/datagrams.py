"""Capitals over UDP, in the words of `socketserver`: one datagram, one reply."""

from __future__ import annotations

import until_signal

import caas_trio


class CaaSHandler(caas_trio.DatagramRequestHandler):
    """Answers a datagram; each has a task of its own, so it may wait."""

    async def handle(self) -> None:
        """Serve one datagram."""
        data = await self.rfile.read()
        await self.wfile.write(data.upper())


if __name__ == "__main__":
    until_signal.main(CaaSHandler, caas_trio.serve_datagrams, "udp://127.0.0.1:50007")
