"""Line servers on trio: a service, a library and the proof that both keep their promises.

Each name is loaded when it is asked for. So the core can be used, and fuzzed, without trio; and the service
handles signals before it loads the rest.
"""

from __future__ import annotations

TYPE_CHECKING = False  # for type checkers it is true: importing typing takes longer than all else here
if TYPE_CHECKING:
    from .client.connecting import connect
    from .core.buffering import Chunk
    from .core.datagramrules import Datagram
    from .core.dotstuffing import dot_stuff, dot_unstuff
    from .core.endpoint import Endpoint, Scheme
    from .core.errors import (
        AppError,
        BareTerminator,
        CaasError,
        ConnectError,
        ConnectionLost,
        CountRefused,
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
        TooMuchUnsent,
        TooSlow,
        UsageError,
    )
    from .core.framing import LineBuffer
    from .core.limits import AtCapacity, Limits
    from .core.peer import InternetPeer, LocalPeer, Peer
    from .core.proxy_encoding import encode_proxy_header
    from .core.proxy_header import ProxyHeader, ProxyHeaderParser, Tlv
    from .core.session import First, LineSession, Oversize, Service, Session, StreamTransform
    from .core.telemetry import ConnectionStats, ListenerStats, Outcome, ServerStats, Telemetry
    from .core.terminator import Terminator
    from .core.tls import Certificates, client_context
    from .core.trust import Trust
    from .drivers.choice import DriverName
    from .drivers.commands import Commands
    from .drivers.connection import Connection, current_connection
    from .drivers.requesthandler import DatagramRequestHandler, StreamRequestHandler
    from .program.script import run
    from .server.app import App
    from .server.datagram import DatagramService, serve_datagrams
    from .server.kinds import Handler, NewSession
    from .server.listeners import Listener
    from .server.options import DatagramOptions, ServeOptions
    from .server.serving import serve, serve_sessions
    from .server.socketoptions import SocketOptions
    from .server.watchdog import Watchdog

__version__ = "0.1.0"

__all__ = [
    "App",
    "AppError",
    "AtCapacity",
    "BareTerminator",
    "CaasError",
    "Certificates",
    "Chunk",
    "Commands",
    "ConnectError",
    "Connection",
    "ConnectionLost",
    "ConnectionStats",
    "CountRefused",
    "Datagram",
    "DatagramOptions",
    "DatagramRequestHandler",
    "DatagramService",
    "DriverName",
    "Endpoint",
    "EndpointError",
    "First",
    "Handler",
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
    "ListenerStats",
    "LocalPeer",
    "NewSession",
    "Outcome",
    "Oversize",
    "Peer",
    "PeerError",
    "ProxyHeader",
    "ProxyHeaderError",
    "ProxyHeaderParser",
    "Scheme",
    "ServeOptions",
    "ServerStats",
    "Service",
    "Session",
    "SocketOptions",
    "StateError",
    "StreamRequestHandler",
    "StreamTransform",
    "Telemetry",
    "Terminator",
    "TlsError",
    "Tlv",
    "TooMuchUnsent",
    "TooSlow",
    "Trust",
    "UsageError",
    "Watchdog",
    "__version__",
    "client_context",
    "connect",
    "current_connection",
    "dot_stuff",
    "dot_unstuff",
    "encode_proxy_header",
    "run",
    "serve",
    "serve_datagrams",
    "serve_sessions",
]

#: By name: the module that it is loaded from.
_HOME = {
    "client_context": ".core.tls",
    "connect": ".client.connecting",
    "dot_unstuff": ".core.dotstuffing",
    "dot_stuff": ".core.dotstuffing",
    "TooMuchUnsent": ".core.errors",
    "Terminator": ".core.terminator",
    "CountRefused": ".core.errors",
    "ConnectError": ".core.errors",
    "Commands": ".drivers.commands",
    "BareTerminator": ".core.errors",
    "DatagramOptions": ".server.options",
    "ServeOptions": ".server.options",
    "DriverName": ".drivers.choice",
    "Datagram": ".core.datagramrules",
    "DatagramService": ".server.datagram",
    "NewSession": ".server.kinds",
    "Handler": ".server.kinds",
    "Service": ".core.session",
    "Chunk": ".core.buffering",
    "Peer": ".core.peer",
    "ConnectionStats": ".core.telemetry",
    "ListenerStats": ".core.telemetry",
    "ServerStats": ".core.telemetry",
    "Outcome": ".core.telemetry",
    "App": ".server.app",
    "AppError": ".core.errors",
    "AtCapacity": ".core.limits",
    "CaasError": ".core.errors",
    "Certificates": ".core.tls",
    "Connection": ".drivers.connection",
    "current_connection": ".drivers.connection",
    "ConnectionLost": ".core.errors",
    "DatagramRequestHandler": ".drivers.requesthandler",
    "Endpoint": ".core.endpoint",
    "EndpointError": ".core.errors",
    "First": ".core.session",
    "HandshakeFailed": ".core.errors",
    "InputEnded": ".core.errors",
    "InternetPeer": ".core.peer",
    "LimitError": ".core.errors",
    "Limits": ".core.limits",
    "LineBuffer": ".core.framing",
    "LineSession": ".core.session",
    "LineTooLong": ".core.errors",
    "ListenError": ".core.errors",
    "Listener": ".server.listeners",
    "LocalPeer": ".core.peer",
    "Oversize": ".core.session",
    "PeerError": ".core.errors",
    "ProxyHeader": ".core.proxy_header",
    "ProxyHeaderError": ".core.errors",
    "ProxyHeaderParser": ".core.proxy_header",
    "Scheme": ".core.endpoint",
    "Session": ".core.session",
    "SocketOptions": ".server.socketoptions",
    "StateError": ".core.errors",
    "StreamRequestHandler": ".drivers.requesthandler",
    "StreamTransform": ".core.session",
    "Telemetry": ".core.telemetry",
    "TlsError": ".core.errors",
    "Tlv": ".core.proxy_header",
    "TooSlow": ".core.errors",
    "Trust": ".core.trust",
    "UsageError": ".core.errors",
    "Watchdog": ".server.watchdog",
    "encode_proxy_header": ".core.proxy_encoding",
    "run": ".program.script",
    "serve": ".server.serving",
    "serve_datagrams": ".server.datagram",
    "serve_sessions": ".server.serving",
}


if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name not in _HOME:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module  # noqa: PLC0415 - after the signals have handlers

        found = globals()[name] = getattr(import_module(_HOME[name], __name__), name)
        return found
