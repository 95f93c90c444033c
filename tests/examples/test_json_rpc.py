"""The JSON-RPC example."""

from __future__ import annotations

import json
from typing import Any

import json_rpc
import pytest
import trio
from json_rpc import MAX_RUNNING, MAX_SLEEP_S, TICK_S, Service
from trio.testing import MockClock

from caas_trio import Limits, TooMuchUnsent

from .talking import connected, talk


def request(method: str, *params: object, **members: object) -> bytes:
    """Return a request as a line."""
    return json.dumps({"jsonrpc": "2.0", "method": method, "params": params, **members}).encode() + b"\n"


async def answers(said: bytes, *, cut: bool = False) -> list[Any]:
    """Return the replies: the result or the code of the error, with the id before it."""
    replies = [json.loads(line) for line in (await talk(Service().handler, said, cut=cut)).splitlines()]
    assert all(reply["jsonrpc"] == "2.0" for reply in replies)
    return [(each["id"], each["result"] if "result" in each else each["error"]["code"]) for each in replies]


@pytest.mark.parametrize("cut", [False, True], ids=["whole", "cut"])
async def test_replies_come_as_they_are_ready(autojump_clock: MockClock, *, cut: bool) -> None:
    said = request("sleep", 5, id=1) + request("sleep", 1.5, id="b") + request("upper", "straße", id=3)
    assert await answers(said, cut=cut) == [(3, "STRASSE"), ("b", 1.5), (1, 5)]


async def test_a_request_is_cancelled(autojump_clock: MockClock) -> None:
    said = request("sleep", 50, id=1) + request("cancel", 1, id=2) + request("cancel", 9, id=3)
    assert sorted(await answers(said)) == [(1, json_rpc.CANCELLED[0]), (2, True), (3, False)]
    assert trio.current_time() == 0


async def test_a_notification_has_no_reply() -> None:
    assert await answers(request("upper", "a") + request("upper", "b", id=1)) == [(1, "B")]


@pytest.mark.parametrize(
    ("line", "identity", "error"),
    [
        (b"\n", None, json_rpc.PARSE_ERROR),
        (b"{\n", None, json_rpc.PARSE_ERROR),
        (b"\xff\n", None, json_rpc.PARSE_ERROR),
        (b"[" * 50_000 + b"\n", None, json_rpc.PARSE_ERROR),
        (b'{"id": ' + b"1" * 5000 + b"}\n", None, json_rpc.PARSE_ERROR),
        (b"x" * 70_000 + b"\n", None, json_rpc.PARSE_ERROR),
        (b"[]\n", None, json_rpc.INVALID_REQUEST),
        (b'{"method": "upper", "params": ["a"], "id": 1}\n', None, json_rpc.INVALID_REQUEST),
        (b'{"jsonrpc": "2.0", "method": 1, "id": 1}\n', None, json_rpc.INVALID_REQUEST),
        (b'{"jsonrpc": "2.0", "method": "upper", "params": "a", "id": 1}\n', None, json_rpc.INVALID_REQUEST),
        (request("upper", "a", id=True), None, json_rpc.INVALID_REQUEST),
        (request("upper", "a", id=1.5), None, json_rpc.INVALID_REQUEST),
        (request("sleep", 1), None, json_rpc.INVALID_REQUEST),
        (request("lower", "a", id=7), 7, json_rpc.UNKNOWN_METHOD),
        (request("upper", id=7), 7, json_rpc.INVALID_PARAMS),
        (request("sleep", -1, id=7), 7, json_rpc.INVALID_PARAMS),
        (request("sleep", MAX_SLEEP_S + 1, id=7), 7, json_rpc.INVALID_PARAMS),
        (request("sleep", float("nan"), id=7), 7, json_rpc.INVALID_PARAMS),
        (request("cancel", [], id=7), 7, json_rpc.INVALID_PARAMS),
    ],
)
async def test_what_cannot_be_carried_out_is_an_error(
    line: bytes, identity: object, error: tuple[int, str]
) -> None:
    assert await answers(line + request("upper", "on", id="next")) == [(identity, error[0]), ("next", "ON")]


async def test_a_client_has_few_requests_running(autojump_clock: MockClock) -> None:
    said = b"".join(request("sleep", 1, id=number) for number in range(MAX_RUNNING + 1))
    replies = await answers(said)
    assert replies[0] == (MAX_RUNNING, json_rpc.BUSY[0])
    assert len(replies) == MAX_RUNNING + 1


async def test_an_id_is_used_once_at_a_time(autojump_clock: MockClock) -> None:
    said = request("sleep", 1, id=1) * 2
    assert await answers(said) == [(1, json_rpc.INVALID_REQUEST[0]), (1, 1)]


async def test_half_a_request_is_not_executed() -> None:
    assert await answers(request("upper", "a", id=1)[:-1]) == []


async def test_events_come_to_subscribers(autojump_clock: MockClock) -> None:
    async with json_rpc.app() as handler, connected(handler) as one, connected(handler) as other:
        await one.ask(request("subscribe", id=1), b'{"jsonrpc": "2.0", "id": 1, "result": true}\n')
        await trio.sleep(2 * TICK_S)
        for number in (1, 2):
            await one.receive(b'{"jsonrpc": "2.0", "method": "tick", "params": [%d]}\n' % number)
        await other.ask(request("upper", "x", id=1), b'{"jsonrpc": "2.0", "id": 1, "result": "X"}\n')


async def test_a_subscriber_that_does_not_read_is_dropped(autojump_clock: MockClock) -> None:
    limits = Limits(max_unsent=200)
    async with (
        json_rpc.app() as handler,
        connected(handler, limits, lockstep=True) as slow,
        connected(handler) as one,
    ):
        await slow.ask(request("subscribe", id=1), b'{"jsonrpc": "2.0", "id": 1, "result": true}\n')
        await one.ask(request("subscribe", id=1), b'{"jsonrpc": "2.0", "id": 1, "result": true}\n')
        await slow.ended.wait()
        assert isinstance(slow.outcome, TooMuchUnsent)
        await one.receive(b'{"jsonrpc": "2.0", "method": "tick", "params": [1]}\n')
