"""Settings from a file: TOML, whose keys are the long options of the command line.

    endpoints = ["tcp://127.0.0.1:50007", "unix:/run/caas/caas.sock"]
    first = "server"
    max-line = 100

A value is the text behind the option, or a number; a switch is true or false; an option that may be
repeated is a list. The command line and the environment take precedence.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

import click

from .options import MODE

#: Options that are not settings.
_NO_SETTINGS: Final = frozenset({"config", "explain", "version", "help"})

_Text: TypeAlias = str | list[str] | bool


def read_config(file: Path, context: click.Context) -> dict[str, _Text]:
    """Return the settings in a file by the names of their parameters, as they would be written.

    Args:
        file: where they are.
        context: of the command that they are for.

    Raises:
        click.ClickException: the file cannot be read.
        click.UsageError: it is not TOML, or holds values that the command line could not express.
    """
    try:
        found = tomllib.loads(file.read_text("utf-8-sig"))  # some editors begin it with a BOM
    except OSError as error:
        raise click.ClickException(f"cannot use {file}: {(error.strerror or str(error)).lower()}") from error
    except ValueError as error:  # both for invalid TOML and for invalid UTF-8
        raise click.UsageError(f"{file} is no TOML: {error}") from error
    except RecursionError as error:
        raise click.UsageError(f"{file} is no TOML that can be read: it is nested too deeply") from error
    known = {_key(each): each for each in context.command.params if each.name not in _NO_SETTINGS}
    settings: dict[str, _Text] = {}
    for key, value in found.items():
        if key not in known:
            raise click.UsageError(f"{file} sets {key!r}, and there is no such option")
        parameter = known[key]
        text = _written(parameter, value)
        if text is None:
            raise click.UsageError(f"{file} sets {key!r} to {value!r}, and that is to be {_kind(parameter)}")
        try:
            parameter.type_cast_value(context, text)
        except click.BadParameter as error:
            raise click.UsageError(f"{file} sets {key!r}: {error.message}") from error
        settings[str(parameter.name)] = text
    return settings


def check_replacement(old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Refuse settings that look like those of a file that is being written.

    A file that has been truncated, to be written anew, is valid TOML, and so is its first half. If it
    took effect, the service would leave its endpoints.

    Args:
        old: what the file said when it was read last.
        new: what it says now.

    Raises:
        click.UsageError: it is empty now, or names no endpoints any more.
    """
    if old and not new:
        raise click.UsageError("the file of settings is empty now; if that is meant, restart the service")
    if "endpoints" in old and "endpoints" not in new:
        raise click.UsageError(
            "the file of settings has no endpoints any more; if that is meant, restart the service"
        )


def _key(parameter: click.Parameter) -> str:
    """Return the key of a parameter in the file."""
    return max(parameter.opts, key=len).lstrip("-")


def _repeated(parameter: click.Parameter) -> bool:
    return parameter.multiple or parameter.nargs == -1


def _kind(parameter: click.Parameter) -> str:
    """Return the kind of value that a parameter has in the file."""
    if _repeated(parameter):
        return "a list of texts" if parameter.multiple else "a list of one text or more"
    if isinstance(parameter, click.Option) and parameter.is_flag:
        return "true or false"
    return "a text" if parameter.type is MODE else "a text or a number"


def _written(parameter: click.Parameter, value: Any) -> _Text | None:
    """Return a value as it is written on the command line; None if it cannot be."""
    if _repeated(parameter):
        texts = [_scalar(each) for each in value] if isinstance(value, list) else [None]
        written = [text for text in texts if text is not None]
        least = 0 if parameter.multiple else 1  # no endpoints would mean the default one
        return written if len(written) == len(texts) >= least else None
    if isinstance(parameter, click.Option) and parameter.is_flag:
        return value if isinstance(value, bool) else None
    if parameter.type is MODE and not isinstance(value, str):
        return None  # 660 and 0o660 are different numbers, and both may be meant
    return _scalar(value)


def _scalar(value: Any) -> str | None:
    """Return a text or a number as text; None if it is neither, or cannot stand on a command line."""
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        return None
    text = str(value)
    return None if "\0" in text else text
