"""The command line that repeats a case."""

from __future__ import annotations

import shlex
from enum import Enum
from typing import Final

from caas_trio.conformance.case import Result
from caas_trio.conformance.profile import Profile, Service
from caas_trio.conformance.runner import Report
from caas_trio.core.printable import printable
from caas_trio.core.session import DEFAULT_PROMPT, First

_PROMPT: Final = DEFAULT_PROMPT.removesuffix(b"\n")


def options(profile: Profile) -> list[str]:
    """Return the options that declare a profile; defaults are left out."""
    prompt = profile.prompt.removesuffix(profile.terminator.value)
    values: dict[str, str | None] = {
        "--dialect": None if profile.dialect is None else profile.dialect.declared,
        "--service": _value(profile.service, Service.UPPER),
        "--first": _value(profile.first, First.CLIENT),
        "--prompt": None if prompt == _PROMPT else prompt.decode(errors="surrogateescape"),
        "--max-line": None if profile.max_line is None else str(profile.max_line),
        "--oversize": _value(profile.oversize),
        "--proxy": _value(profile.proxy),
        "--terminator": "crlf" if profile.strict else None,
        "--tls-ca": profile.tls_ca,
    }
    words = [word for option, value in values.items() if value is not None for word in (option, value)]
    switches = {"--once": profile.once, "--tls-insecure": profile.tls_insecure}
    return words + [option for option, is_set in switches.items() if is_set]


def _value(member: Enum | None, default: Enum | None = None) -> str | None:
    """Return how an option has a member; None for the default."""
    return None if member is None or member is default else str(member.value)


def again(report: Report, result: Result) -> str:
    """Return the command line that repeats a case, and with it those of `Result.beside`."""
    words = [
        "python",
        "-m",
        "caas_trio.conformance",
        printable(str(report.endpoint)),
        *options(report.profile),
    ]
    for case_id in (result.case.id, *(result.beside or ())):
        words += ["--case", case_id]
    return shlex.join(words)
