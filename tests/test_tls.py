"""TLS endpoints: certificates and their reload, admitted clients and refused ones."""

from __future__ import annotations

import errno
import os
import re
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from trio.testing import MockClock

import caas_trio
from caas_trio import (
    AtCapacity,
    Certificates,
    Connection,
    Endpoint,
    Limits,
    LineSession,
    TlsError,
    Trust,
    UsageError,
    connect,
)
from caas_trio.core.peer import InternetPeer
from caas_trio.core.telemetry import Outcome
from caas_trio.core.tls import openssl_words
from caas_trio.drivers.choice import make_driver
from caas_trio.drivers.drain import Drain
from caas_trio.drivers.tlsstream import TlsStream
from caas_trio.server.admission import Admission, refuse, words_for
from caas_trio.server.handshaker import Handshaker, Refused

from .certificates import (
    HOST,
    authority,
    client_context,
    cut_off,
    server_certificate,
    server_context,
    unreadable_client,
    write_files,
)
from .support.drivers import chosen, serve, serve_sessions
from .support.machines import ScriptedMachine
from .support.recorder import ConnectionRecorder
from .support.streams import receive_all, reset, talk

pytestmark = pytest.mark.usefixtures("driver")

CAPITALS = partial(LineSession, bytes.upper)
ANYWHERE = "tls://127.0.0.1:0"
PAGE = Path(__file__).parent.parent / "docs" / "tls.md"


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Return the paths of a certificate, its key and the CA."""
    return write_files(tmp_path)


class Running:
    """A server that runs, and the way to talk to it."""

    def __init__(self, endpoint: Endpoint, recorder: ConnectionRecorder, stop: trio.Event) -> None:
        self.endpoint = endpoint
        self.recorder = recorder
        self.stop = stop

    async def connect_plainly(self) -> trio.SocketStream:
        return await trio.open_tcp_stream(self.endpoint.host, self.endpoint.port)

    async def connect(self, context: ssl.SSLContext | None = None) -> TlsStream:
        stream = TlsStream(
            await self.connect_plainly(),
            context or client_context(),
            server_side=False,
            server_hostname=HOST,
        )
        try:
            await stream.do_handshake()
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise
        return stream

    async def talk(self, data: bytes, context: ssl.SSLContext | None = None) -> bytes:
        """Return all that is heard by a client that sends `data` and ends its output."""
        return await talk(await self.connect(context), data)


@asynccontextmanager
async def serving(
    tls: Certificates | ssl.SSLContext | None = None,
    *,
    limits: Limits = Limits(linger_timeout=30),  # noqa: B008 - immutable
) -> AsyncIterator[Running]:
    recorder, stop = ConnectionRecorder(), trio.Event()
    start = partial(
        serve_sessions,
        CAPITALS,
        ANYWHERE,
        limits=limits,
        trust=Trust(tls=tls or server_context()),
        telemetry=recorder,
        stop=stop,
    )
    async with trio.open_nursery() as nursery:
        [endpoint] = await nursery.start(start)
        yield Running(endpoint, recorder, stop)
        stop.set()


@pytest.mark.parametrize(
    ("wrong", "at_fault", "reason"),
    [
        (("missing", "key.pem", None), "missing", "no such file or directory"),
        (("cert.pem", "missing", None), "missing", "no such file or directory"),
        (("cert.pem", "key.pem", "missing"), "missing", "no such file or directory"),
        ((".", "key.pem", None), "", "is a directory"),
        (("garbage", "key.pem", None), "garbage", "it holds no certificate in PEM"),
        (("key.pem", "key.pem", None), "key.pem", "it holds no certificate in PEM"),
        (("cert.pem", "garbage", None), "garbage", "it holds no private key in PEM"),
        (("cert.pem", None, None), "cert.pem", "it holds no private key in PEM"),
        (("cert.pem", "key.pem", "garbage"), "garbage", "it holds no certificate in PEM"),
        (("cert.pem", "key.pem", "key.pem"), "key.pem", "it holds no certificate in PEM"),
        (
            ("cert.pem", "other.pem", None),
            "other.pem",
            "it does not fit the certificate in {folder}/cert.pem",
        ),
        (
            ("cert.pem", "encrypted.pem", None),
            "encrypted.pem",
            "it is encrypted; a key without a password is needed",
        ),
        (("weak.pem", "key.pem", None), "weak.pem", "ee key too small"),
    ],
)
def test_the_wrong_file_is_named(
    wrong: tuple[str, str | None, str | None], at_fault: str, reason: str, tmp_path: Path
) -> None:
    certificate, key, ca = wrong
    write_files(tmp_path)
    (tmp_path / "garbage").write_text("-----BEGIN NONSENSE-----\n")
    authority().issue_cert(HOST).private_key_pem.write_to_path(tmp_path / "other.pem")
    password = BestAvailableEncryption(b"secret")
    secret = load_pem_private_key(server_certificate().private_key_pem.bytes(), None).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, password
    )
    (tmp_path / "encrypted.pem").write_bytes(secret)
    (tmp_path / "weak.pem").write_text(WEAK)
    with pytest.raises(TlsError) as raised:
        Certificates(tmp_path / certificate, key and tmp_path / key, ca and tmp_path / ca)
    reason = reason.format(folder=tmp_path)
    assert str(raised.value) == f"cannot use {tmp_path / at_fault}: {reason}"
    assert (raised.value.file, raised.value.reason) == (tmp_path / at_fault, reason)


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_file_that_cannot_be_opened_is_named(which: int, files: tuple[Path, Path, Path]) -> None:
    file = files[which]
    file.unlink()
    file.symlink_to(file.name)
    with pytest.raises(TlsError) as raised:
        Certificates(*files)
    reason = os.strerror(errno.ELOOP).lower()
    assert (raised.value.file, raised.value.reason) == (file, reason)


def test_certificate_and_key_may_share_a_file(tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    server_certificate().private_key_and_cert_chain_pem.write_to_path(both)
    context = Certificates(str(both)).context
    assert context.verify_mode is ssl.CERT_NONE
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    no_compressed_certificates = 1 << 33
    usual = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).options
    assert context.options == usual | ssl.OP_NO_RENEGOTIATION | no_compressed_certificates


@pytest.mark.parametrize(
    ("reason", "verify_message", "words"),
    [
        ("EE_KEY_TOO_SMALL", None, "ee key too small"),
        ("CERTIFICATE_VERIFY_FAILED", "no issuer_x", "no issuer x"),
        ("CERTIFICATE_VERIFY_FAILED", "", "certificate verify failed"),
        (None, None, "protocol error"),
    ],
)
def test_the_reason_of_openssl_is_told_in_words(
    reason: str | None, verify_message: str | None, words: str
) -> None:
    error = ssl.SSLError()
    if verify_message is not None:
        error = unverified = ssl.SSLCertVerificationError()
        unverified.verify_message = verify_message
    error.reason = reason  # type: ignore[assignment]
    assert openssl_words(error) == words


def test_a_client_uses_the_given_ca_and_certificate(files: tuple[Path, Path, Path], tmp_path: Path) -> None:
    server_certificate().private_key_and_cert_chain_pem.write_to_path(tmp_path / "both.pem")
    for certificate, key in ((None, None), (tmp_path / "both.pem", None), files[:2]):
        context = caas_trio.client_context(files[2], certificate, key)
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2
        assert len(context.get_ca_certs()) == 1
    with pytest.raises(TlsError, match="no such file"):
        caas_trio.client_context(tmp_path / "nowhere.pem")
    with pytest.raises(TlsError, match=r"cert\.pem: it holds no private key in PEM"):
        caas_trio.client_context(files[2], files[0])


def test_a_client_trusts_what_the_system_trusts_or_anybody() -> None:
    context = caas_trio.client_context()
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.get_ca_certs() == ssl.create_default_context().get_ca_certs()
    context = caas_trio.client_context(insecure=True)
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_NONE, False)
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


async def test_a_reload_changes_new_connections_only(
    files: tuple[Path, Path, Path],
) -> None:
    certificates = Certificates(*files[:2])
    async with serving(certificates) as running:
        old = await running.connect()
        write_files(files[0].parent, renewed := authority().issue_cert(HOST, organization_name="Renewed"))
        assert renewed.cert_chain_pems[0].bytes() in files[0].read_bytes()
        async with await running.connect() as still:
            assert "Renewed" not in str(still.engine.tls.getpeercert())
        certificates.reload()
        async with await running.connect() as new:
            assert "Renewed" in str(new.engine.tls.getpeercert())
        async with old:
            await old.send_all(b"a\n")
            assert await old.receive_some() == b"A\n"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_no_session_outlives_a_reload(version: ssl.TLSVersion, files: tuple[Path, Path, Path]) -> None:
    certificates = Certificates(*files)
    context = client_context(version, shown=server_certificate())
    session = None
    resumed = []
    for reload in (False, False, True):
        if reload:
            certificates.reload()
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        server = certificates.context.wrap_bio(incoming, outgoing, server_side=True)
        client = context.wrap_bio(outgoing, incoming, server_hostname=HOST, session=session)
        for side in (client, server, client, server, client):
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
        server.write(b"ticket")
        assert client.read(6) == b"ticket"
        for side in (client, server):
            with suppress(ssl.SSLWantReadError):
                side.unwrap()
        assert "subject" in (server.getpeercert() or {})
        resumed.append(client.session_reused)
        session = client.session
    assert resumed == [False, True, False]


async def test_a_reload_that_fails_changes_nothing(files: tuple[Path, Path, Path]) -> None:
    certificates = Certificates(*files[:2])
    used = certificates.context
    files[1].write_text("garbage")
    with pytest.raises(TlsError, match=r"key\.pem: it holds no private key in PEM"):
        certificates.reload()
    assert certificates.context is used
    async with serving(certificates) as running:
        assert await running.talk(b"a\n") == b"A\n"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_every_line_is_answered_over_tls(version: ssl.TLSVersion) -> None:
    async with serving() as running:
        # An end without close_notify would raise.
        assert await running.talk(b"hello\r\n\nworld", client_context(version)) == b"HELLO\r\n\nWORLD"
        assert await running.talk(b"", client_context(version)) == b""
    assert running.recorder.outcomes == [Outcome.COMPLETED] * 2


async def test_a_blocking_client_of_the_standard_library_is_served() -> None:
    def talk(address: tuple[str, int]) -> bytes:
        context = client_context()
        with (
            socket.create_connection(address, 30) as plain,
            context.wrap_socket(plain, server_hostname=HOST, suppress_ragged_eofs=False) as client,
        ):
            client.sendall(b"a\n" * 10_000)
            heard = b""
            while len(heard) < 20_000:
                heard += client.recv(65536)
            client.unwrap()
        return heard

    async with serving() as running:
        address = (running.endpoint.host, running.endpoint.port)
        assert await trio.to_thread.run_sync(talk, address) == b"A\n" * 10_000


async def test_a_line_cut_off_without_close_notify_is_not_answered() -> None:
    async with serving() as running:
        client = await running.connect()
        await client.send_all(b"whole\ncut")
        assert await client.receive_some() == b"WHOLE\n"
        await cut_off(client)  # without close_notify
        assert await receive_all(client) == b""
        await client.aclose()
    assert running.recorder.outcomes == [Outcome.LOST]


async def test_a_handler_sees_the_certificate_of_its_client(files: tuple[Path, Path, Path]) -> None:
    async def tell(connection: Connection) -> None:
        await connection.send(str(connection.certificate).encode())

    async with trio.open_nursery() as nursery:
        for authorities in (None, files[2]):
            trust = Trust(tls=Certificates(files[0], files[1], authorities))
            [endpoint] = await nursery.start(partial(serve, tell, ANYWHERE, trust=trust))
            shown = authority().issue_cert("client.example", common_name="somebody")
            heard = await Running(endpoint, ConnectionRecorder(), trio.Event()).talk(
                b"", client_context(shown=shown)
            )
            assert (b"somebody" in heard) is (authorities is not None)
            assert (heard == b"None") is (authorities is None)
        nursery.cancel_scope.cancel()


async def test_the_code_of_the_page_on_tls_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    block, _ = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    for file, name in zip(write_files(tmp_path), ("server.pem", "server.key", "clients.pem"), strict=True):
        file.rename(tmp_path / name)
    shown: dict[str, Any] = {}
    exec(compile(block, PAGE, "exec"), shown)  # noqa: S102 - our own text
    async with trio.open_nursery() as nursery:
        [endpoint] = await nursery.start(partial(serve, shown["greet"], ANYWHERE, trust=shown["trust"]))
        context = client_context(shown=authority().issue_cert("client.example", common_name="somebody"))
        assert (
            await Running(endpoint, ConnectionRecorder(), trio.Event()).talk(b"", context)
            == b"hello, somebody\n"
        )
        nursery.cancel_scope.cancel()


async def test_the_code_of_the_page_turns_to_tls() -> None:
    _, block = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    shown: dict[str, Any] = {}
    exec(compile(block, PAGE, "exec"), shown)  # noqa: S102 - our own text
    async with trio.open_nursery() as nursery:
        plain = partial(serve, shown["handle"], "tcp://127.0.0.1:0", trust=Trust(tls=server_context()))
        [endpoint] = await nursery.start(plain)
        async with connect(endpoint) as client:
            await client.send(b"STARTTLS\n")
            assert await client.receive_line() == b"220 go ahead\r\n"
            await client.start_tls(client_context(), server_hostname=HOST)
            await client.send(b"NOOP\n")
            assert await client.receive_line() == b"250 ok\r\n"
        nursery.cancel_scope.cancel()


STRANGERS = [
    (None, "no TLS handshake: peer did not return a certificate"),
    (trustme.CA(), "no TLS handshake: unable to get local issuer certificate"),
]


@pytest.mark.parametrize(("issuer", "reason"), STRANGERS, ids=["none", "stranger's"])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_client_without_a_trusted_certificate_is_refused(
    version: ssl.TLSVersion, issuer: trustme.CA | None, reason: str, files: tuple[Path, Path, Path]
) -> None:
    shown = issuer.issue_cert("client.example") if issuer else None
    async with serving(Certificates(*files)) as running:
        with pytest.raises(trio.BrokenResourceError) as raised:
            await running.talk(b"a\n", client_context(version, shown=shown))
        assert "alert" in str(raised.value.__cause__)
        assert await running.talk(b"a\n", client_context(version, shown=server_certificate())) == b"A\n"
    assert running.recorder.reasons == [reason]
    assert running.recorder.outcomes == [Outcome.REFUSED, Outcome.COMPLETED]


def chain_context(folder: Path, certificates: int, version: ssl.TLSVersion) -> ssl.SSLContext:
    """Return a client's context that shows a good certificate with others behind it, and takes no ticket."""
    shown = server_certificate()
    file = folder / "chain.pem"
    behind = [authority().cert_pem.bytes()] * certificates
    file.write_bytes(b"".join([shown.private_key_and_cert_chain_pem.bytes(), *behind]))
    context = ssl.create_default_context()
    context.minimum_version = context.maximum_version = version
    context.options |= ssl.OP_NO_TICKET
    authority().configure_trust(context)
    context.load_cert_chain(file)
    return context


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_client_without_tickets_leaves_no_session(
    version: ssl.TLSVersion, files: tuple[Path, Path, Path]
) -> None:
    certificates = Certificates(*files)
    context = chain_context(files[0].parent, 5, version)
    async with serving(certificates) as running:
        for _ in range(5):
            assert await running.talk(b"a\n", context) == b"A\n"
    assert certificates.context.session_stats()["number"] == 0


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_handshake_is_bounded_in_bytes(
    version: ssl.TLSVersion, files: tuple[Path, Path, Path]
) -> None:
    context = chain_context(files[0].parent, 100, version)
    async with serving(Certificates(*files)) as running:
        with pytest.raises(trio.BrokenResourceError):
            await running.talk(b"a\n", context)
    [reason] = running.recorder.reasons
    assert re.fullmatch(r"no TLS handshake: (a message longer|more) than 32768 bytes", reason)


