"""Line servers on trio: a service, a library and the proof that both keep their promises."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

from .core.endpoint import Endpoint, Scheme
from .core.errors import (
    AppError,
    CaasError,
    ConnectionLost,
    EndpointError,
    HandshakeFailed,
    InputEnded,
    LimitError,
    LineTooLong,
    ListenError,
    PeerError,
    ProxyHeaderError,
    StateError,
    TlsError,
    TooSlow,
    UsageError,
)
from .core.framing import LineBuffer
from .core.limits import AtCapacity, Limits
from .core.peer import InternetPeer, LocalPeer
from .core.proxy_encoding import encode_proxy_header
from .core.proxy_header import ProxyHeader, ProxyHeaderParser, Tlv
from .core.session import First, LineSession, Oversize, Session, StreamTransform
from .core.telemetry import Telemetry
from .core.tls import Certificates
from .core.trust import Trust

if TYPE_CHECKING:
    from .drivers.connection import Connection
    from .drivers.requesthandler import DatagramRequestHandler, StreamRequestHandler
    from .program.script import run
    from .server.app import App
    from .server.datagram import serve_datagrams
    from .server.listeners import Listener
    from .server.serving import serve, serve_sessions
    from .server.watchdog import Watchdog

__version__ = "0.1.0"

__all__ = [
    "App",
    "AppError",
    "AtCapacity",
    "CaasError",
    "Certificates",
    "Connection",
    "ConnectionLost",
    "DatagramRequestHandler",
    "Endpoint",
    "EndpointError",
    "First",
    "HandshakeFailed",
    "InputEnded",
    "InternetPeer",
    "LimitError",
    "Limits",
    "LineBuffer",
    "LineSession",
    "LineTooLong",
    "ListenError",
    "Listener",
    "LocalPeer",
    "Oversize",
    "PeerError",
    "ProxyHeader",
    "ProxyHeaderError",
    "ProxyHeaderParser",
    "Scheme",
    "Session",
    "StateError",
    "StreamRequestHandler",
    "StreamTransform",
    "Telemetry",
    "TlsError",
    "Tlv",
    "TooSlow",
    "Trust",
    "UsageError",
    "Watchdog",
    "__version__",
    "encode_proxy_header",
    "run",
    "serve",
    "serve_datagrams",
    "serve_sessions",
]

#: What needs trio is loaded when it is asked for: the core can be used, and fuzzed, without it.
_NEEDS_TRIO: Final = {
    "App": ".server.app",
    "Connection": ".drivers.connection",
    "DatagramRequestHandler": ".drivers.requesthandler",
    "Listener": ".server.listeners",
    "Watchdog": ".server.watchdog",
    "StreamRequestHandler": ".drivers.requesthandler",
    "run": ".program.script",
    "serve": ".server.serving",
    "serve_datagrams": ".server.datagram",
    "serve_sessions": ".server.serving",
}


if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name in _NEEDS_TRIO:
            return getattr(import_module(_NEEDS_TRIO[name], __name__), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
