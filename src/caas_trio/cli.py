"""The command line: `python -m caas_trio`, or `caas-trio` once it is installed."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import closing
from functools import partial
from typing import Any, Final, NamedTuple, NoReturn

import click
import trio
from prometheus_client import disable_created_metrics
from structlog.typing import FilteringBoundLogger

from . import __version__
from .capitals import Utf8Capitals, ascii_capitals
from .endpoint import Endpoint
from .errors import CaasError, UsageError
from .explain import explanation
from .framing import DEFAULT_MAX_LINE
from .limits import AtCapacity, Limits
from .logs import LEVELS, LogFormat, open_log, tell
from .metrics import Metrics
from .monitoring import serve_monitoring
from .options import BYTES, CONNECTIONS, NETWORK, SECONDS, EndpointType, HostPortType, PromptType
from .reports import ConnectionEnds, Reports
from .server import NewSession, serve_sessions
from .session import DEFAULT_PROMPT, First, LineSession, Oversize, Service
from .telemetry import Telemetry, together
from .trust import Network, Trust

PROGRAM: Final = "caas-trio"
DEFAULT_ENDPOINT: Final = "tcp://127.0.0.1:50007"

_STOPPING: Final = (signal.SIGTERM, signal.SIGINT)

_FAILED: Final = 1
_WRONG_USAGE: Final = 2

_EPILOG: Final = """\
\b
Examples, and a client to try each with:
  caas-trio                                      the client speaks first
      printf 'hello\\nworld' | nc -N 127.0.0.1 50007
  caas-trio --first server unix:/tmp/caas.sock   the server prompts at once
      nc -NU /tmp/caas.sock
  caas-trio --first either tcp://[::1]:7000      who waits is prompted
      nc -N ::1 7000

\b
An ENDPOINT is one of
  tcp://HOST:PORT   port 0 takes a free one; IPv6 is written tcp://[::1]:7000
  unix:/PATH        a Unix socket, removed when the service ends
  unix:@NAME        an abstract Unix socket (Linux)
Without one, the service listens on tcp://127.0.0.1:50007.

Once an endpoint accepts connections, a line such as
"listening on tcp://127.0.0.1:50007" goes to standard output.

SIGTERM or Ctrl-C ends the service: it answers every line it has received, ends each
connection and exits with 0. A second signal ends it at once. Exit status 1 is a failure
(an address in use, no permission) and 2 a wrong command line; either is told in one line on
standard error.

