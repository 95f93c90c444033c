"""The control protocol, as a supervisor hears a worker that has been taken over: `Worker` and `Control`.

Under the mock clock, over a socket pair, with a process that is none. Whatever the worker sends, its run
ends without an exception; its messages are those of a second implementation, up to the first wrong line.
"""

from __future__ import annotations

import math
import re
import socket
from contextlib import nullcontext
from typing import Final

import trio
from trio.testing import wait_all_tasks_blocked

from caas_trio.program.control import Control
from caas_trio.program.messages import MAX_MESSAGE_BYTES, Command, ControlError, WorkerConfig, parse_messages
from caas_trio.program.worker_process import StartedProcess, Worker
from fuzz.script import END, SILENCE, header, steps, tokens
from tests.support.fakes import FakeProcess

from .chunks import cut
from .playing import Player, play_alone

MODULES: Final = ("caas_trio.program.messages",)

#: Steps besides the common ones: the supervisor stops the worker; its process ends.
_STOP, _EXIT = b"se"
_KNOWN: Final = frozenset({END, SILENCE, _STOP, _EXIT})
_FINAL: Final = (b"failed", b"misused", b"no-room")
_ONCE: Final = (b"drain", b"ready")
_WORDS: Final = (b"ready", b"alive", b"turned", b"drain", *_FINAL)
_SECONDS: Final = re.compile(rb"[0-9]{1,9}(\.[0-9]{1,9})?|inf")
TOKENS: Final = (
    *tokens(_KNOWN),
    *(word + b"\n" for word in _WORDS),
    *(word + b" why\n" for word in _WORDS),
    b"ready\nalive\n",
    b"drain 10.000\n",
    b"drain inf\n",
    b"drain 1.\n",
    b"failed \xff=\n",
    b"failed \xff>\n",
    b"no-room \xff<\n",
    b"failed \xffx\n",
    b"failed \xc3\xa9\xe2\x80\xa8\n",
)
_MAX_LINE: Final = 4096  # bytes
_MAX_REASON: Final = 1000  # characters
_READY_TIMEOUT_S: Final = 30
_GRACE_S: Final = 5
_SETTLED_S: Final = 0.5  # after which all that was sent has been read, one pause after the other
_CONFIG: Final = WorkerConfig(
    arguments=[],
    config={},
    directory=None,
    sockets=[],
    slot=1,
    watchdog_interval=math.inf,
    metrics_folder=None,
)


def check(data: bytes) -> None:
    """Play one script in a run of its own."""
    assert WorkerConfig.from_line(_CONFIG.to_line()) == _CONFIG, "a config is read back as another"
    play_alone(open_player, data)


def open_player() -> nullcontext[Player]:
    """Return the function that plays a script; it needs nothing else."""
    return nullcontext(play)


async def play(data: bytes) -> None:
    """Play one script; the clock has to be a mock clock that jumps."""
    status, _, cutting, _ = header(data)
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)  # noqa: FBT003 - the socket module's signature
    with theirs:
        runner = _ControlScriptRunner(ours, theirs)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(runner.run)
            for chunk, sign in steps(data, _MAX_LINE, _KNOWN):
                for piece in cut(chunk, cutting):
                    runner.send(piece)
                await runner.act(sign)
            await runner.finish(status & 1)


