"""Bugs in the reading of endpoints."""

from __future__ import annotations

from typing import Final

from .bug import Bug

BUGS: Final = (
    Bug(
        "port 65536 is accepted",
        "endpoint",
        "_MAX_PORT: Final = 65535",
        "_MAX_PORT: Final = 65536",
    ),
    Bug(
        "a port may begin with zeros",
        "endpoint",
        'r"0|[1-9][0-9]*"',
        'r"[0-9]+"',
    ),
    Bug(
        "what int() takes for a number is one",
        "endpoint",
        "if not _NUMBER.fullmatch(digits):",
        "if not digits.isdigit():",
    ),
    Bug(
        "an IPv6 address is printed without brackets",
        "endpoint",
        'host = f"[{self.host}]" if ":" in self.host else self.host',
        "host = self.host",
    ),
    Bug(
        "a path may contain a line end",
        "endpoint",
        'r"[\\x00-\\x1f\\x7f]"',
        'r"[\\x00-\\x09\\x7f]"',
    ),
    Bug(
        "only the beginning of a host name is looked at",
        "endpoint",
        "return None if _HOST.fullmatch(host) else",
        "return None if _HOST.match(host) else",
    ),
    Bug(
        "an unknown scheme raises a foreign exception",
        "endpoint",
        "except ValueError:\n            known",
        "except KeyError:\n            known",
    ),
    Bug(
        "values of another scheme are dropped in silence",
        "endpoint",
        "return reason or self._stray_reason()",
        "return reason",
    ),
    Bug(
        "the last port is none",
        "endpoint",
        "not 0 <= self.port <= _MAX_PORT",
        "not 0 <= self.port < _MAX_PORT",
    ),
    Bug(
        "the last descriptor is none",
        "endpoint",
        "0 <= self.fd <= _MAX_FD",
        "0 <= self.fd < _MAX_FD",
    ),
)
