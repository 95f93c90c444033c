"""The modules of docs/writing-a-protocol.md do what the page says, over memory."""

from __future__ import annotations

import re
import runpy
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock, memory_stream_pair

import caas_trio
from caas_trio import Connection, CountRefused, PeerError, Terminator

PAGE = (Path(__file__).parent.parent / "docs" / "writing-a-protocol.md").read_text()
MODULES = {
    f"{name}.py": code for name, code in re.findall(r"```python\n# (\w+)\.py\n(.*?)```", PAGE, re.DOTALL)
}


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Return what imports a module of the page."""
    for name, code in MODULES.items():
        (tmp_path / name).write_text(code)
    monkeypatch.syspath_prepend(tmp_path)

    def load(name: str) -> Any:
        return runpy.run_path(str(tmp_path / f"{name}.py"), run_name=name)

    return load


@asynccontextmanager
async def client_of(handler: caas_trio.Handler) -> AsyncIterator[Connection]:
    """Yield the other end of a connection that a handler serves."""
    ours, theirs = memory_stream_pair()
    async with trio.open_nursery() as nursery:

        async def serve() -> None:
            async with Connection.over(theirs) as connection:
                await handler(connection)

        nursery.start_soon(serve)
        async with Connection.over(ours) as client:
            yield client


def test_every_block_is_a_module() -> None:
    assert len(MODULES) == PAGE.count("```python")


async def test_notes(load: Callable[[str], Any]) -> None:
    async with client_of(load("notes")["handler"]) as client:
        await client.send(b"x" * 101 + b"\r\nPUT a 2\r\nhiGET a\r\nGET b\r\nQUIT\r\n")
        replies = [line async for line in client]
    assert replies == [b"line too long\r\n", b"stored\r\n", b"2\r\n", b"hiwhat?\r\n"]
    with pytest.RaisesGroup(CountRefused):
        async with client_of(load("notes")["handler"]) as client:
            await client.send(b"PUT a 1001\r\n")
            assert await client.receive_some() == b""


async def test_netstrings_and_prefixes(load: Callable[[str], Any]) -> None:
    framings = load("framings")
    ours, theirs = memory_stream_pair()
    server = Connection.over(theirs)
    await ours.send_all(b"5:hello,0:,3:abcX12:\0\0\0\x02hi\0\0\1\0")
    assert await framings["receive_netstring"](server, 5) == b"hello"
    assert await framings["receive_netstring"](server, 5) == b""
    with pytest.raises(PeerError, match="no netstring"):
        await framings["receive_netstring"](server, 5)
    with pytest.raises(CountRefused):
        await framings["receive_netstring"](server, 5)
    assert await framings["receive_prefixed"](server, 2) == b"hi"
    with pytest.raises(CountRefused):
        await framings["receive_prefixed"](server, 255)
    await ours.send_all(b"05:hello,")
    with pytest.raises(PeerError, match="no netstring"):
        await framings["receive_netstring"](server, 5)


async def test_mail(load: Callable[[str], Any]) -> None:
    async with client_of(load("mail")["handler"]) as client:
        await client.send(b"NOOP\r\nDATA\r\n" + caas_trio.dot_stuff(b".hi") + b"DATA\r\na\n.\r\n.\r\nX\r\n")
        await client.send_eof()
        replies = [line[:3] async for line in client]
    assert replies == [b"500", b"354", b"250", b"354", b"552", b"500"]


async def test_ticker(load: Callable[[str], Any], autojump_clock: MockClock) -> None:
    async with client_of(load("ticker")["handler"]) as client:
        for _ in range(3):
            assert await client.receive_line() == b"tick\r\n"
        await client.send_eof()
    assert 2 <= trio.current_time() <= 5


async def test_ask(load: Callable[[str], Any]) -> None:
    notes = load("notes")
    notes["notes"][b"a"] = b"hello"
    async with trio.open_nursery() as nursery:
        [endpoint] = await nursery.start(caas_trio.serve, notes["handler"], "tcp://127.0.0.1:0")
        assert await load("ask")["ask"](str(endpoint), b"a") == b"hello"
        nursery.cancel_scope.cancel()


async def test_cat(load: Callable[[str], Any]) -> None:
    assert await load("cat")["through_cat"](b"hello\n") == b"hello\n"


async def test_a_program_of_its_own(load: Callable[[str], Any]) -> None:
    assert await load("program")["main"]() == b"HELLO\n"


def test_the_framing_alone(load: Callable[[str], Any]) -> None:
    assert not load("framing_alone")["buffer"]  # its own assertions hold, and nothing is left


async def test_the_test(load: Callable[[str], Any]) -> None:
    await load("test_notes")["test_a_note_is_kept"]()


def test_the_default_terminator_is_the_documented_one() -> None:
    assert Connection.over(memory_stream_pair()[0]).terminator is Terminator.LF
