"""The engine: what it makes of servers that a test scripts, and that it always comes to an end.

A timeout of a fraction of a second is only ever waited for where a server owes something.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable

import pytest
import trio

from caas_trio.conformance import Case, First, Oversize, Profile, Proxy, Result, Service, Verdict
from caas_trio.conformance.compare import receive_exactly
from caas_trio.conformance.cuts import every
from caas_trio.conformance.engine import Bounds, run_case
from caas_trio.conformance.oracle import NOTICE
from caas_trio.conformance.script import (
    Connect,
    EndInput,
    Expect,
    ExpectAny,
    ExpectEnd,
    ExpectNoShouting,
    ExpectRefusal,
    ExpectSpeech,
    Growth,
    Leave,
    Pause,
    Reset,
    Send,
    SendUnread,
    Silence,
    Step,
)
from caas_trio.conformance.wirelog import Event
from caas_trio.core.endpoint import Endpoint
from caas_trio.core.session import DEFAULT_PROMPT

from .conftest import Handler, StartRight, scripted

SHORT = 0.4
LONG = 10.0


async def tried(
    handler: Handler,
    *steps: Step,
    clause: str = "FRAME-1",
    profile: Profile | None = None,
    seconds: float = LONG,
    reply_s: float = 0.0,
    bounds: Bounds = Bounds(),  # noqa: B008 - immutable
) -> Result:
    """Return what becomes of a script at a server."""

    def script(_: Profile) -> Iterable[Step]:
        return steps

    async with scripted(handler) as endpoint:
        case = Case(clause, "test", script)
        profile = profile or Profile()
        return await run_case(case, endpoint, profile, seconds, bounds)


def said(*pieces: bytes, then: float | None = None) -> Handler:
    """Return a handler that says some things, whatever it hears, and closes, or stays for ever."""

    async def handler(stream: trio.SocketStream) -> None:
        for piece in pieces:
            await stream.send_all(piece)
        if then is None:
            await trio.sleep_forever()
        await stream.send_eof()
        async for _ in stream:
            pass

    return handler


async def upper(stream: trio.SocketStream) -> None:
    """Raise what comes until the end of input."""
    async for data in stream:
        await stream.send_all(data.upper())


async def upper_lines(stream: trio.SocketStream) -> None:
    """Raise what comes, line by line."""
    pending = b""
    async for data in stream:
        *lines, pending = (pending + data).split(b"\n")
        await stream.send_all(b"".join(line.upper() + b"\n" for line in lines))


async def reset(stream: trio.SocketStream) -> None:
    """Reset the connection once something came."""
    await stream.receive_some()
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    await stream.aclose()


ENDS = 0.0


def reasons(result: Result) -> list[tuple[str, str]]:
    return [(fault.clause, fault.reason) for fault in result.faults]


async def test_a_right_answer_and_a_right_close_pass() -> None:
    result = await tried(upper, Connect(), Send(b"a\n"), Expect((b"A\n",)), EndInput(), ExpectEnd())
    assert (result.verdict, result.answer, result.close) == (Verdict.PASSED,) * 3
    events = [entry.event for entry in result.log.entries]
    assert events == [
        Event.CONNECTED,
        Event.SENT,
        Event.RECEIVED,
        Event.ENDED_INPUT,
        Event.END,
        Event.CLOSED,
    ]


async def test_a_close_that_no_step_checked_is_not_judged() -> None:
    result = await tried(upper, Connect(), Send(b"a\n"), Expect((b"A\n",)))
    assert (result.answer, result.close) == (Verdict.PASSED, Verdict.NOT_JUDGED)


async def test_a_wrong_byte_is_shown_with_its_context() -> None:
    result = await tried(said(b"x" * 1000 + b"YZ"), Connect(), Expect((b"x" * 1000 + b"yz",)))
    (fault,) = result.faults
    assert fault.reason == "byte 1000 of the reply is wrong"
    assert (fault.expected, fault.received) == (b"x" * 32 + b"yz", b"x" * 32 + b"YZ")
    assert (result.verdict, result.close) == (Verdict.FAILED, Verdict.NOT_JUDGED)


async def test_a_reply_in_many_pieces_is_one_reply() -> None:
    result = await tried(said(b"A", b"B", b"C\n", then=ENDS), Connect(), Expect((b"AB", b"C\n")), ExpectEnd())
    assert result.verdict is Verdict.PASSED


async def test_silence_where_a_reply_is_due() -> None:
    result = await tried(said(), Connect(), Expect((b"A\n",)), seconds=SHORT)
    assert reasons(result) == [("FRAME-1", "no reply came")]
    assert (result.faults[0].expected, result.faults[0].received) == (b"A\n", b"")


async def test_no_reply_is_missed_while_the_client_still_sends() -> None:
    """On a busy machine a line in pieces may take longer than a server may take to answer."""
    slowly = every(1, "slowly", 0.3 * SHORT)
    result = await tried(
        upper_lines, Connect(), Send(b"slowly\n", slowly), Expect((b"SLOWLY\n",)), seconds=SHORT
    )
    assert result.verdict is Verdict.PASSED


async def test_a_reply_that_stops() -> None:
    result = await tried(said(b"AB"), Connect(), Expect((b"ABC\n",)), seconds=SHORT)
    assert reasons(result) == [("FRAME-1", "the rest of the reply did not come (after 2 bytes)")]


async def test_an_end_where_a_reply_is_due() -> None:
    result = await tried(said(b"A", then=ENDS), Connect(), Expect((b"AB\n",)))
    assert reasons(result) == [("FRAME-1", "the server ended the conversation after 1 bytes of the reply")]


async def test_a_reply_that_comes_only_at_the_end_is_late_and_not_wrong() -> None:
    async def at_the_end(stream: trio.SocketStream) -> None:
        data = b"".join([data async for data in stream])
        await stream.send_all(data.upper())

    result = await tried(at_the_end, Connect(), Send(b"a\n"), Expect((b"A\n",)), seconds=SHORT)
    assert reasons(result) == [("TIME-1", "the reply came only when the client ended its input")]
    assert (result.verdict, result.answer) == (Verdict.FAILED, Verdict.NOT_JUDGED)
    assert result.reason == "TIME-1 got in its way"


async def test_more_than_is_due() -> None:
    result = await tried(said(b"A\nB\n", then=ENDS), Connect(), Expect((b"A\n",)), ExpectEnd())
    assert reasons(result) == [("FRAME-1", "more came than was due")]
    assert result.faults[0].received == b"B\n"


async def test_an_output_that_stays_open() -> None:
    result = await tried(said(), Connect(), EndInput(), ExpectEnd(), seconds=SHORT)
    assert reasons(result) == [("CLOSE-3", "the server's output was still open after 0.4 seconds")]
    assert (result.answer, result.close) == (Verdict.PASSED, Verdict.FAILED)


async def test_a_reset_at_the_end() -> None:
    result = await tried(reset, Connect(), Send(b"a\n"), ExpectEnd())
    assert reasons(result) == [("CLOSE-2", "the server reset the connection")]
    assert (result.answer, result.close) == (Verdict.PASSED, Verdict.FAILED)


@pytest.mark.parametrize("handler", [said(then=ENDS), reset])
async def test_a_refusal_is_an_end_of_any_kind(handler: Handler) -> None:
    result = await tried(handler, Connect(), Send(b"a\n"), ExpectRefusal())
    assert (result.verdict, result.close) == (Verdict.PASSED, Verdict.NOT_JUDGED)


async def test_neither_an_answer_nor_silence_is_a_refusal() -> None:
    result = await tried(said(b"no\n", then=ENDS), Connect(), ExpectRefusal())
    assert reasons(result) == [("FRAME-1", "the server answered")]
    assert result.faults[0].received == b"no\n"
    result = await tried(said(), Connect(), ExpectRefusal(), seconds=SHORT)
    assert reasons(result) == [("FRAME-1", "the connection was still open after 0.4 seconds")]


async def test_a_header_goes_before_everything_unless_the_connection_is_bare() -> None:
    profile = Profile(proxy=Proxy.V1)
    line = b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 25\r\n"
    assert profile.header == line
    result = await tried(upper, Connect(), Send(b"a\n"), Expect((line + b"A\n",)), profile=profile)
    assert result.verdict is Verdict.PASSED
    result = await tried(upper, Connect(bare=True), Send(b"a\n"), Expect((b"A\n",)), profile=profile)
    assert result.verdict is Verdict.PASSED


async def test_a_reset_that_only_the_writer_sees_is_reported() -> None:
    """The kernel reports a reset once; a reader that comes later sees an end."""

    async def reset_later(stream: trio.SocketStream) -> None:
        await stream.send_all(b"B\n")
        await reset(stream)

    steps = (Connect(), Expect((b"B\n",)), Send(b"a" * (64 << 20)), ExpectEnd())
    result = await tried(reset_later, *steps)
    assert reasons(result) == [("CLOSE-2", "the server reset the connection")]


async def test_no_server_answers() -> None:
    async with scripted(upper) as endpoint:
        pass
    result = await run_case(Case("FRAME-1", "test", lambda _: [Connect()]), endpoint, Profile(), LONG)
    assert reasons(result) == [("LOAD-6", "no connection: Connection refused")]
    assert result.answer is Verdict.NOT_JUDGED


async def drip(stream: trio.SocketStream) -> None:
    """Reply with what is right, a byte every 10 ms."""
    while True:
        await stream.send_all(b"A")
        await trio.sleep(0.01)


async def test_a_server_that_is_too_slow_for_a_case_is_not_judged() -> None:
    """Silence is a fault, and slowness is not."""
    steps = (Connect(), Expect((b"A" * 10_000,)))
    result = await tried(drip, *steps, seconds=1.0, bounds=Bounds(waits=1, own_s=0))
    assert (result.verdict, result.faults) == (Verdict.NOT_JUDGED, [])
    assert result.reason.startswith("the server is too slow for it, which had 1")


async def test_a_case_gets_the_time_that_the_pace_of_the_server_asks_for() -> None:
    """Slow: so is the server, by more than a case may take by default."""
    bounds = Bounds(waits=1, own_s=0, replies=1000, reply_s=0.01)
    steps = (Connect(), Expect((b"A" * 150,)))
    result = await tried(drip, *steps, seconds=1.0, bounds=bounds)
    assert result.verdict is Verdict.PASSED
    # And no more of it than shows that it would not do.
    steps = (Connect(), Expect((b"A" * 10_000,)))
    result = await tried(drip, *steps, seconds=1.0, bounds=bounds)
    assert result.reason.startswith("the server is too slow for it, which had 1")


async def test_a_case_of_many_steps_continues_while_the_server_answers() -> None:
    """Even where nothing of the step under way has come yet.

    Slow: so is the server, by more than a case may take without it.
    """

    async def in_a_while(stream: trio.SocketStream) -> None:
        async for data in stream:
            await trio.sleep(0.4)
            await stream.send_all(data.upper())

    bounds = Bounds(waits=1, own_s=0, reply_s=0.4)
    turn: tuple[Step, ...] = (Send(b"a\n"), Expect((b"A\n",)))
    for steps in ((Connect(), *turn, *turn, *turn), (Connect(), *turn, *turn, Pause(0.4), *turn)):
        result = await tried(in_a_while, *steps, seconds=1.0, bounds=bounds)
        assert result.verdict is Verdict.PASSED


async def test_a_server_at_capacity_breaks_only_the_clause_about_many_clients() -> None:
    handler = said(b"error: too many connections\n", then=ENDS)
    result = await tried(handler, Connect(), Send(b"a\n"), Expect((b"A\n",)))
    assert reasons(result) == [
        ("LOAD-5", "the server says that it is at capacity; this case has 0 other clients")
    ]
    assert (result.verdict, result.answer) == (Verdict.FAILED, Verdict.NOT_JUDGED)


async def test_a_connection_that_times_out_is_a_fault() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        endpoint = Endpoint.parse(f"tls://127.0.0.1:{full.getsockname()[1]}")
        case = Case("FRAME-1", "test", lambda _: [Connect()])
        result = await run_case(case, endpoint, Profile(), SHORT, Bounds(waits=1))
    assert reasons(result) == [("LOAD-6", "no connection: no answer in 0.4 seconds")]


async def test_silence_is_checked_even_if_the_server_reads_nothing() -> None:
    steps = (Connect(), Send(b"x" * (64 << 20)), Silence(0.05))
    result = await tried(said(), *steps, seconds=0.1)
    assert result.verdict is Verdict.PASSED


async def test_garbage_for_ever_ends_at_the_first_wrong_byte() -> None:
    async def garbage(stream: trio.SocketStream) -> None:
        while True:
            await stream.send_all(b"\0\xff<script>" * 1000)

    result = await tried(garbage, Connect(), Send(b"a\n"), Expect((b"A\n",)))
    assert reasons(result) == [("FRAME-1", "byte 0 of the reply is wrong")]


# What the server says for itself


async def test_a_notice_may_be_in_any_words_and_any_pieces() -> None:
    result = await tried(
        said(b"A\nwhat", b" was that?", b"\nB\n", then=ENDS),
        Connect(),
        Expect((b"A\n", NOTICE, b"B\n")),
        ExpectEnd(),
    )
    assert result.verdict is Verdict.PASSED


@pytest.mark.parametrize(
    ("handler", "reason"),
    [
        (said(b"AAAAAA\n"), "a reply came where a notice was due"),
        (said(b"x" * 1000), "a reply came where a notice was due"),
        (said(b"err", then=ENDS), "the server ended the conversation without a notice"),
        (said(b"err"), "no notice came"),
    ],
)
async def test_other_lines_are_not_a_notice(handler: Handler, reason: str) -> None:
    result = await tried(handler, Connect(), Expect((NOTICE,)), seconds=SHORT)
    assert reasons(result) == [("FRAME-1", reason)]


async def test_speech_is_a_line_with_a_lower_case_letter() -> None:
    result = await tried(
        said(b"Hel", b"lo\nA", then=ENDS), Connect(), ExpectSpeech(), Expect((b"A",)), ExpectEnd()
    )
    assert result.verdict is Verdict.PASSED
    result = await tried(said(b"Hello\n", then=ENDS), Connect(), ExpectSpeech(), ExpectEnd())
    assert result.verdict is Verdict.PASSED


@pytest.mark.parametrize("speech", [b"HELLO\n", b"hello", b"x" * 5000])
async def test_other_output_is_not_speech(speech: bytes) -> None:
    result = await tried(said(speech, then=ENDS), Connect(), ExpectSpeech(), clause="SAY-1")
    ((clause, reason),) = reasons(result)
    assert clause == "SAY-1"
    assert "lower-case" in reason


@pytest.mark.parametrize(
    ("speech", "faults"),
    [
        (b"", []),
        (b"A REPLY\n", []),
        (b"error: a notice\n", []),
        (b"ERROR\n", ["SAY-1"]),
        (b"error: no end", ["SAY-1"]),
    ],
)
async def test_a_notice_is_a_reply_or_has_a_lower_case_letter(speech: bytes, faults: list[str]) -> None:
    steps = (Connect(), ExpectNoShouting(b"A REPLY\n"))
    result = await tried(said(speech, then=ENDS), *steps, clause="SAY-1")
    assert [fault.clause for fault in result.faults] == faults


async def test_a_second_notice_is_about_notices() -> None:
    profile = Profile(max_line=10, oversize=Oversize.DISCARD)
    notice = b"error: line longer than 10 bytes\n"
    result = await tried(
        said(notice * 2), Connect(), Expect((NOTICE, b"A\n")), clause="LIMIT-8", profile=profile
    )
    assert [fault.clause for fault in result.faults] == ["LIMIT-9"]


async def test_a_prompt_that_waits_for_the_client_is_not_a_late_reply() -> None:
    async def at_the_end(stream: trio.SocketStream) -> None:
        async for _ in stream:
            pass
        await stream.send_all(DEFAULT_PROMPT)

    steps = (Connect(greet=False), Expect((DEFAULT_PROMPT,)))
    profile = Profile(first=First.SERVER)
    result = await tried(at_the_end, *steps, clause="ORDER-3", profile=profile, seconds=SHORT)
    assert [fault.clause for fault in result.faults] == ["ORDER-2"]


async def test_anything_will_do_where_anything_is_due() -> None:
    result = await tried(said(b"Hi", then=ENDS), Connect(), ExpectAny(), Expect((b"Hi",)), ExpectEnd())
    assert result.verdict is Verdict.PASSED
    result = await tried(said(then=ENDS), Connect(), ExpectAny())
    assert reasons(result) == [("FRAME-1", "the server ended the conversation")]
    result = await tried(said(), Connect(), ExpectAny(), seconds=SHORT)
    assert reasons(result) == [("FRAME-1", "the server sends nothing")]


@pytest.mark.parametrize(
    ("first", "clause"), [(First.SERVER, "ORDER-2"), (First.EITHER, "ORDER-5"), (First.CLIENT, "SAY-1")]
)
async def test_a_missing_prompt_is_not_a_wrong_prompt(first: First, clause: str) -> None:
    profile = Profile(first=first)
    steps = (Connect(greet=False), ExpectSpeech())
    result = await tried(said(then=ENDS), *steps, clause="SAY-1", profile=profile)
    assert reasons(result) == [(clause, "the server sends nothing")]


async def test_unsolicited_output_does_not_end_a_conversation() -> None:
    result = await tried(said(b"Hi"), Connect(), Silence(SHORT), clause="CLOSE-4")
    assert reasons(result) == [("ORDER-1", "the server spoke unasked")]


@pytest.mark.parametrize(
    ("before", "said_then", "blamed"),
    [
        (b"A\n", DEFAULT_PROMPT, "ORDER-6"),
        (DEFAULT_PROMPT + b"A\n", DEFAULT_PROMPT, "ORDER-5"),
        (b"A\n", b"Hi", "ORDER-5"),
    ],
)
async def test_a_late_prompt_is_a_second_one_only_after_a_first(
    before: bytes, said_then: bytes, blamed: str
) -> None:
    steps = (Connect(), Expect((b"A\n",)), Silence(SHORT))
    result = await tried(
        said(before + said_then), *steps, clause="CLOSE-4", profile=Profile(first=First.EITHER)
    )
    assert reasons(result) == [(blamed, "the server spoke unasked")]


async def test_silence_may_be_kept_broken_or_ended() -> None:
    result = await tried(said(), Connect(), Silence(0.05))
    assert result.verdict is Verdict.PASSED
    result = await tried(said(b"Hi"), Connect(), Silence(SHORT))
    assert reasons(result) == [("FRAME-1", "the server spoke unasked")]
    result = await tried(said(then=ENDS), Connect(), Silence(SHORT))
    assert reasons(result) == [("CLOSE-4", "the server ended the conversation while nothing was sent")]


@pytest.mark.parametrize(
    ("service", "reason"),
    [
        (Service.UPPER, "the server answered a line that was not complete"),
        (
            Service.ECHO,
            (
                "the server answered a line that was not complete; "
                "if it echoes bytes as they come (RFC 862), declare --service echo-bytes"
            ),
        ),
    ],
)
async def test_a_reply_before_the_end_of_the_line_is_reported_as_such(service: Service, reason: str) -> None:
    async def bytewise(stream: trio.SocketStream) -> None:
        async for data in stream:
            await stream.send_all(service.reply(bytes(data)))

    steps = (Connect(), Send(b"line\nhel"), Expect((service.reply(b"line\n"),)), Silence(LONG))
    result = await tried(bytewise, *steps, profile=Profile(service=service))
    assert reasons(result) == [("FRAME-1", reason)]


# Greetings


async def test_a_server_first_server_greets_before_anything_else() -> None:
    profile = Profile(first=First.SERVER)
    handler = said(DEFAULT_PROMPT + b"A\n", then=ENDS)
    result = await tried(handler, Connect(), Expect((b"A\n",)), ExpectEnd(), profile=profile)
    assert result.verdict is Verdict.PASSED


@pytest.mark.parametrize(
    ("handler", "clause", "blamed"),
    [
        (said(b"Hello!\n"), "FRAME-1", "ORDER-3"),
        (said(), "FRAME-1", "ORDER-2"),
        (said(), "LOAD-2", "LOAD-2"),
        (said(then=ENDS), "FRAME-1", "FRAME-1"),
    ],
)
async def test_a_wrong_prompt_is_not_the_fault_of_the_judged_clause(
    handler: Handler, clause: str, blamed: str
) -> None:
    result = await tried(
        handler, Connect(), clause=clause, profile=Profile(first=First.SERVER), seconds=SHORT
    )
    assert [fault.clause for fault in result.faults] == [blamed]


@pytest.mark.parametrize(
    ("first", "before", "blamed"),
    [
        (First.CLIENT, b"", "FRAME-1"),
        (First.SERVER, DEFAULT_PROMPT, "ORDER-3"),
        (First.EITHER, b"", "ORDER-6"),
        (First.EITHER, DEFAULT_PROMPT, "ORDER-5"),
    ],
)
async def test_a_prompt_in_place_of_a_reply_is_about_prompts(
    first: First, before: bytes, blamed: str
) -> None:
    steps = (Connect(), Expect((b"A\nB\n",)))
    profile = Profile(first=first)
    result = await tried(said(before + b"A\n" + DEFAULT_PROMPT), *steps, profile=profile)
    assert [fault.clause for fault in result.faults] == [blamed]


async def test_an_output_that_stays_open_breaks_the_clause_of_its_end() -> None:
    result = await tried(said(), Connect(), ExpectEnd(), seconds=SHORT, clause="LIMIT-7")
    assert [fault.clause for fault in result.faults] == ["LIMIT-7"]
    profile = Profile(once=True)
    result = await tried(said(), Connect(), ExpectEnd(), seconds=SHORT, profile=profile)
    assert [fault.clause for fault in result.faults] == ["CLOSE-5"]


@pytest.mark.parametrize(
    "pieces",
    [
        (b"A\n",),
        (DEFAULT_PROMPT, b"A\n"),
        (DEFAULT_PROMPT[:5], DEFAULT_PROMPT[5:] + b"A\n"),
    ],
)
async def test_if_either_side_may_begin_a_prompt_is_optional(pieces: tuple[bytes, ...]) -> None:
    profile = Profile(first=First.EITHER)
    result = await tried(said(*pieces, then=ENDS), Connect(), Expect((b"A\n",)), ExpectEnd(), profile=profile)
    assert result.verdict is Verdict.PASSED


async def test_a_prompt_cut_off_by_the_end_is_not_a_prompt() -> None:
    handler = said(DEFAULT_PROMPT[:5], then=ENDS)
    steps = (Connect(), Expect((DEFAULT_PROMPT[:5],)), ExpectEnd())
    result = await tried(handler, *steps, profile=Profile(first=First.EITHER))
    assert result.verdict is Verdict.PASSED


async def test_a_client_that_speaks_too_late_is_retried_then_not_judged() -> None:
    bounds = Bounds(punctual_s=0.0)

    def script(_: Profile) -> Iterable[Step]:
        return Connect(), Send(b"a\n"), Expect((b"A\n",))

    profile = Profile(first=First.EITHER)
    async with scripted(said(b"B\n")) as endpoint:
        case = Case("ORDER-6", "test", script, punctual=True)
        result = await run_case(case, endpoint, profile, LONG, bounds)
        assert (result.verdict, result.reason) == (
            Verdict.NOT_JUDGED,
            "this machine was too busy to speak at once",
        )
        result = await run_case(Case("ORDER-8", "test", script), endpoint, profile, LONG)
        assert result.verdict is Verdict.FAILED


# The client's conduct


async def test_a_reset_by_the_client_reaches_the_server() -> None:
    seen: list[type[BaseException]] = []
    done = trio.Event()

    async def watching(stream: trio.SocketStream) -> None:
        try:
            await stream.receive_some()
        except trio.BrokenResourceError as error:
            seen.append(type(error.__cause__) if error.__cause__ else type(error))
        done.set()

    def script(_: Profile) -> Iterable[Step]:
        return Connect(), Reset()

    async with scripted(watching) as endpoint:
        result = await run_case(Case("LOAD-3", "test", script), endpoint, Profile(), LONG)
        await done.wait()
    assert result.verdict is Verdict.PASSED
    assert seen == [ConnectionResetError]


async def test_a_client_that_leaves_without_sending_does_not_reset() -> None:
    ended = trio.Event()

    async def watching(stream: trio.SocketStream) -> None:
        assert await stream.receive_some() == b""
        ended.set()

    def script(_: Profile) -> Iterable[Step]:
        return Connect(), Leave()

    async with scripted(watching) as endpoint:
        result = await run_case(Case("LOAD-7", "test", script), endpoint, Profile(), LONG)
        await ended.wait()
    assert result.verdict is Verdict.PASSED


async def test_sending_unread_blocks_at_a_server_that_stops_reading() -> None:
    data = b"x" * (64 << 20)
    result = await tried(said(), Connect(), SendUnread(data, quiet=0.2, must_block=True))
    assert result.verdict is Verdict.PASSED


async def test_sending_unread_does_not_block_at_a_server_that_reads_on() -> None:
    async def reads_on(stream: trio.SocketStream) -> None:
        async for _ in stream:
            pass

    result = await tried(
        reads_on, Connect(), SendUnread(b"xyz", quiet=LONG, must_block=True, times=3), clause="FLOW-3"
    )
    assert reasons(result) == [("FLOW-3", "the server took 9 bytes from a client that reads nothing")]
    assert (result.verdict, result.answer) == (Verdict.NON_STRICT, Verdict.NON_STRICT)
    result = await tried(reads_on, Connect(), SendUnread(b"xyz", quiet=LONG))
    assert result.verdict is Verdict.PASSED


async def test_growth_is_a_matter_of_ratio_and_of_seconds() -> None:
    async def slow_for_long_lines(stream: trio.SocketStream) -> None:
        data = b""
        while not data.endswith(b"\n"):
            data += await stream.receive_some()
        if len(data) > 10:
            await trio.sleep(0.05)
        await stream.send_all(data.upper())
        await stream.receive_some()

    small, large = b"a\n", b"aaaaaaaaaaaaaaa\n"
    result = await tried(slow_for_long_lines, Growth(small, large, factor=0.0, floor=0.01), clause="TIME-2")
    ((clause, reason),) = reasons(result)
    assert clause == "TIME-2"
    assert reason.startswith("8 times the bytes took ")
    result = await tried(slow_for_long_lines, Growth(small, large, factor=0.0, floor=LONG), clause="TIME-2")
    assert result.verdict is Verdict.PASSED


async def test_a_unix_socket_is_an_endpoint_like_any_other(right: StartRight) -> None:
    endpoint = right("unix:@caas-conformance-test")
    steps: list[Step] = [Connect(), Send(b"a\n"), Expect((b"A\n",)), EndInput(), ExpectEnd()]
    result = await run_case(Case("FRAME-1", "test", lambda _: steps), endpoint, Profile(), LONG)
    assert result.verdict is Verdict.PASSED
    nobody = Endpoint.parse("unix:/nonexistent/caas.sock")
    result = await run_case(Case("FRAME-1", "test", lambda _: steps), nobody, Profile(), LONG)
    assert reasons(result) == [("LOAD-6", "no connection: No such file or directory")]


async def test_nothing_due_is_received_at_once() -> None:
    assert await receive_exactly(None, (), 0.0) is None  # type: ignore[arg-type]
