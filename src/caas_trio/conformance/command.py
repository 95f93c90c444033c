"""The command line: `python -m caas_trio.conformance`, also installed as `caas-conformance`."""

from __future__ import annotations

import itertools
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import click
import trio
from click.core import ParameterSource

from caas_trio import __version__
from caas_trio.core.endpoint import Endpoint, Scheme
from caas_trio.core.errors import EndpointError, TlsError
from caas_trio.core.printable import printable
from caas_trio.core.session import First, Oversize

from . import datagram
from .baseline import Baseline, BaselineError, Comparison
from .baseline import text as as_baseline
from .case import Case, Result
from .dialects.dialect import Dialect
from .dialects.parsing import DialectError, load, names
from .families import cases_of
from .interruption import interruptible
from .profile import Profile, Proxy, Service
from .reports import machine, text
from .reports.output import OutputError, ReportFile, print_lines
from .runner import DEFAULT_JOBS, DEFAULT_TIMEOUT_S, Report, UnreachableError, judge, select
from .wire import CONNECTORS, client_context

_DOES_NOT_CONFORM = 1
_WRONG_USAGE = 2
#: As shells say it of a process that a signal has ended.
_SIGNALLED = 128
_MAX_TIMEOUT_S = 3600
#: Dialects that have cases of their own: what is known of each byte of a reply says more than a pattern.
_SERVICES = {"capitals": Service.UPPER, "echo": Service.ECHO, "echo-bytes": Service.ECHO_BYTES}
#: The options that name a file for a report.
_REPORTS = ("json", "junit", "html", "write-baseline")


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
        if not 0 < seconds <= _MAX_TIMEOUT_S:  # which nan is not either
            self.fail(
                f"{value!r} is not a number of seconds, more than 0 and at most {_MAX_TIMEOUT_S}", param, ctx
            )
        return seconds


def _shows(shown: Callable[[click.Context], str]) -> Callable[[click.Context, click.Parameter, bool], None]:
    """Return what an option does that shows something and ends; click's own fails on a full disk."""

    def show(context: click.Context, _: click.Parameter, wanted: bool) -> None:  # noqa: FBT001 - click's signature
        if wanted:
            try:
                print_lines([shown(context)], sys.stdout)
            except OutputError as error:
                _fail(str(error))
            context.exit()

    return show


def _version(_: click.Context) -> str:
    return f"caas-conformance, version {__version__}"


_FILE = click.Path(dir_okay=False, writable=True, path_type=Path)

_EPILOG = """\
\b
Exit status: 0 if every MUST passed, or what did not is in the --baseline; 1 if some
did not, 2 for wrong usage, for a
selection of which nothing can be judged, or if the server cannot be reached or a
report cannot be written. SIGINT and SIGTERM end a run with a report of what was
judged, and 130 or 143.

\b
A server of lines that speaks only when spoken to:
  python -m caas_trio.conformance tcp://127.0.0.1:50007
One that greets, and refuses lines beyond 1000 bytes:
  python -m caas_trio.conformance tcp://127.0.0.1:50007 \\
      --first server --prompt 'hello, who is there?' --max-line 1000 --oversize reject
A server that echoes lines, on a Unix socket, with a page to look at:
  python -m caas_trio.conformance unix:/run/echo.sock --service echo --html report.html
The echo service of inetd, which echoes bytes:
  python -m caas_trio.conformance tcp://127.0.0.1:7 --service echo-bytes
A mail server, by what a dialect says of SMTP; docs/dialects.md tells how one is written:
  python -m caas_trio.conformance tcp://127.0.0.1:25 --dialect smtp
"""


@click.command(epilog=_EPILOG, add_help_option=False, context_settings={"max_content_width": 100})
@click.argument("endpoint", type=_EndpointType(), required=False)
@click.option(
    "--service",
    type=_values(Service),
    default="upper",
    show_default=True,
    help="What it does with a line, or, as RFC 862 has it, with bytes.",
)
@click.option(
    "--dialect",
    metavar="NAME|FILE",
    help=f"What it speaks, in place of --service: {', '.join([*_SERVICES, *names()])}, or a TOML file.",
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
    default=DEFAULT_TIMEOUT_S,
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
@click.option(
    "--baseline",
    "baseline_file",
    type=_FILE,
    help="Known findings, which do not fail the run; a new one does, and one that is gone is told.",
)
@click.option(
    "--write-baseline", "write_baseline_file", type=_FILE, help="Write what is found as such a file."
)
@click.option("--verbose", is_flag=True, help="Also tell why cases were not judged.")
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_shows(_version),
    help="Show the version.",
)
@click.option(
    "-h",
    "--help",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_shows(click.Context.get_help),
    help="Show this message.",
)
@click.pass_context
def main(context: click.Context, /, **values: Any) -> None:
    """Judge the line server at ENDPOINT.

    That is tcp://HOST:PORT, tls://HOST:PORT, unix:PATH, udp://HOST:PORT or unixgram:PATH.
    A sanity case runs first; if that fails, nothing else is judged.
    """
    try:
        sys.exit(_run(context, values))
    except OutputError as error:
        _fail(str(error))
    except KeyboardInterrupt:  # one that came before or behind the run, or a second one
        click.echo("caas-conformance: interrupted", err=True)
        sys.exit(_SIGNALLED + signal.SIGINT)


