"""A server of one's own as the service: `python -m caas_trio --app`, in processes and in this one.

Slow: most tests start a service, some with workers.
"""

from __future__ import annotations

import json
import poplib
import re
import signal
import ssl
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from caas_trio.observing.appmetrics import AppMetrics
from caas_trio.program import cli

from .certificates import authority
from .support.processes import Service, service
from .support.sockets import talk
from .test_loading import folder  # noqa: F401 - a fixture

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"

SHOUT = "def shout(line):\n    return line.upper()\n"

FRAGILE = """\
import logging
from contextlib import asynccontextmanager

import structlog
import trio
from prometheus_client import Counter

asked = Counter("asked", "Lines that were asked.")
theirs = structlog.get_logger()


async def handler(connection):
    async for line in connection:
        asked.inc()
        logging.getLogger("app").warning("asked for %r", line)
        theirs.error("and so", line=line)
        await connection.send(b"%d\\n" % (10 // int(line)))


async def stuck(connection):
    async for line in connection:
        while line == b"stuck\\n":
            pass
        await connection.send(line.upper())


async def watch(failing):
    await failing.wait()
    raise OSError("the pool is gone")


@asynccontextmanager
async def context():
    failing = trio.Event()

    async def failing_handler(connection):
        await connection.send(b"soon\\n")
        failing.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch, failing)
        yield failing_handler
        nursery.cancel_scope.cancel()
    print("left", flush=True)
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "shouts.py").write_text(SHOUT)
    (tmp_path / "fragile.py").write_text(FRAGILE)
    (tmp_path / "handles.py").write_text("async def handler(connection): ...\n")
    return tmp_path


def hosted(home: Path, app: str, *arguments: str) -> tuple[str, ...]:
    return ("--app", app, "--app-dir", str(home), "--log-format", "json", *arguments)


def events(told: str) -> list[dict[str, object]]:
    return [dict(json.loads(line)) for line in told.splitlines()]


def test_three_lines_are_a_service(home: Path) -> None:
    endpoints = ("tcp://127.0.0.1:0", "udp://127.0.0.1:0")
    with service(*hosted(home, "shouts:shout"), endpoints=endpoints) as running:
        assert talk(running.connect(), b"a\nb") == b"A\nB"
        running.process.send_signal(signal.SIGHUP)
        [event] = running.next_events("nothing to reload: new code needs --workers")
        assert event["level"] == "warning"
        assert running.stop() == (0, "")


@pytest.mark.slow
def test_a_deployment_serves_new_code_and_a_broken_one_changes_nothing(home: Path) -> None:
    """Slow: seven processes start a Python."""
    with service(*hosted(home, "shouts:shout", "--workers", "2", "--log-level", "info")) as running:
        with running.connect() as old:
            old.sendall(b"a\n")
            assert old.recv(10) == b"A\n"
            (home / "shouts.py").write_text(SHOUT.replace("upper", "title"))
            running.process.send_signal(signal.SIGHUP)
            assert running.next_events("reloaded")[0]["workers"] == 2
            old.sendall(b"ab\n")
            assert old.recv(10) == b"AB\n"  # one connection has one version
        while talk(running.connect(), b"ab\n") != b"Ab\n":
            pass  # an old worker has not been told yet
        (home / "shouts.py").write_text(SHOUT + "1 / 0\n")
        running.process.send_signal(signal.SIGHUP)
        stay = "the settings could not be reloaded; the old workers stay"
        failed, stays = running.next_events("the app has failed", stay)
        assert "ZeroDivisionError" in str(failed["exception"])
        assert stays["reason"] == "shouts: it cannot be imported: ZeroDivisionError: division by zero"
        assert talk(running.connect(), b"ab\n") == b"Ab\n"
        assert running.stop()[0] == 0


def certificate_after_stls(running: Service, trusted: str) -> bytes:
    """Return the certificate that the POP3 server shows behind STLS."""
    port = running.endpoints[0].port
    client = poplib.POP3("localhost", port, timeout=20)
    try:
        client.stls(ssl.create_default_context(cafile=trusted))
        secure = client.sock
        assert isinstance(secure, ssl.SSLSocket)
        shown = secure.getpeercert(binary_form=True)
        assert shown is not None
        with pytest.raises(poplib.error_proto, match="-ERR log in first"):  # said over TLS
            client.noop()
    finally:
        client.close()
    return shown


def test_an_app_turns_to_tls_with_the_certificates_of_the_command_line(tmp_path: Path) -> None:
    ca, file = tmp_path / "ca.pem", tmp_path / "server.pem"
    authority().cert_pem.write_to_path(str(ca))

    def issue() -> None:
        authority().issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(file))

    issue()
    words = hosted(EXAMPLES, "pop3_server:app", "--log-level", "info")
    with service(*words, "--tls-cert", str(file)) as running:
        first = certificate_after_stls(running, str(ca))
        assert certificate_after_stls(running, str(ca)) == first
        issue()
        running.process.send_signal(signal.SIGHUP)
        running.next_events("the certificates have been reloaded")
        assert certificate_after_stls(running, str(ca)) != first
        assert running.stop()[0] == 0


def test_certificates_for_an_app_of_lines_on_plain_endpoints_are_a_mistake(tmp_path: Path) -> None:
    file = tmp_path / "server.pem"
    authority().issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(file))
    command = [sys.executable, "-m", "caas_trio", "--app", "shout:shout", "--app-dir", str(EXAMPLES)]
    command += ["tcp://127.0.0.1:0", "--tls-cert", str(file)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)
    told = "caas-trio: --tls-cert needs a tls endpoint, or an app with a handler, which may turn to TLS\n"
    assert (done.returncode, done.stderr) == (2, told)


@pytest.mark.slow
def test_logs_and_metrics_of_an_app_are_the_services(home: Path) -> None:
    """Slow: a worker writes its metrics once a second."""
    words = hosted(home, "fragile:handler", "--metrics", "127.0.0.1:0", "--workers", "1")
    with service(*words) as running:
        page = running.stdout.readline().removeprefix("metrics on ").strip()
        assert talk(running.connect(), b"5\n0\n") == b"2\n"
        text = ""
        while not re.search(r"^caas_trio_lines_total 2\.0$", text, re.MULTILINE):  # it is a second behind
            with urllib.request.urlopen(page) as answer:  # noqa: S310 - our own service
                text = answer.read().decode()
        assert re.search(r"^asked_total 2\.0$", text, re.MULTILINE)
        assert "python_info" not in text
        status, told = running.stop()
    assert status == 0
    first, second, *_, failed = events(told)
    assert first["worker"] == second["worker"] == failed["worker"] == 0
    assert first["connection"] == second["connection"] == failed["connection"]
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]+-1", str(first["connection"]))
    assert (first["event"], first["level"], first["logger"]) == (r"asked for b'5\n'", "warning", "app")
    assert (second["event"], second["level"], second["line"]) == ("and so", "error", r"b'5\n'")
    assert failed["event"] == "conversation failed"
    assert "ZeroDivisionError" in str(failed["exception"])


def test_a_background_task_that_fails_ends_the_worker_with_its_reason(home: Path) -> None:
    with service(*hosted(home, "fragile:context")) as running:
        assert talk(running.connect(), b"") == b"soon\n"
        status, told = running.end()
    assert status == 1
    assert told.splitlines()[-1] == ("caas-trio: context: its context has failed: OSError: the pool is gone")
    [failed] = events(told.rpartition("caas-trio: ")[0])
    assert failed["event"] == "the app has failed"


def test_a_context_is_left_after_the_drain(home: Path) -> None:
    with service(*hosted(home, "fragile:context")) as running:
        running.process.send_signal(signal.SIGTERM)
        assert running.stdout.read() == "left\n"
        assert running.end() == (0, "")


@pytest.mark.usefixtures("folder")  # what is imported is forgotten afterwards
@pytest.mark.parametrize(
    ("app", "arguments", "told"),
    [
        ("shoust:shout", ("tcp://127.0.0.1:0",), "did you mean 'shouts'?"),
        ("shouts:shout", ("--first", "server", "udp://127.0.0.1:0"), "--first is for a service of lines"),
        ("handles:handler", ("--once", "tcp://127.0.0.1:0"), "--once is for a service of lines"),
        ("handles:handler", ("udp://127.0.0.1:0",), "udp://127.0.0.1:0 is for datagrams"),
    ],
)
def test_a_mistake_is_one_line(
    app: str, arguments: tuple[str, ...], told: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["--app", app, "--app-dir", str(home), *arguments]) == 2
    captured = capsys.readouterr()
    assert told in captured.err
    assert captured.err.count("\n") == 1


def test_a_failed_import_is_logged_with_its_traceback(
    folder: Path,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.run(["--app", "outer:x", "--app-dir", str(folder), "--log-format", "json"]) == 1
    [event, line] = capsys.readouterr().err.splitlines()
    frames = re.findall(r'File ".*/(\w+)\.py"', json.loads(event)["exception"])
    assert frames == ["outer", "inner", "inner"]
    assert line == "caas-trio: outer: it cannot be imported: ZeroDivisionError: division by zero"


@pytest.mark.slow
def test_a_stuck_worker_is_replaced_and_its_stack_logged(home: Path) -> None:
    """Takes more than two seconds: so long it may stand still."""
    hung = hosted(home, "fragile:stuck", "--workers", "1", "--worker-timeout", "1")
    with service(*hung) as running, running.connect() as client:
        client.sendall(b"stuck\n")
        assert re.search(
            r'fragile.py", line \d+ in stuck', str(running.next_events("the stack of a worker")[0]["stack"])
        )
        assert running.next_events("worker died")[0]["reason"] == "its loop has not turned for 1 seconds"
        assert talk(running.connect(), b"fine\n") == b"FINE\n"
        assert running.stop()[0] == 0


def test_an_import_that_fails_in_a_worker_is_a_usage_error(home: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "caas_trio",
        *hosted(home, "shoust:shout", "--workers", "2"),
        "tcp://127.0.0.1:0",
    ]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.splitlines()[-1].endswith("did you mean 'shouts'?")


SLOW = """\
import os, signal
from contextlib import asynccontextmanager
import trio

