"""What a server reports, and to whom: `Telemetry`. The library itself logs nothing."""

from __future__ import annotations

from .endpoint import Endpoint
from .peer import Peer


class Telemetry:
    """Observes a server. Subclass it and override what you want to hear of.

    The calls come from the server's own tasks: they must not block, and what they raise ends the
    server.
    """

    def conversation_failed(self, error: Exception, endpoint: Endpoint, peer: Peer) -> None:
        """Note that a session or a handler raised `error`; its connection was ended, no other."""

    def conversation_ended(self, error: Exception | None, endpoint: Endpoint) -> None:
        """Note that a conversation has ended without a bug.

        `error` is None, or what the peer did to end it: a `PeerError`, or a group of them. Each
        conversation that is not cut off is told of once, here or by `conversation_failed`.
        """

    def connection_refused(self, reason: str, endpoint: Endpoint, peer: Peer) -> None:
        """Note that a connection was not let in, and why."""

    def accept_failed(self, error: OSError, endpoint: Endpoint) -> None:
        """Note that the machine had no room for a connection; accepting goes on."""

    def drain_timed_out(self) -> None:
        """Note that conversations were cut off because `drain_timeout` was over."""