def _run(context: click.Context, values: dict[str, Any]) -> int:
    """Do what the command line asks for; return the exit status."""
    dialect = _declared_dialect(context, values)
    cases = _selected(values, cases_of(Profile(dialect=dialect)))
    if values["listing"]:
        print_lines(
            (f"{case.id:<44} {case.rule.level.value:<7} {case.rule.text}" for case in cases), sys.stdout
        )
        return 0
    endpoint: Endpoint | None = values["endpoint"]
    if endpoint is None:
        context.fail("Missing argument 'ENDPOINT'.")
    profile = _profile(endpoint, values, dialect)
    _refuse_what_cannot_be_judged(values, profile)
    options = {"cases": cases, "timeout_s": values["timeout"], "jobs": values["jobs"]}
    baseline = _baseline(values)
    with ExitStack() as stack:
        files = _opened(values, baseline, stack)
        try:
            report, signals = _judge_with_progress(endpoint, profile, **options)
        except UnreachableError as error:
            _fail(str(error))
        compared = baseline.compare(report.results, strict=values["strict"]) if baseline else None
        written = _write_all(files, report, compared, verbose=values["verbose"])
    if signals:
        click.echo(f"caas-conformance: interrupted by {signals[0].name}", err=True)
        return _SIGNALLED + signals[0]
    if compared.new if compared else not report.conforms(strict=values["strict"]):
        return _DOES_NOT_CONFORM
    if not report.judges_any(cases):
        _fail("nothing of what was asked for was judged; --verbose says why")
    return 0 if written else _WRONG_USAGE


def _declared_dialect(context: click.Context, values: dict[str, Any]) -> Dialect | None:
    """Return the dialect that is asked for; what else declares a service contradicts it."""
    if values["dialect"] is None:
        return None
    if values["dialect"] in _SERVICES:
        values["service"] = _SERVICES[values["dialect"]].value
        return None
    for option in ("service", "first", "prompt", "max_line", "oversize", "once"):
        if context.get_parameter_source(option) is not ParameterSource.DEFAULT:
            _fail(f"--{option.replace('_', '-')} says nothing beside --dialect, which says what is spoken")
    try:
        return load(values["dialect"])
    except DialectError as error:
        _fail(str(error))


def _selected(values: dict[str, Any], cases: Sequence[Case]) -> list[Case]:
    """Return the cases that are asked for; each word of the user's has to name some."""
    for prefix in values["only"]:
        if not select([prefix], cases=cases):
            _fail(f"no case's id begins with {prefix}; --list shows them")
    for case_id in values["ids"]:
        if not select(ids=[case_id], cases=cases):
            _fail(f"there is no case {case_id}; --list shows them")
    return select(values["only"], values["ids"], cases)


def _refuse_what_cannot_be_judged(values: dict[str, Any], profile: Profile) -> None:
    """End if some of what is asked for comes to nothing, which would look as if all of it had passed."""
    there = cases_of(profile)
    asked = [(f"--only {prefix}", select([prefix], cases=there)) for prefix in values["only"]]
    asked += [(f"--case {case_id}", select(ids=[case_id], cases=there)) for case_id in values["ids"]]
    for words, cases in asked:
        reasons = dict.fromkeys(case.unfit(profile) for case in cases)
        if None not in reasons:
            _fail(f"nothing of {words} can be judged: {'; '.join(filter(None, reasons))}")


