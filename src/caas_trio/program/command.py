"""The options of the command line, and the `Program` that they come to."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, get_args

import click
import trio
from click.core import ParameterSource

from caas_trio import __version__
from caas_trio.core.capitals import Utf8Capitals, ascii_capitals, utf8_capitals
from caas_trio.core.endpoint import Endpoint, Scheme
from caas_trio.core.framing import DEFAULT_MAX_LINE
from caas_trio.core.limits import AtCapacity, Limits
from caas_trio.core.session import DEFAULT_PROMPT, First, Oversize, Service
from caas_trio.core.trust import Network, Trust
from caas_trio.drivers.choice import DriverName
from caas_trio.observing.logs import LEVELS, LogFormat, open_log
from caas_trio.server.app import App
from caas_trio.server.datagram import DatagramService

from .appoptions import LineOptions
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
    UID,
    WORKERS,
    EndpointType,
    HostPortType,
    PromptType,
    StartDirectory,
    certificates_for,
    check_proxied,
)
from .processors import processors
from .program import Program
from .recycling import DEFAULT_TIMEOUT_S, WorkerLimits
from .script import DEFAULT_ENDPOINT
from .watching import check_watchfiles

PROGRAM: Final = "caas-trio"

#: What may turn out to be a Unix socket.
_MAYBE_UNIX: Final = {Scheme.UNIX, Scheme.UNIXGRAM, Scheme.FD, Scheme.SYSTEMD}

#: By the name of a text: what makes the service of a conversation, and the service for datagrams.
_SERVICES: Final[dict[str, tuple[Callable[[], Service], DatagramService]]] = {
    "ascii": (lambda: ascii_capitals, ascii_capitals),
    "utf-8": (Utf8Capitals, utf8_capitals),
}


def _read_config(context: click.Context, _: click.Parameter, file: Path | None) -> Path | None:
    """Take what the file says for defaults, unless they are there already."""
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
    help="Serve this, a handler, a service, a session or an App of your own, and not capitals.",
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
    help="With --app, to develop it: start it anew whenever a Python file in --app-dir changes. "
    "Needs the extra 'reload'.",
)
@click.option(
    "--first",
    type=click.Choice([first.value for first in First]),
    default=First.CLIENT.value,
    help="Who speaks first. With 'either', the server prompts a client that keeps silent.",
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
    type=click.Choice(list(_SERVICES)),
    default="ascii",
    help="What counts as a letter: a to z, or every letter of Unicode that has a capital.",
)
@click.option("--once", is_flag=True, help="Answer one line, then end the connection.")
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
    help="How long connections may take to finish once the service is told to end.",
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
    "--at-capacity",
    type=click.Choice([at_capacity.value for at_capacity in AtCapacity]),
    default=Limits.at_capacity.value,
    help="One connection more is told so and ended, or has to wait.",
)
@click.option(
    "--allow-from",
    type=NETWORK,
    multiple=True,
    show_default="everywhere",
    help="A network that clients may come from; may be repeated. Others are closed without a word.",
)
@click.option(
    "--proxy-protocol",
    is_flag=True,
    help="Every connection begins with a PROXY header, version 1 or 2, that tells who the client is.",
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
@click.option("--tls-cert", type=FILE, help="What tls endpoints show: a certificate and its chain, in PEM.")
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
    help="The permissions of a Unix socket: who may write to it may connect.",
)
@click.option(
    "--allow-uid",
    type=UID,
    multiple=True,
    show_default="everybody",
    help="A user who may connect to a Unix socket; repeat it for more. Others are turned away unheard.",
)
@click.option(
    "--takeover",
    is_flag=True,
    help="Take the path of a unix: endpoint over from the service that has it, and tell that one to end. "
    "No client is refused meanwhile.",
)
@click.option(
    "--driver",
    type=click.Choice(get_args(DriverName)),
    default="auto",
    help="What moves the bytes: one task that polls all plain sockets (hub, Linux), or each connection's own "
    "task (stream). Auto takes the hub where it can.",
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
    help="The least that is logged; info has a line for the end of each connection.",
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
    help="With workers: after about so long, have one retire and another one take its place.",
)
@click.option(
    "--worker-max-rss",
    type=BYTES,
    show_default="no limit",
    help="With workers: likewise, for one that has so much resident memory.",
)
@click.option(
    "--config",
    type=FILE,
    is_eager=True,
    callback=_read_config,
    show_default="none",
    help="A TOML file of settings, by the names of the options; SIGHUP has it read again.",
)
@click.option(
    "--explain",
    is_flag=True,
    help="Say what each setting is, where it comes from and what they may cost; serve nothing.",
)
@click.version_option(__version__, prog_name=PROGRAM)
def command(
    *,
    endpoints: tuple[Endpoint, ...],
    app: str | None,
    app_dir: Path,
    reload: bool,
    first: str,
    prompt: str,
    max_line: int,
    oversize: str,
    text: str,
    once: bool,
    at_capacity: str,
    allow_from: tuple[Network, ...],
    proxy_protocol: bool,
    proxy_on: tuple[Endpoint, ...],
    proxy_from: tuple[Network, ...],
    unix_mode: int,
    allow_uid: tuple[int, ...],
    takeover: bool,
    driver: DriverName,
    tls_cert: Path | None,
    tls_key: Path | None,
    tls_client_ca: Path | None,
    log_format: str,
    log_level: str,
    metrics: Endpoint | None,
    workers: int,
    worker_timeout: float,
    worker_lifetime: float | None,
    worker_max_rss: int | None,
    config: Path | None,
    explain: bool,
    **limits: Any,
) -> Program | None:
    """Serve CaaS, capitalization as a service: answer each line with its capitals.

    A line ends with a line feed. Letters are raised, every other byte comes back as it is.
    """
    context = click.get_current_context()
    given = frozenset(name for name in context.params if _is_given(context, name))
    speaker, policy = First(first), Oversize(oversize)
    said = prompt.encode(errors="surrogateescape") + b"\n"
    if app is not None and "oversize" not in given:
        policy = Oversize.REJECT  # a service of somebody else's may not know what to do with a piece
    lines = LineOptions(first=speaker, prompt=said, oversize=policy, once=once)
    endpoints = endpoints or (Endpoint.parse(DEFAULT_ENDPOINT),)
    check_proxied(endpoints, proxy_on, proxy_from, everywhere=proxy_protocol)
    if allow_uid and not any(endpoint.scheme in _MAYBE_UNIX for endpoint in endpoints):
        raise click.UsageError("--allow-uid says who may connect to a Unix socket, and there is none")
    bounds = Limits(max_line=max_line, at_capacity=AtCapacity(at_capacity), **limits)
    served = _capitals(text, lines, max_line) if app is None else _named_app(app, app_dir, given)
    if explain:
        loaded = trio.run(load, served) if isinstance(served, AppName) else None
        processes = workers or processors()
        told = explanation(context, bounds, text, policy, workers=processes, driver=driver, app=loaded)
        click.echo(told)
        return None
    if reload and app is None:
        raise click.UsageError("--reload is for an app, and needs --app")
    if reload:
        check_watchfiles()
        log_level = log_level if "log_level" in given else "info"
    program = Program(
        app=served,
        lines=lines,
        given=given,
        endpoints=endpoints,
        limits=bounds,
        trust=Trust(
            allow_from=allow_from,
            allow_uids=frozenset(allow_uid),
            proxy_protocol=proxy_protocol,
            proxy_on=frozenset(proxy_on),
            proxy_from=proxy_from or Trust.proxy_from,
            unix_mode=unix_mode,
            tls=certificates_for(endpoints, tls_cert, tls_key, tls_client_ca),
        ),
        takeover=takeover,
        driver=driver,
        log=open_log(LogFormat(log_format), log_level),
        log_ends=log_level == "info",
        metrics=metrics,
        workers=workers or processors(),
        worker_limits=WorkerLimits(
            timeout=worker_timeout or math.inf,
            lifetime=worker_lifetime or math.inf,
            max_rss=worker_max_rss or math.inf,
        ),
        watched=served.folder if reload and isinstance(served, AppName) else None,
        config=None if config is None else context.default_map,
    )
    for option in ("worker_timeout", "worker_lifetime", "worker_max_rss"):
        if option in given and not program.supervised:
            raise click.UsageError(f"--{option.replace('_', '-')} needs --workers or --config")
    return program


def _is_given(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) not in (ParameterSource.DEFAULT, None)


def _capitals(text: str, lines: LineOptions, max_line: int) -> App:
    new_service, datagram_service = _SERVICES[text]
    return App(session=lambda: lines.session_of(new_service(), max_line), datagrams=datagram_service)


def _named_app(name: str, folder: Path, given: Collection[str]) -> AppName:
    if "text" in given:
        raise click.UsageError("--text is for capitals, and --app serves something else")
    # The default may have been removed since the start, and the app be elsewhere on the path.
    return AppName.parse(name, folder, folder_needed="app_dir" in given)


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
        CaasError: so is what they name.
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
