"""What the load behind balancers makes of a server.

Slow: a load lasts some seconds of the mock clock, with many clients.
"""

from __future__ import annotations

from itertools import count

import pytest
import trio
from trio.testing import MockClock

from caas_trio import Connection, serve
from ci.deploy.__main__ import under_load
from ci.deploy.load import UNANSWERED, Front

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("may_break", [True, False])
@pytest.mark.parametrize("right", [True, False])
async def test_a_short_conversation_without_an_answer_is_wrong(
    right: bool,  # noqa: FBT001
    may_break: bool,  # noqa: FBT001
    nursery: trio.Nursery,
    autojump_clock: MockClock,
) -> None:
    numbers = count()

    async def answer(connection: Connection) -> None:
        unanswered = not right and next(numbers) % 2
        async for line in connection:
            if unanswered:
                return
            await connection.send(line.upper())

    [at] = await nursery.start(serve, answer, "tcp://127.0.0.1:0")
    front = Front((at.host, at.port), greets=False)
    outcome = await under_load("nothing", [front], trio.lowlevel.checkpoint, may_break=may_break)
    assert outcome.wrong == ([] if right or may_break else ["nothing may break"])
    assert {each.why for each in outcome.tally.broken} == (set() if right else {UNANSWERED})
    assert outcome.tally.short


@pytest.mark.parametrize("may_break", [True, False])
async def test_load_without_any_reply_is_a_fault(
    may_break: bool,  # noqa: FBT001
    autojump_clock: MockClock,
) -> None:
    outcome = await under_load("nothing", [], trio.lowlevel.checkpoint, may_break=may_break)
    assert outcome.wrong == ["nobody was served"]
