"""The table of `--explain`: the settings, and what they cost."""

from __future__ import annotations

import resource
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from typing import Any, Final

import click
from click.core import ParameterSource

from caas_trio.core.endpoint import Scheme
from caas_trio.core.handshakegate import MAX_HANDSHAKE
from caas_trio.core.limits import Limits
from caas_trio.core.printable import printable
from caas_trio.core.session import LineSession, Oversize
from caas_trio.drivers.choice import DriverName, uses_hub
from caas_trio.drivers.hubtransport import READ_SIZE as HUB_READ_SIZE
from caas_trio.drivers.stream import READ_SIZE as STREAM_READ_SIZE
from caas_trio.server.admission import RESERVED_DESCRIPTORS, connection_limit
from caas_trio.server.app import App, Lifespan

from .options import MODE

#: The factor by which a service may make a text longer: a letter of UTF-8 may become three times as long.
GROWTH: Final = {"ascii": 1, "utf-8": 3}

#: The most bytes that OpenSSL and the layer between it and a session hold for a connection: measured,
#: after 60 KB at a time in both directions; and what certificates take that clients show, for each
#: byte of the handshake.
TLS_BUFFERS: Final = 192 * 1024
TLS_CERTIFICATES: Final = 16 * MAX_HANDSHAKE

_UNITS: Final = ("bytes", "KiB", "MiB", "GiB", "TiB")
_THOUSAND: Final = 1024


def explanation(
    context: click.Context,
    limits: Limits,
    text: str,
    oversize: Oversize,
    *,
    workers: int,
    driver: DriverName,
    app: App | Lifespan | None = None,
) -> str:
    """Return each setting, where it comes from, and what all of them may cost together.

    Args:
        context: of the command line, once it is read.
        limits: the limits that it asks for.
        text: a key of `GROWTH`.
        oversize: what becomes of lines that are too long.
        workers: how many processes serve, each within the limits.
        driver: what moves the bytes.
        app: what is served in place of capitals. A context manager is not entered, so the limits of
            what it yields are not known.
    """
    changed = _changed(context, app.limits) if isinstance(app, App) and app.limits is not None else {}
    limits = replace(limits, **changed)
    rows = [("setting", "value", "from"), *_settings(context, changed, capitals=app is None)]
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    table = [f"{name:{widths[0]}}  {value:{widths[1]}}  {source}" for name, value, source in rows]
    endpoints, client_ca = context.params["endpoints"], context.params["tls_client_ca"]
    tls = 0
    if any(endpoint.scheme is Scheme.TLS for endpoint in endpoints):
        tls = TLS_BUFFERS + (TLS_CERTIFICATES if client_ca is not None else 0)
    costs = list(_costs(limits, text, oversize, workers=workers, tls=tls, driver=driver))
    if app is not None:
        costs.append("app          what its code holds, and makes of a line, is extra")
    return "\n".join([*table, "", *costs])


def _changed(context: click.Context, limits: Limits) -> dict[str, Any]:
    """Return the limits of an app that no option overrides."""
    return {
        field.name: getattr(limits, field.name)
        for field in fields(Limits)
        if context.get_parameter_source(field.name) in (ParameterSource.DEFAULT, None)
    }


def session_ceiling(max_line: int, growth: int, oversize: Oversize, driver: DriverName) -> int:
    """Return the most bytes that one session holds: a line begun, and the reply to one read.

    Args:
        max_line: the most bytes of a line before its LF.
        growth: the factor by which a service may make a text longer.
        oversize: what becomes of lines that are too long.
        driver: what runs it; for TLS "stream". What TLS holds itself is not counted.
    """
    hub = uses_hub(driver)
    wanted = LineSession(bytes.upper, max_line=max_line, oversize=oversize).max_chunk
    read = min(wanted, HUB_READ_SIZE if hub else STREAM_READ_SIZE)
    reply = growth * (max_line + read)
    if oversize is Oversize.DISCARD:  # the longest reply is to lines that are just too long
        lines = (max_line + read) // (max_line + 2)
        reply = max(reply, lines * len(f"error: line longer than {max_line} bytes\n"))
    return max_line + reply + (0 if hub else read)


def _settings(
    context: click.Context, changed: Mapping[str, Any], *, capitals: bool
) -> Iterator[tuple[str, str, str]]:
    for parameter in context.command.params:
        name = parameter.name or ""
        if name not in context.params or name == "explain" or (name == "text" and not capitals):
            continue
        option = parameter.opts[0] if isinstance(parameter, click.Option) else name
        if name in changed:
            yield option, _value(parameter, getattr(changed[name], "value", changed[name])), "the app"
        else:
            value = _value(parameter, context.params[name])
            yield option, printable(value), printable(_source(context, name, option))


def _source(context: click.Context, name: str, option: str) -> str:
    match context.get_parameter_source(name):
        case ParameterSource.COMMANDLINE:
            return option
        case ParameterSource.ENVIRONMENT:
            return f"{context.auto_envvar_prefix}_{name.upper()}"
        case ParameterSource.DEFAULT_MAP:
            return str(context.params["config"])
    return "default"


def _value(parameter: click.Parameter, value: object) -> str:
    shown = getattr(parameter, "show_default", None)
    match value:
        case None | ():
            return shown if isinstance(shown, str) else "none"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:g}"
        case int() if parameter.type is MODE:
            return f"{value:04o}"
        case tuple():
            return " ".join(map(str, value))
    return str(value)


def _costs(
    limits: Limits, text: str, oversize: Oversize, *, workers: int, tls: int, driver: DriverName
) -> Iterator[str]:
    limit = connection_limit(limits.max_connections)
    soft, hard = (_limit(each) for each in resource.getrlimit(resource.RLIMIT_NOFILE))
    wanted = limits.max_connections + RESERVED_DESCRIPTORS
    lowered = "" if limit == limits.max_connections else f", lowered from {limits.max_connections}"
    short = ": descriptors are short" if lowered else ""
    several = workers > 1
    in_each = " in each worker" if several else ""
    yield f"connections  {limit} at most{in_each}{lowered}{short}"
    if several:
        yield (
            f"workers      {workers}, so {workers * limit} connections; after a SIGHUP, old ones drain beside"
        )
    yield (
        f"descriptors  {wanted}{in_each}: one for each connection, {RESERVED_DESCRIPTORS} for the rest; "
        f"the limit is {soft}, and can be raised to {hard} (ulimit -n)"
    )
    each = session_ceiling(limits.max_line, GROWTH[text], oversize, driver)
    if tls:
        each = max(each, tls + session_ceiling(limits.max_line, GROWTH[text], oversize, "stream"))
        yield f"TLS          {_size(tls)} at most for each connection, which is counted below"
    read = HUB_READ_SIZE if uses_hub(driver) else STREAM_READ_SIZE
    working = 4 * (limits.max_line + read)
    total = _size(workers * (limit * each + working))
    yield (
        f"memory       {total} at most, if every client does its worst: {_size(each)} for each connection, "
        f"{_size(working)} to work with{in_each}; Python and the kernel's buffers are extra"
    )


def _limit(number: int) -> str:
    return "infinite" if number == resource.RLIM_INFINITY else str(number)


def _size(size: float) -> str:
    """Return a number of bytes in the unit that suits it."""
    for unit in _UNITS[:-1]:
        if size < _THOUSAND:
            return f"{size:.4g} {unit}"
        size /= _THOUSAND
    return f"{size:.4g} {_UNITS[-1]}"
