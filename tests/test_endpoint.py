"""`Endpoint`: parsing and printing are exact inverses, and an error says what is wrong."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from caas_trio import Endpoint, EndpointError, Scheme

RIGHT = {
    "tcp://127.0.0.1:50007": Endpoint(Scheme.TCP, host="127.0.0.1", port=50007),
    "tcp://localhost:0": Endpoint(Scheme.TCP, host="localhost"),
    "tcp://my_host.example.:65535": Endpoint(Scheme.TCP, host="my_host.example.", port=65535),
    "tls://[::1]:853": Endpoint(Scheme.TLS, host="::1", port=853),
    "udp://[fe80::1%eth0]:7": Endpoint(Scheme.UDP, host="fe80::1%eth0", port=7),
    "unix:/run/caas.sock": Endpoint(Scheme.UNIX, path="/run/caas.sock"),
    "unix:caas.sock": Endpoint(Scheme.UNIX, path="caas.sock"),
    "unix:/with:colon and space": Endpoint(Scheme.UNIX, path="/with:colon and space"),
    "unix:@abstract": Endpoint(Scheme.UNIX, path="@abstract"),
    "unixgram:/run/caas.sock": Endpoint(Scheme.UNIXGRAM, path="/run/caas.sock"),
    "fd://3": Endpoint(Scheme.FD, fd=3),
    "systemd:": Endpoint(Scheme.SYSTEMD),
    "systemd:lines": Endpoint(Scheme.SYSTEMD, name="lines"),
}

WRONG = {
    "": "it must begin with one of tcp, tls, udp, unix, unixgram, fd, systemd and a colon",
    "127.0.0.1:50007": "it must begin with one of",
    "http://127.0.0.1:80": "it must begin with one of",
    "TCP://127.0.0.1:80": "it must begin with one of",
    "tcp": "a colon must follow tcp",
    "tcp:127.0.0.1:80": "it must begin with tcp://",
    "tcp://127.0.0.1": "a port must follow the host",
    "tcp://127.0.0.1:": "the port is a number in plain digits, not ''",
    "tcp://127.0.0.1:+5": "the port is a number in plain digits",
    "tcp://127.0.0.1:080": "the port is a number in plain digits",
    "tcp://127.0.0.1:1_0": "the port is a number in plain digits",
    "tcp://127.0.0.1:\u0665": "the port is a number in plain digits",
    "tcp://127.0.0.1:5\n": "the port is a number in plain digits",
    f"tcp://127.0.0.1:{'9' * 5000}": "the port has no more than 10 digits",
    "tcp://127.0.0.1:65536": "port 65536 is not between 0 and 65535",
    "tcp://:80": "the host is missing; for every interface write 0.0.0.0 or [::]",
    "tcp://::1:80": "an IPv6 address is written in brackets",
    "tcp://[127.0.0.1]:80": "brackets are for IPv6 addresses",
    "tcp://[::g]:80": "'::g' is no IP address",
    "tcp://[::ffff:127.0.0.1]:80": "'::ffff:127.0.0.1' is an IPv4 address; write 127.0.0.1",
    "tcp://[::1%a/b]:80": "'::1%a/b' is no IP address",
    "tcp://127.1:80": "'127.1' is no IP address",
    "tcp://0x7f.0x1:80": "'0x7f.0x1' is no IP address",
    "tcp://300.1.1.1:80": "'300.1.1.1' is no IP address",
    "tcp://127.0.0.1.:80": "'127.0.0.1.' is no IP address",
    "tcp://a b:80": "'a b' is no host name",
    "tcp://a..b:80": "'a..b' is no host name",
    "tcp://-a:80": "'-a' is no host name",
    "tcp://user@host:80": "'user@host' is no host name",
    "tcp://h\u00f6st:80": "is no host name",
    f"tcp://{'a' * 64}:80": "is no host name",
    f"tcp://{'a.' * 127}aa:80": "is no host name",
    "unix:": "the path is missing",
    "unix:@": "the path is missing",
    "unix:///run/caas.sock": "one slash begins an absolute path",
    "unix:/run/a\nb": "the path contains control characters",
    "unix:/run/a\0b": "the path contains control characters",
    "fd:3": "it must begin with fd://",
    "fd://-1": "the descriptor is a number in plain digits",
    "fd://9999999999": "9999999999 is no descriptor's number",
    "fd://99999999999": "the descriptor has no more than 10 digits",
    "systemd:a:b": "a socket's name is printable ASCII without spaces or colons",
    "systemd:" + "a" * 256: "a socket's name is printable ASCII",
}


@pytest.mark.parametrize("text", RIGHT)
def test_an_endpoint_round_trips(text: str) -> None:
    assert Endpoint.parse(text) == RIGHT[text]
    assert str(RIGHT[text]) == text


@pytest.mark.parametrize("text", WRONG)
def test_an_invalid_endpoint_is_refused_with_the_reason(text: str) -> None:
    with pytest.raises(EndpointError) as caught:
        Endpoint.parse(text)
    assert caught.value.text == text
    assert caught.value.reason.startswith(WRONG[text]) or WRONG[text] in caught.value.reason
    assert "\n" not in str(caught.value)


def test_values_of_another_scheme_are_refused() -> None:
    with pytest.raises(EndpointError, match="port has no meaning for unix"):
        Endpoint(Scheme.UNIX, path="/run/caas.sock", port=5)


@given(
    st.one_of(
        st.text(),
        st.from_regex(r"(tcp|tls|udp)://[^\n]*:[0-9]{1,6}", fullmatch=True),
        st.from_regex(r"(unix|unixgram|systemd|fd)(://|:)[^\n]*", fullmatch=True),
    )
)
@example("tcp://a:0")
@example("unix:\udcff")
def test_any_text_parses_or_raises_endpoint_error(text: str) -> None:
    try:
        endpoint = Endpoint.parse(text)
    except EndpointError as error:
        assert error.reason  # noqa: PT017 - one of two right outcomes
    else:
        assert str(endpoint) == text
