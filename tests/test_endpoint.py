"""`Endpoint`: parsing and printing are exact inverses, and an error says what is wrong."""

from __future__ import annotations

from typing import Any

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
    "fd://0": Endpoint(Scheme.FD),
    "fd://3": Endpoint(Scheme.FD, fd=3),
    "fd://2147483647": Endpoint(Scheme.FD, fd=2147483647),
    "systemd:": Endpoint(Scheme.SYSTEMD),
    "systemd:lines": Endpoint(Scheme.SYSTEMD, name="lines"),
}

SCHEMES = "it must begin with one of tcp, tls, udp, unix, unixgram, fd, systemd and a colon"
LONG = f"{'a.' * 127}aa"

WRONG = {
    "": SCHEMES,
    "127.0.0.1:50007": SCHEMES,
    "http://127.0.0.1:80": SCHEMES,
    "TCP://127.0.0.1:80": SCHEMES,
    "tcp": "a colon must follow tcp",
    "tcp:127.0.0.1:80": "it must begin with tcp://",
    "tcp://127.0.0.1": "a port must follow the host, as in tcp://127.0.0.1:50007",
    "tcp://127.0.0.1:": "the port is a number in plain digits, not ''",
    "tcp://127.0.0.1:+5": "the port is a number in plain digits, not '+5'",
    "tcp://127.0.0.1:080": "the port is a number in plain digits, not '080'",
    "tcp://127.0.0.1:1_0": "the port is a number in plain digits, not '1_0'",
    "tcp://127.0.0.1:\u0665": "the port is a number in plain digits, not '\u0665'",
    "tcp://127.0.0.1:5\n": r"the port is a number in plain digits, not '5\n'",
    f"tcp://127.0.0.1:{'9' * 5000}": "the port has no more than 10 digits",
    "tcp://127.0.0.1:9999999999": "port 9999999999 is not between 0 and 65535",
    "tcp://127.0.0.1:65536": "port 65536 is not between 0 and 65535",
    "tcp://:80": "the host is missing; for every interface write 0.0.0.0 or [::]",
    "tcp://::1:80": "an IPv6 address is written in brackets, as in tcp://[::1]:50007",
    "tcp://[::1:80": "an IPv6 address is written in brackets, as in tcp://[::1]:50007",
    "tcp://::1]:80": "an IPv6 address is written in brackets, as in tcp://[::1]:50007",
    "tcp://[127.0.0.1]:80": "brackets are for IPv6 addresses",
    "tcp://[127.0.0.1:80": "'[127.0.0.1' is no IP address",
    "tcp://[::g]:80": "'::g' is no IP address",
    "tcp://[::ffff:127.0.0.1]:80": "'::ffff:127.0.0.1' is an IPv4 address; write 127.0.0.1",
    "tcp://[::1%a/b]:80": "'::1%a/b' is no IP address",
    "tcp://[::1%a b]:80": "'::1%a b' is no IP address",
    "tcp://127.1:80": "'127.1' is no IP address",
    "tcp://0x7f.0x1:80": "'0x7f.0x1' is no IP address",
    "tcp://300.1.1.1:80": "'300.1.1.1' is no IP address",
    "tcp://127.0.0.1.:80": "'127.0.0.1.' is no IP address",
    "tcp://a b:80": "'a b' is no host name",
    "tcp://a..b:80": "'a..b' is no host name",
    "tcp://-a:80": "'-a' is no host name",
    "tcp://user@host:80": "'user@host' is no host name",
    "tcp://h\u00f6st:80": "'h\u00f6st' is no host name",
    f"tcp://{'a' * 64}:80": f"{'a' * 64!r} is no host name",
    f"tcp://{LONG}:80": f"{LONG!r} is no host name",
    "unix:": "the path is missing",
    "unix:@": "the path is missing",
    "unix:///run/caas.sock": "one slash begins an absolute path, as in unix:/run/caas.sock",
    "unix:/run/a\nb": "the path contains control characters",
    "unix:/run/a\0b": "the path contains control characters",
    "unixgram:": "the path is missing",
    "fd:3": "it must begin with fd://",
    "fd://-1": "the descriptor is a number in plain digits, not '-1'",
    "fd://2147483648": "2147483648 is no descriptor's number",
    "fd://9999999999": "9999999999 is no descriptor's number",
    "fd://99999999999": "the descriptor has no more than 10 digits",
    "systemd:a:b": "a socket's name is printable ASCII without spaces or colons",
    "systemd:" + "a" * 256: "a socket's name is printable ASCII without spaces or colons",
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
    assert caught.value.reason == WRONG[text]
    assert "\n" not in str(caught.value)


VALUES: dict[str, Any] = {"host": "localhost", "port": 5, "path": "/run/caas.sock", "fd": 3, "name": "lines"}
OWN = {
    Scheme.TCP: {"host", "port"},
    Scheme.TLS: {"host", "port"},
    Scheme.UDP: {"host", "port"},
    Scheme.UNIX: {"path"},
    Scheme.UNIXGRAM: {"path"},
    Scheme.FD: {"fd"},
    Scheme.SYSTEMD: {"name"},
}


@pytest.mark.parametrize("scheme", Scheme)
@pytest.mark.parametrize("name", VALUES)
def test_values_of_another_scheme_are_refused(scheme: Scheme, name: str) -> None:
    own = {value: VALUES[value] for value in OWN[scheme]}
    if name in own:
        assert getattr(Endpoint(scheme, **own), name) == VALUES[name]
        return
    with pytest.raises(EndpointError) as caught:
        Endpoint(scheme, **own, **{name: VALUES[name]})
    assert caught.value.reason == f"{name} has no meaning for {scheme.value}"
    assert caught.value.text.startswith(f"{scheme.value}:")


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"scheme": Scheme.TCP, "host": "a", "port": -1}, "port -1 is not between 0 and 65535"),
        ({"scheme": Scheme.FD, "fd": -1}, "-1 is no descriptor's number"),
    ],
)
def test_values_that_no_text_has_are_refused(wrong: dict[str, Any], reason: str) -> None:
    with pytest.raises(EndpointError) as caught:
        Endpoint(**wrong)
    assert caught.value.reason == reason


def test_equal_endpoints_have_equal_hashes_and_different_ones_seldom() -> None:
    here = [Endpoint.parse(text) for text in ("tcp://a:1", "tcp://b:1", "unix:/a", "unix:/b")]
    assert [hash(Endpoint.parse(str(endpoint))) for endpoint in here] == [hash(endpoint) for endpoint in here]
    assert len({hash(endpoint) for endpoint in here}) == len(here)


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
