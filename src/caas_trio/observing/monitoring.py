"""The HTTP server for monitoring: `serve_monitoring`.

    /          what the service does, as a page for people
    /status    the same as text
    /metrics   the metrics
    /healthz   200 as long as the process serves at all
    /readyz    200 while connections are accepted, else 503

It is a service of this package like any other, on a listener of its own. Each connection may send one
request, within a timeout, and is then ended. The number of answers in a second is limited.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Final, NamedTuple, TypeAlias
from urllib.parse import unquote_to_bytes

import h11
import trio
from prometheus_client import CONTENT_TYPE_LATEST

from caas_trio.core.endpoint import Endpoint
from caas_trio.core.limits import AtCapacity, Limits
from caas_trio.core.telemetry import Telemetry
from caas_trio.drivers.connection import Connection
from caas_trio.server.serving import serve

from .status import Status
from .statuspage import POLICY, as_page
from .statustext import as_text

#: About the longest head of a request, in bytes.
_MAX_HEAD: Final = 8192

#: How long (seconds) a request may take to arrive.
_REQUEST_TIMEOUT_S: Final = 2.0

#: The shortest time between two answers (seconds): a page costs some milliseconds, in which nothing else is
#: done, so a client that asks all the time takes a tenth of a processor at the most.
PACE: Final = 0.05

_LIMITS: Final = Limits(
    max_connections=16,  # the last of them waits `_REQUEST_TIMEOUT_S` and 16 * `PACE`
    at_capacity=AtCapacity.WAIT,
    idle_timeout=_REQUEST_TIMEOUT_S,
    write_timeout=_REQUEST_TIMEOUT_S,
    linger_timeout=0.5,
)

#: The beginning of a target that is a whole URI; schemes are case-insensitive (RFC 3986, section 3.1).
_ABSOLUTE: Final = re.compile(rb"https?://[^/]", re.IGNORECASE)

_ALLOWED: Final = (b"GET", b"HEAD")


class Answer(NamedTuple):
    """A page, as it is answered."""

    status: HTTPStatus
    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()


#: The headers of the page for people.
_PAGE_HEADERS: Final = (
    ("Content-Security-Policy", POLICY),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Referrer-Policy", "no-referrer"),
)

_Pages: TypeAlias = dict[bytes, Callable[[], Answer]]


async def serve_monitoring(
    endpoint: Endpoint,
    metrics: Callable[[], bytes],
    ready: Callable[[], bool],
    telemetry: Telemetry,
    *,
    status: Callable[[], Status] | None = None,
    task_status: trio.TaskStatus[list[Endpoint]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Answer until cancelled.

    Args:
        endpoint: where to listen; a tcp or unix one.
        metrics: returns the page at /metrics.
        ready: returns whether connections are accepted.
        telemetry: called for each failure here.
        status: returns what the pages for people show; None for no such pages.
        task_status: for `nursery.start`; see `caas_trio.serve`.

    Raises:
        ListenError: the machine does not allow to listen there.
    """

    def readiness() -> Answer:
        if ready():
            return Answer(HTTPStatus.OK, b"ready\n")
        return Answer(HTTPStatus.SERVICE_UNAVAILABLE, b"not accepting connections\n")

    pages: _Pages = {
        b"/metrics": lambda: Answer(HTTPStatus.OK, metrics(), CONTENT_TYPE_LATEST),
        b"/healthz": lambda: Answer(HTTPStatus.OK, b"alive\n"),
        b"/readyz": readiness,
    }
    if status is not None:
        pages |= _for_people(status)
    await serve(
        Responder(pages).handle, endpoint, limits=_LIMITS, telemetry=telemetry, task_status=task_status
    )


def _for_people(status: Callable[[], Status]) -> _Pages:
    def page() -> Answer:
        return Answer(HTTPStatus.OK, as_page(status()), "text/html; charset=utf-8", _PAGE_HEADERS)

    def text() -> Answer:
        return Answer(HTTPStatus.OK, as_text(status()).encode("utf-8", "backslashreplace"))

    return {b"/": page, b"/status": text}


class Responder:
    """Answers one request of each connection with one of a few pages."""

    def __init__(self, pages: _Pages) -> None:
        self._pages = pages
        self._next_turn = 0.0

    async def handle(self, connection: Connection) -> None:
        """Answer the first request, if it arrives in time."""
        http = h11.Connection(h11.SERVER, _MAX_HEAD)
        event: object = None
        try:
            with trio.move_on_after(_REQUEST_TIMEOUT_S):
                event = await _receive(http, connection)
        except h11.RemoteProtocolError as error:
            event = Answer(HTTPStatus(error.error_status_hint), b"this is no request\n")
        match event:
            case h11.Request():
                await self._wait_for_turn()
                await connection.send(_written(http, self._answer(event), event.method))
            case Answer():
                await connection.send(_written(http, event))

    async def _wait_for_turn(self) -> None:
        turn = max(trio.current_time(), self._next_turn)
        self._next_turn = turn + PACE
        await trio.sleep_until(turn)

    def _answer(self, request: h11.Request) -> Answer:
        page = self._pages.get(_path(request.target))
        if page is None:
            there = ", ".join(path.decode() for path in sorted(self._pages))
            return Answer(HTTPStatus.NOT_FOUND, f"there are {there}\n".encode())
        if request.method not in _ALLOWED:
            return Answer(HTTPStatus.METHOD_NOT_ALLOWED, b"pages are got\n")
        return page()


async def _receive(http: h11.Connection, connection: Connection) -> object:
    """Return the request, or as much of it as came."""
    while (event := http.next_event()) is h11.NEED_DATA:
        http.receive_data(await connection.receive_some(_MAX_HEAD))
    return event


def _path(target: bytes) -> bytes:
    """Return the path that a request's target names, decoded, without a slash at its end.

    The target may be a whole URI (RFC 9112, section 3.2.2), whose authority is ignored, as is the query.
    """
    path, _, _ = target.partition(b"?")
    if _ABSOLUTE.match(path):
        _, _, path = path.partition(b"//")[2].partition(b"/")
        path = b"/" + path
    return unquote_to_bytes(path).removesuffix(b"/") or b"/"


def _written(http: h11.Connection, answer: Answer, method: bytes = b"GET") -> bytes:
    """Return the bytes of an answer."""
    headers = [
        ("Content-Type", answer.content_type),
        ("Content-Length", str(len(answer.body))),
        ("Cache-Control", "no-store"),
        ("Connection", "close"),
        ("X-Content-Type-Options", "nosniff"),
        *answer.headers,
    ]
    if answer.status is HTTPStatus.METHOD_NOT_ALLOWED:
        headers.append(("Allow", b", ".join(_ALLOWED).decode()))
    events = [
        h11.Response(status_code=answer.status, reason=answer.status.phrase.encode(), headers=headers),
        *([] if method == b"HEAD" else [h11.Data(answer.body)]),
        h11.EndOfMessage(),
    ]
    return b"".join(http.send(event) or b"" for event in events)
