"""The options of the command line: `command`; the `Program` that a command line describes: `parse`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, get_args

import click
import trio
from click.core import ParameterSource

from caas_trio import __version__
from caas_trio.core.buffering import DEFAULT_MAX_LINE
from caas_trio.core.endpoint import Endpoint
from caas_trio.core.limits import AtCapacity, Limits
from caas_trio.core.session import DEFAULT_PROMPT, First, Oversize
from caas_trio.core.terminator import TERMINATORS
from caas_trio.core.trust import Trust
from caas_trio.drivers.choice import DriverName
from caas_trio.observing.logs import LEVELS, LogFormat
from caas_trio.server.socketoptions import SocketOptions

from .configfile import read_config
from .explain import explanation
from .helptext import EPILOG
from .loading import AppName, load
from .options import (
    BYTES,
    CONNECTIONS,
    FILE,
    MODE,
    NETWORK,
    SECONDS,
    STREAM,
    TCP_SECONDS,
    UID,
    WORKERS,
    EndpointType,
    HostPortType,
    PromptType,
    StartDirectory,
)
from .program import Program
from .recycling import DEFAULT_TIMEOUT_S
from .script import DEFAULT_ENDPOINT
from .settings import SERVICES, Settings

PROGRAM: Final = "caas-trio"


def _read_config(context: click.Context, _: click.Parameter, file: Path | None) -> Path | None:
    """Use the settings of the file as defaults, unless there are defaults already."""
    if file is not None and context.default_map is None:
        context.default_map = read_config(file, context)
    return file


@click.command(
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 96, "show_default": True},
)
@click.argument(
    "endpoints", metavar="[ENDPOINT]...", nargs=-1, type=EndpointType(), default=(DEFAULT_ENDPOINT,)
)
@click.option(
    "--app",
    metavar="MODULE:NAME",
    show_default="capitals",
    help="Serve your own handler, service, session or App in place of capitals.",
)
@click.option(
    "--app-dir",
    type=FILE,
    default=Path(),
    show_default="where it is started",
    help="With --app: the directory that comes first where modules are looked for.",
)
@click.option(
    "--reload",
    is_flag=True,
    help="With --app, for development: restart the app whenever a Python file in --app-dir changes. "
    "Needs the extra 'reload'.",
)
@click.option(
    "--first",
    type=click.Choice([first.value for first in First]),
    default=First.CLIENT.value,
    help="Which side speaks first. With 'either', the server prompts a client that keeps silent.",
)
@click.option(
    "--prompt",
    type=PromptType(),
    default=DEFAULT_PROMPT.decode().rstrip("\n"),
    help="What the server says first, in a line of its own.",
)
@click.option(
    "--prompt-delay",
    type=SECONDS,
    default=Limits.prompt_delay,
    help="With --first either: how long a client may keep silent unprompted.",
)
@click.option(
    "--max-line",
    type=BYTES,
    default=DEFAULT_MAX_LINE,
    help="The most bytes a line may have before its end.",
)
@click.option(
    "--oversize",
    type=click.Choice([oversize.value for oversize in Oversize]),
    default=Oversize.STREAM.value,
    help="A longer line: end the connection with an error, skip the line with an error, "
    "or answer it piece by piece. With --app the default is reject.",
)
@click.option(
    "--text",
    type=click.Choice(list(SERVICES)),
    default="ascii",
    help="What counts as a letter: a to z, or every letter of Unicode that has a capital.",
)
@click.option("--once", is_flag=True, help="Answer one line, then end the connection.")
@click.option(
    "--terminator",
    type=click.Choice(list(TERMINATORS)),
    default="lf",
    help="What ends a line: LF, or CR LF and nothing else. A bare CR or LF is an error then, "
    "as a line that is too long is.",
)
@click.option(
    "--idle-timeout",
    type=SECONDS,
    default=Limits.idle_timeout,
    help="How long a connection may be quiet.",
)
@click.option(
    "--line-timeout",
    type=SECONDS,
    default=Limits.line_timeout,
    help="How long a line may take, once begun; with --oversize stream, each --max-line bytes of it.",
)
@click.option(
    "--write-timeout",
    type=SECONDS,
    default=Limits.write_timeout,
    help="How long a client may leave its replies unread.",
)
@click.option(
    "--drain-timeout",
    type=SECONDS,
    default=Limits.drain_timeout,
    help="How long connections may take to finish once the service stops.",
)
@click.option(
    "--max-connections",
    type=CONNECTIONS,
    default=Limits.max_connections,
    help="How many connections may be open at a time; fewer if RLIMIT_NOFILE allows no more.",
)
@click.option(
    "--max-per-host",
    type=CONNECTIONS,
    show_default="no limit",
    help="How many of them one host may have. An IPv6 client counts by its /64.",
)
@click.option(
    "--max-rate-per-host",
    type=CONNECTIONS,
    show_default="no limit",
    help="How many new ones one host may open in a second, and at once.",
)
@click.option(
    "--at-capacity",
    type=click.Choice([at_capacity.value for at_capacity in AtCapacity]),
    default=Limits.at_capacity.value,
    help="A further connection gets an error line and is closed, or has to wait.",
)
@click.option(
    "--allow-from",
    type=NETWORK,
    multiple=True,
    show_default="everywhere",
    help="A network that clients may come from; may be repeated. Others are closed without an answer.",
)
@click.option(
    "--proxy-protocol",
    is_flag=True,
    help="Every connection begins with a PROXY header, version 1 or 2, that has the client's address.",
)
@click.option(
    "--proxy-on",
    type=EndpointType(),
    multiple=True,
    show_default="none",
    help="An endpoint where connections begin with a PROXY header; may be repeated.",
)
@click.option(
    "--proxy-from",
    type=NETWORK,
    multiple=True,
    show_default="loopback",
    help="A network that proxies connect from; may be repeated.",
)
@click.option(
    "--opening-timeout",
    type=SECONDS,
    default=Limits.opening_timeout,
    help="How long a PROXY header and a TLS handshake may take together.",
)
@click.option(
    "--tls-cert",
    type=FILE,
    help="What tls endpoints show, and apps that turn to TLS: a certificate and its chain, in PEM.",
)
@click.option("--tls-key", type=FILE, show_default="in the same file", help="The certificate's key, in PEM.")
@click.option(
    "--tls-client-ca",
    type=FILE,
    help="Serve only clients whose certificate was issued by one of the CAs in this file.",
)
@click.option(
    "--unix-mode",
    type=MODE,
    default=f"{Trust.unix_mode:04o}",
    help="The permissions of a Unix socket: clients need write permission to connect.",
)
@click.option(
    "--allow-uid",
    type=UID,
    multiple=True,
    show_default="everybody",
    help="A user who may connect to a Unix socket; repeat it for more. Others are closed without an answer.",
)
@click.option(
    "--takeover",
    is_flag=True,
    help="Take over the path of a unix: endpoint from the service that has it, which then stops. "
    "No client is refused meanwhile.",
)
@click.option(
    "--driver",
    type=click.Choice(get_args(DriverName)),
    default="auto",
    help="How bytes are moved: by one task that polls all plain sockets (hub, Linux), or by each "
    "connection's own task (stream). Auto uses the hub where it can.",
)
@click.option(
    "--tcp-keepalive",
    type=TCP_SECONDS,
    default=SocketOptions.keepalive,
    help="How long a TCP connection may be silent before the kernel asks whether the client is still there; "
    "inf is never.",
)
@click.option(
    "--tcp-user-timeout",
    type=TCP_SECONDS,
    default=SocketOptions.user_timeout,
    help="How long a TCP client may acknowledge nothing that is sent to it, or read nothing, before the "
    "kernel ends the connection; inf is as long as the kernel likes.",
)
@click.option(
    "--backlog",
    type=CONNECTIONS,
    show_default="as many as the kernel allows",
    help="How many connections may wait to be accepted. A socket that was passed keeps what it has.",
)
@click.option(
    "--log-format",
    type=click.Choice([log_format.value for log_format in LogFormat]),
    default=LogFormat.CONSOLE.value,
    help="Whether the log, on standard error, is for people or for machines.",
)
@click.option(
    "--log-level",
    type=click.Choice(list(LEVELS)),
    default="warning",
    help="The lowest level that is logged; info has a line for the end of each connection.",
)
@click.option(
    "--log-refusals",
    type=STREAM,
    show_default="off",
    help="Where each refused connection gets a line of its own, for fail2ban and the like: a file, or - for "
    "the log.",
)
@click.option(
    "--metrics",
    type=HostPortType(),
    show_default="off",
    help="Where to answer to monitoring, over HTTP: /metrics (Prometheus), /healthz and /readyz.",
)
@click.option(
    "--workers",
    type=WORKERS,
    default=1,
    help="How many processes serve; 0 is one for each processor. Limits are each worker's own.",
)
@click.option(
    "--worker-timeout",
    type=SECONDS,
    default=DEFAULT_TIMEOUT_S,
    help="With workers: kill and replace one whose loop has not turned for so long; its stack is logged. "
    "0 is never.",
)
@click.option(
    "--worker-lifetime",
    type=SECONDS,
    show_default="no limit",
    help="With workers: about how long a worker serves before another one takes its place.",
)
@click.option(
    "--worker-max-rss",
    type=BYTES,
    show_default="no limit",
    help="With workers: the same, by how much resident memory a worker may have.",
)
@click.option(
    "--config",
    type=FILE,
    is_eager=True,
    callback=_read_config,
    show_default="none",
    help="A TOML file of settings, by the names of the options; read again at SIGHUP.",
)
@click.option(
    "--explain",
    is_flag=True,
    help="Show each setting, where it comes from and what they may cost, and exit.",
)
@click.version_option(__version__, prog_name=PROGRAM)
def command(*, config: Path | None, explain: bool, **values: Any) -> Program | None:
    """Serve CaaS, capitalization as a service: answer each line with its capitals.

    A line ends with a line feed. Letters are raised, every other byte comes back as it is.
    """
    context = click.get_current_context()
    given = frozenset(name for name in context.params if _is_given(context, name))
    limits = {name: values.pop(name) for name in Limits.__dataclass_fields__ if name in values}
    limits["at_capacity"] = AtCapacity(limits["at_capacity"])
    values["endpoints"] = values["endpoints"] or (Endpoint.parse(DEFAULT_ENDPOINT),)
    settings = Settings(given=given, limits=Limits(**limits), **values)
    if not explain:
        return settings.program(None if config is None else context.default_map)
    served = settings.served
    shown = explanation(
        context,
        settings.limits,
        settings.text,
        settings.policy,
        workers=settings.processes,
        driver=settings.driver,
        app=trio.run(load, served) if isinstance(served, AppName) else None,
    )
    click.echo(shown)
    return None


def _is_given(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) not in (ParameterSource.DEFAULT, None)


def parse(
    arguments: Sequence[str], config: Mapping[str, Any] | None = None, *, directory: str | None = None
) -> Program | int:
    """Return the program that a command line asks for, or the exit status if it is done already.

    Args:
        arguments: without the program's name.
        config: the settings of the file, if it has been read already; otherwise it is read.
        directory: where relative paths of files start; None for the current directory.

    Raises:
        click.ClickException: the command line, a variable or the file is wrong.
        CaasError: something that they name is wrong.
    """
    result: Program | int | None = command.main(
        arguments,
        PROGRAM,
        standalone_mode=False,
        auto_envvar_prefix="CAAS_TRIO",
        default_map=config,
        obj=StartDirectory(directory),
    )
    return result or 0
