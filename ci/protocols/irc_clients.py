"""IRC: clients of the library `irc`, and one that does not read."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import irc.client

from .checking import HOST, Check, CheckError, Protocol, Target, expect

#: The last numeric of the greeting.
GREETED: Final = "nomotd"
#: How long anything may take to come.
TIMEOUT_S: Final = 30


class Clients:
    """Clients of one reactor, and the events that they got."""

    def __init__(self, target: Target) -> None:
        self._reactor = irc.client.Reactor()
        self._reactor.add_global_handler("all_events", self._record)
        self._port = target.port
        self.events: list[tuple[str, str, str, list[str]]] = []

    def _record(self, connection: Any, event: Any) -> None:
        source = event.source.nick if hasattr(event.source, "nick") else str(event.source)
        self.events.append((connection.get_nickname(), event.type, source, event.arguments))

    def connect(self, nick: str) -> Any:
        """Return a client that is registered."""
        client = self._reactor.server().connect(HOST, self._port, nick)
        self.until(lambda: self.seen(nick, GREETED), f"{nick} is greeted")
        return client

    def quit(self, *connected: Any) -> None:
        """End connections, and wait until they have ended: their nicks are free then."""
        for client in connected:
            client.send_raw("QUIT")
        self.until(lambda: not any(client.is_connected() for client in connected), "all have quit")

    def seen(self, nick: str, kind: str, *arguments: str, source: str = "") -> bool:
        """Return whether a client got an event of a kind, with these arguments."""
        return any(
            each[:2] == (nick, kind) and source in ("", each[2]) and [*arguments] in ([], each[3])
            for each in self.events
        )

    def until(self, come: Callable[[], bool], what: str) -> None:
        """Read with all clients until something has come.

        Raises:
            CheckError: it has not in time.
        """
        deadline = time.monotonic() + TIMEOUT_S
        while not come():
            if time.monotonic() > deadline:
                raise CheckError(f"{what}: not within {TIMEOUT_S} s; the last events are {self.events[-5:]}")
            self._reactor.process_once(0.05)


def library(target: Target) -> None:
    """Join, talk, rename, part and quit, as two clients that see each other."""
    clients = Clients(target)
    ann, bob = clients.connect("ann"), clients.connect("bob")
    ann.join("#trio")
    clients.until(lambda: clients.seen("ann", "endofnames"), "ann has joined")
    bob.join("#trio")
    clients.until(lambda: clients.seen("ann", "join", source="bob"), "ann sees bob join")
    bob.privmsg("#trio", "hello: all")
    clients.until(lambda: clients.seen("ann", "pubmsg", "hello: all", source="bob"), "ann reads bob")
    ann.privmsg("bob", "hi")
    clients.until(lambda: clients.seen("bob", "privmsg", "hi", source="ann"), "bob reads ann")
    bob.nick("rob")
    clients.until(lambda: clients.seen("ann", "nick", source="bob"), "ann sees bob renamed")
    bob.nick("ann")
    clients.until(lambda: clients.seen("rob", "nicknameinuse"), "a nick in use is refused")
    bob.ping("token")
    clients.until(lambda: clients.seen("rob", "pong", "token"), "a ping is answered")
    bob.part("#trio")
    clients.until(lambda: clients.seen("ann", "part", source="rob"), "ann sees rob part")
    bob.join("#trio")
    clients.until(lambda: clients.seen("ann", "join", source="rob"), "rob is back")
    bob.quit("enough")
    clients.until(lambda: clients.seen("ann", "quit", "Quit: enough", source="rob"), "ann sees rob quit")
    clients.quit(ann)


def pipelined(target: Target) -> None:
    """Send many lines at once; all of them arrive, in order."""
    clients = Clients(target)
    ann, bob = clients.connect("ann"), clients.connect("bob")
    for each in (ann, bob):
        each.join("#many")
    clients.until(lambda: clients.seen("ann", "endofnames") and clients.seen("bob", "endofnames"), "joined")
    count = 20 if target.cut else 2000
    bob.socket.sendall(b"".join(b"PRIVMSG #many :%d\r\n" % number for number in range(count)))

    def heard() -> list[str]:
        return [event[3][0] for event in clients.events if event[:2] == ("ann", "pubmsg")]

    clients.until(lambda: len(heard()) == count, "all lines")
    expect("the order", heard(), [str(number) for number in range(count)])
    clients.quit(ann, bob)


def slow_member(target: Target) -> None:
    """Flood a channel with a member that does not read: it is dropped, and the other one gets every line."""
    clients = Clients(target)
    ann, bob = clients.connect("ann"), clients.connect("bob")
    with socket.create_connection((HOST, target.port)) as slow:
        slow.sendall(b"NICK slow\r\nUSER slow 0 * :slow\r\nJOIN #flood\r\n")
        for each in (ann, bob):
            each.join("#flood")
        clients.until(
            lambda: clients.seen("ann", "endofnames") and clients.seen("bob", "endofnames"), "joined"
        )
        sent = 0
        while not clients.seen("ann", "quit", source="slow"):
            bob.socket.sendall(
                b"".join(b"PRIVMSG #flood :%0400d\r\n" % number for number in range(sent, sent + 100))
            )
            sent += 100
            last = f"{sent - 1:0400}"
            clients.until(partial(clients.seen, "ann", "pubmsg", last), "the line got to the other member")
            clients.events = [each for each in clients.events if each[1] == "quit"]
        clients.quit(ann, bob)


PROTOCOL: Final = Protocol(
    "IRC",
    "ircd:app",
    (Check("irc", library), Check("irc", pipelined), Check("irc", slow_member, large=True)),
)