MEMORY = """
import sys, trio, trio.testing
from tests.certificates import server_context
from caas_trio.drivers.tlsstream import TlsStream

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

async def main():
    ends = [trio.testing.memory_stream_pair() for _ in range(300)]
    before = resident()
    async with trio.open_nursery() as nursery:
        for ours, theirs in ends:
            await ours.send_all(bytes.fromhex(sys.argv[1]))
            server = TlsStream(theirs, server_context(), server_side=True)
            nursery.start_soon(server.do_handshake)
        await trio.testing.wait_all_tasks_blocked()
        print((resident() - before) // 300)
        nursery.cancel_scope.cancel()

server_context()
trio.run(main)
"""


@pytest.mark.parametrize(
    "said",
    ["", "16", "1603010200010001fc0303", "160301000401004000"],
    ids=["none", "a byte", "begun", "a claim"],
)
def test_before_the_hello_openssl_allocates_nothing(said: str) -> None:
    command = [sys.executable, "-c", MEMORY, said]
    measured = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(measured.stdout) < 24 * 1024


async def test_a_plain_client_gets_no_answer() -> None:
    async with serving() as running:
        async with await running.connect_plainly() as client:
            await client.send_all(b"hello\n")
            assert await receive_all(client) == b""
        assert await running.talk(b"a\n") == b"A\n"
    assert running.recorder.reasons == ["no TLS handshake: wrong version number"]


