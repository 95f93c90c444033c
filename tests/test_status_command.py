"""`caas-trio status`: what a service does, in a terminal."""

from __future__ import annotations

import io
import re

import click
import pytest
import trio
from trio.testing import MockClock

from caas_trio import Endpoint
from caas_trio.program import cli, status_command
from caas_trio.program.status_command import AddressType, fetch, show

from .support.processes import service

ESCAPES = "\x1b[2J"


@pytest.mark.parametrize("workers", [[], ["--workers", "2"]])
@pytest.mark.slow
def test_it_shows_a_service(workers: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Start a service, with and without workers: two seconds."""
    with service("--metrics", "127.0.0.1:0", *workers) as running:
        said = running.stdout.readline()
        assert said.startswith("metrics on http://")
        url = said.removeprefix("metrics on ").strip()
        assert cli.run(["status", url]) == 0
        text = capsys.readouterr().out
        assert re.search(r"^caas_trio \S+  serving  up ", text)
        assert len(re.findall(r"^\d +\d+ +serving", text, re.MULTILINE)) == (2 if workers else 1)
        assert running.stop()[0] == 0


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:9464", "127.0.0.1:9464", "http://127.0.0.1:9464/metrics", "http://127.0.0.1:9464/"],
)
def test_what_the_service_says_of_itself_is_its_address(url: str) -> None:
    assert AddressType().convert(url, None, None) == Endpoint.parse("tcp://127.0.0.1:9464")


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1:1", "http://127.0.0.1", "file:///etc/passwd", "nonsense", ""]
)
def test_an_invalid_address_is_wrong_usage(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["status", url]) == 2
    assert "is not as http://127.0.0.1:9464" in capsys.readouterr().err


def test_a_service_that_is_not_there_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["status", "127.0.0.1:1"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("caas-trio: cannot read the status at 127.0.0.1:1: ")
    assert said.count("\n") == 1


async def answering(answer: bytes, task_status: trio.TaskStatus[Endpoint]) -> None:
    """Answer one connection."""
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        task_status.started(Endpoint.parse(f"tcp://127.0.0.1:{listener.socket.getsockname()[1]}"))
        async with await listener.accept() as stream:
            await stream.receive_some()
            await stream.send_all(answer)
            if not answer:
                await trio.sleep_forever()


OK = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"


async def test_what_comes_is_text_and_nothing_else(nursery: trio.Nursery) -> None:
    endpoint = await nursery.start(answering, OK + f"a{ESCAPES}\nb\xff\n".encode("latin-1"))
    assert await fetch(endpoint) == ["a\\x1b[2J", "b\ufffd"]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"error: too many connections\n", "it does not speak HTTP, or not to the end"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\na", "it does not speak HTTP, or not to the end"),
        (
            b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
            "it answers 404, so it is no service with --metrics",
        ),
        (OK + b"a" * (1 << 21), "it answers more than 1048576 bytes"),
    ],
)
async def test_an_answer_that_is_not_a_status_is_reported(
    answer: bytes, reason: str, nursery: trio.Nursery
) -> None:
    endpoint = await nursery.start(answering, answer)
    with pytest.raises(click.ClickException, match=re.escape(reason)):
        await fetch(endpoint)
    nursery.cancel_scope.cancel()


async def test_a_service_that_does_not_answer_is_not_waited_for(
    mock_clock: MockClock, nursery: trio.Nursery
) -> None:
    mock_clock.autojump_threshold = 0.05
    endpoint = await nursery.start(answering, b"")
    with pytest.raises(click.ClickException, match="no answer within 5 seconds"):
        await fetch(endpoint)
    nursery.cancel_scope.cancel()


class Terminal(io.StringIO):
    """A terminal that knows ASCII."""

    encoding = "ascii"

    def isatty(self) -> bool:
        return True


def test_on_a_terminal_one_look_takes_the_place_of_the_other() -> None:
    terminal = Terminal()
    show(["a █", "b"], terminal, watch=True)
    assert terminal.getvalue() == "\x1b[Ha ?\x1b[K\nb\x1b[K\n\x1b[J"


def test_elsewhere_one_look_is_below_the_other() -> None:
    output = io.StringIO()
    show(["a"], output, watch=True)
    show(["b"], output, watch=True)
    show(["c"], output, watch=False)
    assert output.getvalue() == "a\n\nb\n\nc\n"


async def test_a_service_is_watched_beyond_a_restart(
    mock_clock: MockClock, nursery: trio.Nursery, capsys: pytest.CaptureFixture[str]
) -> None:
    mock_clock.autojump_threshold = 0.05
    endpoint = await nursery.start(answering, OK + b"first\n")
    with trio.move_on_after(5):
        await status_command._show(endpoint, True)  # noqa: FBT003 - trio.run's signature
    first, *later = capsys.readouterr().out.split("\n\n")
    assert first == "first"
    assert later[0].startswith("cannot read the status at ")
