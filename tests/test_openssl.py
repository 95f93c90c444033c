"""The service over TLS as a process of its own, and OpenSSL's own client as another.

Slow: each test starts both.
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .certificates import authority, write_files
from .support.processes import Service, service
from .support.sockets import talk

pytestmark = pytest.mark.slow


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Return the paths of a certificate, its key and the CA."""
    return write_files(tmp_path)


@contextmanager
def s_client(
    running: Service, files: tuple[Path, Path, Path], *options: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `openssl s_client`, which ends only when the server does."""
    address = f"{running.endpoints[0].host}:{running.endpoints[0].port}"
    trusted = ("-CAfile", str(files[2]), "-verify_return_error")
    command = ["openssl", "s_client", "-connect", address, "-quiet", *trusted, *options]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        try:
            yield process
        finally:
            process.kill()


def ask(client: subprocess.Popen[bytes], line: bytes) -> bytes:
    assert client.stdin is not None
    assert client.stdout is not None
    client.stdin.write(line)
    client.stdin.flush()
    return client.stdout.readline()


def over_tls(files: tuple[Path, Path, Path], *more: str) -> tuple[str, ...]:
    return "--tls-cert", str(files[0]), "--tls-key", str(files[1]), *more


TLS = ("tls://127.0.0.1:0",)


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl_gets_each_reply_and_close_notify(version: str, files: tuple[Path, Path, Path]) -> None:
    with (
        service(*over_tls(files, "--once"), endpoints=TLS) as running,
        s_client(running, files, version) as client,
    ):
        assert ask(client, b"hello\r\n") == b"HELLO\r\n"
        rest, told = client.communicate(timeout=30)
        assert rest == b""
        assert b"unexpected eof" not in told
        assert client.returncode == 0
        assert running.stop() == (0, "")


def test_a_tls_conversation_survives_a_reload_and_is_drained(files: tuple[Path, Path, Path]) -> None:
    verbose = ("--log-level", "info", "--log-format", "json")
    with service(*over_tls(files, *verbose), endpoints=TLS) as running, s_client(running, files) as old:
        assert ask(old, b"a\n") == b"A\n"
        write_files(files[0].parent, authority().issue_cert("127.0.0.1", organization_name="Renewed"))
        running.process.send_signal(signal.SIGHUP)
        assert "the certificates have been reloaded" in running.stderr.readline()
        with s_client(running, files) as new:
            assert ask(new, b"b\n") == b"B\n"
            files[1].write_text("garbage")
            running.process.send_signal(signal.SIGHUP)
            told = running.stderr.readline()
            assert "the certificates could not be reloaded; the old ones stay" in told
            assert f"cannot use {files[1]}: it holds no private key in PEM" in told
            assert ask(old, b"c\n") == b"C\n"
            with s_client(running, files) as newest:
                assert ask(newest, b"d\n") == b"D\n"
            status, _ = running.stop()
            assert status == 0
            for client, renewed in ((old, False), (new, True)):
                rest, told_by_client = client.communicate(timeout=30)
                assert (client.returncode, rest) == (0, b"")
                assert b"unexpected eof" not in told_by_client
                assert (b"Renewed" in told_by_client) is renewed


def test_an_old_tls_version_is_refused_with_the_reason(files: tuple[Path, Path, Path]) -> None:
    with service(*over_tls(files), endpoints=TLS) as running:
        with s_client(running, files, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0") as client:
            heard, told = client.communicate(timeout=30)
            assert (client.returncode, heard) == (1, b"")
            assert b"alert protocol version" in told
        status, log = running.stop()
    assert status == 0
    assert "no TLS handshake: unsupported protocol" in log


def test_openssl_shows_a_certificate_or_is_refused(files: tuple[Path, Path, Path]) -> None:
    with service(*over_tls(files, "--tls-client-ca", str(files[2])), endpoints=TLS) as running:
        with s_client(running, files, "-cert", str(files[0]), "-key", str(files[1])) as client:
            assert ask(client, b"a\n") == b"A\n"
        with s_client(running, files) as client:
            assert ask(client, b"a\n") == b""
            assert client.stderr is not None
            assert b"alert certificate required" in client.stderr.read()
        status, log = running.stop()
    assert status == 0
    assert "no TLS handshake: peer did not return a certificate" in log


def test_sighup_without_tls_is_harmless() -> None:
    with service() as running:
        running.process.send_signal(signal.SIGHUP)
        assert "nothing to reload: there is no certificate" in running.stderr.readline()
        assert talk(running.connect(), b"a\n") == b"A\n"
        assert running.stop() == (0, "")
