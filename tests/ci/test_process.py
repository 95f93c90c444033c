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


def test_announcements_are_kept_and_the_process_ends() -> None:
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
def test_a_server_that_fails_to_listen_gives_the_reason(command: list[str], reason: str) -> None:
    with pytest.raises(StartError, match=f"^{re.escape(reason)}$"):
        start(command)


def test_a_silent_server_times_out() -> None:
    with pytest.raises(StartError, match="it does not say that it listens"):
        start(python("import time; time.sleep(60)"), timeout_s=0)


async def test_cancellation_ends_the_process() -> None:
    with trio.CancelScope() as scope:
        async with serving(python(SAYS.format("listening on a", 60)), {"ANY": "thing"}) as server:
            scope.cancel()
            await trio.sleep_forever()
    assert server.process.returncode is not None