async def test_a_connection_closed_before_the_handshake_is_no_refusal() -> None:
    async with serving() as running:
        async with await running.connect_plainly():
            pass
        assert await running.talk(b"a\n") == b"A\n"
    assert running.recorder.reasons == []
    assert sorted(running.recorder.outcomes) == [Outcome.COMPLETED, Outcome.LOST]


async def test_a_certificate_refused_by_the_client_is_a_refusal() -> None:
    async with serving() as running:
        with pytest.raises(trio.BrokenResourceError):
            await running.connect(ssl.create_default_context())
        assert await running.talk(b"a\n") == b"A\n"
    assert running.recorder.reasons == ["no TLS handshake: tlsv1 alert unknown ca"]


async def test_a_handshake_takes_a_place_and_blocks_no_other_client() -> None:
    limits = Limits(max_connections=2, opening_timeout=30, linger_timeout=30)
    async with (
        serving(limits=limits) as running,
        await running.connect_plainly() as half_open,
        await running.connect() as client,
    ):
        await client.send_all(b"a\n")
        assert await client.receive_some() == b"A\n"
        async with await running.connect_plainly() as third:
            # Nothing can be said before a handshake.
            assert await third.receive_some() == b""
        await half_open.send_all(b"\x16\x03\x01")
    assert running.recorder.reasons == ["too many connections"]


