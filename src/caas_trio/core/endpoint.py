"""Endpoints, where servers listen: `Endpoint` and its text form. Nothing here touches the machine.

    tcp://127.0.0.1:50007   tcp://[::1]:50007   tls://host:port   udp://host:port
    unix:/run/caas.sock     unix:@abstract      unixgram:/run/caas.sock
    fd://3                  systemd:            systemd:name

Parsing and printing are exact inverses, so there is one way to write each endpoint: ports without
a leading zero, schemes in lower case. Raises `EndpointError`; anything else that escapes is a bug.

No I/O, no clock, no trio.
"""

from __future__ import annotations

import enum
import ipaddress
import re
from dataclasses import dataclass, fields
from typing import Final

from .errors import EndpointError
from .peer import unmapped


class Scheme(enum.Enum):
    """How an endpoint is reached; the value is what its text begins with, without the colon."""

    TCP = "tcp"
    TLS = "tls"
    UDP = "udp"
    UNIX = "unix"
    UNIXGRAM = "unixgram"
    FD = "fd"
    SYSTEMD = "systemd"


#: Where there are datagrams, and no connections.
DATAGRAMS: Final = frozenset({Scheme.UDP, Scheme.UNIXGRAM})

#: The values that each scheme has.
_VALUES: Final = {
    Scheme.TCP: ("host", "port"),
    Scheme.TLS: ("host", "port"),
    Scheme.UDP: ("host", "port"),
    Scheme.UNIX: ("path",),
    Scheme.UNIXGRAM: ("path",),
    Scheme.FD: ("fd",),
    Scheme.SYSTEMD: ("name",),
}

