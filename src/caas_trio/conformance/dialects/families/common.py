"""The parts from which the families build their cases."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias

from caas_trio.conformance.case import Case
from caas_trio.conformance.dialects.dialect import Exchange
from caas_trio.conformance.dialects.talk import Asked, Client, Talk
from caas_trio.conformance.profile import Need
from caas_trio.conformance.script import Converse

Run: TypeAlias = Callable[[Talk], Awaitable[None]]

#: A request may come in pieces, and several at once.
CUT: Final = ("CUT-1.probes/byte", "CUT-1.probes/before-lf")
PIPELINED: Final = ("PIPE-1.three/whole",)


def case(
    clause: str, name: str, run: Run, cut: str = "whole", needs: tuple[Need, ...] = (), **more: Any
) -> Case:
    """Return a case whose script speaks the dialect."""
    return Case(clause, name, lambda _: (Converse(run),), cut, (Need.DIALECT, *needs), **more)


def halves(client: Client) -> tuple[bytes, bytes, Asked]:
    """Return the steady probe in two halves, and what to wait for behind them."""
    data, asked = client.prepare(client.talk.dialect.steady)
    middle = len(data) // 2
    return data[:middle], data[middle:], asked


def place_of_last_reply(client: Client, said: bytes, asked: Asked) -> int | None:
    """Return the offset of the reply that some bytes end with, if it answers a request; else None."""
    starts = [0, *(place + 1 for place, byte in enumerate(said) if byte == ord("\n"))]
    for start in reversed(starts[:-1] if said.endswith(b"\n") else starts):
        client.buffer = said[start:]
        if client.length_of(asked.exchange.reply, asked.number) == len(client.buffer):
            client.buffer = b""
            return start
    client.buffer = b""
    return None


def some(exchanges: tuple[Exchange, ...], count: int) -> list[Exchange]:
    """Return `count` exchanges, taken in turn from some."""
    return [exchanges[number % len(exchanges)] for number in range(count)]
