"""The profile that the command line declares, and the cases that it selects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import click
from click.core import ParameterSource

from caas_trio.core.endpoint import Endpoint, Scheme
from caas_trio.core.errors import TlsError
from caas_trio.core.session import First, Oversize
from caas_trio.core.terminator import TERMINATORS, Terminator

from . import datagram
from .case import Case
from .dialects.dialect import Dialect
from .dialects.parsing import DialectError, load
from .families import cases_of
from .profile import Profile, Proxy, Service
from .runner import select
from .usage import fail
from .wire import client_context

#: Dialects that have cases of their own: what is known of each byte of a reply says more than a pattern.
SERVICES: Final = {"capitals": Service.UPPER, "echo": Service.ECHO, "echo-bytes": Service.ECHO_BYTES}


def declared_dialect(context: click.Context, values: dict[str, Any]) -> Dialect | None:
    """Return the dialect that is asked for; options that declare a service contradict it."""
    if values["dialect"] is None:
        return None
    if values["dialect"] in SERVICES:
        values["service"] = SERVICES[values["dialect"]].value
        return None
    for option in ("service", "first", "prompt", "max_line", "oversize", "once", "terminator"):
        if context.get_parameter_source(option) is not ParameterSource.DEFAULT:
            fail(f"--{option.replace('_', '-')} has no effect with --dialect, which declares what is spoken")
    try:
        return load(values["dialect"])
    except DialectError as error:
        fail(str(error))


def selected_cases(values: dict[str, Any], cases: Sequence[Case]) -> list[Case]:
    """Return the cases that are asked for; each prefix and id must name some."""
    for prefix in values["only"]:
        if not select([prefix], cases=cases):
            fail(f"no case's id begins with {prefix}; --list shows them")
    for case_id in values["ids"]:
        if not select(ids=[case_id], cases=cases):
            fail(f"there is no case {case_id}; --list shows them")
    return select(values["only"], values["ids"], cases)


def refuse_the_unjudgeable(values: dict[str, Any], profile: Profile) -> None:
    """Fail if nothing of a prefix or an id can be judged; otherwise it would look as if it had passed."""
    there = cases_of(profile)
    asked = [(f"--only {prefix}", select([prefix], cases=there)) for prefix in values["only"]]
    asked += [(f"--case {case_id}", select(ids=[case_id], cases=there)) for case_id in values["ids"]]
    for words, cases in asked:
        reasons = dict.fromkeys(case.unfit(profile) for case in cases)
        if None not in reasons:
            fail(f"nothing of {words} can be judged: {'; '.join(filter(None, reasons))}")


def declared_profile(endpoint: Endpoint, values: dict[str, Any], dialect: Dialect | None) -> Profile:
    """Return what the server at `endpoint` is declared to be; options must not contradict each other."""
    if dialect is not None and endpoint.scheme in datagram.SCHEMES:
        fail("--dialect is for endpoints that take connections")
    oversize = Oversize(values["oversize"]) if values["oversize"] else None
    if oversize in (Oversize.REJECT, Oversize.DISCARD) and values["max_line"] is None:
        fail(f"--oversize {oversize.value} needs --max-line")
    service = Service(values["service"])
    if not service.has_lines and (oversize or values["max_line"] is not None or values["once"]):
        fail(f"--max-line, --oversize and --once are about lines, and --service {service.value} is not")
    terminator = TERMINATORS[values["terminator"]]
    if terminator is Terminator.CRLF and (not service.has_lines or endpoint.scheme in datagram.SCHEMES):
        fail("--terminator is about lines, and there are no lines here")
    if not values["prompt"] and values["first"] != "client":
        fail("a prompt of nothing is silence")
    if (values["tls_ca"] or values["tls_insecure"]) and endpoint.scheme is not Scheme.TLS:
        fail("--tls-ca and --tls-insecure are for tls endpoints")
    try:
        client_context(values["tls_ca"], insecure=values["tls_insecure"])
    except TlsError as error:
        fail(str(error))
    if values["proxy"] and endpoint.scheme not in (Scheme.TCP, Scheme.UNIX):
        fail("--proxy is for tcp and unix endpoints")
    return Profile(
        service=service,
        first=First(values["first"]),
        prompt=values["prompt"].encode(errors="surrogateescape") + terminator.value,
        max_line=values["max_line"],
        oversize=oversize,
        once=values["once"],
        terminator=terminator,
        proxy=Proxy(values["proxy"]) if values["proxy"] else None,
        datagrams=endpoint.scheme in datagram.SCHEMES,
        tls_ca=values["tls_ca"],
        tls_insecure=values["tls_insecure"],
        dialect=dialect,
    )
