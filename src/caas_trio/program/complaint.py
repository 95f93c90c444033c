"""What a user is told of a mistake: one line, and the exit status."""

from __future__ import annotations

from typing import Final, NamedTuple

import click

from caas_trio.core.errors import CaasError, UsageError

#: What a user can do something about; anything else is a bug.
MISTAKES: Final = (CaasError, OSError, click.Abort, click.ClickException, KeyboardInterrupt)

_FAILED: Final = 1
_WRONG_USAGE: Final = 2


class Complaint(NamedTuple):
    """A line without its end, and the exit status that goes with it."""

    text: str
    status: int


def complaint(failure: BaseException) -> Complaint:
    """Return what to say of one of `MISTAKES`, or of a group of them; its first one speaks for all."""
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    match failure:
        case click.ClickException():
            return Complaint(_line(failure.format_message()), failure.exit_code)
        case click.Abort() | KeyboardInterrupt():
            return Complaint("interrupted", _FAILED)
    return Complaint(_line(str(failure)), _WRONG_USAGE if isinstance(failure, UsageError) else _FAILED)


def _line(message: str) -> str:
    return " ".join(message.split())
