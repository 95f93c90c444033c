"""The certificates of a server: `Certificates`; the TLS context of a client: `client_context`.

No trio. Reads files, and nothing else.
"""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import Final, NoReturn

from .errors import TlsError

_NO_CERTIFICATE: Final = "it holds no certificate in PEM"


#: SSL_OP_NO_RX_CERTIFICATE_COMPRESSION of OpenSSL 3.2 and later, which Python does not name: compressed
#: (RFC 8879), a chain of any length would fit into the bytes that a handshake may have. Others ignore it.
_NO_COMPRESSED_CERTIFICATES: Final = 1 << 33


class Certificates:
    """A certificate, its key, and the CAs of clients' certificates, from files in PEM.

    The minimum version is TLS 1.2. Clients may resume sessions, by tickets, but none from
    before a reload: a client that it shuts out stays out.

    Args:
        certificate: the file of the server's certificate, followed by what links it to its CA.
        key: the file of its key, without a password; None if that is in the same file.
        client_ca: the file of the CAs that may issue clients' certificates; None to
            ask clients for none.

    Attributes:
        context: what new connections are to use.

    Raises:
        TlsError: a file cannot be used; it says which, and why not.
    """

    def __init__(
        self,
        certificate: str | os.PathLike[str],
        key: str | os.PathLike[str] | None = None,
        client_ca: str | os.PathLike[str] | None = None,
    ) -> None:
        self._certificate = Path(certificate)
        self._key = self._certificate if key is None else Path(key)
        self._client_ca = None if client_ca is None else Path(client_ca)
        self.context = self._load()

    def reload(self) -> None:
        """Read the files again: for new connections; those that are open keep what they have.

        Raises:
            TlsError: a file cannot be used; nothing has changed then.
        """
        self.context = self._load()

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION | _NO_COMPRESSED_CERTIFICATES
        _load_chain(context, self._certificate, self._key)
        if self._client_ca is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            load_authorities(context, self._client_ca)
        return context


def client_context(
    authorities: str | os.PathLike[str] | None = None,
    certificate: str | os.PathLike[str] | None = None,
    key: str | os.PathLike[str] | None = None,
    *,
    insecure: bool = False,
) -> ssl.SSLContext:
    """Return the TLS context of a client: which servers it trusts, and its own certificate; at least TLS 1.2.

    Args:
        authorities: the file of the CAs that may have issued the server's certificate; None
            for those that the system trusts.
        certificate: the file of the client's own certificate; None for none.
        key: the file of its key, without a password; None if that is in the same file.
        insecure: whether any server is accepted, whatever its certificate and its name. Anybody on
            the way can then read and change all that is sent.

    Raises:
        TlsError: a file cannot be used; it says which, and why not.
    """
    context = ssl.create_default_context() if authorities is None else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if authorities is not None:
        load_authorities(context, Path(authorities))
    if certificate is not None:
        _load_chain(context, Path(certificate), Path(certificate if key is None else key))
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _load_chain(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    """Load the certificate to present, its chain and its key."""

    def ask_nobody() -> NoReturn:
        """Refuse to ask for a password; OpenSSL would ask at the terminal."""
        raise TlsError(key, "it is encrypted; a key without a password is needed")

    try:
        context.load_cert_chain(certificate, key, password=ask_nobody)
    except OSError as error:
        _complain(certificate, key, error)


def _complain(certificate: Path, key: Path, error: OSError) -> NoReturn:
    """Raise an error that names the wrong file; OpenSSL does not."""
    if isinstance(error, ssl.SSLError) and error.reason == "KEY_VALUES_MISMATCH":
        raise TlsError(key, f"it does not fit the certificate in {certificate}") from error
    load_authorities(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), certificate)
    if isinstance(error, ssl.SSLError):
        if error.reason is not None:
            raise TlsError(certificate, openssl_words(error)) from error
        raise TlsError(key, "it holds no private key in PEM") from error
    raise TlsError(key, _words(error)) from error


def load_authorities(context: ssl.SSLContext, file: Path) -> None:
    """Add the CAs in a file to those that the context trusts.

    Raises:
        TlsError: the file cannot be used.
    """
    try:
        context.load_verify_locations(file)
    except ssl.SSLError as error:
        raise TlsError(file, _NO_CERTIFICATE) from error
    except OSError as error:
        raise TlsError(file, _words(error)) from error


def session_context(shared: ssl.SSLContext) -> ssl.SSLContext:
    """Return a context that keeps the session of one connection; the connection uses `shared` for all else.

    OpenSSL keeps the sessions of clients that take no ticket in the context that a connection begins
    with: 20480 of them, for two hours, each with the whole chain of the client's certificate. Nothing in
    the ssl module turns that off; but a context of its own ends with the connection. It costs half of
    what a handshake does.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.options = shared.options
    context.minimum_version = shared.minimum_version
    context.maximum_version = shared.maximum_version
    context.verify_mode = shared.verify_mode
    context.verify_flags = shared.verify_flags
    return context


def openssl_words(error: ssl.SSLError) -> str:
    """Return OpenSSL's reason, in lower case; it contains nothing that the peer sent."""
    words: str = getattr(error, "verify_message", None) or error.reason or "protocol error"
    return words.replace("_", " ").lower()


def _words(error: OSError) -> str:
    return str(error.strerror).lower()
