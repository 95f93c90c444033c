"""The command line: `python -m caas_trio`, or `caas-trio` once it is installed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

import trio

from caas_trio.observing.logs import tell

from .command import PROGRAM, command, parse
from .signals import ignore_signals
from .supervisor import Supervisor
from .user_error import USER_ERRORS, user_error

__all__ = ["command", "main", "run"]


def run(arguments: Sequence[str]) -> int:
    """Run the command line and return its exit status; a user's mistake is told in one line."""
    try:
        program = parse(arguments)
        if isinstance(program, int):
            return program
        trio.run(Supervisor(arguments, program).run if program.supervised else program.run)
    except* USER_ERRORS as mistakes:
        told = user_error(mistakes)
    else:
        return 0
    tell(f"{PROGRAM}: {told.text}")
    return told.status


def main() -> NoReturn:
    """Run as a program."""
    status = run(sys.argv[1:])
    ignore_signals()
    sys.exit(status)
