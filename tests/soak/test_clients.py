"""The clients of the soak: all is well with our service, and with no wrong one."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Thread

import pytest

from caas_trio import Oversize
from caas_trio.core.telemetry import Outcome
from ci.soak import clients
from ci.soak.clients import KINDS, MAX_LINE, Kind, visit_once
from ci.soak.ledger import Ledger
from ci.soak.service import running

#: Those whose time does not depend on a timeout, or on how long the load lasts.
PROMPT = [
    kind for kind in KINDS if Outcome.TIMED_OUT not in kind.outcomes and kind.act is not clients.staying
]


@pytest.mark.slow
@pytest.mark.parametrize("policy", Oversize)
def test_the_service_counts_what_the_clients_did(policy: Oversize) -> None:
    """Slow: every kind of client, against a service of its own."""
    ledger = Ledger()

    async def visit_all() -> None:
        over = asyncio.Event()
        visits = [
            visit_once(kind, endpoint, policy, ledger, over)
            for kind in PROMPT
            for endpoint in service.endpoints
        ]
        await asyncio.gather(*visits)

    with running(["--oversize", policy.value, "--max-line", str(MAX_LINE)], ["tcp", "unix"]) as service:
        asyncio.run(visit_all())
        while (page := service.scrape()).total("connections_open"):
            pass
        assert ledger.faults == []
        assert ledger.differences(page) == []
        assert ledger.visits.total() == 2 * len(PROMPT)
        assert service.stop() == 0
        assert service.said() == ""


def unchanged(client: socket.socket) -> None:
    while data := client.recv(65536):
        client.sendall(data)


def brief(client: socket.socket) -> None:
    client.sendall(client.recv(65536).upper()[:-1])


def chatty(client: socket.socket) -> None:
    while data := client.recv(65536):
        client.sendall(data.upper())
    client.sendall(b"BYE\n")


def abrupt(client: socket.socket) -> None:
    while data := client.recv(65536):
        client.sendall(data.upper())
    clients.reset(client)


@contextmanager
def wrong_server(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    def accept() -> None:
        with suppress(OSError):
            accepted, _ = listening.accept()
            with accepted:
                serve(accepted)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = Thread(target=accept)
        thread.start()
        yield f"tcp://127.0.0.1:{listening.getsockname()[1]}"
        thread.join()


@pytest.mark.parametrize(
    ("serve", "found"),
    [
        (unchanged, "at byte 0, and not"),
        (brief, "an end after"),
        (chatty, "and not the end"),
        (abrupt, "ConnectionResetError"),
    ],
)
def test_a_wrong_server_is_detected(serve: Callable[[socket.socket], None], found: str) -> None:
    ledger = Ledger()

    async def ask(client: clients.Visit) -> None:
        await client.send(b"hello\n")
        await client.expect(b"HELLO\n")
        await client.say(b"")

    with wrong_server(serve) as endpoint:
        kind = Kind(ask, 1, frozenset({Outcome.COMPLETED}))
        asyncio.run(visit_once(kind, endpoint, Oversize.REJECT, ledger, asyncio.Event()))
    [fault] = ledger.faults
    assert found in fault
