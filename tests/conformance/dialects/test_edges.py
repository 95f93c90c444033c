"""What the cases make of servers that a test scripts: each end of a conversation, each silence.

Slow: the suite waits for silence, up to four seconds.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeAlias

import trio

from caas_trio.conformance import Profile, Result, Verdict
from caas_trio.conformance.case import Case
from caas_trio.conformance.dialects.dialect import Dialect, Ends, Meaning, Oversize
from caas_trio.conformance.dialects.families import CASES
from caas_trio.conformance.dialects.parsing import load, parse
from caas_trio.conformance.engine import run_case
from tests.conformance.conftest import scripted

JOBS = parse(
    """\
unasked = "NOTE"
[[probe]]
request = "PING {n}"
reply = 'PONG {n}$'
repeat = true
[end]
request = "QUIT"
reply = 'BYE'
[line]
request = "PING {pad}"
reply = 'PONG'
[body]
request = "PUT"
reply = 'SEND'
accepted = 'TAKEN'
[starttls]
request = "TLS"
reply = 'GO'
""",
    "jobs",
    "jobs.toml",
)
ONCE = parse(
    """\
once = true
[greeting]
reply = 'HI'
[[probe]]
request = "PING {n}"
reply = 'PONG {n}$'
repeat = true
""",
    "once",
    "once.toml",
)
#: What a server does with a line: the reply, None for a FIN.
Answer: TypeAlias = Callable[[trio.SocketStream, bytes], Awaitable[bytes | None]]


async def tried(case_id: str, answer: Answer, dialect: Dialect = JOBS, seconds: float = 1.0) -> Result:
    """Return what becomes of a case at a server that answers each line so; lines end with LF."""

    async def handler(stream: trio.SocketStream) -> None:
        pending = b""
        async for data in stream:
            *lines, pending = (pending + data).split(b"\n")
            for line in lines:
                reply = await answer(stream, line.removesuffix(b"\r"))
                if reply is None:
                    await stream.send_eof()
                    await trio.sleep_forever()
                await stream.send_all(reply)
        await stream.send_eof()

    async with scripted(handler) as endpoint:
        return await run_case(case_of(case_id), endpoint, Profile(dialect=dialect), seconds)


def clauses(result: Result) -> list[str]:
    """Return what a case found broken."""
    return [fault.clause for fault in result.faults]


async def ping(_: trio.SocketStream, line: bytes) -> bytes:
    return line.replace(b"PING", b"PONG") + b"\r\n"


def at_the_end(reply: bytes | None, *, reset: bool = False) -> Answer:
    """Return what answers QUIT so, and anything else as it should."""

    async def answer(stream: trio.SocketStream, line: bytes) -> bytes | None:
        if line != b"QUIT":
            return await ping(stream, line)
        if reset:
            stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            stream.socket.close()
            raise trio.BrokenResourceError
        if reply is not None:
            await stream.send_all(reply)
        return None

    return answer


async def test_the_reply_to_the_end_may_be_lost_in_a_reset() -> None:
    result = await tried("QUIT-3.behind/whole", at_the_end(None, reset=True))
    assert (clauses(result), "lost in a reset" in result.why) == (["QUIT-4"], True)


async def test_an_end_request_without_its_reply() -> None:
    assert clauses(await tried("QUIT-3.behind/whole", at_the_end(None))) == ["QUIT-1"]


async def test_more_than_the_reply_to_the_end() -> None:
    result = await tried("QUIT-5.ends/whole", at_the_end(b"BYE\r\nmore\r\n"))
    assert (clauses(result), result.why) == (["QUIT-5"], "more came than was due")


async def test_a_server_that_stays_after_the_end_request_fails() -> None:
    async def answer(stream: trio.SocketStream, line: bytes) -> bytes:
        if line != b"QUIT":
            return await ping(stream, line)
        await stream.send_all(b"BYE\r\n")
        await trio.sleep_forever()
        raise AssertionError

    result = await tried("QUIT-3.behind/whole", answer)
    assert (clauses(result), result.why) == (["QUIT-5"], "the server's output is still open")


async def test_a_line_that_may_come_at_any_time_is_passed_over() -> None:
    async def answer(stream: trio.SocketStream, line: bytes) -> bytes:
        return b"NOTE one\r\nNOTE two\r\n" + await ping(stream, line)

    assert (await tried("PIPE-1.three/whole", answer)).verdict is Verdict.PASSED


async def test_tls_that_is_promised_but_never_begins() -> None:
    async def silent(_: trio.SocketStream, line: bytes) -> bytes:
        return b"GO\r\n" if line == b"TLS" else b""

    result = await tried("STLS-2.works/whole", silent)
    assert (clauses(result), result.why) == (["STLS-2"], "no answer to the handshake in 1 seconds")


async def test_tls_that_is_refused_once_something_was_injected() -> None:
    assert (await tried("STLS-1.injected/whole", at_the_end(None))).verdict is Verdict.NOT_JUDGED

    async def leaving(stream: trio.SocketStream, _: bytes) -> None:
        await stream.send_all(b"GO\r\n")

    assert (await tried("STLS-1.injected/whole", leaving)).verdict is Verdict.PASSED


async def test_a_server_that_takes_no_body_is_not_judged_by_the_end_of_bodies() -> None:
    result = await tried("TERM-7.lf-dot-lf/whole", ping)
    told = "the server takes no body: the reply is not the declared one to PUT: b'PUT'"
    assert (result.verdict, result.reason) == (Verdict.NOT_JUDGED, told)


async def test_a_body_that_ends_too_early_is_reported() -> None:
    async def answer(_: trio.SocketStream, line: bytes) -> bytes:
        return {b"PUT": b"SEND\r\n", b".": b"TAKEN\r\n"}.get(line, b"")

    result = await tried("TERM-7.crlf-dot-lf/whole", answer)
    told = "CRLF DOT LF ended the body: what is behind it is a request"
    assert (clauses(result), result.why) == (["TERM-7"], told)


async def test_a_request_for_tls_that_gets_no_answer() -> None:
    async def mute(_: trio.SocketStream, __: bytes) -> bytes:
        return b""

    assert clauses(await tried("STLS-2.works/whole", mute)) == ["STLS-2"]


async def test_the_effect_of_a_bare_cr_is_noted() -> None:
    payload = replace(JOBS, ends=Ends({"bare_cr": Meaning.PAYLOAD}, source="section 1"))

    async def leaving(stream: trio.SocketStream, line: bytes) -> bytes | None:
        return None if b"\r" in line else await ping(stream, line)

    result = await tried("TERM-3.bare-cr/whole", leaving, payload)
    assert (result.verdict, result.note) == (Verdict.PASSED, "a bare CR ends the conversation")

    async def mute(stream: trio.SocketStream, line: bytes) -> bytes:
        return b"" if b"\r" in line else await ping(stream, line)

    result = await tried("TERM-3.bare-cr/whole", mute, payload)
    assert (result.verdict, result.note) == (Verdict.PASSED, "a bare CR makes the server say nothing")

    async def strict(stream: trio.SocketStream, line: bytes) -> bytes:
        return b"ERR\r\n" if b"\r" in line else await ping(stream, line)

    must_end = replace(JOBS, ends=Ends({"bare_cr": Meaning.END}, source="section 1"))
    result = await tried("TERM-3.bare-cr/whole", strict, must_end)
    assert result.why == "a bare CR ends no line; it must end one (section 1)"


async def test_a_first_request_refused_for_its_terminator_still_counts_as_a_request() -> None:
    async def answer(stream: trio.SocketStream, line: bytes) -> bytes:
        return b"ERR\r\n" if line.endswith(b"\r") else await ping(stream, line)

    result = await tried("TERM-4.cr-cr-lf/whole", answer)
    assert (result.verdict, result.note) == (Verdict.NOT_JUDGED, "CR CR LF ends a line")


async def test_a_line_that_is_too_long_may_end_the_conversation() -> None:
    dialect = replace(JOBS, oversize=Oversize(1000, None, goes_on=False))

    async def leaving(stream: trio.SocketStream, line: bytes) -> bytes | None:
        return None if len(line) > 900 else await ping(stream, line)

    async def forgetting(stream: trio.SocketStream, line: bytes) -> bytes:
        return b"" if len(line) > 900 else await ping(stream, line)

    assert (await tried("LONG-4.afterwards/whole", leaving, dialect)).verdict is Verdict.PASSED
    assert clauses(await tried("LONG-4.afterwards/whole", forgetting, dialect)) == ["LONG-4"]


async def test_timeouts_that_are_kept() -> None:
    """The server ends a connection 0.5 seconds after its beginning, or after its first line."""

    async def handler(stream: trio.SocketStream) -> None:
        with trio.move_on_after(0.5) as scope:
            async for data in stream:
                if data.endswith(b"\n"):
                    await stream.send_all(data.replace(b"PING", b"PONG"))
                    scope.deadline = trio.current_time() + 0.5
        await stream.send_eof()

    declared = Profile(dialect=replace(JOBS, idle_s=0.5, line_s=0.5))
    async with scripted(handler) as endpoint:
        for case in CASES:
            if case.clause.startswith("IDLE"):
                assert (await run_case(case, endpoint, declared, 5.0)).verdict is Verdict.PASSED, case.id


async def test_a_server_that_does_not_read_blocks_the_client() -> None:
    async def handler(_: trio.SocketStream) -> None:
        await trio.sleep_forever()

    [case] = [case for case in CASES if case.clause == "READ-2"]
    async with scripted(handler) as endpoint:
        assert (await run_case(case, endpoint, Profile(dialect=JOBS), 1.0)).verdict is Verdict.PASSED


async def test_a_reply_to_another_clients_half_a_line_is_no_refusal_to_serve() -> None:
    pending = b""  # of all clients together

    async def handler(stream: trio.SocketStream) -> None:
        nonlocal pending
        async for data in stream:
            *lines, pending = (pending + data).split(b"\n")
            for line in lines:
                await stream.send_all(line.replace(b"PING", b"PONG") + b"\n")

    async with scripted(handler) as endpoint:
        result = await run_case(case_of("HARM-1.half/whole"), endpoint, Profile(dialect=JOBS), 1.0)
    assert clauses(result) == ["HARM-5"]


async def test_a_quiet_connection_that_is_ended_too_early() -> None:
    async def handler(stream: trio.SocketStream) -> None:
        await stream.send_all((await stream.receive_some()).replace(b"PING", b"PONG"))
        await stream.send_eof()

    [case] = [case for case in CASES if case.clause == "IDLE-1"]
    async with scripted(handler) as endpoint:
        result = await run_case(case, endpoint, Profile(dialect=replace(JOBS, idle_s=5.0)), 1.0)
    assert (clauses(result), "was ended after" in result.why) == (["IDLE-1"], True)


async def once(stream: trio.SocketStream) -> None:
    """Greet, answer one line, end; a NUL ends the conversation at once."""
    await stream.send_all(b"HI\r\n")
    data = b""
    while b"\n" not in data:
        if not (more := await stream.receive_some()) or b"\0" in more:
            break
        data += more
    else:
        await stream.send_all(data.partition(b"\n")[0].replace(b"PING", b"PONG").strip() + b"\r\n")
    await stream.send_eof()
    async for _ in stream:
        pass


def case_of(case_id: str) -> Case:
    """Return a case by its id."""
    [case] = [case for case in CASES if case.id == case_id]
    return case


async def test_a_connection_with_one_request_is_judged_over_several() -> None:
    async with scripted(once) as endpoint:
        for case_id in (
            "REPLY-1.hello/whole",
            "GREET-2.once/whole",
            "QUIT-3.behind/whole",
            "QUIT-5.ends/whole",
        ):
            result = await run_case(case_of(case_id), endpoint, Profile(dialect=ONCE), 1.0)
            assert result.verdict is Verdict.PASSED, (case_id, result.why)


async def test_what_ends_the_one_line_of_a_connection() -> None:
    notes = {}
    async with scripted(once) as endpoint:
        for case_id in ("TERM-2.bare-lf/whole", "TERM-3.bare-cr/whole", "TERM-5.nul/whole"):
            notes[case_id] = (await run_case(case_of(case_id), endpoint, Profile(dialect=ONCE), 1.0)).note
    assert list(notes.values()) == [
        "a bare LF ends a line",
        "a bare CR ends no line",
        "a NUL ends the conversation",
    ]


async def test_an_answer_that_is_slow_at_times_is_waited_for() -> None:
    clients = 0

    async def slow_at_times(stream: trio.SocketStream) -> None:
        nonlocal clients
        clients += 1
        await stream.send_all(b"HI\r\n")
        if clients == 2:
            await trio.sleep(0.7)
        await stream.send_all((await stream.receive_some()).replace(b"PING", b"PONG").strip() + b"\r\n")
        await stream.send_eof()

    async with scripted(slow_at_times) as endpoint:
        result = await run_case(case_of("TERM-6.astride/whole"), endpoint, Profile(dialect=ONCE), 1.5)
    assert (result.verdict, result.why) == (Verdict.PASSED, "")


async def test_a_server_that_says_nothing_any_more_behind_a_bare_cr() -> None:
    silent = set()

    async def answer(stream: trio.SocketStream, line: bytes) -> bytes:
        if b"\r" in line:
            silent.add(stream)
        return b"" if stream in silent else await ping(stream, line)

    result = await tried("TERM-3.bare-cr/whole", answer)
    assert result.note == "a bare CR makes the server say nothing"


async def test_a_server_that_says_nothing_to_the_one_line_of_a_connection() -> None:
    async def mute(stream: trio.SocketStream) -> None:
        await stream.send_all(b"HI\r\n")
        async for _ in stream:
            pass

    async with scripted(mute) as endpoint:
        result = await run_case(case_of("TERM-3.bare-cr/whole"), endpoint, Profile(dialect=ONCE), 1.0)
    assert result.note == "a bare CR makes the server say nothing"


async def test_two_replies_cannot_be_told_from_one_that_goes_on_to_the_end() -> None:
    async with scripted(once) as endpoint:
        result = await run_case(
            case_of("QUIT-3.behind/whole"), endpoint, Profile(dialect=load("finger")), 1.0
        )
    assert (result.verdict, "cannot be told from two" in result.why) == (Verdict.NOT_JUDGED, True)


async def test_a_reply_that_should_go_on_to_the_end_and_has_none() -> None:
    async def staying(stream: trio.SocketStream) -> None:
        async for _ in stream:
            await stream.send_all(b"nobody\r\n")

    async with scripted(staying) as endpoint:
        result = await run_case(
            case_of("REPLY-1.hello/whole"), endpoint, Profile(dialect=load("finger")), 0.5
        )
    assert (clauses(result), "still open" in result.why) == (["QUIT-5"], True)
