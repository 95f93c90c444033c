"""The origins of clients, and their consequences."""

from __future__ import annotations

from typing import Final

#: In turn: two names of one host, two addresses of one network, a stranger.
HOSTS: Final = ("192.0.2.1", "::ffff:192.0.2.1", "192.0.2.1", "2001:db8::1", "2001:db8::2", "198.51.100.1")
_ONE_HOST: Final = {"::ffff:192.0.2.1": "192.0.2.1", "2001:db8::2": "2001:db8::1"}
#: What else may be seen where a PROXY header is expected: the proxy itself, and what is none.
_LOCAL, _UNKNOWN, _NONE, _CUT, _NOTHING, _SLOW = "local", "unknown", "none", "cut", "nothing", "slow"
#: Where clients of a proxy come from, in turn.
PROXIED: Final = (*HOSTS, _LOCAL, _UNKNOWN, _NONE, _CUT, _NOTHING, _SLOW)
_STRANGE: Final = {HOSTS[-1], _NONE, _CUT, _NOTHING}
#: What they begin with.
HEADERS: Final = {
    **{host: f"PROXY TCP{6 if ':' in host else 4} {host} {host} 1 2\r\n".encode() for host in HOSTS},
    _LOCAL: b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0",
    _UNKNOWN: b"PROXY UNKNOWN\r\n",
    _NONE: b"GET / HTTP/1.1\r\n",
    _CUT: b"PROXY TCP4 192.",
    _NOTHING: b"",
    _SLOW: b"PROXY ",
}


def one_host(origin: str) -> str:
    """Return what counts as the same host."""
    return _ONE_HOST.get(origin, origin)


def is_strange(origin: str) -> bool:
    """Return whether clients from there may not connect."""
    return origin in _STRANGE


def is_slow(origin: str) -> bool:
    """Return whether clients from there never send the whole header."""
    return origin == _SLOW


def ends_at_once(origin: str) -> bool:
    """Return whether clients from there end their output before the header is complete."""
    return origin in {_CUT, _NOTHING}


def counts(origin: str) -> bool:
    """Whether a host is known, which may have only so many connections."""
    return origin in HOSTS