async def test_half_open_clients_are_closed_at_the_opening_timeout() -> None:
    limits = Limits(max_connections=50, opening_timeout=0.1, at_capacity=AtCapacity.WAIT)
    async with serving(limits=limits) as running:
        half_open = [await running.connect_plainly() for _ in range(200)]
        assert await running.talk(b"a\n") == b"A\n"
        for client in half_open:
            await trio.aclose_forcefully(client)
    assert set(running.recorder.reasons) == {"the opening timeout is over"}


def handshakes(limits: Limits, drain: Drain) -> Handshaker:
    """Return what performs the handshakes of a server with a certificate."""
    driver = make_driver(chosen(), limits, drain, None, counting=False)
    return Handshaker(limits, Trust(tls=server_context()), drain, driver, Admission(limits))


async def opened_for(seconds: float, drain_at: float) -> float:
    """Return how long a handshake was waited for, in virtual time."""
    ours, theirs = socket.socketpair()
    drain = Drain()
    limits = Limits(opening_timeout=seconds, max_per_host=1)
    handshaker = handshakes(limits, drain)
    peer = InternetPeer("192.0.2.1", 1)
    with ours:
        async with trio.open_nursery() as nursery:

            async def begin_the_drain() -> None:
                await trio.sleep(drain_at)
                drain.begin()

            nursery.start_soon(begin_the_drain)
            with pytest.raises(Refused) as caught:
                await handshaker.perform(theirs, peer, Endpoint.parse("tls://192.0.2.1:1"))
            waited = trio.current_time()
        refused = caught.value
        assert (refused.reason, refused.peer, refused.words) == ("the opening timeout is over", peer, b"")
        assert not drain._callbacks
        assert not handshaker._admission._by_host
    theirs.close()
    return waited


