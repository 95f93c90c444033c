"""Load balancers that run with the very configuration of docs/deploy: `Haproxy` and `Nginx`."""

from __future__ import annotations

import csv
import re
import signal
import socket
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeAlias

import trio

from .background import TIMEOUT_S, running
from .fleet import CLIENT_FIRST, METRICS, SERVER_FIRST

DOCS = Path(__file__).parents[2] / "docs" / "deploy"

#: What is known of a server, by section and name.
Statistics: TypeAlias = dict[tuple[str, str], dict[str, str]]

#: The sections: that of the file, and the same once more for servers that speak first.
SECTIONS = {"lines": CLIENT_FIRST, "greeted": SERVER_FIRST}


def replaced(text: str, substitutes: Mapping[str, str]) -> str:
    """Return a text with patterns replaced, each of which has to occur.

    Raises:
        ValueError: one does not.
    """
    for pattern, substitute in substitutes.items():
        text, found = re.subn(pattern, substitute, text, flags=re.MULTILINE)
        if not found:
            raise ValueError(f"the configuration has nothing like {pattern}")
    return text


#: What haproxy logs of a conversation (`option tcplog`): the client's port, and the server.
CONVERSATION = re.compile(r" 127\.0\.0\.1:(\d+) \[\S+\] \w+ \w+/(\w+) ")


UNKNOWN = "unknown"


class Haproxy:
    """A haproxy that runs, by its runtime API and by its log."""

    def __init__(self, admin: Path) -> None:
        self._logged: defaultdict[int, list[tuple[float, str]]] = defaultdict(list)
        self._admin = admin

    @classmethod
    @asynccontextmanager
    async def before(cls, net: str, folder: Path) -> AsyncIterator[Haproxy]:
        """Run it before the servers of a network for as long as the block lasts; it has found them up."""
        admin, file = folder / "admin.sock", folder / "haproxy.cfg"
        log = trio.socket.socket(type=socket.SOCK_DGRAM)
        await log.bind((f"{net}.10", 0))
        substitutes = {r"10\.0\.0\.": f"{net}.", "/run/haproxy/admin.sock": str(admin)}
        # Every conversation is to be in the log; and the machine may not allow so many descriptors.
        substitutes |= {
            "/dev/log": "{}:{}".format(*log.getsockname()),
            "option dontlognull": "",
            "maxconn 20000": "maxconn 500",
        }
        text = replaced((DOCS / "haproxy.cfg").read_text(), substitutes)
        head, keyword, lines = text.partition("listen ")
        lines = replaced(lines, {":7$": f"{net}.10:{CLIENT_FIRST}"})
        own = {"lines": "greeted", f":{CLIENT_FIRST}$": f":{SERVER_FIRST}"}
        greeted = replaced(lines, own | {r"(server .*)": rf"\1 port {METRICS[SERVER_FIRST]}"})
        file.write_text(f"{head}{keyword}{lines}\n{keyword}{greeted}")
        haproxy = cls(admin)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(haproxy._read_log, log)
            async with running(["haproxy", "-db", "-dW", "-f", str(file)]) as process:
                await _until_it_is_there(process, admin.exists)
                await haproxy.until(lambda seen: all(each["status"] == "UP" for each in seen.values()))
                yield haproxy
            nursery.cancel_scope.cancel()

    async def tell(self, command: str) -> str:
        """Return what it says to a command."""
        async with await trio.open_unix_socket(str(self._admin)) as stream:
            await stream.send_all(command.encode() + b"\n")
            return b"".join([data async for data in stream]).decode()

    async def set_state(self, server: str, state: str) -> None:
        """Set the state of a server, in every section."""
        for section in SECTIONS:
            await self.tell(f"set server {section}/{server} state {state}")

    async def statistics(self) -> Statistics:
        """Return what it knows of the servers."""
        rows = csv.DictReader((await self.tell("show stat")).removeprefix("# ").splitlines())
        return {(row["pxname"], row["svname"]): row for row in rows if row["svname"] not in _NO_SERVERS}

    def server_of(self, port: int, when: float) -> str:
        """Return the server that a client's conversation was with, which was over at some time."""
        near = [(abs(logged - when), server) for logged, server in self._logged[port]]
        return min(near)[1] if near else UNKNOWN

    async def until(self, what: Callable[[Statistics], bool]) -> None:
        """Return once what it knows is so."""
        with trio.fail_after(TIMEOUT_S):
            while not what(await self.statistics()):  # noqa: ASYNC110 - it has to be asked
                await trio.sleep(0.05)

    async def _read_log(self, log: trio.socket.SocketType) -> None:
        with log:
            while True:
                logged = CONVERSATION.search((await log.recv(65536)).decode())
                if logged:
                    self._logged[int(logged[1])].append((trio.current_time(), logged[2]))


_NO_SERVERS = ("FRONTEND", "BACKEND", None)


class Nginx:
    """An nginx that runs, by its configuration."""

    def __init__(self, file: Path, process: trio.Process) -> None:
        self._file = file
        self._text = file.read_text()
        self._process = process

    @classmethod
    @asynccontextmanager
    async def before(cls, net: str, folder: Path, path: Path | None = None) -> AsyncIterator[Nginx]:
        """Run it for as long as the block lasts.

        Args:
            net: the network of the servers.
            folder: for what it writes.
            path: of a Unix socket that is the only server, in place of the three of the network.
        """
        file = folder / "nginx.conf"
        substitutes = {r"10\.0\.0\.": f"{net}.", "^user .*": "", "/run/nginx.pid": str(folder / "nginx.pid")}
        substitutes |= {"/var/log/nginx": str(folder)}
        text = replaced((DOCS / "nginx.conf").read_text(), substitutes)
        head, keyword, lines = text.partition("  upstream ")
        lines = replaced(lines, {"listen 7": f"listen {net}.10:{CLIENT_FIRST}"})
        if path is None:
            greeted = replaced(lines, {"lines": "greeted", f":{CLIENT_FIRST}": f":{SERVER_FIRST}"})
            lines = lines.removesuffix("}\n") + keyword + greeted
        else:
            lines = replaced(lines, {r"^ *server \S+:\d+ .*\n": "", "(zone .*)": rf"\1 server unix:{path};"})
        file.write_text(head + keyword + lines)
        async with running(["nginx", "-c", str(file), "-g", "daemon off;"]) as process:
            await _until_it_is_there(process, lambda: _listens((f"{net}.10", CLIENT_FIRST)))
            yield cls(file, process)

    def take_out(self, host: str) -> None:
        """Begin no more conversations with the servers of a host."""
        self._reload(replaced(self._text, {rf"(server {re.escape(host)}:\d+) .*;": r"\1 down;"}))

    def put_back(self) -> None:
        """Begin conversations with all servers."""
        self._reload(self._text)

    def _reload(self, text: str) -> None:
        self._file.write_text(text)
        self._process.send_signal(signal.SIGHUP)


def _listens(address: tuple[str, int]) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(address) == 0


async def _until_it_is_there(process: trio.Process, is_there: Callable[[], bool]) -> None:
    with trio.fail_after(TIMEOUT_S):
        while not is_there():
            if process.poll() is not None:
                raise RuntimeError(f"{process.args!r} ended with {process.returncode}")
            await trio.sleep(0.05)
