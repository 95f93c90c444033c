"""Three servers of ours to stand behind a load balancer: `Fleet`."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import chain

import trio

from .background import Service
from .load import GREETING, Front

NAMES = {"a": 11, "b": 12, "c": 13}
#: The port of those where the client speaks first, as in docs/deploy, and of those where the server does.
CLIENT_FIRST, SERVER_FIRST = 50007, 50008
METRICS = {CLIENT_FIRST: 9100, SERVER_FIRST: 9101}


@dataclass(frozen=True)
class Fleet:
    """Servers a, b and c: each is two processes, one for either order of speaking.

    Attributes:
        net: the first three numbers of their addresses, on loopback; nothing else listens there.
        servers: by name, and by port.
    """

    net: str
    servers: dict[str, dict[int, Service]]

    @classmethod
    @asynccontextmanager
    async def started(cls) -> AsyncIterator[Fleet]:
        """Run one for as long as the block lasts."""
        net = f"127.{1 + os.getpid() // 254 % 254}.{1 + os.getpid() % 254}"
        servers = {name: _servers(f"{net}.{number}") for name, number in NAMES.items()}
        async with AsyncExitStack() as started:
            async with trio.open_nursery() as nursery:
                for each in chain.from_iterable(both.values() for both in servers.values()):
                    started.push_async_callback(each.kill)
                    nursery.start_soon(each.start)
            yield cls(net, servers)

    @property
    def fronts(self) -> list[Front]:
        """The endpoints of the load balancer in front."""
        return [Front((f"{self.net}.10", port), greets=port == SERVER_FIRST) for port in METRICS]

    def host(self, name: str) -> str:
        """Return the address of a server."""
        return f"{self.net}.{NAMES[name]}"

    async def start(self, name: str) -> None:
        """Start both processes of a server."""
        async with trio.open_nursery() as nursery:
            for server in self.servers[name].values():
                nursery.start_soon(server.start)

    async def restart(self, name: str) -> None:
        """End both processes of a server as a service manager does, and start them again."""
        async with trio.open_nursery() as nursery:
            for server in self.servers[name].values():
                nursery.start_soon(server.stop)
        await self.start(name)

    async def kill(self, name: str) -> None:
        """Kill both processes of a server."""
        for server in self.servers[name].values():
            await server.kill()


def _servers(host: str) -> dict[int, Service]:
    more = {CLIENT_FIRST: [], SERVER_FIRST: ["--first=server", f"--prompt={GREETING}"]}
    return {
        port: Service(
            f"tcp://{host}:{port}", "--proxy-protocol", f"--metrics={host}:{METRICS[port]}", *arguments
        )
        for port, arguments in more.items()
    }
