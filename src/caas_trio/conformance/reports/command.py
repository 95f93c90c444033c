"""The command line that repeats a case."""

from __future__ import annotations

import shlex

from caas_trio.conformance.case import Result
from caas_trio.conformance.profile import Profile, Service
from caas_trio.conformance.runner import Report
from caas_trio.core.printable import printable
from caas_trio.core.session import DEFAULT_PROMPT, First


def options(profile: Profile) -> list[str]:
    """Return the options that declare a profile; defaults are left out."""
    words: list[str] = ["--dialect", profile.dialect.declared] if profile.dialect else []
    if profile.service is not Service.UPPER:
        words += ["--service", profile.service.value]
    if profile.first is not First.CLIENT:
        words += ["--first", profile.first.value]
    if profile.prompt != DEFAULT_PROMPT:
        words += ["--prompt", profile.prompt.removesuffix(b"\n").decode(errors="surrogateescape")]
    if profile.max_line is not None:
        words += ["--max-line", str(profile.max_line)]
    if profile.oversize is not None:
        words += ["--oversize", profile.oversize.value]
    if profile.proxy is not None:
        words += ["--proxy", profile.proxy.value]
    if profile.once:
        words += ["--once"]
    if profile.tls_ca is not None:
        words += ["--tls-ca", profile.tls_ca]
    if profile.tls_insecure:
        words += ["--tls-insecure"]
    return words


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