#: RFC 1123 section 2.1 and RFC 1035 section 2.3.4, and the underscore that names in use contain.
_LABEL: Final = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST: Final = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(\.{_LABEL})*\.?")
#: getaddrinfo(3) takes a name whose last label is a number for an address, "127.1" and "0x7f.1" too.
_NUMERIC_HOST: Final = re.compile(r"(.*\.)?(0[xX][0-9A-Fa-f]*|[0-9]+)\.?")
_IPV6_HOST: Final = re.compile(r"[0-9A-Fa-f:.]+(%[A-Za-z0-9_.-]+)?")
_NUMBER: Final = re.compile(r"0|[1-9][0-9]*")
_MAX_DIGITS: Final = 10
#: sd_listen_fds_with_names(3): printable ASCII without the colon, at most 255 characters.
_NAME: Final = re.compile(r"[!-9;-~]{0,255}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_MAX_PORT: Final = 65535
_MAX_FD: Final = 2**31 - 1


@dataclass(frozen=True)
class Endpoint:
    """A place to listen, or where a connection came in.

    Attributes:
        scheme: how it is reached.
        host: for tcp, tls and udp: a host name or an IP address, an IPv6 one without brackets.
        port: for the same: 0 to 65535; 0 asks the machine for a free one.
        path: for unix and unixgram: the path, or the name of an abstract socket behind an `@`.
        fd: for fd: the number of an inherited descriptor.
        name: for systemd: the name of the socket, empty for all that were passed.

    Raises:
        EndpointError: the values name no endpoint.
    """

    scheme: Scheme
    host: str = ""
    port: int = 0
    path: str = ""
    fd: int = 0
    name: str = ""

    def __post_init__(self) -> None:
        """Refuse what cannot be written, or would be read back as something else."""
        reason = self._reason()
        if reason is not None:
            raise EndpointError(str(self), reason)

    def __hash__(self) -> int:
        """Return a cheap hash: it is computed for each connection where these are counted by endpoint."""
        return hash(self.host or self.path)

    def __str__(self) -> str:
        """Return the text that `parse` reads back as this endpoint."""
        match _VALUES[self.scheme]:
            case ("host", "port"):
                return f"{self.scheme.value}://{self.authority}"
            case ("fd",):
                return f"fd://{self.fd}"
            case _:
                return f"{self.scheme.value}:{self.path}{self.name}"

    @property
    def authority(self) -> str:
        """Return host and port as a URL has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> Endpoint:
        """Return the endpoint that `text` names.

        Raises:
            EndpointError: it names none; the error says what is wrong with it.
        """
        scheme_text, colon, rest = text.partition(":")
        try:
            scheme = Scheme(scheme_text)
        except ValueError:
            known = ", ".join(known.value for known in Scheme)
            raise EndpointError(text, f"it must begin with one of {known} and a colon") from None
        if not colon:
            raise EndpointError(text, f"a colon must follow {scheme_text}")
        match _VALUES[scheme]:
            case ("path",):
                return cls(scheme, path=rest)
            case ("name",):
                return cls(scheme, name=rest)
        if not rest.startswith("//"):
            raise EndpointError(text, f"it must begin with {scheme_text}://")
        if scheme is Scheme.FD:
            return cls(scheme, fd=_number(text, "the descriptor", rest[2:]))
        host, port = _host_and_port(text, rest[2:])
        return cls(scheme, host=host, port=port)

    def _reason(self) -> str | None:
        """Return what is wrong with the values; None if nothing is."""
        match _VALUES[self.scheme]:
            case ("host", "port"):
                reason = _host_reason(self.host)
                if reason is None and not 0 <= self.port <= _MAX_PORT:
                    reason = f"port {self.port} is not between 0 and {_MAX_PORT}"
            case ("path",):
                reason = _path_reason(self.path)
            case ("fd",):
                reason = None if 0 <= self.fd <= _MAX_FD else f"{self.fd} is no descriptor's number"
            case _:
                right = _NAME.fullmatch(self.name)
                reason = None if right else "a socket's name is printable ASCII without spaces or colons"
        return reason or self._stray_reason()

    def _stray_reason(self) -> str | None:
        own = {"scheme", *_VALUES[self.scheme]}
        for field in fields(self):
            if field.name not in own and getattr(self, field.name) != field.default:
                return f"{field.name} has no meaning for {self.scheme.value}"
        return None


def _number(text: str, what: str, digits: str) -> int:
    """Return the number that `digits` writes, in the one way there is to write it."""
    if not _NUMBER.fullmatch(digits):
        raise EndpointError(text, f"{what} is a number in plain digits, not {digits!r}")
    if len(digits) > _MAX_DIGITS:
        raise EndpointError(text, f"{what} has no more than {_MAX_DIGITS} digits")
    return int(digits)


def _host_and_port(text: str, rest: str) -> tuple[str, int]:
    host, colon, port = rest.rpartition(":")
    if not colon:
        raise EndpointError(text, "a port must follow the host, as in tcp://127.0.0.1:50007")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        if ":" not in host:
            raise EndpointError(text, "brackets are for IPv6 addresses")
    elif ":" in host:
        raise EndpointError(text, "an IPv6 address is written in brackets, as in tcp://[::1]:50007")
    return host, _number(text, "the port", port)


def _host_reason(host: str) -> str | None:
    if not host:
        return "the host is missing; for every interface write 0.0.0.0 or [::]"
    address: type[ipaddress.IPv4Address | ipaddress.IPv6Address]
    if ":" in host:
        address, written = ipaddress.IPv6Address, _IPV6_HOST
    elif _NUMERIC_HOST.fullmatch(host):
        address, written = ipaddress.IPv4Address, _HOST
    else:
        return None if _HOST.fullmatch(host) else f"{host!r} is no host name"
    try:
        address(host)
    except ValueError:
        return f"{host!r} is no IP address"
    if unmapped(host) != host:
        return f"{host!r} is an IPv4 address; write {unmapped(host)}"
    return None if written.fullmatch(host) else f"{host!r} is no IP address"


def _path_reason(path: str) -> str | None:
    if path in ("", "@"):
        return "the path is missing"
    if _CONTROL.search(path):
        return "the path contains control characters"
    if path.startswith("//"):
        return "one slash begins an absolute path, as in unix:/run/caas.sock"
    return None
