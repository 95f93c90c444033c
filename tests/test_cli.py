"""The command line: what a user's mistake looks like, and what the options come to."""

from __future__ import annotations

import io
import ipaddress
import json
import math
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from types import MethodType

import click
import pytest
import trio

from caas_trio import (
    App,
    AtCapacity,
    Certificates,
    Endpoint,
    First,
    Limits,
    LineSession,
    Oversize,
    SocketOptions,
    Terminator,
    Trust,
    __version__,
)
from caas_trio.core.capitals import Utf8Capitals, utf8_capitals
from caas_trio.observing.log_telemetry import LogTelemetry
from caas_trio.observing.logs import LogFormat, open_log
from caas_trio.observing.refusals import RefusalStream
from caas_trio.program import cli
from caas_trio.program.loading import AppName
from caas_trio.program.notify import Notifier
from caas_trio.program.program import Announcement, Program, reload
from caas_trio.program.recycling import WorkerLimits
from caas_trio.program.signals import handle_signals
from caas_trio.program.supervisor import Supervisor

from .certificates import write_files

CLOSED = "cannot write to standard output: No space left on device"


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Run a command line that fails; return its status and its one line."""
    status = cli.run(arguments)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("caas-trio: ")
    assert captured.err.count("\n") == 1
    return status, captured.err.removeprefix("caas-trio: ").rstrip("\n")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["http://127.0.0.1"], "it must begin with one of"),
        (["tcp://127.0.0.1:99999"], "port 99999 is not between 0 and 65535"),
        (["unix:/a\nb"], "the path contains control characters"),
        (["--max-line", "0"], "'0' is not a number of bytes, 1 or more"),
        (["--max-line", "ten"], "'ten' is not a number of bytes, 1 or more"),
        (["--drain-timeout", "-1"], "'-1' is not a number of seconds, 0 or more"),
        (["--prompt-delay", "nan"], "'nan' is not a number of seconds, 0 or more"),
        (["--unix-mode", "0999"], "'0999' is not a mode of three octal digits"),
        (["--unix-mode", "1777"], "'1777' is not a mode of three octal digits"),
        (["--allow-uid", "root"], "'root' is not a user's number"),
        (["--allow-uid", "0"], "--allow-uid limits who may connect to a Unix socket, and there is none"),
        (["--first", "nobody"], "'nobody' is not one of 'client', 'server', 'either'"),
        (["--oversize", "eat"], "'eat' is not one of 'reject', 'discard', 'stream'"),
        (["--prompt", "GO"], "it must contain a lower-case letter"),
        (["--prompt", "a\nb"], "it must be one line of text"),
        (["--allow-from", "192.0.2.1/24"], "bits behind its prefix; the network is 192.0.2.0/24"),
        (["--allow-from", "192.0.2.0/33"], "no such address or length of a prefix"),
        (["--allow-from", "192.0.2.256"], "no such address or length of a prefix"),
        (["--allow-from", "192.0.2.0/024"], "'192.0.2.0/024' is not a network, such as"),
        (["--allow-from", "192.0.2.0/255.255.255.0"], "is not a network, such as"),
        (["--allow-from", "localhost"], "is not a network, such as"),
        (["--proxy-from", "fe80::%lo/64"], "is not a network, such as"),
        (["--proxy-from", "::ffff:192.0.2.0/120"], "is a network of IPv4 addresses; write it as one"),
        (["tls://127.0.0.1:0"], "tls://127.0.0.1:0 needs --tls-cert"),
        (["--tls-cert", "a"], "--tls-cert needs a tls endpoint"),
        (["tls://127.0.0.1:0", "--tls-key", "a"], "--tls-key needs --tls-cert"),
        (["--tls-client-ca", "a"], "--tls-client-ca needs --tls-cert"),
        (["--proxy-from", "::1"], "--proxy-from needs --proxy-protocol or --proxy-on"),
        (["--proxy-on", "tcp://127.0.0.1"], "a port must follow the host"),
        (["--proxy-on", "tcp://127.0.0.1:1", "tcp://127.0.0.1:0"], "where no connections are served"),
        (["--proxy-on", "udp://127.0.0.1:0", "udp://127.0.0.1:0"], "where no connections are served"),
        (["--proxy-protocol", "udp://127.0.0.1:0"], "--proxy-protocol is for connections"),
        (["--metrics", "9464"], "'9464' is no HOST:PORT: a port must follow the host"),
        (["--metrics", "http://a:1"], "'http://a:1' is no HOST:PORT"),
        (["--frist"], "No such option"),
        (["--worker-timeout", "3"], "--worker-timeout needs --workers or --config"),
        (["--worker-lifetime", "3"], "--worker-lifetime needs --workers or --config"),
        (["--worker-max-rss", "0"], "'0' is not a number of bytes, 1 or more"),
        (["--reload"], "--reload is for an app, and needs --app"),
        (["--app", "shouts.py"], "'shouts.py' is a file; name the module: shouts:NAME"),
        (["--app", "a:b", "--app-dir", "/missing"], "/missing is not a directory to import an app from"),
        (["--app", "a:b", "--text", "ascii"], "--text is for capitals, and --app serves something else"),
        (["--app", "qqq:b", "tcp://127.0.0.1:0"], "there is no module 'qqq' in"),
        (["--prompt"], "requires an argument"),
    ],
)
def test_wrong_usage_exits_2_with_one_line(
    arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, message = told(capsys, *arguments)
    assert status == 2
    assert reason in message


def test_a_wrong_variable_is_reported_like_a_wrong_option(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAAS_TRIO_MAX_LINE", "-5")
    assert told(capsys) == (2, "Invalid value for '--max-line': '-5' is not a number of bytes, 1 or more")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_an_address_in_use_is_one_line(workers: str, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        text = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        failed = (1, f"cannot listen on {text}: the address is in use")
        assert told(capsys, text, "--workers", workers) == failed


def test_a_plain_file_at_the_path_is_reported_and_kept(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    precious = tmp_path / "precious"
    precious.write_text("data")
    status, message = told(capsys, f"unix:{precious}")
    assert (status, message) == (
        1,
        f"cannot listen on unix:{precious}: there is a file at {precious} already",
    )
    assert precious.read_text() == "data"


def test_a_closed_standard_output_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    with open("/dev/full", "wb", buffering=0) as device:  # noqa: PTH123 - a device
        full = io.TextIOWrapper(device, write_through=True)
        with redirect_stdout(full):
            assert cli.run(["tcp://127.0.0.1:0"]) == 1
            assert sys.stdout is None
    assert capsys.readouterr().err == f"caas-trio: {CLOSED}\n"


def test_a_closed_standard_error_keeps_the_exit_status() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run([sys.executable, "-m", "caas_trio", "--frist"], stderr=writing, check=False)
    os.close(writing)
    assert ended.returncode == 2


def test_an_interrupt_during_startup_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    assert cli.run([], run_async=interrupted) == 1
    assert capsys.readouterr().err.endswith("caas-trio: interrupted\n")


class Asked(list[Program]):
    """What command lines would run."""

    def run(self, arguments: list[str]) -> int:
        """Run a command line as far as it serves."""
        return cli.run(arguments, run_async=self._keep)

    def _keep(self, serve: Callable[[], Awaitable[None]]) -> None:
        assert isinstance(serve, MethodType)
        program = serve.__self__
        if isinstance(program, Supervisor):
            program = program._first
        assert isinstance(program, Program)
        self.append(program)


@pytest.fixture
def asked_for() -> Iterator[Asked]:
    """Catch what the command line would run."""
    asked = Asked()
    yield asked
    assert len(asked) == 1


def test_the_defaults(asked_for: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    assert asked_for.run([]) == 0
    [program] = asked_for
    assert (program.log_ends, program.metrics, program.takeover) == (False, None, False)
    program.log.warning("an event")
    program.log.info("a lesser one")
    assert re.fullmatch(r"\S+Z \[warning  \] an event\s*\n", capsys.readouterr().err)
    assert program.endpoints == (Endpoint.parse("tcp://127.0.0.1:50007"),)
    assert (program.limits, program.trust) == (Limits(), Trust())
    assert served(program).datagrams is bytes.upper
    assert asked(program) == (
        bytes.upper,
        First.CLIENT,
        b"Enter some data to be capitalized:\n",
        65536,
        Oversize.STREAM,
        False,
        Terminator.LF,
    )


def served(program: Program) -> App:
    assert isinstance(program.app, App)
    return program.app


def asked(program: Program) -> tuple[object, ...]:
    """Return what a session was made of."""
    new_session = served(program).session
    assert new_session is not None
    session = new_session()
    assert isinstance(session, LineSession)
    return (
        session._service,
        session._first,
        session._prompt,
        session._max_line,
        session._oversize,
        session._once,
        session._terminator,
    )


OPTIONS = {
    "first": "either",
    "prompt": "say it: \u00e9\udcff",
    "prompt_delay": "0.5",
    "max_line": "10",
    "oversize": "discard",
    "once": "1",
    "terminator": "crlf",
    "text": "utf-8",
    "idle_timeout": "4",
    "line_timeout": "5",
    "write_timeout": "6",
    "drain_timeout": "3",
    "max_connections": "7",
    "max_per_host": "2",
    "max_rate_per_host": "12",
    "tcp_keepalive": "30",
    "tcp_user_timeout": "inf",
    "backlog": "100",
    "log_refusals": "-",
    "at_capacity": "wait",
    "allow_from": "192.0.2.0/24",
    "proxy_protocol": "1",
    "proxy_on": "unix:@a",
    "proxy_from": "2001:db8::/32",
    "opening_timeout": "8",
    "unix_mode": "0600",
    "allow_uid": "1000",
    "takeover": "1",
    "log_format": "json",
    "log_level": "info",
    "metrics": "[::1]:9464",
    "workers": "3",
    "driver": "stream",
    "worker_timeout": "9",
    "worker_lifetime": "3600",
    "worker_max_rss": "500000000",
}


FLAGS = {"once", "proxy_protocol", "takeover"}


@pytest.mark.parametrize("source", ["options", "variables"])
def test_every_option_is_also_a_variable(
    source: str,
    asked_for: Asked,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if source == "variables":
        for name, value in OPTIONS.items():
            monkeypatch.setenv(f"CAAS_TRIO_{name.upper()}", value)
        arguments = []
    else:
        arguments = [
            f"--{name.replace('_', '-')}={value}" for name, value in OPTIONS.items() if name not in FLAGS
        ]
        arguments += [f"--{name.replace('_', '-')}" for name in FLAGS]
    assert asked_for.run([*arguments, "unix:@a", "tcp://[::1]:0"]) == 0
    [program] = asked_for
    assert (program.log_ends, program.takeover) == (True, True)
    assert program.metrics == Endpoint.parse("tcp://[::1]:9464")
    assert (program.workers, program.supervised, program.driver) == (3, True, "stream")
    assert program.sockets == SocketOptions(keepalive=30, user_timeout=math.inf, backlog=100)
    assert program.refusals == RefusalStream(None, LogFormat.JSON)
    assert program.worker_limits == WorkerLimits(timeout=9, lifetime=3600, max_rss=500000000)
    program.log.info("an event")
    assert json.loads(capsys.readouterr().err)["event"] == "an event"
    assert [str(endpoint) for endpoint in program.endpoints] == ["unix:@a", "tcp://[::1]:0"]
    assert program.limits == Limits(
        max_line=10,
        prompt_delay=0.5,
        idle_timeout=4,
        line_timeout=5,
        write_timeout=6,
        drain_timeout=3,
        max_connections=7,
        max_per_host=2,
        max_rate_per_host=12,
        at_capacity=AtCapacity.WAIT,
        opening_timeout=8,
    )
    assert program.trust == Trust(
        allow_from=(ipaddress.ip_network("192.0.2.0/24"),),
        allow_uids=frozenset({1000}),
        unix_mode=0o600,
        proxy_protocol=True,
        proxy_on=frozenset({Endpoint.parse("unix:@a")}),
        proxy_from=(ipaddress.ip_network("2001:db8::/32"),),
    )
    prompt = "say it: \u00e9".encode() + b"\xff\r\n"
    service, *rest = asked(program)
    assert isinstance(service, Utf8Capitals)
    assert served(program).datagrams is utf8_capitals
    assert asked(program)[0] is not service
    assert rest == [First.EITHER, prompt, 10, Oversize.DISCARD, True, Terminator.CRLF]


@pytest.mark.parametrize("source", ["options", "variables", "file"])
def test_an_app_is_named(
    source: str, asked_for: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = []
    if source == "options":
        arguments = ["--app", "shouts:shout", "--app-dir", str(tmp_path)]
    elif source == "variables":
        monkeypatch.setenv("CAAS_TRIO_APP", "shouts:shout")
        monkeypatch.setenv("CAAS_TRIO_APP_DIR", str(tmp_path))
    else:
        (tmp_path / "settings.toml").write_text(f'app = "shouts:shout"\napp-dir = "{tmp_path}"\n')
        arguments = ["--config", str(tmp_path / "settings.toml")]
    assert asked_for.run(arguments) == 0
    [program] = asked_for
    assert program.app == AppName("shouts", "shout", tmp_path)
    assert program.lines.oversize is Oversize.REJECT
    assert {"app", "app_dir"} <= program.given


def test_reload_restarts_the_app_on_changes(
    asked_for: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "watchfiles.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    assert asked_for.run(["--app", "shouts:shout", "--app-dir", str(tmp_path), "--reload"]) == 0
    [program] = asked_for
    assert program.watched == tmp_path
    assert (program.supervised, program.workers, program.log_ends) == (True, 1, True)


def test_oversize_applies_to_an_app(asked_for: Asked) -> None:
    assert asked_for.run(["--app", "shouts:shout", "--oversize", "stream"]) == 0
    [program] = asked_for
    assert program.lines.oversize is Oversize.STREAM
    assert not program.supervised


def test_an_app_with_one_worker_has_a_supervisor(asked_for: Asked) -> None:
    assert asked_for.run(["--app", "shouts:shout", "--workers", "1", "--worker-timeout", "0"]) == 0
    [program] = asked_for
    assert program.supervised
    assert program.worker_limits == WorkerLimits(timeout=math.inf)


TLS_OPTIONS = {"tls_cert": 0, "tls_key": 1, "tls_client_ca": 2}


@pytest.mark.parametrize("source", ["options", "variables"])
def test_the_files_of_certificates_are_read(
    source: str, asked_for: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = write_files(tmp_path)
    arguments = ["tls://127.0.0.1:0"]
    for name, which in TLS_OPTIONS.items():
        if source == "variables":
            monkeypatch.setenv(f"CAAS_TRIO_{name.upper()}", str(files[which]))
        else:
            arguments += [f"--{name.replace('_', '-')}", str(files[which])]
    assert asked_for.run(arguments) == 0
    [program] = asked_for
    trust = program.trust
    assert isinstance(trust.tls, Certificates)
    assert trust.tls.context.verify_mode is ssl.CERT_REQUIRED
    assert trust.tls.context.cert_store_stats()["x509_ca"] == 1


def test_an_unusable_certificate_is_reported(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    missing = tmp_path / "missing.pem"
    status, message = told(capsys, "tls://127.0.0.1:0", "--tls-cert", str(missing))
    assert (status, message) == (1, f"cannot use {missing}: no such file or directory")


async def test_sighup_reloads_certificates(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    reports = LogTelemetry(open_log(LogFormat.JSON, "info"))
    files = write_files(tmp_path)
    trust = Trust(tls=Certificates(*files))
    stop, everything = trio.Event(), trio.CancelScope()

    async def hangup(trust: Trust) -> None:
        async def signals() -> AsyncIterator[int]:
            yield signal.SIGHUP

        anew = partial(reload, trust, reports, Notifier())
        await handle_signals(signals(), reload=anew, stop=stop.set, cut=everything.cancel)

    def heard() -> dict[str, str]:
        return dict(json.loads(capsys.readouterr().err))

    await hangup(trust)
    assert (heard()["level"], stop.is_set()) == ("info", False)
    files[0].write_text("garbage")
    await hangup(trust)
    failed = heard()
    assert failed["event"] == "the certificates could not be reloaded; the old ones stay"
    assert failed["reason"] == f"cannot use {files[0]}: it holds no certificate in PEM"
    await hangup(Trust())
    assert heard()["event"] == "nothing to reload: there is no certificate"
    assert not everything.cancel_called


def test_a_name_that_is_not_utf_8_is_shown_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    reports = LogTelemetry(open_log(LogFormat.JSON, "warning"))
    Announcement(Trust(), reports, Notifier()).started([Endpoint.parse("unix:caf\udce9")])
    assert capsys.readouterr().out == "listening on unix:caf\\xe9\n"
    missing = (1, rf"cannot use {Path.cwd()}/caf\xe9.toml: no such file or directory")
    assert told(capsys, "--config", "caf\udce9.toml") == missing


def test_exposed_endpoints_are_reported_once(capsys: pytest.CaptureFixture[str]) -> None:
    reports = LogTelemetry(open_log(LogFormat.JSON, "warning"))
    texts = ["tcp://127.0.0.1:1", "tcp://0.0.0.0:2", "tcp://[::]:3"]
    Announcement(Trust(), reports, Notifier()).started([Endpoint.parse(text) for text in texts])
    captured = capsys.readouterr()
    assert captured.out == "".join(f"listening on {text}\n" for text in texts)
    told = json.loads(captured.err)
    assert (told["level"], told["event"]) == ("warning", "open to every network, without TLS or --allow-from")
    assert told["endpoints"] == "tcp://0.0.0.0:2, tcp://[::]:3"


def test_the_table_of_options_is_complete() -> None:
    named = {parameter.name for parameter in cli.command.params if isinstance(parameter, click.Option)}
    assert named == {*OPTIONS, *TLS_OPTIONS, "app", "app_dir", "reload", "config", "explain", "version"}


def test_help_has_an_example_of_each_order(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["--help"]) == 0
    text = capsys.readouterr().out
    for words in ("the client speaks first", "--first server", "--first either", "CAAS_TRIO_MAX_LINE"):
        assert words in text
    assert max(map(len, text.splitlines())) <= 96


def test_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["--version"]) == 0
    assert capsys.readouterr().out == f"caas-trio, version {__version__}\n"


def test_the_shell_can_complete_options(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (
        "_CAAS_TRIO_COMPLETE=bash_source"
        in (Path(__file__).parent.parent / "docs" / "hosting.md").read_text()
    )
    monkeypatch.setenv("_CAAS_TRIO_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "caas-trio --overs")
    monkeypatch.setenv("COMP_CWORD", "1")
    with pytest.raises(SystemExit):
        cli.run([])
    assert capsys.readouterr().out == "plain,--oversize\n"
