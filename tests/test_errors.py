"""The error tree: its branches, and messages of one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from caas_trio import (
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
from caas_trio.core.errors import AppError, contained


@pytest.mark.parametrize(
    ("kind", "values", "branch", "message"),
    [
        (LineTooLong, (10,), PeerError, "line longer than 10 bytes"),
        (BareTerminator, (b"\r",), PeerError, "bare CR in a line, which ends with CR LF"),
        (BareTerminator, (b"\n",), PeerError, "bare LF in a line, which ends with CR LF"),
        (CountRefused, (9, 5), PeerError, "9 bytes where 0 to 5 are accepted"),
        (TooMuchUnsent, (7,), PeerError, "more than 7 bytes are unsent"),
        (InputEnded, (5, 3), PeerError, "the input ended after 3 of 5 bytes"),
        (InputEnded, (None, 3), PeerError, "the input ended after 3 bytes, within a body"),
        (TooSlow, ("idle_timeout",), PeerError, "the idle timeout is over"),
        (ProxyHeaderError, ("no",), PeerError, "bad PROXY header: no"),
        (ConnectionLost, (), PeerError, "the connection is lost"),
        (HandshakeFailed, ("no",), PeerError, "no TLS handshake: no"),
        (EndpointError, ("x", "it is not"), UsageError, "'x' is not an endpoint: it is not"),
        (EndpointError, ("x", "it is not"), ValueError, "'x' is not an endpoint: it is not"),
        (LimitError, ("max_line", 0, "more"), UsageError, "max_line is 0; it must be more"),
        (LimitError, ("max_line", 0, "more"), ValueError, "max_line is 0; it must be more"),
        (StateError, ("feed", "ended"), UsageError, "feed does not fit the state ended"),
        (StateError, ("feed", "ended"), RuntimeError, "feed does not fit the state ended"),
        (ListenError, ("tcp://h:1", "no"), CaasError, "cannot listen on tcp://h:1: no"),
        (ConnectError, ("tcp://h:1", "no"), CaasError, "cannot connect to tcp://h:1: no"),
        (AppError, ("m:app", "no"), CaasError, "m:app: no"),
        (TlsError, (Path("a.pem"), "no"), CaasError, "cannot use a.pem: no"),
    ],
)
def test_each_error_has_its_base_class_its_values_and_a_message_of_one_line(
    kind: type[CaasError], values: tuple[object, ...], branch: type[Exception], message: str
) -> None:
    error = kind(*values)
    assert isinstance(error, CaasError)
    assert isinstance(error, branch)
    assert error.args == values
    assert tuple(vars(error).values()) == values
    assert str(error) == message


def test_errors_of_one_connection_are_contained() -> None:
    assert str(contained(SystemExit(2))) == "2"
    with pytest.raises(KeyboardInterrupt):
        contained(KeyboardInterrupt())
