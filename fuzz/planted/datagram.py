"""Bugs in the serving of datagrams."""

from __future__ import annotations

from typing import Final

from .bug import Bug

BUGS: Final = (
    Bug(
        "a service that fails takes the server of datagrams down",
        "datagram",
        "except Exception as error:  # noqa: BLE001 - whatever it is, it is the service's",
        "except ZeroDivisionError as error:",
    ),
    Bug(
        "a handler that fails takes the server of datagrams down",
        "datagram",
        "except* Exception as group:  # noqa: BLE001 - whatever it is, it is the handler's",
        "except* ZeroDivisionError as group:",
    ),
    Bug(
        "what became of an earlier reply ends the server",
        "datagram",
        "if error.errno in _OF_AN_EARLIER_ONE:",
        "if not error.errno:",
    ),
    Bug(
        "what became of an earlier reply is taken for what becomes of this one",
        "datagram",
        "in _OF_AN_EARLIER_ONE and isinstance(datagram.address, tuple)",
        "in _OF_AN_EARLIER_ONE and not datagram.address",
    ),
    Bug(
        "datagrams that wait at the stop are dropped",
        "datagram",
        "await server.receive_last(door)",
        "await trio.lowlevel.checkpoint()",
    ),
    Bug(
        "one datagram too many is worked on",
        "datagram",
        "if self._handled >= self._limits.max_datagrams:",
        "if self._handled > self._limits.max_datagrams:",
    ),
    Bug(
        "a datagram that is done with keeps its place",
        "datagram",
        "self._handled -= 1",
        "pass",
    ),
    Bug(
        "strangers are answered",
        "datagram",
        "if reason is None and self._trust.asks_for(datagram.address):",
        "if reason is None and not self._trust:",
    ),
)
