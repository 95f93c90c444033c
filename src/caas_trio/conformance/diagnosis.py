"""A guess at what a server is that fails a sanity case: one sentence for the user."""

from __future__ import annotations

import contextlib
import shlex
import ssl
from typing import Final

import trio

from caas_trio.core.endpoint import Endpoint, Scheme
from caas_trio.core.session import First

from . import datagram
from .case import Result
from .profile import Profile
from .wire import CONNECTORS

_READ_SIZE: Final = 4096
#: How an HTTP answer begins, or an HTML page without a header.
_HTTP: Final = (b"http/", b"<!doctype html", b"<html")
#: Record types of TLS, and the kind of handshake message that only a server sends.
_ALERT: Final = b"\x15\x03"
_HANDSHAKE: Final = b"\x16\x03"
_SERVER_HELLO: Final = b"\x02"
_KIND_OFFSET: Final = 5


async def diagnose(failed: Result, endpoint: Endpoint, profile: Profile, timeout_s: float) -> str:
    """Return what the server seems to be instead of what it is declared to be; empty if nothing is known.

    Args:
        failed: a sanity case that failed.
        endpoint: where the server is.
        profile: what it is declared to be.
        timeout_s: seconds that an answer may take.
    """
    fault = failed.faults[0]
    received = fault.received or b""
    if endpoint.scheme in datagram.SCHEMES or fault.clause in ("LOAD-6", "HARM-6"):
        return ""
    if received and not received.startswith(_ALERT):
        return _speech(failed.case.id, received)
    if endpoint.scheme is not Scheme.TLS and await _speaks_tls(endpoint, profile, timeout_s):
        return "it speaks TLS; judge it as a tls endpoint"
    if fault.clause == "TIME-1" or profile.dialect is not None:
        return ""
    if await _answer(endpoint, profile, b"hello\r\n", timeout_s):
        return "it answers a line that ends in CRLF, and waits where one ends in LF alone"
    return "it accepts connections and sends nothing: not to LF, not to CRLF, not to the end of input"


def _speech(case_id: str, received: bytes) -> str:
    """Return what a server's first bytes show."""
    if received.lower().startswith(_HTTP):
        return "it answers as an HTTP server does"
    return _speaks_first(received) if case_id == "ORDER-1.silent/whole" else ""


def _speaks_first(received: bytes) -> str:
    line, lf, more = received.partition(b"\n")
    if lf and not more:
        prompt = shlex.quote(line.decode(errors="backslashreplace"))
        return f"it speaks first; declare --first server --prompt {prompt} if that is what it should do"
    return "it speaks first; declare --first server and its --prompt, a line, if that is what it should do"


async def _speaks_tls(endpoint: Endpoint, profile: Profile, timeout_s: float) -> bool:
    """Return whether the server answers the beginning of a TLS handshake with one of its own."""
    context = ssl.create_default_context()
    outgoing = ssl.MemoryBIO()
    handshake = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=endpoint.host or "localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        handshake.do_handshake()
    answer = await _answer(endpoint, profile, outgoing.read(), timeout_s)
    # One that echoes sends the client's own message back.
    kind = answer[_KIND_OFFSET : _KIND_OFFSET + 1]
    return answer.startswith(_ALERT) or (answer.startswith(_HANDSHAKE) and kind == _SERVER_HELLO)


async def _answer(endpoint: Endpoint, profile: Profile, sent: bytes, timeout_s: float) -> bytes:
    """Return the first bytes that come in answer to some, the prompt aside; empty if none come."""
    answer = b""
    with contextlib.suppress(OSError, trio.BrokenResourceError), trio.move_on_after(timeout_s):
        stream = await CONNECTORS[endpoint.scheme](endpoint, profile)
        try:
            await stream.send_all(profile.header + sent)
            while not answer and (data := await stream.receive_some(_READ_SIZE)):
                is_prompt = profile.first is not First.CLIENT and profile.prompt.startswith(data)
                answer = b"" if is_prompt else bytes(data).removeprefix(profile.prompt)
        finally:
            await trio.aclose_forcefully(stream)
    return answer
