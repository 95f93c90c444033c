"""The parameter types of the command line, for click."""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, Final

import click

from caas_trio.core.endpoint import DATAGRAMS, Endpoint, Scheme
from caas_trio.core.errors import EndpointError
from caas_trio.core.tls import Certificates
from caas_trio.core.trust import Network
from caas_trio.server.pathlock import absolute


class EndpointType(click.ParamType[Endpoint]):
    """An endpoint in its text form."""

    name = "endpoint"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Endpoint:
        """Return the endpoint; see `click.ParamType.convert`."""
        try:
            return value if isinstance(value, Endpoint) else Endpoint.parse(value)
        except EndpointError as error:
            self.fail(str(error), param, ctx)


class HostPortType(click.ParamType[Endpoint]):
    """A TCP endpoint as HOST:PORT."""

    name = "host:port"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Endpoint:
        """Return the endpoint; see `click.ParamType.convert`."""
        try:
            return value if isinstance(value, Endpoint) else Endpoint.parse(f"tcp://{value}")
        except EndpointError as error:
            self.fail(f"{value!r} is no HOST:PORT: {error.reason}", param, ctx)


class PromptType(click.ParamType[str]):
    """A line that no client can take for a reply."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the prompt, without its LF; see `click.ParamType.convert`."""
        # A client tells the prompt from a reply by its lower-case letters: a reply has none.
        if not re.search("[a-z]", value):
            self.fail("it must contain a lower-case letter, since no reply does", param, ctx)
        if re.search(r"[\x00-\x1f\x7f]", value):
            self.fail("it must be one line of text", param, ctx)
        return str(value)


class NetworkType(click.ParamType[Network]):
    """A network in CIDR notation (RFC 4632 section 3.1, RFC 4291 section 2.3), or one address."""

    name = "cidr"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Network:
        """Return the network; see `click.ParamType.convert`."""
        if not re.fullmatch(r"[0-9A-Fa-f:.]+(/(0|[1-9][0-9]{0,2}))?", value):
            self.fail(f"{value!r} is not a network, such as 192.0.2.0/24 or 2001:db8::/32", param, ctx)
        try:
            interface = ipaddress.ip_interface(value)
        except ValueError:
            self.fail(f"{value!r} is not a network: no such address or length of a prefix", param, ctx)
        network = interface.network
        if interface.ip != network.network_address:
            self.fail(f"{value!r} has bits behind its prefix; the network is {network}", param, ctx)
        if isinstance(interface, ipaddress.IPv6Interface) and interface.ip.ipv4_mapped:
            self.fail(f"{value!r} is a network of IPv4 addresses; write it as one", param, ctx)
        return network


class StartDirectory:
    """Where relative paths of files start, as the object of a click context.

    Args:
        path: None for the current directory, wherever that may be when the file is opened.
    """

    def __init__(self, path: str | None) -> None:
        self._path = path

    def resolve(self, value: str | Path) -> Path:
        """Return the path that a value stands for; leading `..` are resolved, for the directory may go."""
        return Path(value) if self._path is None else absolute(value, self._path)


class FileType(click.ParamType[Path]):
    """A path of a file, absolute from the start: nothing depends on the directory later."""

    name = "file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:  # noqa: ARG002
        """Return the path; see `click.ParamType.convert`."""
        start = None if ctx is None else ctx.find_object(StartDirectory)
        return Path(value) if start is None else start.resolve(value)


class StreamType(FileType):
    """A file, or `-` for standard error."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return the path, or `STANDARD_ERROR`; see `click.ParamType.convert`."""
        return STANDARD_ERROR if value == "-" else super().convert(value, param, ctx)


class NumberType(click.ParamType[float]):
    """A number that is not less than `least`; nan is refused."""

    def __init__(self, kind: type[int | float], least: int, name: str) -> None:
        self.name = name
        self._kind = kind
        self._least = least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number; see `click.ParamType.convert`."""
        try:
            number = self._kind(value)
        except ValueError:
            number = math.nan
        if not number >= self._least:
            self.fail(f"{value!r} is not a number of {self.name}, {self._least} or more", param, ctx)
        return number


class DigitsType(click.ParamType[int]):
    """A number that is written in one way only."""

    def __init__(self, name: str, pattern: str, base: int, expected: str) -> None:
        self.name = name
        self._pattern = re.compile(pattern)
        self._base = base
        self._expected = expected

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number; see `click.ParamType.convert`."""
        if not self._pattern.fullmatch(value):
            self.fail(f"{value!r} is not {self._expected}", param, ctx)
        return int(value, self._base)


#: What `-` stands for.
STANDARD_ERROR: Final = Path("-")

SECONDS: Final = NumberType(float, 0, "seconds")
BYTES: Final = NumberType(int, 1, "bytes")
NETWORK: Final = NetworkType()
CONNECTIONS: Final = NumberType(int, 1, "connections")
TCP_SECONDS: Final = NumberType(float, 1, "seconds")
WORKERS: Final = NumberType(int, 0, "workers")
MODE: Final = DigitsType("mode", "0?[0-7]{3}", 8, "a mode of three octal digits, as 0660")
UID: Final = DigitsType("uid", "0|[1-9][0-9]{0,9}", 10, "a user's number, as 'id -u' prints it")
FILE: Final = FileType()
STREAM: Final = StreamType()


def certificates_for(
    endpoints: Iterable[Endpoint],
    certificate: Path | None,
    key: Path | None,
    client_ca: Path | None,
    *,
    has_app: bool = False,
) -> Certificates | None:
    """Return the certificates of the options; None if there are none.

    Args:
        endpoints: where to listen.
        certificate: the file of `--tls-cert`.
        key: that of `--tls-key`.
        client_ca: that of `--tls-client-ca`.
        has_app: whether an app is served: its handler may turn to TLS on any endpoint.

    Raises:
        click.UsageError: the options and the endpoints do not fit.
        TlsError: a file cannot be used.
    """
    over_tls = next((endpoint for endpoint in endpoints if endpoint.scheme is Scheme.TLS), None)
    if certificate is None:
        for option, file in (("--tls-key", key), ("--tls-client-ca", client_ca)):
            if file is not None:
                raise click.UsageError(f"{option} needs --tls-cert")
        if over_tls is not None:
            raise click.UsageError(f"{over_tls} needs --tls-cert")
        return None
    if over_tls is None and not has_app:
        raise click.UsageError("--tls-cert needs a tls endpoint, such as tls://127.0.0.1:50007")
    return Certificates(certificate, key, client_ca)


def check_proxied(
    endpoints: Collection[Endpoint],
    on: Collection[Endpoint],
    sources: Collection[Network],
    *,
    everywhere: bool,
) -> None:
    """Refuse options about PROXY headers that would do nothing.

    Raises:
        UsageError: a header is expected where there are no connections, or proxies are named and no
            header is.
    """
    connections = [endpoint for endpoint in endpoints if endpoint.scheme not in DATAGRAMS]
    for endpoint in on:
        if endpoint not in connections:
            raise click.UsageError(
                f"a PROXY header is expected on {endpoint}, where no connections are served"
            )
    if everywhere and not connections:
        raise click.UsageError("--proxy-protocol is for connections, and only datagrams are served")
    if sources and not (everywhere or on):
        raise click.UsageError("--proxy-from needs --proxy-protocol or --proxy-on")