class _ControlScriptRunner:
    """A worker as its supervisor sees it, and what it has sent."""

    def __init__(self, ours: socket.socket, theirs: socket.socket) -> None:
        self.process = FakeProcess(1)
        self.heard = 0
        control = Control(ours, MAX_MESSAGE_BYTES, pause_s=0.01)
        self.worker = Worker(_CONFIG, StartedProcess(self.process, control), self.count)
        self.theirs = theirs
        self.pieces: list[bytes] = []
        self.over = False
        self.stopped = self.timed_out = False

    async def run(self) -> None:
        """Run the worker, which ends without an exception."""
        await self.worker.run()
        self.over = True

    def count(self, worker: Worker) -> None:
        """Count a message."""
        assert worker is self.worker, "a message of another worker"
        self.heard += 1

    def send(self, piece: bytes) -> None:
        """Send as the worker does, as long as its supervisor listens."""
        if piece and not self.over and self.theirs.fileno() >= 0:
            self.theirs.send(piece)
            self.pieces.append(piece)

    async def act(self, sign: int) -> None:
        """Run one step of the script, and compare."""
        if sign == END:
            self.theirs.close()
        elif sign == _STOP and not self.over:
            await self.compare_when_idle()
            self.stopped = True
            self.worker.end(Command.STOP, _GRACE_S)
        elif sign == _EXIT:
            await self.compare_when_idle()
            self.process.end(0)
            self.theirs.close()
        await self.compare_when_idle()
        if sign == SILENCE:
            self.timed_out |= not (self.over or _expected(self.pieces)[2])
            self.timed_out |= (self.stopped or self.theirs.fileno() < 0) and not self.over
            await trio.sleep(_READY_TIMEOUT_S + 1)
            assert self.over or not self.timed_out, "the worker is waited for without end"
        await self.compare_when_idle()

    async def compare_when_idle(self) -> None:
        """Wait until all has been read, then compare."""
        if not self.over:
            await trio.sleep(_SETTLED_S)
        await wait_all_tasks_blocked()
        messages, wrong, ready = _expected(self.pieces)
        assert self.heard == messages, f"{self.heard} messages instead of {messages}"
        assert self.over or not wrong, "a worker that breaks the protocol is kept"
        assert self.over or self.worker.ready is (ready and not self.stopped), "ready at the wrong time"

    async def finish(self, status: int) -> None:
        """Close the worker's end, end its process, and compare what it is said to have died of."""
        await self.compare_when_idle()
        self.theirs.close()
        await self.compare_when_idle()
        ended = self.process.returncode
        self.process.end(status)
        await self.compare_when_idle()
        assert self.over, "the worker is waited for although it is gone"
        _compare_parsed(self.pieces)
        death = self.worker.death()
        _, wrong, _ = _expected(self.pieces)
        if wrong:
            assert death is not None, "a wrong message is no reason"
            assert "broke the control protocol" in death.reason, death.reason
        elif self.stopped and not ended and not status and not self.timed_out:
            failed = any(word in b"".join(self.pieces) for word in _FINAL)
            assert death is None or failed, f"died of {death}"
        assert death is None or "\n" not in death.reason, "a reason of several lines"


def _expected(pieces: list[bytes]) -> tuple[int, bool, bool]:
    """Return how many messages were sent, whether a wrong line follows them, and whether one was ready."""
    *lines, rest = b"".join(pieces).split(b"\n")
    messages, ready, last = 0, False, b""
    seen: set[bytes] = set()
    for line in lines:
        word, space, reason = line.partition(b" ")
        with_reason = word in (*_FINAL, b"drain")
        right = len(line) <= _MAX_LINE and word in _WORDS and bool(space) is with_reason and _is_utf8(line)
        right = right and (word != b"drain" or _SECONDS.fullmatch(reason) is not None)
        comes_late = word in seen or (word == b"drain" and ready)
        if not right or last in _FINAL or (word in _ONCE and comes_late):
            return messages, True, ready
        seen.add(word)
        messages, ready, last = messages + 1, ready or word == b"ready", word
    return messages, len(rest) > _MAX_LINE, ready


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _compare_parsed(pieces: list[bytes]) -> None:
    """Compare what the parser by itself makes of the pieces."""
    messages, wrong, _ = _expected(pieces)
    count, refused = 0, False
    try:
        for message in parse_messages(pieces):
            count += 1
            assert message.reason.isprintable(), f"{message.reason!r} is printed"
            [again] = parse_messages([message.to_line().encode() + b"\n"])
            assert again == (message.kind, message.reason[:_MAX_REASON]), f"{message} is read back as {again}"
    except ControlError:
        refused = True
    assert (count, refused) == (messages, wrong), f"{count} parsed, {messages} sent"
