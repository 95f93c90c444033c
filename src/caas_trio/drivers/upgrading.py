"""The upgrade to TLS in the middle of a conversation: `UpgradingConnection`."""

from __future__ import annotations

import ssl

from caas_trio.core.errors import HandshakeFailed, PeerError, StateError, TooSlow, UsageError
from caas_trio.core.tls import Certificates

from .sending import SendingConnection


class UpgradingConnection(SendingConnection):
    """The upgrade of a connection to TLS; see `Connection`."""

    @property
    def can_start_tls(self) -> bool:
        """Whether the server has a certificate for `start_tls`, so that it may be offered."""
        return self._tls is not None

    async def start_tls(
        self,
        certificates: Certificates | ssl.SSLContext | None = None,
        *,
        server_hostname: str | None = None,
    ) -> None:
        """Perform a TLS handshake; all that is read and sent from then on goes over TLS.

        For protocols in which the client asks for that in a line: send the answer in plain, then call
        this. What the client has sent behind its line is never taken for something that came over TLS
        (CVE-2011-0411): if any of it is here, the connection fails. `certificate` is then the peer's.
        Other tasks' sends that are under way are finished in plain, later ones go over TLS.

        The handshake may take `opening_timeout`, and less once the server drains. Failed or cancelled,
        the connection is closed for every later call; the server ends it in an orderly way.

        Args:
            certificates: the certificate to present, or a context of your own; by default, those of the
                server: its `Trust(tls=...)`, and `--tls-cert` on the command line. A client's is by
                default one that trusts the system's CAs.
            server_hostname: the name that the server's certificate must have, for a client; None on the
                server's side.

        Raises:
            HandshakeFailed: the handshake failed, or the peer did not wait for the answer.
            ConnectionLost: the peer left, or reset the connection.
            TooSlow: the handshake took too long.
            StateError: the connection is over TLS already, or closed, or another task is reading.
            UsageError: the server has no certificate, and none is given.
        """
        context = self._context(certificates, client=server_hostname is not None)
        if self._sending:
            await self._wait_for_turn()
        self._sending = True
        if self._receiving or self._closed:
            self._end_sending()
            raise self._misused("start_tls")
        self._receiving = True
        try:
            await self._upgrade(context, server_hostname)
        except StateError:
            raise
        except BaseException as error:
            self._closed = True
            if isinstance(error, PeerError):
                self._own(error)
            raise
        finally:
            self._receiving = False
            self._end_sending()

    async def _upgrade(self, context: ssl.SSLContext, server_hostname: str | None) -> None:
        if self._buffer or self._buffer.unfinished:
            raise HandshakeFailed("plain data behind the request for TLS")
        with self._drain.opening(self._limits.opening_timeout):
            await self._channel.start_tls(
                context, server_side=server_hostname is None, server_hostname=server_hostname
            )
            self.certificate = self._channel.certificate
            return
        raise TooSlow("opening_timeout")

    def _context(self, certificates: Certificates | ssl.SSLContext | None, *, client: bool) -> ssl.SSLContext:
        """Return the context to begin TLS with."""
        tls = self._tls if certificates is None else certificates
        if tls is None and client:
            return ssl.create_default_context()
        if tls is None:
            raise UsageError("start_tls needs a certificate: --tls-cert, Trust(tls=...), or an argument")
        return tls.context if isinstance(tls, Certificates) else tls
