"""Servers that the checks in `ci/` start: they announce themselves, or it is said why not."""

from __future__ import annotations

import re
import sys

import pytest
import trio

from ci.process import StartError, serving, start

SAYS = "import sys, time; print({!r}, flush=True); print('why\\nlast words', file=sys.stderr); time.sleep({})"


def python(program: str) -> list[str]:
    return [sys.executable, "-c", program]


def test_all_that_it_announces_is_kept_and_it_is_gone_at_the_end() -> None:
    command = python(SAYS.format("listening on a\nlistening on b\nmetrics on c\nmore", 60))
    announcements = ["listening on ", "listening on ", "metrics on "]
    with start(command, announcements=announcements) as server:
        assert (server.announced, server.endpoint) == (["a", "b", "c"], "a")
        assert server.process.poll() is None
    assert server.process.returncode is not None


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (["/nowhere/at/all"], "/nowhere/at/all: No such file or directory"),
        (python("raise SystemExit('no port is free')"), "no port is free"),
        (python(SAYS.format("hello", 0)), "last words"),
        (python("print('hello')"), "hello"),
        (python(""), "it does not say that it listens"),
    ],
)
def test_one_that_does_not_listen_says_why(command: list[str], reason: str) -> None:
    with pytest.raises(StartError, match=f"^{re.escape(reason)}$"):
        start(command)


def test_a_silent_one_is_not_waited_for_without_end() -> None:
    with pytest.raises(StartError, match="it does not say that it listens"):
        start(python("import time; time.sleep(60)"), timeout_s=0)


async def test_it_is_gone_when_what_it_is_for_is_cancelled() -> None:
    with trio.CancelScope() as scope:
        async with serving(python(SAYS.format("listening on a", 60)), {"ANY": "thing"}) as server:
            scope.cancel()
            await trio.sleep_forever()
    assert server.process.returncode is not None
