"""What the options of a command line make of an app, and which are refused because they would do nothing."""

from __future__ import annotations

import pytest

from caas_trio import (
    App,
    Connection,
    Endpoint,
    First,
    Limits,
    LineSession,
    Oversize,
    Terminator,
    UsageError,
)
from caas_trio.program.appoptions import LineOptions, apply

TCP = Endpoint.parse("tcp://127.0.0.1:0")
TLS = Endpoint.parse("tls://127.0.0.1:0")
UDP = Endpoint.parse("udp://127.0.0.1:0")


async def handler(connection: Connection) -> None:
    """Do nothing."""


def service(line: bytes) -> bytes:
    return line


def session() -> LineSession:
    return LineSession(service)


def test_a_service_of_lines_becomes_sessions() -> None:
    lines = LineOptions(first=First.SERVER, prompt=b"go\n", oversize=Oversize.DISCARD, once=True)
    given = {"first", "prompt", "oversize", "once", "max_line"}
    app = apply(lines, Limits(max_line=3), given, App(service=service), [TCP])
    assert app.service is None
    assert app.datagrams is service
    assert app.session is not None
    talk = app.session()
    assert talk.open() == b"go\n"
    assert talk.receive(b"abcd\n") == b"error: line longer than 3 bytes\n"
    assert talk.closing


def test_the_lines_of_a_service_may_end_with_cr_lf_alone() -> None:
    lines = LineOptions(oversize=Oversize.DISCARD, terminator=Terminator.CRLF)
    app = apply(lines, Limits(), {"terminator"}, App(service=bytes.upper), [TCP])
    assert app.session is not None
    talk = app.session()
    talk.open()
    assert (
        talk.receive(b"a\r\nb\nc\r\nd\r\n")
        == b"A\r\nerror: bare LF in a line, which ends with CR LF\r\nD\r\n"
    )


@pytest.mark.parametrize("app", [App(handler=handler), App(session=session), App(datagrams=service)])
def test_other_apps_change_in_their_limits_only(app: App) -> None:
    applied = apply(LineOptions(), Limits(drain_timeout=1), {"drain_timeout"}, app, [TCP])
    assert applied.limits == Limits(drain_timeout=1)
    assert (applied.handler, applied.session, applied.datagrams) == (app.handler, app.session, app.datagrams)


def test_given_limits_override_the_apps_one_by_one() -> None:
    app = App(service=service, limits=Limits(max_line=5, idle_timeout=6, drain_timeout=7))
    applied = apply(LineOptions(), Limits(idle_timeout=1), {"idle_timeout", "endpoints"}, app, [TCP])
    assert applied.limits == Limits(max_line=5, idle_timeout=1, drain_timeout=7)
    assert applied.session is not None
    talk = applied.session()
    talk.open()
    assert talk.receive(b"abcdef\n") == b"error: line longer than 5 bytes\n"


@pytest.mark.parametrize(
    ("option", "app", "endpoint", "told"),
    [
        ("first", App(handler=handler), TCP, "--first is for a service of lines, and the app has a handler"),
        ("once", App(session=session), TCP, "--once is for a service of lines, and the app has sessions"),
        ("max_line", App(session=session), TCP, "--max-line is for a service of lines or a handler, and"),
        ("prompt_delay", App(handler=handler), TCP, "--prompt-delay is for a service of lines or sessions"),
        (
            "idle_timeout",
            App(datagrams=service),
            UDP,
            "--idle-timeout is for a handler or a service of lines",
        ),
        (
            "prompt",
            App(service=service),
            UDP,
            "--prompt is for a service of lines, and the app has datagrams",
        ),
        (
            "oversize",
            App(handler=handler, datagrams=service),
            TCP,
            "and the app has a handler and datagrams",
        ),
    ],
)
def test_an_option_without_effect_is_refused(option: str, app: App, endpoint: Endpoint, told: str) -> None:
    with pytest.raises(UsageError) as raised:
        apply(LineOptions(), Limits(), {option}, app, [endpoint])
    assert told in str(raised.value)


@pytest.mark.parametrize("app", [App(service=service), App(session=session), App(datagrams=service)])
def test_certificates_that_no_connection_can_use_are_refused(app: App) -> None:
    with pytest.raises(UsageError, match="--tls-cert needs a tls endpoint, or an app with a handler"):
        apply(LineOptions(), Limits(), {"tls_cert"}, app, [TCP])
    assert apply(LineOptions(), Limits(), {"tls_cert"}, App(handler=handler), [TCP]).handler is handler
    assert apply(LineOptions(), Limits(), {"tls_cert"}, app, [TCP, TLS]).datagrams is app.datagram_service


def test_an_app_that_serves_nothing_blames_no_option() -> None:
    assert apply(LineOptions(), Limits(), {"first"}, App(handler=handler), [UDP]).handler is handler
