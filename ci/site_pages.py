"""Writes the pages of the site that code knows: the API, command line, settings, metrics and clauses."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import get_origin

import click
from prometheus_client.core import Metric

import caas_trio
from caas_trio import Limits
from caas_trio.conformance.clauses import CLAUSES
from caas_trio.observing.metrics import PrometheusTelemetry
from caas_trio.observing.sharedmetrics import SharedMetrics
from caas_trio.program.command import command
from ci.markdown import table

#: What the names of the API are about, and where a name belongs; the others are "More".
_SECTIONS = (
    ("Serve", ("run", "serve", "serve_sessions", "serve_datagrams", "App", "Listener", "Watchdog")),
    ("Connections", ("Connection", "current_connection", "StreamRequestHandler", "DatagramRequestHandler")),
    ("Settings", ("Limits", "AtCapacity", "Trust", "Certificates", "SocketOptions", "Endpoint", "Scheme")),
    ("Conversations without I/O", ("Session", "LineSession", "First", "Oversize", "LineBuffer", "Chunk")),
    ("Observe", ("Telemetry", "ServerStats", "ListenerStats", "ConnectionStats", "Outcome")),
)

#: What the server calls of a connection, and nobody else.
_OF_THE_SERVER = ("begin", "finish", "abandon")


def write(folder: Path) -> None:
    """Write the pages; those that have not changed are left alone."""
    folder.mkdir(exist_ok=True)
    for name, lines in (
        ("api", _api()),
        ("command-line", _command_line()),
        ("settings", _settings()),
        ("metrics", _metrics()),
        ("events", _events()),
        ("clauses", _clauses()),
    ):
        text = "\n".join(lines) + "\n"
        page = folder / f"{name}.md"
        if not page.exists() or page.read_text("utf-8") != text:
            page.write_text(text, "utf-8")


def _api() -> Iterator[str]:
    yield "# The library"
    yield ""
    yield "All names are in `caas_trio`."
    named = {name for _, names in _SECTIONS for name in names}
    errors = [name for name in caas_trio.__all__ if _is_error(name)]
    rest = [name for name in caas_trio.__all__ if name not in named and name not in errors]
    rest.remove("__version__")
    for title, names in (*_SECTIONS, ("Errors", errors), ("More", rest)):
        yield ""
        yield f"## {title}"
        for name in names:
            yield ""
            yield from _directive(name)


def _is_error(name: str) -> bool:
    found = getattr(caas_trio, name)
    return isinstance(found, type) and issubclass(found, Exception)


def _directive(name: str) -> Iterator[str]:
    found = getattr(caas_trio, name)
    if inspect.isclass(found) and get_origin(found) is None:
        kind, options = "autoclass", [":members:", *_of_bases(found)]
    elif inspect.isfunction(found):
        kind, options = "autofunction", []
    else:
        kind, options = "autodata", [":no-value:"]
    yield "```{eval-rst}"
    yield f".. {kind}:: caas_trio.{name}"
    yield from (f"   {option}" for option in options)
    yield "```"


def _of_bases(kind: type) -> list[str]:
    """Return the options for what a class has from others: all of it if these are not in the API."""
    public = {getattr(caas_trio, name) for name in caas_trio.__all__}
    ours = [base for base in kind.__mro__[1:] if base.__module__.startswith("caas_trio.")]
    if set(ours) <= public or _is_error(kind.__name__):
        return [":show-inheritance:"]
    others = ", ".join(base.__name__ for base in kind.__mro__ if base not in (kind, *ours))
    hidden = [name for name in _OF_THE_SERVER if hasattr(kind, name) and kind is caas_trio.Connection]
    return [f":inherited-members: {others}", f":exclude-members: {', '.join(hidden)}"]


def _command_line() -> Iterator[str]:
    yield "# The command line"
    for title, module, name in (
        ("caas-trio", "caas_trio.program.command", "command"),
        ("caas-trio status", "caas_trio.program.status_command", "status"),
    ):
        yield ""
        yield "```{eval-rst}"
        yield f".. click:: {module}:{name}"
        yield f"   :prog: {title}"
        yield "```"


def _settings() -> Iterator[str]:
    yield "# Settings"
    yield ""
    yield "Each setting is an option, a variable, and a key of the settings file (`--config`): the option's"
    yield "name without the hyphens in front. The command line wins over the environment, and that over the"
    yield "file. A limit is also an attribute of `caas_trio.Limits`."
    rows = []
    for each in command.params:
        if isinstance(each, click.Option) and each.name not in {"config", "explain", "version", "help"}:
            option = max(each.opts, key=len)
            limit = f"`{each.name}`" if each.name in Limits.__dataclass_fields__ else ""
            variable = f"`CAAS_TRIO_{str(each.name).upper()}`"
            rows.append((f"`{option}`", _default(each), limit, variable))
    yield ""
    yield from table(("option", "default", "limit", "variable"), rows).splitlines()


def _default(option: click.Option) -> str:
    shown = option.show_default
    if isinstance(shown, str):
        return shown
    return "off" if option.is_flag else f"`{option.default}`"


def _metrics() -> Iterator[str]:
    yield "# Metrics"
    yield ""
    yield "What `--metrics` shows at `/metrics`; see [Logs and metrics](../../observing.md#the-metrics)."
    yield ""
    with SharedMetrics() as shared:
        families: list[Metric] = [*PrometheusTelemetry(Limits()).families(), *shared.collect()]
    families.sort(key=lambda each: each.name)
    rows = [(f"`{_sample(each)}`", each.type, each.documentation) for each in families]
    yield from table(("metric", "type", ""), rows).splitlines()


def _events() -> Iterator[str]:
    """Yield the table of the page about the log, which a test holds to the code."""
    yield "# Log events"
    yield ""
    yield "What the log has; see [Logs and metrics](../../observing.md#the-log)."
    yield ""
    page = Path(__file__).parents[1].joinpath("docs", "observing.md").read_text("utf-8")
    yield from (line for line in page.partition("## Refusals")[0].splitlines() if line.startswith("|"))


def _sample(family: Metric) -> str:
    return f"{family.name}_total" if family.type == "counter" else family.name


def _clauses() -> Iterator[str]:
    yield "# Clauses"
    yield ""
    yield "What the conformance suite holds a server to; the reasons are in"
    yield "[the specification](../../specification.md)."
    yield ""
    rows = [(each.id, each.level.value, each.text) for each in CLAUSES.values()]
    yield from table(("clause", "level", "requirement"), rows).splitlines()
