"""The command line: `python -m caas_trio.conformance`, also installed as `caas-conformance`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

import click
import trio

from caas_trio import __version__
from caas_trio.core.endpoint import Endpoint, Scheme
from caas_trio.core.errors import EndpointError, TlsError
from caas_trio.core.printable import printable

from . import datagram
from .case import Result
from .families import CASES
from .profile import First, Oversize, Profile, Proxy, Service
from .reports import machine, text
from .runner import DEFAULT_JOBS, DEFAULT_PATIENCE, Report, UnreachableError, judge, select
from .wire import CONNECTORS, client_context

#: Files to write, each with what renders it.
_Files: TypeAlias = list[tuple[Path, Callable[[Report], str]]]

_WRONG_USAGE = 2
_MOST_SECONDS = 3600


def _fail(message: str) -> NoReturn:
    """End with one line about what is wrong with the usage, or with the endpoint."""
    click.echo(f"caas-conformance: {message}", err=True)
    sys.exit(_WRONG_USAGE)


class _EndpointType(click.ParamType[Endpoint]):
    name = "endpoint"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Endpoint:
        try:
            endpoint = Endpoint.parse(value)
        except EndpointError as error:
            self.fail(str(error), param, ctx)
        if endpoint.scheme not in CONNECTORS and endpoint.scheme not in datagram.SCHEMES:
            known = ", ".join(
                scheme.value for scheme in Scheme if scheme in CONNECTORS or scheme in datagram.SCHEMES
            )
            self.fail(f"the suite reaches {known}, not {endpoint.scheme.value}", param, ctx)
        return endpoint


def _values(kind: type[Service | First | Oversize | Proxy]) -> click.Choice[str]:
    return click.Choice([member.value for member in kind])


class _SecondsType(click.ParamType[float]):
    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            seconds = float(value)
        except ValueError:
            seconds = 0.0
        if not 0 < seconds <= _MOST_SECONDS:  # which nan is not either
            self.fail(
                f"{value!r} is not a number of seconds, more than 0 and at most {_MOST_SECONDS}", param, ctx
            )
        return seconds


_FILE = click.Path(dir_okay=False, writable=True, path_type=Path)

_EPILOG = """\
\b
Exit status: 0 if every MUST passed, 1 if some did not, 2 for wrong usage, for a
selection without a case, or if the server cannot be reached.

\b
A server of lines that speaks only when spoken to:
  python -m caas_trio.conformance tcp://127.0.0.1:50007
One that greets, and refuses lines beyond 1000 bytes:
  python -m caas_trio.conformance tcp://127.0.0.1:50007 \\
      --first server --prompt 'hello, who is there?' --max-line 1000 --oversize reject
An echo server on a Unix socket, with a page to look at:
  python -m caas_trio.conformance unix:/run/echo.sock --service echo --html report.html
