"""The line client for a terminal: `python -m caas_trio.client`.

Slow: most tests start the client as a process, some of them several times.
"""

from __future__ import annotations

import itertools
import os
import pty
import signal
import socket
import subprocess
import sys
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caas_trio import __version__
from caas_trio.client import __main__
from caas_trio.client.command import main
from caas_trio.client.display import LineEnds, Screen
from caas_trio.core.printable import printable

from .certificates import write_files
from .support.processes import Service, service

COMMAND = [sys.executable, "-m", "caas_trio.client"]


def run(*arguments: str, sent: bytes = b"") -> tuple[int, bytes, str]:
    """Run the client on pipes; return the exit status and both outputs."""
    done = subprocess.run([*COMMAND, *arguments], input=sent, capture_output=True, check=False, timeout=60)
    return done.returncode, done.stdout, done.stderr.decode()


@pytest.fixture(scope="module")
def served() -> Iterator[Service]:
    with service(
        "--first", "server", endpoints=("tcp://127.0.0.1:0", f"unix:@caas-test-client-{os.getpid()}")
    ) as running:
        yield running


PROMPT = b"Enter some data to be capitalized:\n"


@pytest.mark.parametrize("which", [0, 1])
def test_piped_input_is_sent_and_the_reply_printed(served: Service, which: int) -> None:
    status, heard, errors = run(str(served.endpoints[which]), sent=b"hello\nworld")
    assert (status, heard, errors) == (0, PROMPT + b"HELLO\nWORLD", "")


def test_a_pipe_gets_every_byte_as_it_is(served: Service) -> None:
    every = bytes(set(range(256)) - {10}) + b"\n"
    assert run(str(served.endpoints[0]), sent=every)[1] == PROMPT + every.upper()


def test_much_is_read_and_written_side_by_side(served: Service) -> None:
    much = b"x" * 60000 + b"\n"
    assert run(str(served.endpoints[0]), sent=much * 200)[1] == PROMPT + much.upper() * 200


def test_tls_and_its_options(tmp_path: Path) -> None:
    certificate, key, authorities = write_files(tmp_path)
    tls = ("--tls-cert", str(certificate), "--tls-key", str(key), "--tls-client-ca", str(authorities))
    with service(*tls, endpoints=("tls://127.0.0.1:0",)) as running:
        endpoint = str(running.endpoints[0])
        shown = ("--cert", str(certificate), "--key", str(key), "--server-name", "localhost")
        assert run(endpoint, "--ca", str(authorities), *shown, sent=b"a\n") == (0, b"A\n", "")
        assert run(endpoint, "--insecure", *shown, sent=b"a\n")[:2] == (0, b"A\n")
        status, heard, errors = run(endpoint, sent=b"a\n")
        assert (status, heard) == (1, b"")
        assert errors.startswith("caas-client: no TLS handshake: ")
        assert errors.count("\n") == 1


