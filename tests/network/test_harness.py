"""`caas_trio.testing.harness`, which a fuzzer calls."""

from __future__ import annotations

import random

import pytest

from caas_trio import App, Connection, First, LineSession
from caas_trio.testing import CheckFailed, harness

#: How the client behaves, by the first byte of an input.
READS_LAST, RESETS, LISTENS = b"\1", b"\2", b"\4"


async def shout(connection: Connection) -> None:
    async for line in connection:
        await connection.send(line.upper())


async def greet(connection: Connection) -> None:
    await connection.send(b"welcome\n")
    await shout(connection)


async def chunky(connection: Connection) -> None:
    while chunk := await connection.receive_some():
        await connection.send(b"%d\n" % len(chunk))


@pytest.mark.parametrize("first", First)
def test_any_input_runs_and_a_right_server_stands_it(first: First) -> None:
    run = harness(App(session=lambda: LineSession(bytes.upper, first)), first=first)
    choices = random.Random(1)  # noqa: S311 - to be repeated
    inputs = [choices.randbytes(choices.randrange(40)) for _ in range(40)]
    assert [run(each) for each in inputs] == [None] * 40


@pytest.mark.parametrize("how", [b"\0", READS_LAST])
def test_a_server_that_depends_on_cuts_is_found(how: bytes) -> None:
    with pytest.raises(CheckFailed, match="depends on how the input is cut") as raised:
        harness(chunky)(how + b"\1\x80hello\n")
    assert r"b'hel' | b'lo\n'" in str(raised.value)


def test_without_cuts_or_with_a_reset_nothing_is_compared() -> None:
    run = harness(chunky)
    assert [run(each) for each in (b"\0\0hello", RESETS + b"\1\x80hello", b"")] == [None] * 3


def test_what_an_app_raises_is_found() -> None:
    async def needs_text(connection: Connection) -> None:
        (await connection.receive_line()).decode()

    with pytest.raises(CheckFailed, match="the app has raised UnicodeDecodeError") as raised:
        harness(needs_text)(b"\0\0\xff\n")
    assert isinstance(raised.value.__cause__, UnicodeDecodeError)


@pytest.mark.parametrize(("first", "how"), [(First.SERVER, b"\0"), (First.EITHER, LISTENS)])
def test_a_server_that_does_not_speak_where_it_should_is_found(first: First, how: bytes) -> None:
    run = harness(greet, first=first)
    assert run(how + b"\0hello\n") is None
    with pytest.raises(CheckFailed, match="sends nothing"):
        harness(shout, first=first)(how + b"\0hello\n")
    assert harness(shout)(how + b"\0hello\n") is None
