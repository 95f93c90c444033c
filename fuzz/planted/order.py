"""Bugs in the order of events: what comes too early, too late, or in between."""

from __future__ import annotations

from typing import Final

from .bug import Bug

BUGS: Final = (
    Bug(
        "replies come in the wrong order",
        "client_first",
        "core/session.py",
        'return b"".join(replies)\n\n    def _serve',
        'return b"".join(reversed(replies))\n\n    def _serve',
    ),
    Bug(
        "an oversize line is noticed only when its LF is not there yet",
        "client_first",
        "core/framing.py",
        "if len(source) >= reach:",
        "if len(source) >= reach and LF not in source:",
    ),
    Bug(
        "input that arrives before the prompt is dropped",
        "either",
        "core/session.py",
        "self._move(_Input.DATA)\n",
        (
            "early = self.awaits_silence\n"
            "        self._move(_Input.DATA)\n"
            "        chunk = b'' if early else chunk\n"
        ),
    ),
    Bug(
        "the prompt comes late: after the first reply",
        "server_first",
        "core/session.py",
        "self._move(_Input.DATA)\n        reply = self._answer(self._buffer, chunk)",
        (
            "late = self._prompt * (self._state is _State.OPENED and self._first is First.SERVER)\n"
            "        self._move(_Input.DATA)\n"
            "        reply = self._answer(self._buffer, chunk) + late"
        ),
    ),
    Bug(
        "a client is prompted although it has just spoken",
        "server",
        "drivers/hubchannel.py",
        "and self.poll(session) is None:",
        ":",
    ),
    Bug(
        "a client is read from while its reply waits",
        "server",
        "drivers/hub.py",
        "self._flush(channel)\n                    continue",
        "self._flush(channel)",
    ),
    Bug(
        "what was posted goes behind what waits for its turn",
        "handler",
        "drivers/sending.py",
        "        elif self._queue.posted:\n",
        "        elif self._queue.posted and not self._queue._tasks:\n",
    ),
    Bug(
        "a flood of input counts as its end",
        "handler",
        "drivers/reading.py",
        "        if full is not None:\n            await self.wait_draining()",
        "        if full is not None:\n            pass",
    ),
    Bug(
        "a line that was only begun is returned at the drain",
        "connection",
        "drivers/reading.py",
        "return wanted.taken\n",
        "return wanted.taken if wanted.closing else self._buffer.take_rest() or None\n",
    ),
    Bug(
        "a task counts as parked before what it has to send is sent",
        "server",
        "drivers/hubchannel.py",
        (
            "        if self.write_buffer:\n"
            '            self.write_buffer = self.send_nowait(b"")\n'
            "            if self.write_buffer:\n"
        ),
        (
            "        self.session = session\n"
            "        if self.write_buffer:\n"
            '            self.write_buffer = self.send_nowait(b"")\n'
            "            if self.write_buffer:\n"
        ),
    ),
    Bug(
        "a refused client counts only once its task begins",
        "server",
        "server/served.py",
        (
            "refusing += 1  # before the task begins: others are refused meanwhile\n"
            '            shared.tasks.start_soon(self._reject_gracefully, name="refusal")\n'
        ),
        (
            "refusing += 0\n\n"
            "            async def reject() -> None:\n"
            "                shared.admission.refusing += 1\n"
            "                await self._reject_gracefully()\n\n"
            '            shared.tasks.start_soon(reject, name="refusal")\n'
        ),
    ),
    Bug(
        "what waits in the accept queue at the stop is dropped",
        "server",
        "server/server.py",
        "acceptor.accept_waiting(sock, stats, limit)",
        "pass",
    ),
    Bug(
        "a client that waits for room at the stop is cut off",
        "server",
        "server/server.py",
        "shared.admission.end_waiting()",
        "pass",
    ),
    Bug(
        "datagrams that wait at the stop are dropped",
        "datagram",
        "server/datagram.py",
        "await server.receive_last(door)",
        "await trio.lowlevel.checkpoint()",
    ),
    Bug(
        "what became of an earlier reply is taken for what becomes of this one",
        "datagram",
        "server/datagram.py",
        "in _OF_AN_EARLIER_ONE and isinstance(datagram.address, tuple)",
        "in _OF_AN_EARLIER_ONE and not datagram.address",
    ),
    Bug(
        "over the hub what TLS has taken in is not asked for",
        "tls",
        "drivers/tlssocket.py",
        "data = None if engine.drained else engine.read(max_bytes)",
        "data = None",
    ),
    Bug(
        "session tickets are sent to a client that may have left",
        "tls",
        "core/tlsengine.py",
        'if self._server_side and tls.version() == "TLSv1.3":\n            return b""\n        return',
        "return",
    ),
    Bug(
        "what was sent in plain is kept for the conversation over TLS",
        "start_tls",
        "drivers/upgrading.py",
        "if self._buffer or self._buffer.unfinished:",
        "if False:",
    ),
    Bug(
        "a worker may be ready twice",
        "control",
        "program/messages.py",
        "if kind in _ONCE & self._seen:",
        "if kind in _ONCE and self._last is kind:",
    ),
)