@pytest.mark.parametrize(("drain_at", "waited"), [(100, 5), (2, 3), (4.5, 5), (0, 1)])
async def test_a_stop_does_not_wait_for_a_slow_handshake(
    drain_at: float, waited: float, autojump_clock: MockClock
) -> None:
    assert await opened_for(5, drain_at) == pytest.approx(waited)
    assert autojump_clock.current_time() >= waited


async def test_a_stop_answers_received_lines() -> None:
    async with serving() as running:
        client = await running.connect()
        await client.send_all(b"a\n")
        assert await client.receive_some() == b"A\n"
        await client.send_all(b"b\nhalf")
        running.stop.set()
        assert await receive_all(client) == b"B\n"
        await client.aclose()
    assert running.recorder.outcomes == [Outcome.COMPLETED]


@pytest.mark.skipif(not hasattr(socket, "TCP_QUICKACK"), reason="Linux's own")
async def test_the_first_line_does_not_wait_for_a_delayed_ack() -> None:
    handshaker = handshakes(Limits(), Drain())
    with socket.create_server(("127.0.0.1", 0)) as listening:
        endpoint = Endpoint.parse(f"tls://127.0.0.1:{listening.getsockname()[1]}")
        client = await Running(endpoint, ConnectionRecorder(), trio.Event()).connect_plainly()
        accepted, _ = listening.accept()
        stream = TlsStream(client, client_context(), server_side=False, server_hostname=HOST)
        async with stream:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(stream.do_handshake)
                established = await handshaker.perform(accepted, InternetPeer("127.0.0.1", 1), endpoint)
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK) == 1
        await established.channel.aclose()


