"""The command line of the client: `python -m caas_trio.client`, also installed as `caas-client`."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import click
import trio

from caas_trio import __version__
from caas_trio.core.endpoint import Endpoint, Scheme
from caas_trio.core.errors import CaasError, UsageError
from caas_trio.core.limits import Limits
from caas_trio.core.printable import printable
from caas_trio.core.tls import client_context
from caas_trio.drivers.connecting import connectable

from .connecting import connect
from .talk import StandardStreams, talk

PROGRAM: Final = "caas-client"
_FAILED: Final = 1
_WRONG_USAGE: Final = 2
#: As shells say it of SIGINT.
_INTERRUPTED: Final = 130

_VERSIONS: Final[dict[str | None, Literal[1, 2] | None]] = {None: None, "v1": 1, "v2": 2}

#: The errors that a user can do something about; any other one is a bug.
_USER_ERRORS: Final = (CaasError, click.ClickException, KeyboardInterrupt)

_EPILOG: Final = """\
\b
Examples:
  caas-client tcp://127.0.0.1:50007
  printf 'hello\\nworld' | caas-client unix:/run/caas/caas.sock
  caas-client tls://lines.example:50007 --ca ca.pem
  caas-client tcp://mail.example:25 --crlf

Standard input is sent, and what the server sends is written to standard output, each as it comes. At
the end of the input it ends its output; at the end of the server's output the client ends. On a terminal,
control characters from the server are shown escaped.

Exit status 0 is a server that ended the connection, 1 a failure and 2 a wrong command line; either is
reported in one line on standard error.
"""


@dataclass(frozen=True)
class _TlsOptions:
    """The options for TLS."""

    ca: Path | None
    cert: Path | None
    key: Path | None
    server_name: str | None
    insecure: bool

    def __bool__(self) -> bool:
        return any((self.ca, self.cert, self.key, self.server_name, self.insecure))


@click.command(name=PROGRAM, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name=PROGRAM)
@click.argument("endpoint")
@click.option("--crlf", is_flag=True, help="Send CR LF for each LF of the input.")
@click.option("--ca", type=Path, metavar="FILE", help="Trust the CAs in this file instead of the system's.")
@click.option("--cert", type=Path, metavar="FILE", help="Show the certificate in this file.")
@click.option("--key", type=Path, metavar="FILE", help="Its key, if it is in a file of its own.")
@click.option("--server-name", metavar="NAME", help="Expect a certificate for this name, not for the host.")
@click.option(
    "--insecure",
    is_flag=True,
    help="Accept any certificate: an attacker on the way can read and change everything.",
)
@click.option(
    "--proxy", type=click.Choice(["v1", "v2"]), help="Begin with a PROXY header that names this client."
)
@click.option(
    "--connect-timeout",
    type=click.FloatRange(min=0),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="How long the connection, with TLS, may take.",
)
@click.option(
    "--idle-timeout",
    type=click.FloatRange(min=0),
    default=math.inf,
    metavar="SECONDS",
    help="How long both sides may be quiet; for ever by default.",
)
def command(**values: Any) -> None:
    """Talk to the line server at ENDPOINT: tcp://HOST:PORT, tls://HOST:PORT, unix:/PATH or unix:@NAME."""
    endpoint = connectable(Endpoint.parse(values["endpoint"]))
    tls = _TlsOptions(*(values[name] for name in ("ca", "cert", "key", "server_name", "insecure")))
    if tls and endpoint.scheme is not Scheme.TLS:
        raise UsageError("the options of TLS need an endpoint that begins with tls://")
    if tls.key and not tls.cert:
        raise UsageError("--key needs --cert")
    trio.run(_converse, endpoint, tls, values)


async def _converse(endpoint: Endpoint, tls: _TlsOptions, values: dict[str, Any]) -> None:
    """Connect, and talk until the server is done."""
    limits = Limits(
        opening_timeout=values["connect_timeout"],
        idle_timeout=values["idle_timeout"],
        line_timeout=math.inf,
        write_timeout=math.inf,
        linger_timeout=0,
    )
    context = client_context(tls.ca, tls.cert, tls.key, insecure=tls.insecure) if tls else None
    async with connect(
        endpoint,
        limits=limits,
        tls=context,
        server_hostname=tls.server_name,
        proxy_header=_VERSIONS[values["proxy"]],
    ) as connection:
        await talk(connection, StandardStreams(crlf=values["crlf"]))


def main(arguments: Sequence[str]) -> int:
    """Run the command line and return its exit status; an error is reported in one line."""
    try:
        status = command.main([*arguments], prog_name=PROGRAM, standalone_mode=False)
    except* _USER_ERRORS as failures:
        status = _complain(failures)
    return status or 0


def _complain(failure: BaseException) -> int:
    """Report an error, or the first of several, and return the exit status."""
    while isinstance(failure, BaseExceptionGroup):
        failure = (failure.subgroup(KeyboardInterrupt) or failure).exceptions[0]
    match failure:
        case KeyboardInterrupt():
            message, status = "interrupted", _INTERRUPTED
        case click.ClickException():
            message, status = failure.format_message(), failure.exit_code
        case _:
            message, status = str(failure), _WRONG_USAGE if isinstance(failure, UsageError) else _FAILED
    sys.stderr.write(f"{PROGRAM}: {printable(' '.join(message.split()))}\n")
    return status
