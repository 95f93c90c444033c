"""The command line: `python -m caas_trio`, or `caas-trio` once it is installed."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import NoReturn

import trio

from caas_trio.observing.logs import tell
from caas_trio.server.inherited import fill_standard_streams

from .command import PROGRAM, command, parse
from .interpreter import Interpreter
from .startup import hold_signals
from .status_command import run_status
from .supervisor import Supervisor
from .user_error import USER_ERRORS, user_error

__all__ = ["command", "main", "run"]


def run(
    arguments: Sequence[str],
    *,
    begin: Callable[[], object] = lambda: None,
    run_async: Callable[[Callable[[], Awaitable[None]]], object] = trio.run,
) -> int:
    """Run the command line and return its exit status; a user's mistake is reported in one line.

    The first argument may be `status`; see `caas_trio.program.status_command`.

    Args:
        arguments: without the program's name.
        begin: called once they have been parsed and the service is about to start.
        run_async: runs what serves.
    """
    interpreter = Interpreter.current()
    try:
        if arguments[:1] == ["status"]:
            return run_status(arguments[1:], f"{PROGRAM} status")
        program = parse(arguments, directory=interpreter.directory)
        if isinstance(program, int):
            return program
        begin()
        if program.supervised:
            run_async(Supervisor(arguments, program, interpreter).run)
        else:
            run_async(program.run)
    except* USER_ERRORS as mistakes:
        error = user_error(mistakes)
    else:
        return 0
    tell(f"{PROGRAM}: {error.text}")
    return error.status


def main() -> NoReturn:
    """Run as a program."""
    fill_standard_streams()
    status = run(sys.argv[1:], begin=hold_signals)
    hold_signals()
    sys.exit(status)