Every option can be set by an environment variable too: --max-line by CAAS_TRIO_MAX_LINE,
and so on.
"""


_SERVICES: Final[dict[str, Callable[[], Service]]] = {"ascii": lambda: ascii_capitals, "utf-8": Utf8Capitals}


@click.command(
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 96, "show_default": True},
)
@click.argument(
    "endpoints", metavar="[ENDPOINT]...", nargs=-1, type=EndpointType(), default=(DEFAULT_ENDPOINT,)
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
    "or answer it piece by piece.",
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
    help="How long a PROXY header may take.",
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
    "--explain",
    is_flag=True,
    help="Say what each setting is, where it comes from and what they may cost; serve nothing.",
)
@click.version_option(__version__, prog_name=PROGRAM)
def command(
    *,
    endpoints: tuple[Endpoint, ...],
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
    log_format: str,
    log_level: str,
    metrics: Endpoint | None,
    explain: bool,
    **limits: Any,
) -> None:
    """Serve CaaS, capitalization as a service: answer each line with its capitals.

    A line ends with a line feed. Letters are raised, every other byte comes back as it is.
    """

    def new_session() -> LineSession:
        return LineSession(
            _SERVICES[text](),
            First(first),
            prompt.encode(errors="surrogateescape") + b"\n",
            max_line,
            Oversize(oversize),
            once=once,
        )

    if proxy_from and not (proxy_protocol or proxy_on):
        raise click.UsageError("--proxy-from needs --proxy-protocol or --proxy-on")
    trust = Trust(
        allow_from=allow_from,
        proxy_protocol=proxy_protocol,
        proxy_on=frozenset(proxy_on),
        proxy_from=proxy_from or Trust.proxy_from,
    )
    bounds = Limits(max_line=max_line, at_capacity=AtCapacity(at_capacity), **limits)
    if explain:
        click.echo(explanation(click.get_current_context(), bounds, text, Oversize(oversize)))
        return
    trio.run(
        _serve,
        new_session,
        endpoints,
        bounds,
        trust,
        Watching(open_log(LogFormat(log_format), log_level), log_level == "info", metrics),
    )


class Watching(NamedTuple):
    """Who is told what happens: the log, of the end of each connection too, and monitoring."""

    log: FilteringBoundLogger
    log_ends: bool
    metrics: Endpoint | None


async def _serve(
    new_session: NewSession, endpoints: Sequence[Endpoint], limits: Limits, trust: Trust, watching: Watching
) -> None:
    """Serve until a signal asks for a stop; a second one cuts everything off."""
    stop = trio.Event()
    reports = Reports(watching.log)
    output = _Announcement(trust, reports)
    telemetries: list[Telemetry] = [reports]
    if watching.log_ends:
        telemetries.append(ConnectionEnds(watching.log))
    with closing(reports), trio.open_signal_receiver(*_STOPPING) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_stop_on_signals, signals, stop, nursery.cancel_scope)
            if watching.metrics is not None:
                disable_created_metrics()  # type: ignore[no-untyped-call] # no use, and half of the page
                metrics = Metrics(limits)
                telemetries.append(metrics)
                monitoring = partial(serve_monitoring, watching.metrics, metrics.page, telemetry=reports)
                output.monitored_at = await nursery.start(
                    partial(monitoring, ready=lambda: output.done and not stop.is_set())
                )
            await serve_sessions(
                new_session,
                *endpoints,
                limits=limits,
                trust=trust,
                telemetry=together(*telemetries),
                stop=stop,
                task_status=output,
            )
            nursery.cancel_scope.cancel()


async def _stop_on_signals(
    signals: AsyncIterator[int], stop: trio.Event, everything: trio.CancelScope
) -> None:
    async for _ in signals:
        if stop.is_set():
            everything.cancel()
        stop.set()


class _Announcement:
    """Says where the service listens, once it does, and logs if that is wide open.

    Attributes:
        done: whether it does.
        monitored_at: where else it listens.
    """

    def __init__(self, trust: Trust, reports: Reports) -> None:
        self.done = False
        self.monitored_at: Sequence[Endpoint] = ()
        self._trust = trust
        self._reports = reports

    def started(self, endpoints: Sequence[Endpoint] = ()) -> None:
        """Write a line for each endpoint."""
        exposed = [str(endpoint) for endpoint in endpoints if self._trust.exposes(endpoint)]
        if exposed:
            self._reports.exposed(exposed)
        try:
            for endpoint in endpoints:
                click.echo(os.fsencode(f"listening on {endpoint}"))
            for endpoint in self.monitored_at:
                click.echo(f"metrics on http://{endpoint.authority}/metrics")
        except OSError as error:
            sys.stdout = None  # or the interpreter would try once more at its end
            raise click.ClickException(f"cannot write to standard output: {error.strerror}") from error
        self.done = True


def _tell(message: str) -> None:
    """Tell what keeps the service from starting, or from going on."""
    tell(f"{PROGRAM}: {' '.join(message.split())}")


def run(arguments: Sequence[str]) -> int:
    """Run the command line and return its exit status; a user's mistake is told in one line."""
    try:
        return command.main(arguments, PROGRAM, standalone_mode=False, auto_envvar_prefix="CAAS_TRIO") or 0
    except* (CaasError, OSError, click.Abort, click.ClickException) as group:
        failure: BaseException = group
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    match failure:
        case click.ClickException():
            _tell(failure.format_message())
            return failure.exit_code
        case click.Abort():
            _tell("interrupted")
        case _:
            _tell(str(failure))
    return _WRONG_USAGE if isinstance(failure, UsageError) else _FAILED


def main() -> NoReturn:
    """Run as a program."""
    status = run(sys.argv[1:])
    for number in _STOPPING:  # one signal too many must not spoil an end that is already reached
        signal.signal(number, signal.SIG_IGN)
    sys.exit(status)
