"""Datagrams to a server: asked up to three times, since any of them may be lost on its way."""

from __future__ import annotations

import contextlib
import secrets
import socket
from typing import Any, Final

import trio

from caas_trio.core.endpoint import Endpoint, Scheme

from .attribution import second_datagram_clause
from .case import Fault
from .compare import Broken, Mismatch
from .script import Ask, AskTogether
from .wire import unix_address
from .wirelog import Event, WireLog

_MAX_ATTEMPTS: Final = 3
_MAX_DATAGRAM: Final = 65536
#: Silence that shows that no second reply comes, nor one to another client.
_SILENCE_S: Final = 0.1
#: A Unix socket takes so few datagrams that a server has not read yet that a sender may have to wait.
_SEND_TIMEOUT_S: Final = 0.5

#: The schemes whose endpoints take datagrams.
SCHEMES: Final = frozenset({Scheme.UDP, Scheme.UNIXGRAM})


async def _open(endpoint: Endpoint, *, connected: bool = True) -> tuple[trio.socket.SocketType, Any]:
    """Return a socket that sends to the endpoint, and the address to send to.

    A connected socket receives from the endpoint alone. OSError if the machine reports that no server is
    there.
    """
    local: Any = None
    if endpoint.scheme is Scheme.UNIXGRAM:
        sock = trio.socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        local = f"\0caas-conformance-{secrets.token_hex(8)}"  # for the reply to go to
        address: Any = unix_address(endpoint)
    else:
        found = await trio.socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_DGRAM)
        family, kind, protocol, _, address = found[0]
        sock = trio.socket.socket(family, kind, protocol)
    try:
        if local is not None:
            await sock.bind(local)
        if connected:
            await sock.connect(address)
    except BaseException:
        sock.close()
        raise
    return sock, address


async def ask(endpoint: Endpoint, step: Ask, log: WireLog, timeout_s: float) -> Mismatch | None:
    """Send a datagram and hold the reply against what is due; return what was different.

    Raises:
        Broken: a second reply came, which is a fault of its own.
    """
    # A connected socket receives from the server alone: the last attempt shows whether another socket
    # replies.
    usual = _replies_from_anywhere if step.from_there else _replies
    attempts = (usual,) * _MAX_ATTEMPTS + (_replies_from_anywhere,)
    for replies_to in attempts:
        replies = await replies_to(endpoint, step, log, timeout_s / 2)
        if replies or step.shorter:
            break
    else:
        reason = f"no reply came to any of {len(attempts)} datagrams"
        return Mismatch(reason, step.reply[:256], b"", (step.reply,))
    if len(replies) > 1:
        other = next((reply for reply in replies if reply != step.reply), step.reply)
        clause = second_datagram_clause(step.reply, other)
        raise Broken(Fault(clause, "a second reply came", b"", other[:256]))
    if step.shorter:
        wrong = next((reply for reply in replies if len(reply) > len(step.data)), None)
        return None if wrong is None else Mismatch("the reply is longer than the request", b"", wrong[:256])
    if replies[0] != step.reply:
        come, due = len(replies[0]), len(step.reply)
        lengths = f": it has {come} bytes, and {due} were due" if come != due else ""
        return Mismatch(f"the reply is wrong{lengths}", step.reply[:256], replies[0][:256])
    return None


async def ask_together(
    endpoint: Endpoint, step: AskTogether, log: WireLog, timeout_s: float
) -> Mismatch | None:
    """Send datagrams from many sockets at once, and return what was different from what is due.

    Raises:
        Broken: a reply to one of them was meant for another, or for none.
    """
    for _ in range(_MAX_ATTEMPTS):
        if step.gone is not None:
            await abandon(endpoint, step.gone, log)
        came = await _come_together(endpoint, step, log, timeout_s / 2)
        if step.shorter or all(came):
            break
    for data, due, replies in zip(step.data, step.replies, came, strict=True):
        if step.shorter:
            if longer := [reply for reply in replies if len(reply) > len(data)]:
                return Mismatch("the reply is longer than the request", b"", longer[0][:256])
            continue
        others = [reply for reply in replies if reply != due] or replies[1:]
        meant_for_another = bool(others) and others[0] != due and others[0] in step.replies
        if len(replies) > 1 or meant_for_another:
            clause = "DGRAM-4" if meant_for_another else second_datagram_clause(due, others[0])
            raise Broken(Fault(clause, "a second reply came", due[:256], others[0][:256]))
        if replies != [due]:
            reason = "the reply is wrong" if replies else "no reply came"
            return Mismatch(reason, due[:256], b"".join(replies)[:256])
    return None


