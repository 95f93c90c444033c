"""The clients of a script of a server, and which of them have a place: `Roster`."""

from __future__ import annotations

from caas_trio.testing.streams import StreamSocket

from . import origins
from .client import Client
from .conversation import Plan
from .kernel import Kernel
from .reports import LINES, RECEIVED, SENT
from .running import MAX_ADMITTED, Running, Serves


class Roster:
    """A server, its clients, and what is due to each on arrival.

    Args:
        turns: how many turns of the scheduler a race is decided by.
        hosts: where clients come from, by their places; none if that does not matter.

    Attributes:
        proxied: whether a PROXY header has the host.
        cut_off: whether the server was cancelled, or a listening socket has failed.
        passing: whether a long time is passing.
        handing_over: whether the server has stopped, and its clients may speak yet.
    """

    def __init__(self, server: Running, plan: Plan, kernel: Kernel, turns: int, hosts: list[str]) -> None:
        self.server = server
        self.reports = server.reports
        self.plan = plan
        self.kernel = kernel
        self.turns = turns
        self.hosts = hosts
        self.proxied = server.kind.proxied
        self.cut_off = False
        self.passing = False
        self.handing_over = False
        self.clients: dict[int, Client] = {}
        kernel.asked = self.note_last

    @property
    def ending(self) -> bool:
        """Whether the server was stopped, retired or cut off."""
        return self.server.stop.is_set() or self.server.retire.is_set() or self.cut_off

    @property
    def draining(self) -> bool:
        """Whether the server answers what it has received by now, and ends."""
        return self.server.stop.is_set() and not self.handing_over

    def connect(self, number: int) -> Client:
        """Connect one more client, for which there may be no room.

        Raises:
            ConnectionRefusedError: the server listens no more.
        """
        address = self.server.behind_proxy if self.proxied else self.server.address
        client = Client(self.plan, self.server.host, f"\0{address}")
        place = len(self.clients)
        self.clients[number] = client
        if self.server.kind.serves is Serves.REQUESTS and not self.ending:
            client.waiting = True
        elif self.server.kind.serves is not Serves.SESSIONS:
            client.refused = len(self._admitted()) > MAX_ADMITTED
        elif self.hosts:
            host = self._host(place)
            client.stranger, client.slow = origins.is_strange(host), origins.is_slow(host)
            if self.proxied:
                client.begin_to_show(origins.HEADERS[self.hosts[place]])
            if origins.ends_at_once(host):
                client.end()
            same = [other for other in self._admitted() if self._host(other) == host]
            client.refused = len(same) > MAX_ADMITTED and not client.stranger and origins.counts(host)
        client.lingered = (
            client.stranger or client.slow
        )  # closed at once, whatever is unread: a reset is no fault
        if client.refused:
            self.reject(client)
        return client

    def reject(self, client: Client) -> None:
        """Note that there is no room for a client."""
        client.refused, client.waiting = True, False
        if any(other.refused for other in self._others(client)):
            client.forsaken = self.kernel.max_sent > 0  # told in one send, come what may

    def _others(self, client: Client) -> list[Client]:
        return [other for other in self.clients.values() if other is not client]

    def _admitted(self) -> list[int]:
        """Return the places, in the order of connecting, of those that are let in, or will be."""
        accepted = self.kernel.accepted
        return [
            place
            for place, client in enumerate(self.clients.values())
            if not (client.refused or client.stranger)
            and (place >= len(accepted) or accepted[place].fileno() >= 0)
        ]

    def _host(self, place: int) -> str:
        return origins.one_host(self.hosts[place])

    def let_in(self) -> None:
        """Note which clients wait no longer; check that none waits while there is room."""
        for place, client in enumerate(self.clients.values()):
            if client.waiting and place < len(self.kernel.accepted):
                client.waiting = False
                client.forsaken |= self.passing  # it is open when its time began
        if self.server.kind.serves is Serves.REQUESTS and not self.ending:
            assert self.open_sockets() <= MAX_ADMITTED, "more are let in than may be"
            room = self.open_sockets() < MAX_ADMITTED
            waiting = any(client.waiting for client in self.clients.values())
            assert not (room and waiting), "a client waits although there is room"

    def note_last(self, sock: StreamSocket) -> None:
        """Note that nothing is answered that a client sends from now on."""
        client = list(self.clients.values())[self.kernel.accepted.index(sock)]
        client.owed_at_most, _ = client.expected()

    def traffic(self) -> dict[str, int]:
        """Return what the server has to have counted, once all clients have read to the end.

        Where one has left, or was refused, reset or dropped, that is open; and how much is read of one
        that sends more than it is answered.
        """
        clients = self.clients.values()
        if self.cut_off or not all(client.received_all for client in clients):
            return {}
        traffic = {SENT: sum(len(client.received) for client in clients)}
        if not self.proxied and all(client.said_all for client in clients):
            traffic[RECEIVED] = sum(len(client.sent) for client in clients)
            traffic[LINES] = sum(client.sent.count(b"\n") for client in clients)
        return traffic

    def open_sockets(self) -> int:
        """Return how many accepted sockets are open."""
        return sum(sock.fileno() >= 0 for sock in self.kernel.accepted)
