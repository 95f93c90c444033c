"""The command line: `python -m caas_trio`, or `caas-trio` once it is installed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

import trio

from caas_trio.observing.logs import tell

from .command import PROGRAM, command, parse
from .complaint import MISTAKES, complaint
from .signals import leave_alone
from .supervisor import Supervisor

__all__ = ["command", "main", "run"]


def run(arguments: Sequence[str]) -> int:
    """Run the command line and return its exit status; a user's mistake is told in one line."""
    try:
        program = parse(arguments)
        if isinstance(program, int):
            return program
        trio.run(Supervisor(arguments, program).run if program.supervised else program.run)
    except* MISTAKES as mistakes:
        told = complaint(mistakes)
    else:
        return 0
    tell(f"{PROGRAM}: {told.text}")
    return told.status


def main() -> NoReturn:
    """Run as a program."""
    status = run(sys.argv[1:])
    leave_alone()
    sys.exit(status)