async def _come_together(
    endpoint: Endpoint, step: AskTogether, log: WireLog, timeout_s: float
) -> list[list[bytes]]:
    """Return what each of some sockets receives, until all have something and nothing more comes."""
    came: list[list[bytes]] = [[] for _ in step.data]
    all_came = trio.Event()

    async def listen(sock: trio.socket.SocketType, client: int) -> None:
        with contextlib.suppress(OSError):
            while True:
                came[client].append(await sock.recv(_MAX_DATAGRAM))
                log.add(client, Event.RECEIVED, came[client][-1])
                if all(came):
                    all_came.set()

    async with trio.open_nursery() as nursery:
        with contextlib.ExitStack() as sockets, contextlib.suppress(OSError):
            for client, data in enumerate(step.data):
                sock, _ = await _open(endpoint)
                sockets.enter_context(sock)
                nursery.start_soon(listen, sock, client)
                await sock.send(data)
                log.add(client, Event.SENT, data)
            with trio.move_on_after(0.0 if step.shorter else timeout_s):
                await all_came.wait()
            await trio.sleep(step.quiet)
            nursery.cancel_scope.cancel()
    return came


async def _replies(endpoint: Endpoint, step: Ask, log: WireLog, timeout_s: float) -> list[bytes]:
    """Return the replies to one datagram: none, one, or one too many."""
    replies: list[bytes] = []
    try:
        sock, _ = await _open(endpoint)
        with sock:
            await sock.send(step.data)
            log.add(step.client, Event.SENT, step.data)
            while len(replies) < 2:  # noqa: PLR2004 - the second one is the one too many
                with trio.move_on_after(_SILENCE_S if replies or step.shorter else timeout_s) as scope:
                    replies.append(await sock.recv(_MAX_DATAGRAM))
                    log.add(step.client, Event.RECEIVED, replies[-1])
                if scope.cancelled_caught:
                    break
    except OSError:
        # An ICMP error for what was sent: no socket is there, or not any more.
        log.add(step.client, Event.REFUSED)
    return replies


async def _replies_from_anywhere(
    endpoint: Endpoint, step: Ask, log: WireLog, timeout_s: float
) -> list[bytes]:
    """Return the reply to one datagram, if one comes.

    Raises:
        Broken: it came from somewhere else.
    """
    sock, server = await _open(endpoint, connected=False)
    with sock, trio.move_on_after(timeout_s):
        try:
            await sock.sendto(step.data, server)
        except OSError:
            log.add(step.client, Event.REFUSED)
            return []
        log.add(step.client, Event.SENT, step.data)
        reply, sender = await sock.recvfrom(_MAX_DATAGRAM)
        log.add(step.client, Event.RECEIVED, reply)
        if _text(sender) != _text(server):
            raise Broken(Fault("DGRAM-7", "the reply came from elsewhere", _text(server), _text(sender)))
        return [reply]
    return []


def _text(address: object) -> bytes:
    """Return an address in one form: abstract names are bytes when they are received."""
    return address if isinstance(address, bytes) else str(address).encode()


async def abandon(endpoint: Endpoint, data: bytes, log: WireLog) -> None:
    """Send a datagram from a socket that is closed before the reply can come."""
    with contextlib.suppress(OSError, trio.TooSlowError):
        sock, server = await _open(endpoint)
        with sock, trio.fail_after(_SEND_TIMEOUT_S):
            # However fast the server is, its reply finds no socket: over UDP since this one, being
            # connected to itself, is not the server's any more. That brings an ICMP error.
            if endpoint.scheme is Scheme.UNIXGRAM:
                sock.shutdown(socket.SHUT_RD)
            else:
                await sock.connect(sock.getsockname())
            await sock.sendto(data, server)
        log.add(0, Event.SENT, data)


async def probe(endpoint: Endpoint) -> None:
    """Send a probe; raise OSError if the machine reports that no server is there."""
    sock, _ = await _open(endpoint)
    with sock, trio.move_on_after(_SILENCE_S):
        await sock.send(b"")
        await sock.recv(_MAX_DATAGRAM)