async def test_an_unreadable_certificate_is_refused(files: tuple[Path, Path, Path]) -> None:
    async with serving(Certificates(*files)) as running:
        for _ in range(2):
            client = await running.connect(unreadable_client())
            with pytest.raises(trio.BrokenResourceError):
                await client.receive_some()
            await trio.aclose_forcefully(client)
        good = client_context(shown=authority().issue_cert("client.example"))
        assert await running.talk(b"a\n", good) == b"A\n"
    assert running.recorder.reasons == ["no TLS handshake: the client's certificate cannot be read"] * 2


@pytest.mark.parametrize(
    ("sent_at", "then", "over_at"),
    [(1, "it ends its output", 1), (1, "it resets", 1), (1, "it stays", 3), (4.7, "it stays", 5)],
)
async def test_after_a_failed_handshake_the_close_lingers_within_the_opening_timeout(
    sent_at: float, then: str, over_at: float, autojump_clock: MockClock
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        ours = socket.create_connection(listening.getsockname())
        theirs, _ = listening.accept()
    limits = Limits(opening_timeout=5, linger_timeout=2)
    handshaker, peer = handshakes(limits, Drain()), InternetPeer("192.0.2.1", 1)
    with ours, theirs:
        async with trio.open_nursery() as nursery:

            async def send_garbage() -> None:
                await trio.sleep(sent_at)  # the mock clock's
                ours.send(b"garbage")
                await trio.testing.wait_all_tasks_blocked()
                if then == "it resets":
                    reset(ours)
                    return
                ours.setblocking(False)  # noqa: FBT003 - the socket module's signature
                while ours.recv(100):  # the alert, then the end at once
                    pass
                ours.send(b"more")
                if then == "it ends its output":
                    ours.shutdown(socket.SHUT_WR)

            nursery.start_soon(send_garbage)
            with pytest.raises(Refused, match="no TLS handshake") as caught:
                await handshaker.perform(theirs, peer, Endpoint.parse("tls://192.0.2.1:1"))
    assert (caught.value.peer, caught.value.words) == (peer, b"")
    assert autojump_clock.current_time() == pytest.approx(over_at)


async def test_tls_may_follow_a_proxy_header() -> None:
    async def tell(connection: Connection) -> None:
        await connection.send(str(connection.peer).encode())

    trust = Trust(tls=server_context(), proxy_protocol=True)
    async with trio.open_nursery() as nursery:
        [endpoint] = await nursery.start(partial(serve, tell, ANYWHERE, trust=trust))
        plain = await trio.open_tcp_stream(endpoint.host, endpoint.port)
        await plain.send_all(b"PROXY TCP4 192.0.2.9 192.0.2.1 7 443\r\n")
        async with TlsStream(plain, client_context(), server_side=False, server_hostname=HOST) as client:
            await client.do_handshake()
            assert await receive_all(client) == b"192.0.2.9:7"
        nursery.cancel_scope.cancel()


async def test_an_endpoint_without_a_certificate_is_refused() -> None:
    with pytest.raises(UsageError, match=r"tls://127.0.0.1:0 needs a certificate, in Trust\(tls=...\)"):
        await serve_sessions(CAPITALS, ANYWHERE)


async def test_without_descriptors_a_tls_client_gets_no_plain_error_line(nursery: trio.Nursery) -> None:
    trust, machine = Trust(tls=server_context()), ScriptedMachine(errno.EMFILE)
    start = partial(serve_sessions, CAPITALS, ANYWHERE, trust=trust, machine=machine)
    [endpoint] = await nursery.start(start)
    async with await trio.open_tcp_stream(endpoint.host, endpoint.port) as client:
        assert await receive_all(client) == b""
    assert not machine.script
    nursery.cancel_scope.cancel()


def test_a_tls_client_gets_no_plain_error_line() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        refuse(theirs, words_for(Endpoint.parse(ANYWHERE)))
        assert ours.recv(100) == b""


async def test_a_client_that_leaves_in_the_handshake_never_meets_the_handler() -> None:
    met: list[Connection] = []
    recorder = ConnectionRecorder()

    async def handle(connection: Connection) -> None:
        met.append(connection)

    trust = Trust(tls=server_context())
    async with trio.open_nursery() as nursery:
        [endpoint] = await nursery.start(partial(serve, handle, ANYWHERE, trust=trust, telemetry=recorder))
        async with await trio.open_tcp_stream(endpoint.host, endpoint.port) as client:
            await client.send_eof()
            assert await receive_all(client) == b""
        nursery.cancel_scope.cancel()
    assert met == []
    assert recorder.outcomes == [Outcome.LOST]


#: A certificate of a key with 1024 bits.
WEAK = """\
-----BEGIN CERTIFICATE-----
MIIBkzCB/aADAgECAgEBMA0GCSqGSIb3DQEBCwUAMA8xDTALBgNVBAMMBHdlYWsw
IBcNMjAwMTAxMDAwMDAwWhgPMjEyMDAxMDEwMDAwMDBaMA8xDTALBgNVBAMMBHdl
YWswgZ8wDQYJKoZIhvcNAQEBBQADgY0AMIGJAoGBAJw20JQ+2GCD5Hb2ISquTeit
8bxdL8c0I13PnVlusXeObP+gDzV6H/JhUgLvsOQyxbKwXgWR2VqZK86u+oD7tlkx
oRyIaqvqaMQCsQswQdMYcvTCGPVw+yb1/9j//TWI3O0nAKhbiEypVp6FCBzOwcty
OqdEdVGzL11EnoaoAL6bAgMBAAEwDQYJKoZIhvcNAQELBQADgYEABrKhAUlcZ19d
9958MCEPk7FuPJmVoUSuOtLTEH2tcfQZ5QxAzSrHzMiYPecZsYG2Jciqz7P+04I1
yJow8HCirypsLcv+vpuqYkrLJfvloar1FwM2fqc+T5qkgqpy8xBcqWmWYkSOcvv0
tCFwStBqh47rK3XfgYyyS9vqrG0aPB8=
-----END CERTIFICATE-----
"""
