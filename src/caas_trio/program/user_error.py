"""How a user's mistake is reported: one line, and the exit status."""

from __future__ import annotations

from typing import Final, NamedTuple

import click

from caas_trio.core.errors import CaasError, UsageError
from caas_trio.core.printable import printable

#: The errors that a user can do something about; any other one is a bug.
USER_ERRORS: Final = (CaasError, OSError, click.Abort, click.ClickException, KeyboardInterrupt)

_FAILED: Final = 1
WRONG_USAGE: Final = 2


class UserMessage(NamedTuple):
    """A line without its end, and the exit status that goes with it."""

    text: str
    status: int


def user_error(failure: BaseException) -> UserMessage:
    """Return the message for one of `USER_ERRORS`, or for a group of them, which is that of the first one."""
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    match failure:
        case click.ClickException():
            return UserMessage(_line(failure.format_message()), failure.exit_code)
        case click.Abort() | KeyboardInterrupt():
            return UserMessage("interrupted", _FAILED)
    return UserMessage(_line(str(failure)), WRONG_USAGE if isinstance(failure, UsageError) else _FAILED)


def _line(message: str) -> str:
    return printable(" ".join(message.split()))
