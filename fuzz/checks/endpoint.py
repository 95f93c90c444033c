"""`Endpoint`: a text is read and printed back unchanged, or refused with `EndpointError`.

What is to be accepted is told a second time here, by other means: the machine's own reading of
addresses and a plain list of what each scheme allows.

An input is a text, or, behind a byte 0xFF, values separated by more such bytes: a letter for the
scheme, host, port, path, descriptor, name.
"""

from __future__ import annotations

import socket
from typing import Any, Final

from caas_trio.core.endpoint import Endpoint, Scheme
from caas_trio.core.errors import EndpointError

from .reasons import ENDPOINT

MODULES: Final = ("caas_trio.core.endpoint",)

_DIGITS: Final = frozenset("0123456789")
_HEX: Final = frozenset("0123456789abcdefABCDEF")
_WORD: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")
_CONTROLS: Final = frozenset(map(chr, [*range(32), 127]))
_SCHEMES: Final = tuple(Scheme)
_OWN: Final = {
    **dict.fromkeys(("tcp", "tls", "udp"), ("host", "port")),
    **dict.fromkeys(("unix", "unixgram"), ("path",)),
    "systemd": ("name",),
    "fd": ("fd",),
}


def check(data: bytes) -> None:
    """Read a text, or put an endpoint together out of values."""
    if data.startswith(b"\xff"):
        _compose(data[1:].split(b"\xff"))
    else:
        _parse(data.decode("utf-8", "surrogateescape"))


def _parse(text: str) -> None:
    try:
        endpoint = Endpoint.parse(text)
    except EndpointError as error:
        assert not _is_endpoint(text), f"refused {text!r}"
        _judge(error, text)
        return
    assert _is_endpoint(text), f"accepted {text!r}"
    assert str(endpoint) == text, f"{text!r} is printed as {endpoint}"


def _compose(values: list[bytes]) -> None:
    scheme = _SCHEMES[sum(values[0]) % len(_SCHEMES)]
    host, port, path, fd, name = (values[1:] + [b""] * 5)[:5]
    given: dict[str, Any] = {
        "host": host.decode("latin-1"),
        "port": _signed(port),
        "path": path.decode("latin-1"),
        "fd": _signed(fd),
        "name": name.decode("latin-1"),
    }
    text = f"{scheme.value}:{_rest(scheme, given)}"
    strays = [name for name, value in given.items() if value and name not in _OWN[scheme.value]]
    try:
        endpoint = Endpoint(scheme, **given)
    except EndpointError as error:
        assert strays or not _is_endpoint(text), f"refused the values of {text!r}"
        _judge(error, text)
        return
    assert not strays, f"accepted {strays} for {scheme}"
    assert _is_endpoint(text), f"accepted the values of {text!r}"
    assert str(endpoint) == text, f"{text!r} is printed as {endpoint}"
    assert Endpoint.parse(text) == endpoint, f"{endpoint!r} is read back as another one"


def _rest(scheme: Scheme, values: dict[str, Any]) -> str:
    """Return what the values look like behind the scheme and its colon."""
    host = f"[{values['host']}]" if ":" in values["host"] else values["host"]
    match scheme:
        case Scheme.TCP | Scheme.TLS | Scheme.UDP:
            return f"//{host}:{values['port']}"
        case Scheme.FD:
            return f"//{values['fd']}"
    return f"{values['path']}{values['name']}"


def _judge(error: EndpointError, text: str) -> None:
    """Check that an error names the endpoint and one of the reasons that there are, in a line."""
    assert error.text == text, f"the error names {error.text!r}"
    assert ENDPOINT.fullmatch(error.reason), f"no reason is {error.reason!r}"
    assert "\n" not in str(error), f"an error of several lines: {error}"


def _signed(digits: bytes) -> int:
    """Return the number that bytes spell, or else the number that they are."""
    try:
        return int(digits[:12])
    except ValueError:
        return int.from_bytes(digits[:5], signed=True)


def _is_endpoint(text: str) -> bool:
    """Whether `text` is to be accepted."""
    scheme, colon, rest = text.partition(":")
    match scheme:
        case "unix" | "unixgram":
            right = rest not in {"", "@"} and not rest.startswith("//") and not _CONTROLS & set(rest)
        case "systemd":
            right = len(rest) <= 255 and all("!" <= sign <= "~" and sign != ":" for sign in rest)
        case "fd":
            right = rest.startswith("//") and _is_number(rest[2:], 2**31 - 1)
        case "tcp" | "tls" | "udp":
            host, _, port = rest[2:].rpartition(":")
            right = rest.startswith("//") and _is_number(port, 65535) and _is_host(host)
        case _:
            right = False
    return bool(colon) and right


def _is_number(digits: str, maximum: int) -> bool:
    plain = 0 < len(digits) <= len(str(maximum)) and _DIGITS.issuperset(digits)
    return plain and str(int(digits)) == digits and int(digits) <= maximum


def _is_host(host: str) -> bool:
    if host.startswith("[") and host.endswith("]"):
        address, percent, zone = host[1:-1].partition("%")
        right = _is_address(socket.AF_INET6, address) and not _is_mapped(address)
        return right and (not percent or _is_zone(zone))
    labels = host.split(".")
    if len(labels) > 1 and not labels[-1]:
        labels.pop()
    last = labels[-1]
    if _DIGITS.issuperset(last) or (last[:2] in {"0x", "0X"} and _HEX.issuperset(last[2:])):
        return _is_address(socket.AF_INET, host)
    return len(host) <= 253 and all(map(_is_label, labels))


def _is_label(label: str) -> bool:
    inner = set(label[1:-1])
    return 0 < len(label) <= 63 and _WORD.issuperset(label[0] + label[-1]) and _WORD.issuperset(inner - {"-"})


def _is_zone(zone: str) -> bool:
    return bool(zone) and _WORD.issuperset(set(zone) - {"-", "."})


def _is_mapped(address: str) -> bool:
    """Whether it is an IPv4 address in the clothes of an IPv6 one."""
    return socket.inet_pton(socket.AF_INET6, address).startswith(bytes(10) + b"\xff\xff")


def _is_address(family: socket.AddressFamily, text: str) -> bool:
    """Whether the machine takes `text` for an address."""
    try:
        socket.inet_pton(family, text)
    except (OSError, ValueError):  # ValueError: it contains a NUL or cannot be encoded
        return False
    return True