"""


@click.command(
    epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.argument("endpoint", type=_EndpointType(), required=False)
@click.option(
    "--service", type=_values(Service), default="upper", show_default=True, help="What it does with a line."
)
@click.option("--first", type=_values(First), default="client", show_default=True, help="Who speaks first.")
@click.option(
    "--prompt",
    default="Enter some data to be capitalized:",
    show_default=True,
    help="What it says first, without LF.",
)
@click.option("--max-line", type=click.IntRange(min=32), help="The most bytes it takes before an LF.")
@click.option("--oversize", type=_values(Oversize), help="What it does with a longer line.")
@click.option(
    "--once", is_flag=True, help="It answers one line per connection, as socketserver's examples do."
)
@click.option("--proxy", type=_values(Proxy), help="It expects a PROXY header of this version.")
@click.option(
    "--only", multiple=True, metavar="PREFIX", help="Run only cases whose id begins so. May be repeated."
)
@click.option("--case", "ids", multiple=True, metavar="ID", help="Run only this case. May be repeated.")
@click.option("--list", "listing", is_flag=True, help="List the cases and end.")
@click.option("--tls-ca", metavar="FILE", help="CAs that a tls server's certificate may come from, in PEM.")
@click.option("--tls-insecure", is_flag=True, help="Judge a tls server whatever its certificate is.")
@click.option("--strict", is_flag=True, help="Let a missed SHOULD count as well.")
@click.option(
    "--timeout",
    type=_SecondsType(),
    default=DEFAULT_PATIENCE,
    show_default=True,
    help="Seconds of silence after which a reply counts as missing.",
)
@click.option(
    "--jobs",
    type=click.IntRange(1, 64),
    default=DEFAULT_JOBS,
    show_default=True,
    help="Cases run side by side.",
)
@click.option("--json", "json_file", type=_FILE, help="Write the report as JSON.")
@click.option("--junit", "junit_file", type=_FILE, help="Write the report as JUnit XML.")
@click.option("--html", "html_file", type=_FILE, help="Write the report as one HTML page (needs Jinja2).")
@click.option("--verbose", is_flag=True, help="Also tell why cases were not judged.")
@click.version_option(__version__, prog_name="caas-conformance")
@click.pass_context
def main(context: click.Context, /, **values: Any) -> None:
    """Judge the line server at ENDPOINT.

    That is tcp://HOST:PORT, tls://HOST:PORT, unix:PATH, udp://HOST:PORT or unixgram:PATH.
    A sanity case runs first; if that fails, nothing else is judged.
    """
    cases = select(values["only"], values["ids"])
    if not cases:
        _fail("no case has such an id; --list shows them")
    if unknown := set(values["ids"]) - {case.id for case in CASES}:
        _fail(f"there is no case {min(unknown)}; --list shows them")
    if values["listing"]:
        for case in cases:
            click.echo(f"{case.id:<44} {case.rule.level.value:<7} {case.rule.text}")
        return
    endpoint: Endpoint | None = values["endpoint"]
    if endpoint is None:
        context.fail("Missing argument 'ENDPOINT'.")
    profile = _profile(endpoint, values)
    files = _report_files(values)
    try:
        report = _judge_with_progress(
            endpoint, profile, cases=cases, patience=values["timeout"], jobs=values["jobs"]
        )
    except UnreachableError as error:
        _fail(str(error))
    except BaseExceptionGroup as group:
        if group.split(KeyboardInterrupt)[1] is not None:
            raise
        _fail("interrupted")
    for line in text.lines(report, verbose=values["verbose"]):
        click.echo(line)
    _write(files, report)
    sys.exit(0 if report.conforms(strict=values["strict"]) else 1)


def _profile(endpoint: Endpoint, values: dict[str, Any]) -> Profile:
    oversize = Oversize(values["oversize"]) if values["oversize"] else None
    if oversize in (Oversize.REJECT, Oversize.DISCARD) and values["max_line"] is None:
        _fail(f"--oversize {oversize.value} says nothing without --max-line")
    if not values["prompt"] and values["first"] != "client":
        _fail("a prompt of nothing cannot be told from silence")
    if (values["tls_ca"] or values["tls_insecure"]) and endpoint.scheme is not Scheme.TLS:
        _fail("--tls-ca and --tls-insecure are for tls endpoints")
    try:
        client_context(values["tls_ca"], insecure=values["tls_insecure"])
    except TlsError as error:
        _fail(str(error))
    if values["proxy"] and endpoint.scheme not in (Scheme.TCP, Scheme.UNIX):
        _fail("--proxy is for tcp and unix endpoints")
    return Profile(
        service=Service(values["service"]),
        first=First(values["first"]),
        prompt=values["prompt"].encode(errors="surrogateescape") + b"\n",
        max_line=values["max_line"],
        oversize=oversize,
        once=values["once"],
        proxy=Proxy(values["proxy"]) if values["proxy"] else None,
        datagrams=endpoint.scheme in datagram.SCHEMES,
        tls_ca=values["tls_ca"],
        tls_insecure=values["tls_insecure"],
    )


def _report_files(values: dict[str, Any]) -> _Files:
    """Return each file to write, with what renders it; end with one line if a page needs Jinja2 in vain."""
    files: _Files = []
    if values["json_file"]:
        files.append((values["json_file"], machine.as_json))
    if values["junit_file"]:
        files.append((values["junit_file"], partial(machine.as_junit, strict=values["strict"])))
    if values["html_file"]:
        try:
            from .reports import html  # noqa: PLC0415 - nothing else needs Jinja2
        except ModuleNotFoundError as error:
            _fail(f"--html needs {error.name}: python -m pip install 'caas-trio[html]'")
        files.append((values["html_file"], html.as_html))
    return files


def _judge_with_progress(endpoint: Endpoint, profile: Profile, **options: Any) -> Report:
    """Return the report; on a terminal a bar shows how far it is."""
    terminal = sys.stderr is not None and sys.stderr.isatty()
    cases = len(options["cases"])
    with click.progressbar(
        length=cases, label=f"judging {printable(str(endpoint))}", file=sys.stderr, hidden=not terminal
    ) as bar:

        def observe(_: Result) -> None:
            bar.update(1)

        return trio.run(lambda: judge(endpoint, profile, observer=observe, **options))


def _write(files: _Files, report: Report) -> None:
    for path, render in files:
        try:
            path.write_text(render(report), encoding="utf-8")
        except OSError as error:
            _fail(f"{path} cannot be written: {error.strerror}")
