"""The suite over TLS: it judges as it does over TCP, and sees what is wrong with TLS itself."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing

from caas_trio import Connection, Endpoint, LineSession, Trust, serve, serve_sessions
from caas_trio.conformance import Case, Profile, Result, Verdict, judge, select
from caas_trio.conformance.engine import run_case
from caas_trio.conformance.script import Connect, EndInput, Expect, ExpectEnd, Leave, Reset, Send, Step
from caas_trio.conformance.wire import CONNECTORS
from caas_trio.conformance.wirelog import Event
from tests.certificates import authority, server_context

LONG = 10.0
ANYWHERE = "tls://127.0.0.1:0"


@pytest.fixture
def trusting(tmp_path: Path) -> Profile:
    """Return a profile that trusts the tests' authority."""
    path = tmp_path / "ca.pem"
    authority().cert_pem.write_to_path(path)
    return Profile(tls_ca=str(path))


@asynccontextmanager
async def served(handler: Callable[[Connection], Awaitable[None]] | None = None) -> AsyncIterator[Endpoint]:
    trust = Trust(tls=server_context())
    capitals = partial(serve_sessions, partial(LineSession, bytes.upper), ANYWHERE, trust=trust)
    async with trio.open_nursery() as nursery:
        [endpoint] = await nursery.start(
            partial(serve, handler, ANYWHERE, trust=trust) if handler else capitals
        )
        yield endpoint
        nursery.cancel_scope.cancel()


async def tried(endpoint: Endpoint, profile: Profile, *steps: Step) -> Result:
    def script(_: Profile) -> Iterable[Step]:
        return steps

    return await run_case(Case("FRAME-1", "test", script), endpoint, profile, LONG)


TALK = (Connect(), Send(b"a\ntail"), EndInput(), Expect((b"A\nTAIL",)), ExpectEnd())


async def test_a_server_over_tls_is_judged_like_any_other(trusting: Profile) -> None:
    async with served() as endpoint:
        for profile in (trusting, Profile(tls_insecure=True)):
            result = await tried(endpoint, profile, *TALK)
            assert (result.verdict, result.close) == (Verdict.PASSED, Verdict.PASSED)
        leaving = (Connect(), Reset(), Connect(client=1), Leave(client=1), Connect(client=2))
        talk = (Send(b"a\n", client=2), Expect((b"A\n",), client=2))
        assert (await tried(endpoint, trusting, *leaving, *talk)).verdict is Verdict.PASSED


async def test_an_end_without_close_notify_is_a_cut(trusting: Profile) -> None:
    async def cut_off(connection: Connection) -> None:
        await connection.send(await connection.receive_line())
        await connection.aclose()

    async with served(cut_off) as endpoint:
        result = await tried(endpoint, trusting, Connect(), Send(b"a\n"), Expect((b"a\n",)), ExpectEnd())
    [fault] = result.faults
    assert (fault.clause, fault.reason) == ("CLOSE-2", "the server ended the connection without close_notify")
    assert result.log.entries[-2].event is Event.CUT_OFF


async def test_an_untrusted_certificate_is_reported() -> None:
    async with served() as endpoint:
        result = await tried(endpoint, Profile(), *TALK)
    [fault] = result.faults
    words = "no connection: the TLS handshake failed (unable to get local issuer certificate)"
    assert (fault.clause, fault.reason) == ("LOAD-6", words)


async def test_a_server_that_leaves_in_the_handshake_is_reported() -> None:
    async def leave(stream: trio.SocketStream) -> None:
        await stream.receive_some()

    async with trio.open_nursery() as nursery:
        [listener] = await nursery.start(partial(trio.serve_tcp, leave, 0, host="127.0.0.1"))
        endpoint = Endpoint.parse(f"tls://127.0.0.1:{listener.socket.getsockname()[1]}")
        with pytest.raises(ConnectionError, match=r"the TLS handshake failed \(the server left\)"):
            await CONNECTORS[endpoint.scheme](endpoint, Profile())
        nursery.cancel_scope.cancel()


async def test_a_server_without_tls_is_reported() -> None:
    async def plain(stream: trio.SocketStream) -> None:
        await stream.send_all(b"220 hello, this is no TLS\r\n")
        await stream.receive_some()

    async with trio.open_nursery() as nursery:
        [listener] = await nursery.start(partial(trio.serve_tcp, plain, 0, host="127.0.0.1"))
        endpoint = Endpoint.parse(f"tls://127.0.0.1:{listener.socket.getsockname()[1]}")
        with pytest.raises(ConnectionError, match=r"failed \(what answers there is not TLS\)"):
            await CONNECTORS[endpoint.scheme](endpoint, Profile())
        nursery.cancel_scope.cancel()


async def test_a_server_that_is_silent_over_tls_gets_a_hint() -> None:
    async def silent(connection: Connection) -> None:
        await connection.receive_line()
        await trio.sleep_forever()

    async with served(silent) as endpoint:
        report = await judge(endpoint, Profile(tls_insecure=True), select(["FRAME-3"]), timeout_s=0.3)
    [hint] = [result.hint for result in report.results if result.faults]
    assert hint.startswith("it accepts connections and sends nothing")


async def test_a_cancelled_handshake_leaves_nothing_behind() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = Endpoint.parse(f"tls://127.0.0.1:{silent.getsockname()[1]}")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(CONNECTORS[endpoint.scheme], endpoint, Profile())
            accepted, _ = await trio.to_thread.run_sync(silent.accept)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        with accepted:
            accepted.settimeout(10)
            heard = b""
            while data := accepted.recv(65536):
                heard += data
    assert heard.startswith(b"\x16")  # what it began with; and the end came: nobody keeps the socket
