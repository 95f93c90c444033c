"""The command line: `python -m caas_trio.conformance`, also installed as `caas-conformance`."""

from __future__ import annotations

import itertools
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import click
import trio

from caas_trio import __version__
from caas_trio.core.endpoint import Endpoint
from caas_trio.core.printable import printable
from caas_trio.core.session import First, Oversize
from caas_trio.core.terminator import TERMINATORS

from .baseline import Baseline, BaselineError, Comparison
from .baseline import text as as_baseline
from .case import Result
from .declaration import SERVICES, declared_dialect, declared_profile, refuse_the_unjudgeable, selected_cases
from .dialects.parsing import names
from .families import cases_of
from .interruption import interruptible
from .profile import Profile, Proxy, Service
from .reports import machine, text
from .reports.output import OutputError, ReportFile, print_lines
from .runner import DEFAULT_JOBS, DEFAULT_TIMEOUT_S, Report, UnreachableError, judge
from .usage import WRONG_USAGE, EndpointType, SecondsType, fail, values_of

_DOES_NOT_CONFORM = 1
#: As shells say it of a process that a signal has ended.
_SIGNALLED = 128
#: The options that name a file for a report.
_REPORTS = ("json", "junit", "html", "write-baseline")


def _shows(shown: Callable[[click.Context], str]) -> Callable[[click.Context, click.Parameter, bool], None]:
    """Return the callback of an option that shows a text and ends; click's own fails on a full disk."""

    def show(context: click.Context, _: click.Parameter, wanted: bool) -> None:  # noqa: FBT001 - click's signature
        if wanted:
            try:
                print_lines([shown(context)], sys.stdout)
            except OutputError as error:
                fail(str(error))
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
@click.argument("endpoint", type=EndpointType(), required=False)
@click.option(
    "--service",
    type=values_of(Service),
    default="upper",
    show_default=True,
    help="What it does with a line, or, as RFC 862 has it, with bytes.",
)
@click.option(
    "--dialect",
    metavar="NAME|FILE",
    help=f"What it speaks, in place of --service: {', '.join([*SERVICES, *names()])}, or a TOML file.",
)
@click.option(
    "--first", type=values_of(First), default="client", show_default=True, help="Which side speaks first."
)
@click.option(
    "--prompt",
    default="Enter some data to be capitalized:",
    show_default=True,
    help="What it says first, without LF.",
)
@click.option("--max-line", type=click.IntRange(min=32), help="The most bytes it takes before an LF.")
@click.option("--oversize", type=values_of(Oversize), help="What it does with a longer line.")
@click.option(
    "--once", is_flag=True, help="It answers one line per connection, as socketserver's examples do."
)
@click.option(
    "--terminator",
    type=click.Choice(list(TERMINATORS)),
    default="lf",
    show_default=True,
    help="What ends a line; with crlf, FRAME-9 alone is judged.",
)
@click.option("--proxy", type=values_of(Proxy), help="It expects a PROXY header of this version.")
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
    type=SecondsType(),
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
    help="Known findings, which do not fail the run; a new one does. One that is gone is reported.",
)
@click.option(
    "--write-baseline", "write_baseline_file", type=_FILE, help="Write the findings as such a file."
)
@click.option("--verbose", is_flag=True, help="Also report why cases were not judged.")
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
        fail(str(error))
    except KeyboardInterrupt:  # one that came before or behind the run, or a second one
        click.echo("caas-conformance: interrupted", err=True)
        sys.exit(_SIGNALLED + signal.SIGINT)


def _run(context: click.Context, values: dict[str, Any]) -> int:
    """Run the command line; return the exit status."""
    dialect = declared_dialect(context, values)
    cases = selected_cases(values, cases_of(Profile(dialect=dialect)))
    if values["listing"]:
        print_lines(
            (f"{case.id:<44} {case.rule.level.value:<7} {case.rule.text}" for case in cases), sys.stdout
        )
        return 0
    endpoint: Endpoint | None = values["endpoint"]
    if endpoint is None:
        context.fail("Missing argument 'ENDPOINT'.")
    profile = declared_profile(endpoint, values, dialect)
    refuse_the_unjudgeable(values, profile)
    options = {"cases": cases, "timeout_s": values["timeout"], "jobs": values["jobs"]}
    baseline = _baseline(values)
    with ExitStack() as stack:
        files = _opened(values, baseline, stack)
        try:
            report, signals = _judge_with_progress(endpoint, profile, **options)
        except UnreachableError as error:
            fail(str(error))
        compared = baseline.compare(report.results, strict=values["strict"]) if baseline else None
        written = _write_all(files, report, compared, verbose=values["verbose"])
    if signals:
        click.echo(f"caas-conformance: interrupted by {signals[0].name}", err=True)
        return _SIGNALLED + signals[0]
    if compared.new if compared else not report.conforms(strict=values["strict"]):
        return _DOES_NOT_CONFORM
    if not report.judges_any(cases):
        fail("nothing that was asked for was judged; --verbose says why")
    return 0 if written else WRONG_USAGE


def _renderer(kind: str, *, strict: bool, baseline: Baseline) -> Callable[[Report], str]:
    """Return the function that renders a kind of report; fail with one line if Jinja2 is missing."""
    if kind == "json":
        return machine.as_json
    if kind == "junit":
        return partial(machine.as_junit, strict=strict, baseline=baseline)
    if kind == "write-baseline":
        return partial(as_baseline, strict=strict)
    try:
        from .reports import html  # noqa: PLC0415 - nothing else needs Jinja2
    except ModuleNotFoundError as error:
        fail(f"--html needs {error.name}: python -m pip install 'caas-trio[html]'")
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
            fail(f"--{one.option} and --{other.option} are the same file")
    return files


def _baseline(values: dict[str, Any]) -> Baseline | None:
    """Return the baseline, if a file is given."""
    if values["baseline_file"] is None:
        return None
    try:
        return Baseline.read(values["baseline_file"])
    except BaselineError as error:
        fail(str(error))


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


def _judge_with_progress(
    endpoint: Endpoint, profile: Profile, **options: Any
) -> tuple[Report, list[signal.Signals]]:
    """Return the report, and the signals that ended the run early; show the progress on a terminal."""
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
