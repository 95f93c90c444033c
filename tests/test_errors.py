"""The error tree: its branches, and messages of one line."""

from __future__ import annotations

import pytest

from caas_trio import (
    CaasError,
    EndpointError,
    InputEnded,
    LimitError,
    LineTooLong,
    ListenError,
    PeerError,
    ProxyHeaderError,
    StateError,
    UsageError,
)
from caas_trio.core.errors import contained


@pytest.mark.parametrize(
    ("error", "branch", "message"),
    [
        (LineTooLong(10), PeerError, "line longer than 10 bytes"),
        (InputEnded(5, 3), PeerError, "the input ended after 3 of 5 bytes"),
        (InputEnded(None, 3), PeerError, "the input ended after 3 bytes, within a body"),
        (ProxyHeaderError("no"), PeerError, "bad PROXY header: no"),
        (EndpointError("x", "it is not"), UsageError, "'x' is not an endpoint: it is not"),
        (EndpointError("x", "it is not"), ValueError, "'x' is not an endpoint: it is not"),
        (LimitError("max_line", 0, "more"), UsageError, "max_line is 0; it must be more"),
        (LimitError("max_line", 0, "more"), ValueError, "max_line is 0; it must be more"),
        (StateError("feed", "ended"), UsageError, "feed does not fit the state ended"),
        (StateError("feed", "ended"), RuntimeError, "feed does not fit the state ended"),
        (ListenError("tcp://h:1", "no"), CaasError, "cannot listen on tcp://h:1: no"),
    ],
)
def test_each_error_has_its_base_class_and_a_message_of_one_line(
    error: CaasError, branch: type[Exception], message: str
) -> None:
    assert isinstance(error, CaasError)
    assert isinstance(error, branch)
    assert str(error) == message


def test_errors_of_one_connection_are_contained() -> None:
    assert str(contained(SystemExit(2))) == "2"
    with pytest.raises(KeyboardInterrupt):
        contained(KeyboardInterrupt())
