"""The migration guide's examples, side by side with the stdlib's on the same input."""

from __future__ import annotations

import builtins
import queue
import re
import socket
import socketserver
import sys
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import trio

import caas_trio
from caas_trio import Endpoint, Scheme
from caas_trio.core.datagramrules import MAX_BYTES
from caas_trio.server.unixsocket import BACKLOG

from .support import streams
from .support.sockets import reply_to

GUIDE = (Path(__file__).parent.parent / "docs" / "migrating-from-socketserver.md").read_text()


def blocks(section: str) -> list[str]:
    """Return the code of the guide's section with that heading."""
    text = re.split(r"^##+ ", GUIDE.split(f"# {section}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def anywhere(block: str, directory: Path) -> str:
    """Return the block with a free port, or a path of its own, in place of the guide's."""
    return block.replace("50007", "0").replace("/run/caas/caas.sock", f"{directory}/caas.sock")


class Namespace(dict[str, object]):
    """The names of a block; a server is put into a queue as soon as it has one."""

    def __init__(self, started: queue.Queue[socketserver.BaseServer]) -> None:
        super().__init__()
        self._started = started

    def __setitem__(self, name: str, value: object) -> None:
        super().__setitem__(name, value)
        if isinstance(value, socketserver.BaseServer):
            self._started.put(value)


@asynccontextmanager
async def stdlib(block: str, directory: Path) -> AsyncIterator[Endpoint]:
    """Run a block with a `socketserver` in it in a thread; yield where it listens."""
    started: queue.Queue[socketserver.BaseServer] = queue.Queue()
    code = compile(anywhere(block, directory), "the guide", "exec")
    thread = threading.Thread(target=exec, args=(code, Namespace(started)))
    thread.start()
    server = started.get(timeout=30)
    address: Any = server.server_address
    datagrams = isinstance(server, socketserver.UDPServer)
    if isinstance(address, str):
        endpoint = Endpoint(Scheme.UNIXGRAM if datagrams else Scheme.UNIX, path=address)
    else:
        endpoint = Endpoint(Scheme.UDP if datagrams else Scheme.TCP, *address)
    try:
        yield endpoint
    finally:
        await trio.to_thread.run_sync(server.shutdown)
        await trio.to_thread.run_sync(thread.join)
        (directory / "caas.sock").unlink(missing_ok=True)


class Imports:
    """What a block imports: the modules themselves, but for `trio.run`, which is noted and not run."""

    def __init__(self) -> None:
        self.runs: list[Any] = []
        self._trio = ModuleType("trio")
        vars(self._trio).update(vars(trio), run=lambda *run: self.runs.append(partial(*run)))

    def __call__(self, name: str, *how: Any) -> ModuleType:
        return self._trio if name == "trio" else __import__(name, *how)


@asynccontextmanager
async def ours(block: str, directory: Path) -> AsyncIterator[Endpoint]:
    """Run what a block gives to `trio.run`; yield where it listens."""
    imports = Imports()
    names = {"__builtins__": {**vars(builtins), "__import__": imports}}
    exec(compile(anywhere(block, directory), "the guide", "exec"), names)  # noqa: S102 - our own text
    [run] = imports.runs
    async with trio.open_nursery() as nursery:
        [endpoint] = await nursery.start(run)
        yield endpoint
        nursery.cancel_scope.cancel()


async def talk(endpoint: Endpoint, sends: Sequence[bytes]) -> bytes:
    """Return all that is heard by a client that sends this, and ends its output."""
    if endpoint.scheme in (Scheme.UDP, Scheme.UNIXGRAM):
        return b"|".join([await ask(endpoint, data) for data in sends])
    return await streams.talk(await streams.connect(endpoint), *sends)


async def ask(endpoint: Endpoint, data: bytes) -> bytes:
    """Return the reply to a datagram."""
    return await trio.to_thread.run_sync(reply_to, endpoint, data)


#: What the clients send; one that is not in one piece is for handlers that read to the end.
ONE_SEND = [[b"hello\n"], [b"hello\r\n"], [b"\n"], [b"\r\n"], [b"tail"], [], [b"one\ntwo\r\n\nthree"]]
SENDS = [
    *ONE_SEND,
    [b"he", b"llo\nwo", b"rld", b"\n"],
    [b"one\n", b"\n", b"ta", b"il"],
    [b"a longer line\nand its tail"],
    [b"\x00\xff\x85\x0b\n" * 5000],
]


SECTIONS = {
    "The handler of the classic tutorial": ONE_SEND,
    "Every line": SENDS,
    "Lines cut at a size": SENDS,
    "A Unix socket, and the raw request": SENDS,
    "Which clients are served: `verify_request`": ONE_SEND,
    "What a handler raises: `handle_error`": [[b"1\n", b"22\r\n"], [b"1\n2"], [b"1\nbug\n"]],
    "Datagrams": [*ONE_SEND, [b"one", b"two\nthree"], [b"d" * 8192]],
    "Datagrams on a Unix socket, and no class": [*ONE_SEND, [b"one", b"", b"two\nthree"], [b"d" * 8192]],
}


@pytest.mark.parametrize("section", SECTIONS)
async def test_both_servers_answer_the_same(
    section: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    theirs, own = blocks(section)
    heard = []
    said = []
    for run, block in ((stdlib, theirs), (ours, own)):
        async with run(block, tmp_path) as endpoint:
            heard.append([await talk(endpoint, sends) for sends in SECTIONS[section]])
        said.append(capfd.readouterr())
    assert heard[0] == heard[1]
    assert any(heard[0])
    assert said[0] == said[1]


def test_every_section_is_run() -> None:
    side_by_side = GUIDE.split("## Side by side\n")[1].split("\n## ")[0]
    assert re.findall(r"^### (.*)$", side_by_side, re.MULTILINE) == list(SECTIONS)


async def test_an_endless_line_is_bounded(tmp_path: Path) -> None:
    theirs, own = blocks("Every line")
    [catching] = blocks("Where they differ")
    sends = [b"a\n" + b"b" * 100_000 + b"\nc\n"]
    async with stdlib(theirs, tmp_path) as endpoint:
        assert await talk(endpoint, sends) == b"A\n" + b"B" * 100_000 + b"\nC\n"
    async with ours(own, tmp_path) as endpoint:
        assert await talk(endpoint, sends) == b"A\n"
    async with ours(catching, tmp_path) as endpoint:
        assert await talk(endpoint, sends) == b"A\nerror: line longer than 65536 bytes\nC\n"


async def test_a_socketserver_handler_is_refused_at_once() -> None:
    class CaaSHandler(socketserver.StreamRequestHandler):
        pass

    with pytest.raises(
        TypeError, match=r"async function or a caas_trio\.StreamRequestHandler, not .*CaaSHandler"
    ):
        await caas_trio.serve(CaaSHandler, "tcp://127.0.0.1:0")  # type: ignore[arg-type]


def test_every_name_of_socketserver_is_in_the_guide() -> None:
    classes = [getattr(socketserver, name) for name in socketserver.__all__]
    names = {*socketserver.__all__, *(name for each in classes for name in vars(each) if name[0] != "_")}
    told = {name.removesuffix("()") for name in re.findall(r"`(\w+(?:\(\))?)`", GUIDE)}
    assert names - told == set()


def test_the_defaults_are_documented() -> None:
    limits = caas_trio.Limits()
    deep = socket.SOMAXCONN if sys.version_info >= (3, 15) else 5
    assert socketserver.TCPServer.request_queue_size == deep
    assert BACKLOG == 65535
    assert limits.max_line == 65536
    assert socketserver.UDPServer.max_packet_size == 8192
    assert MAX_BYTES == 262144
    assert limits.max_datagrams == 1000
    assert socketserver.ForkingMixIn.max_children == 40
    assert limits.max_connections == 10000
    assert socketserver.StreamRequestHandler.timeout is None
    assert (limits.idle_timeout, limits.line_timeout, limits.write_timeout) == (300, 60, 60)
    assert socketserver.ThreadingMixIn.block_on_close
    assert limits.drain_timeout == 10
    assert not socketserver.TCPServer.allow_reuse_address
    assert not socketserver.StreamRequestHandler.disable_nagle_algorithm


async def test_how_datagrams_differ(tmp_path: Path) -> None:
    theirs, own = blocks("Datagrams on a Unix socket, and no class")
    large = b"d" * 8193
    async with stdlib(theirs, tmp_path) as endpoint:
        assert await ask(endpoint, large) == large[:8192].upper()
    async with ours(own, tmp_path) as endpoint:
        assert await ask(endpoint, large) == large.upper()
