"""Which tests try the mutants of a layer: those that run in their own process, and are quick."""

from __future__ import annotations

from typing import Final

_CORE: Final = (
    "buffering",
    "capitals",
    "connect",
    "datagramrules",
    "dotstuffing",
    "endpoint",
    "errors",
    "exports",
    "framing",
    "handshakegate",
    "lazy",
    "limits",
    "log_telemetry",
    "peer",
    "printable",
    "proxied",
    "proxy_header",
    "reporting",
    "session",
    "telemetry",
    "terminator",
    "tls",
    "tlsengine",
    "tlssocket",
    "tlsstream",
    "trust",
)
_DRIVERS: Final = (
    "channels",
    "commands",
    "connect",
    "connection",
    "contract",
    "datagram",
    "datagramsocket",
    "exhaustion",
    "failures",
    "firstturn",
    "found",
    "hub",
    "inlineturn",
    "machine",
    "memory",
    "openssl",
    "over",
    "poller",
    "post",
    "requesthandler",
    "starttls",
    "tls",
    "tlssocket",
    "tlsstream",
    "waiting",
)
_SERVER: Final = (
    "admission",
    "app",
    "channels",
    "datagram",
    "exhaustion",
    "failures",
    "found",
    "handover",
    "hosting",
    "hostrates",
    "inherited",
    "inlineturn",
    "listeners",
    "log_telemetry",
    "migrating",
    "proxied",
    "reporting",
    "served",
    "server",
    "telemetry",
    "tls",
    "trust",
    "unixsocket",
    "watchdog",
)
_TESTS: Final = {"core": _CORE, "drivers": _DRIVERS, "server": _SERVER}


def tests_of(layer: str) -> list[str]:
    """Return the paths of the tests of a layer."""
    return [f"tests/test_{name}.py" for name in _TESTS[layer]]