def _renderer(kind: str, *, strict: bool, baseline: Baseline) -> Callable[[Report], str]:
    """Return what renders a kind of report; end with one line if a page needs Jinja2 in vain."""
    if kind == "json":
        return machine.as_json
    if kind == "junit":
        return partial(machine.as_junit, strict=strict, baseline=baseline)
    if kind == "write-baseline":
        return partial(as_baseline, strict=strict)
    try:
        from .reports import html  # noqa: PLC0415 - nothing else needs Jinja2
    except ModuleNotFoundError as error:
        _fail(f"--html needs {error.name}: python -m pip install 'caas-trio[html]'")
    return html.as_html


def _opened(values: dict[str, Any], baseline: Baseline | None, stack: ExitStack) -> list[ReportFile]:
    """Return the files for the reports, opened until the stack is closed."""
    files: list[ReportFile] = []
    for kind in _REPORTS:
        path: Path | None = values[f"{kind.replace('-', '_')}_file"]
        if path is not None:
            render = _renderer(kind, strict=values["strict"], baseline=baseline or Baseline())
            files.append(stack.enter_context(ReportFile(kind, path, render)))
    for one, other in itertools.combinations(files, 2):
        if one.is_same(other):
            _fail(f"--{one.option} and --{other.option} are the same file")
    return files


def _baseline(values: dict[str, Any]) -> Baseline | None:
    """Return what is known, if a file is given that says so."""
    if values["baseline_file"] is None:
        return None
    try:
        return Baseline.read(values["baseline_file"])
    except BaselineError as error:
        _fail(str(error))


def _write_all(
    files: list[ReportFile], report: Report, compared: Comparison | None, *, verbose: bool
) -> bool:
    """Write the files and print the report; return whether all of that could be done."""
    tasks = [partial(file.write, report) for file in files]
    tasks.append(partial(print_lines, text.lines(report, verbose=verbose), sys.stdout))
    if compared is not None:
        tasks.append(partial(print_lines, compared.lines(), sys.stdout))
    problems: list[str] = []
    for task in tasks:
        try:
            task()
        except OutputError as error:
            problems.append(str(error))
    for problem in problems:
        click.echo(f"caas-conformance: {problem}", err=True)
    return not problems


def _profile(endpoint: Endpoint, values: dict[str, Any], dialect: Dialect | None) -> Profile:
    if dialect is not None and endpoint.scheme in datagram.SCHEMES:
        _fail("--dialect is for endpoints that take connections")
    oversize = Oversize(values["oversize"]) if values["oversize"] else None
    if oversize in (Oversize.REJECT, Oversize.DISCARD) and values["max_line"] is None:
        _fail(f"--oversize {oversize.value} says nothing without --max-line")
    service = Service(values["service"])
    if not service.has_lines and (oversize or values["max_line"] is not None or values["once"]):
        _fail(f"--max-line, --oversize and --once are about lines, and --service {service.value} is not")
    if not values["prompt"] and values["first"] != "client":
        _fail("a prompt of nothing is silence")
    if (values["tls_ca"] or values["tls_insecure"]) and endpoint.scheme is not Scheme.TLS:
        _fail("--tls-ca and --tls-insecure are for tls endpoints")
    try:
        client_context(values["tls_ca"], insecure=values["tls_insecure"])
    except TlsError as error:
        _fail(str(error))
    if values["proxy"] and endpoint.scheme not in (Scheme.TCP, Scheme.UNIX):
        _fail("--proxy is for tcp and unix endpoints")
    return Profile(
        service=service,
        first=First(values["first"]),
        prompt=values["prompt"].encode(errors="surrogateescape") + b"\n",
        max_line=values["max_line"],
        oversize=oversize,
        once=values["once"],
        proxy=Proxy(values["proxy"]) if values["proxy"] else None,
        datagrams=endpoint.scheme in datagram.SCHEMES,
        tls_ca=values["tls_ca"],
        tls_insecure=values["tls_insecure"],
        dialect=dialect,
    )


def _judge_with_progress(
    endpoint: Endpoint, profile: Profile, **options: Any
) -> tuple[Report, list[signal.Signals]]:
    """Return the report, and the signals that ended the run early; a terminal sees how far it is."""
    terminal = sys.stderr is not None and sys.stderr.isatty()
    cases = len(options["cases"])
    with click.progressbar(
        length=cases, label=f"judging {printable(str(endpoint))}", file=sys.stderr, hidden=not terminal
    ) as bar:

        def observe(_: Result) -> None:
            bar.update(1)

        async def run() -> tuple[Report, list[signal.Signals]]:
            scope = trio.CancelScope()
            with interruptible(scope) as signals:
                report = await judge(endpoint, profile, observer=observe, scope=scope, **options)
            return report, signals

        return trio.run(run)