@asynccontextmanager
async def context():
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        await trio.sleep_forever()
        yield bytes.upper
    finally:
        print("left")
"""


@pytest.mark.usefixtures("folder")
def test_a_stop_while_the_context_is_entered_ends_it(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "slow.py").write_text(SLOW)
    assert cli.run(["--app", "slow:context", "--app-dir", str(home), "tcp://127.0.0.1:0"]) == 0
    assert capsys.readouterr() == ("left\n", "")


@pytest.mark.usefixtures("folder")
def test_a_failed_context_is_logged_with_its_traceback(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "slow.py").write_text(SLOW.replace("os.kill(os.getpid(), signal.SIGTERM)", "1 / 0"))
    assert cli.run(["--app", "slow:context", "--app-dir", str(home), "tcp://127.0.0.1:0"]) == 1
    captured = capsys.readouterr()
    assert "ZeroDivisionError" in captured.err.splitlines()[-2]
    assert captured.err.endswith(
        "caas-trio: context: its context has failed: ZeroDivisionError: division by zero\n"
    )


OBSERVED = """\
import os, signal
import caas_trio
import prometheus_client

served = prometheus_client.Counter("served_by_hosted", "What was served.")

class Observer(caas_trio.Telemetry):
    def listening(self, endpoint):
        served.inc()
        os.kill(os.getpid(), signal.SIGTERM)

app = caas_trio.App(service=bytes.upper, telemetry=Observer())
"""


@pytest.mark.usefixtures("folder")
def test_the_apps_telemetry_is_called(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "observed.py").write_text(OBSERVED)
    asked = ["--app", "observed:app", "--app-dir", str(home), "tcp://127.0.0.1:0", "--metrics", "127.0.0.1:0"]
    assert cli.run(asked) == 0
    assert capsys.readouterr().out.startswith("listening on tcp://127.0.0.1:")
    page = generate_latest(AppMetrics()).decode()
    assert "served_by_hosted_total 1.0" in page
    assert "python_info" not in page
