"""`loop.create_datagram_endpoint` with the protocol of its documentation, which answers what it gets."""

import asyncio


class Capitals(asyncio.DatagramProtocol):
    """Answers a datagram."""

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        """Keep what replies are sent by."""
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Serve a datagram."""
        self.transport.sendto(data.upper(), addr)


async def main() -> None:
    """Serve until killed."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Capitals, local_addr=("127.0.0.1", 0))
    print(f"listening on udp://127.0.0.1:{transport.get_extra_info('sockname')[1]}", flush=True)
    await loop.create_future()


asyncio.run(main())