def test_a_proxy_header_is_sent_first() -> None:
    with service("--proxy-protocol") as running:
        assert run(str(running.endpoints[0]), "--proxy", "v2", sent=b"a\n")[:2] == (0, b"A\n")
        assert run(str(running.endpoints[0]), "--proxy", "v1", sent=b"a\n")[:2] == (0, b"A\n")


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (["tcp://127.0.0.1:1"], 1, "cannot connect to tcp://127.0.0.1:1: connection refused"),
        (
            ["unix:/no\x7fwhere"],
            2,
            "'unix:/no\\x7fwhere' is not an endpoint: the path contains control characters",
        ),
        (
            ["udp://127.0.0.1:1"],
            2,
            "'udp://127.0.0.1:1' is not an endpoint: connections can be made to tcp, tls, unix",
        ),
        ([], 2, "Missing argument 'ENDPOINT'."),
        (
            ["tcp://127.0.0.1:1", "--insecure"],
            2,
            "the options of TLS need an endpoint that begins with tls://",
        ),
        (["tls://127.0.0.1:1", "--key", "k"], 2, "--key needs --cert"),
        (["tls://127.0.0.1:1", "--ca", "/nowhere"], 1, "cannot use /nowhere: no such file or directory"),
        (
            ["tcp://127.0.0.1:1", "--idle-timeout", "nan"],
            2,
            "idle_timeout is nan; it must be a number of seconds, 0 or more",
        ),
    ],
)
def test_a_mistake_is_one_line(
    arguments: list[str], status: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == status
    assert capsys.readouterr().err == f"caas-client: {told}\n"


def test_help_and_version_are_no_failures(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "caas-client tls://lines.example:50007 --ca ca.pem" in capsys.readouterr().out
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"caas-client, version {__version__}\n"


def test_a_server_that_resets_is_a_failure() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with subprocess.Popen(
            [*COMMAND, f"tcp://127.0.0.1:{port}"], stdin=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            assert process.stdin is not None
            process.stdin.write(b"a\n")
            process.stdin.flush()
            accepted, _ = listener.accept()
            assert accepted.recv(100) == b"a\n"
            accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            accepted.close()
            assert process.stderr is not None
            assert process.stderr.read() == b"caas-client: the connection is lost\n"
            assert process.wait() == 1


def test_a_quiet_server_ends_it_if_that_is_asked_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        endpoint = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        status, _, told = run(endpoint, "--idle-timeout", "0.1", sent=b"a\n")
    assert (status, told) == (1, "caas-client: the idle timeout is over\n")


def test_an_unwritable_output_is_reported(served: Service) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*COMMAND, str(served.endpoints[0])],
            stdin=subprocess.DEVNULL,
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == b"caas-client: standard output: no space left on device\n"


def test_an_unreadable_input_is_reported(served: Service, tmp_path: Path) -> None:
    with (tmp_path / "written").open("wb") as written:
        command = [*COMMAND, str(served.endpoints[0])]
        done = subprocess.run(command, stdin=written, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (1, b"caas-client: standard input: bad file descriptor\n")


def test_a_terminal_is_shown_escapes_and_ctrl_c_ends_it() -> None:
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        endpoint = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        with subprocess.Popen(
            [*COMMAND, endpoint, "--crlf"], stdin=theirs, stdout=theirs, stderr=subprocess.PIPE
        ) as process:
            accepted, _ = listener.accept()
            accepted.sendall(b"\x1b[2Jhi\r\n\xffbell\x07\n")
            shown = b""
            while not shown.endswith(b"\\x07\n"):
                shown += os.read(ours, 1000)
            assert shown == b"\\x1b[2Jhi\n\\xffbell\\x07\n"
            os.write(ours, b"typed\n")
            assert accepted.recv(100) == b"typed\r\n"
            process.send_signal(signal.SIGINT)
            assert process.stderr is not None
            assert process.stderr.read() == b"caas-client: interrupted\n"
            assert process.wait() == 130
        accepted.close()
    os.close(ours)
    os.close(theirs)


def _chunks(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:end] for start, end in itertools.pairwise(edges)]


BYTES = st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"a", b"\t", b"\xc3\xa9", b"\xff", b"\x1b"])).map(
    b"".join
)


@given(data=BYTES, cuts=st.lists(st.integers(0, 100)))
def test_a_screen_shows_the_same_however_it_is_cut(data: bytes, cuts: list[int]) -> None:
    screen = Screen()
    shown = "".join(map(screen.show, [*_chunks(data, cuts), b""]))
    assert shown == Screen().show(data) + ("\\r" if data.endswith(b"\r") else "")
    assert printable(shown.replace("\n", "").replace("\t", "")) == shown.replace("\n", "").replace("\t", "")


@given(data=BYTES, cuts=st.lists(st.integers(0, 100)))
def test_line_ends_are_the_same_however_they_are_cut(data: bytes, cuts: list[int]) -> None:
    ends = LineEnds()
    converted = b"".join(map(ends.convert, _chunks(data, cuts)))
    assert converted == data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def test_an_interruption_while_the_program_is_loaded_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def load() -> None:
        raise KeyboardInterrupt

    with pytest.raises(SystemExit, match="130"):
        __main__.main(load)
    assert capsys.readouterr().err == "caas-client: interrupted\n"


def test_it_runs_as_a_program() -> None:
    command = [sys.executable, "-m", "caas_trio.client", "--version"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert told.startswith("caas-client, version ")


def test_the_program_is_the_command_and_exits_as_it_says() -> None:
    given: list[list[str]] = []

    def run(arguments: list[str]) -> int:
        given.append(arguments)
        return 7

    with pytest.raises(SystemExit, match="7"):
        __main__.main(lambda: run)
    assert given == [sys.argv[1:]]
