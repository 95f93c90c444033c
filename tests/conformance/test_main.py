"""The command: options, output, exit statuses."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import shlex
import signal
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from click.testing import CliRunner, Result

from caas_trio import __version__
from caas_trio.conformance import CASES, __main__
from caas_trio.conformance.command import main
from caas_trio.conformance.dialects.families import CASES as DIALECT_CASES
from caas_trio.conformance.interruption import interruptible
from caas_trio.core.endpoint import Endpoint
from ci.conformance.dialects.proof import running
from ci.conformance.dialects.protocols import MEMCACHED
from ci.conformance.dialects.serving import DialectServer
from ci.conformance.reference import Conversation, Server, Settings

from .conftest import StartRight


def run(*arguments: object) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments], catch_exceptions=False)


def test_a_right_server_conforms_and_the_files_are_written(right: StartRight, tmp_path: Path) -> None:
    files = {kind: tmp_path / f"report.{kind}" for kind in ("json", "junit", "html")}
    options = [f"--{kind}={path}" for kind, path in files.items()]
    endpoint = right()
    result = run(endpoint, "--only", "FRAME-3", *options)
    assert result.exit_code == 0
    assert result.output.splitlines()[-1].startswith(f"{endpoint} conforms: ")
    assert json.loads(files["json"].read_text())
    assert ET.fromstring(files["junit"].read_text()).tag == "testsuites"  # noqa: S314 - our own
    assert files["html"].read_text().startswith("<!DOCTYPE html>")


def test_help_and_version_look_like_those_of_the_service() -> None:
    assert run("-h").output == run("--help").output
    assert run("--version").output == f"caas-conformance, version {__version__}\n"


def test_a_wrong_server_does_not_conform(right: StartRight) -> None:
    result = run(right(service="echo"), "--case", "FRAME-2.crlf/whole")
    assert result.exit_code == 1
    assert "FAILED  SERVE-1.hello/whole" in result.output
    assert "  so        nothing else was judged; the server was declared by no option" in result.output
    assert "  expected  b'HELLO'\n  received  b'hello\\n'\n" in result.output


def test_a_server_is_judged_by_its_declaration(right: StartRight) -> None:
    endpoint = right(
        first="server", prompt=b"Who is there?\n", max_line=50, oversize="reject", service="echo", once=True
    )
    declared = [
        "--first=server",
        "--prompt=Who is there?",
        "--max-line=50",
        "--oversize=reject",
        "--service=echo",
    ]
    result = run(endpoint, *declared, "--once", "--only=LIMIT-2", "--only=CLOSE-5")
    assert (result.exit_code, "conforms" in result.output) == (0, True)


def test_a_strict_server_is_judged_by_its_clause(right: StartRight) -> None:
    endpoint = right(max_line=50, oversize="discard", strict=True)
    words = ("--max-line=50", "--oversize=discard", "--terminator=crlf", "--case=FRAME-9.bare-lf/whole")
    result = run(endpoint, *words, "--case=FRAME-9.limit/1-before-its-end")
    assert (result.exit_code, "conforms: 3 passed" in result.output) == (0, True)
    lax = run(right(max_line=50, oversize="discard"), *words)
    assert (lax.exit_code, "FAILED  FRAME-9.bare-lf/whole" in lax.output) == (1, True)


def test_a_missed_should_counts_only_when_strict(right: StartRight) -> None:
    endpoint = right(max_line=20_000, oversize="discard")
    relaxed, strict = (run(endpoint, "--only", "FRAME-8", *option) for option in ([], ["--strict"]))
    assert (relaxed.exit_code, strict.exit_code) == (0, 1)
    assert "NON-STRICT  FRAME-8.64KiB/whole" in relaxed.output


def test_the_list_has_every_case_and_needs_no_endpoint() -> None:
    result = run("--list")
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.output.splitlines()] == [case.id for case in CASES]
    assert len(run("--list", "--only", "SAY").output.splitlines()) == 2


def test_a_server_of_a_dialect_is_judged_by_it(tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    with running(DialectServer, MEMCACHED) as endpoint:
        result = run(endpoint, "--dialect=memcached", "--only=REPLY", "--verbose", f"--json={file}")
        page = tmp_path / "report.html"
        wrong = run(endpoint, "--dialect=redis", f"--html={page}")
    assert (result.exit_code, "conforms: " in result.output) == (0, True)
    assert "not judged  LONG-5: memory cannot be seen from outside" in result.output
    document = json.loads(file.read_text())[str(endpoint)]
    assert document["profile"]["dialect"] == "memcached"
    assert (
        "--dialect memcached --case REPLY-1.hello/whole" in document["cases"]["REPLY-1.hello/whole"]["again"]
    )
    assert "FRAME-1" not in document["clauses"]
    assert wrong.exit_code == 1
    assert "the server was declared by --dialect redis" in wrong.output
    assert "Declared: <code>--dialect redis</code>" in page.read_text()


def test_capitals_and_echo_are_named_as_dialects_are(right: StartRight) -> None:
    result = run(right(service="echo"), "--dialect", "echo", "--only", "FRAME-3")
    assert (result.exit_code, "SERVE" in result.output) == (0, True)
    assert run("--list", "--dialect", "capitals").output == run("--list").output


def test_the_list_has_the_cases_of_a_dialect() -> None:
    listed = run("--list", "--dialect", "smtp").output
    assert [line.split()[0] for line in listed.splitlines()] == [case.id for case in DIALECT_CASES]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Missing argument 'ENDPOINT'."),
        (["tcp:/x"], "it must begin with tcp://"),
        (["fd://3"], "the suite reaches tcp, tls, udp, unix, unixgram, not fd"),
        (["tcp://127.0.0.1:99999"], "port 99999"),
        (["tcp://127.0.0.1:1"], "caas-conformance: tcp://127.0.0.1:1 cannot be reached: Connection refused"),
        (["udp://127.0.0.1:1"], "caas-conformance: udp://127.0.0.1:1 cannot be reached: Connection refused"),
        (
            ["tcp://127.0.0.1:1", "--only", "NOTHING"],
            "caas-conformance: no case's id begins with NOTHING; --list shows them",
        ),
        (
            ["tcp://127.0.0.1:1", "--only", "FRAME", "--only", "NOTHING", "--list"],
            "caas-conformance: no case's id begins with NOTHING; --list shows them",
        ),
        (
            ["tcp://127.0.0.1:1", "--only", "FRAME", "--only", "LIMIT"],
            "caas-conformance: nothing of --only LIMIT can be judged: no limit is declared (--max-line)",
        ),
        (
            ["tcp://127.0.0.1:1", "--case", "PROXY-6.nothing/whole"],
            (
                "caas-conformance: nothing of --case PROXY-6.nothing/whole can be judged: "
                "no PROXY header is declared (--proxy)"
            ),
        ),
        (["tcp://127.0.0.1:1", "--case", "SAY-1.prompt/whole", "--case", "SAY-2"], "there is no case SAY-2"),
        (["tcp://127.0.0.1:1", "--oversize", "reject"], "--oversize reject needs --max-line"),
        (
            ["tcp://127.0.0.1:1", "--service", "echo-bytes", "--once"],
            "--max-line, --oversize and --once are about lines, and --service echo-bytes is not",
        ),
        (["tcp://127.0.0.1:1", "--first", "server", "--prompt", ""], "a prompt of nothing"),
        (
            ["udp://127.0.0.1:1", "--terminator", "crlf"],
            "--terminator is about lines, and there are no lines here",
        ),
        (
            ["tcp://127.0.0.1:1", "--service", "echo-bytes", "--terminator", "crlf"],
            "--terminator is about lines, and there are no lines here",
        ),
        (
            ["tcp://127.0.0.1:1", "--terminator", "crlf", "--only", "FRAME-1"],
            "nothing of --only FRAME-1 can be judged: lines are declared to end with CR LF alone",
        ),
        (["tcp://127.0.0.1:1", "--dialect", "smpt"], "no dialect is called smpt; is it smtp?"),
        (
            ["tcp://127.0.0.1:1", "--dialect", "/nonexistent.toml"],
            "caas-conformance: /nonexistent.toml cannot be read: No such file or directory",
        ),
        (
            ["tcp://127.0.0.1:1", "--dialect", "smtp", "--max-line", "100"],
            "caas-conformance: --max-line has no effect with --dialect, which declares what is spoken",
        ),
        (
            ["tcp://127.0.0.1:1", "--dialect", "smtp", "--case", "FRAME-3.one/whole"],
            "there is no case FRAME-3.one/whole",
        ),
        (["udp://127.0.0.1:1", "--dialect", "smtp"], "--dialect is for endpoints that take connections"),
        (["tcp://127.0.0.1:1", "--max-line", "0"], "--max-line"),
        (["tcp://127.0.0.1:1", "--proxy", "v3"], "'v3' is not one of 'v1', 'v2'"),
        (["tcp://127.0.0.1:1", "--tls-insecure"], "--tls-ca and --tls-insecure are for tls endpoints"),
        (
            ["tls://127.0.0.1:1", "--tls-ca", "/nonexistent"],
            "cannot use /nonexistent: no such file or directory",
        ),
        (["tls://127.0.0.1:1"], "caas-conformance: tls://127.0.0.1:1 cannot be reached: Connection refused"),
        (["udp://127.0.0.1:1", "--proxy", "v1"], "caas-conformance: --proxy is for tcp and unix endpoints"),
        (["tcp://127.0.0.1:1", "--jobs", "0"], "--jobs"),
        (["tcp://127.0.0.1:1", "--timeout", "nan"], "--timeout"),
        (["tcp://127.0.0.1:1", "--timeout", "soon"], "'soon' is not a number of seconds"),
        (["tcp://127.0.0.1:1", "--timeout", "-1"], "--timeout"),
    ],
)
def test_wrong_usage_gets_one_clear_line(arguments: list[str], message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.output.splitlines()[-1]


def test_a_run_that_judged_nothing_fails() -> None:
    """Slow: the server is as slow as a case may bear, and a little more."""

    class Slow(Conversation):
        """Takes ten milliseconds for each line."""

        def serve(self, data: bytes) -> bytes:
            """Return the reply, in a while."""
            time.sleep(0.01)
            return super().serve(data)

        def answer(self, data: bytes) -> tuple[bytes, bool]:
            """Reply to each line by itself."""
            for line in data.splitlines(keepends=True):
                self.say(super().answer(line)[0])
            return b"", False

    server = Server("tcp://127.0.0.1:0", Settings())
    server.conversation = Slow
    threading.Thread(target=server.run, daemon=True).start()
    result = run(server.endpoint, "--case", "ORDER-8.2000/whole", "--timeout", 0.5)
    server.stop()
    assert result.exit_code == 2
    told = "caas-conformance: nothing that was asked for was judged; --verbose says why"
    assert result.output.splitlines()[-1] == told


def test_a_file_that_cannot_be_opened_is_reported_before_the_run(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "report.json"
    result = run("tcp://127.0.0.1:1", "--json", path)
    assert (result.exit_code, result.output) == (
        2,
        f"caas-conformance: {path} cannot be written: No such file or directory\n",
    )


def test_two_reports_in_one_file_are_refused(tmp_path: Path) -> None:
    one, other = tmp_path / "report", tmp_path / "link"
    other.symlink_to(one)
    result = run("tcp://127.0.0.1:1", "--json", one, "--html", other)
    assert (result.exit_code, result.output) == (2, "caas-conformance: --json and --html are the same file\n")
    assert not one.exists()


def test_a_report_that_cannot_be_written_is_reported_beside_the_verdict(
    right: StartRight, tmp_path: Path
) -> None:
    """Two at once may go there: that is no file. And what can be written is."""
    page = tmp_path / "report.html"
    files = ["--json=/dev/full", "--junit=/dev/full", f"--html={page}"]
    result = run(right(), "--case", "FRAME-3.lf/whole", *files)
    assert result.exit_code == 2
    told = "caas-conformance: /dev/full cannot be written: No space left on device"
    assert result.output.splitlines()[-2:] == [told, told]
    assert " conforms: 5 passed" in result.output.splitlines()[-3]
    assert page.exists()
    result = run(right(service="echo"), "--case", "FRAME-3.lf/whole", *files)
    assert result.exit_code == 1


def test_a_report_file_keeps_its_content_until_there_is_a_report(right: StartRight, tmp_path: Path) -> None:
    new, old = tmp_path / "new.json", tmp_path / "old.xml"
    old.write_text("from the last run" * 100_000)
    files = ["--json", new, "--junit", old]
    assert run("tcp://127.0.0.1:1", *files).exit_code == 2
    assert not new.exists()
    assert old.read_text().startswith("from the last run")
    assert run(right(), "--case", "FRAME-3.lf/whole", *files).exit_code == 0
    assert json.loads(new.read_text())
    assert ET.fromstring(old.read_text()).tag == "testsuites"  # noqa: S314 - our own


def test_bytes_that_are_not_text_are_shown_escaped(right: StartRight, tmp_path: Path) -> None:
    """Slow: the prompt that is due does not come within two seconds."""
    page = tmp_path / "report.html"
    prompt = b"\xff".decode(errors="surrogateescape")
    result = run(right(), "--first", "server", "--prompt", prompt, "--html", page, "--only", "ORDER-3")
    assert result.exit_code == 1
    assert "--prompt '\\udcff'" in result.output
    assert "\\udcff" in page.read_text()


COMMAND = (sys.executable, "-m", "caas_trio.conformance")


def spoken(*arguments: object, stdout: int) -> tuple[int, str]:
    """Return the exit status of a process and what it says on standard error."""
    command = [*COMMAND, *map(str, arguments)]
    process = subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False)
    return process.returncode, process.stderr


def test_a_reader_that_leaves_changes_neither_the_verdict_nor_the_files(
    right: StartRight, tmp_path: Path
) -> None:
    path = tmp_path / "report.json"
    reader, writer = os.pipe()
    os.close(reader)
    try:
        assert spoken(right(), "--only", "FRAME-3", "--json", path, stdout=writer) == (0, "")
        assert spoken("--help", stdout=writer) == (0, "")
        assert spoken(right(service="echo"), "--only", "FRAME-3", stdout=writer) == (1, "")
    finally:
        os.close(writer)
    assert json.loads(path.read_text())


def test_a_closed_standard_output_does_not_stop_the_report_files(right: StartRight, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    words = shlex.join([*COMMAND, str(right()), "--only", "FRAME-3", "--json", str(path)])
    process = subprocess.run(["/bin/sh", "-c", f"{words} >&-"], capture_output=True, text=True, check=False)
    assert (process.returncode, process.stderr) == (0, "")
    assert json.loads(path.read_text())


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["--list"], []])
def test_a_full_standard_output_is_reported_in_a_line(right: StartRight, arguments: list[str]) -> None:
    words = arguments or [str(right()), "--only", "FRAME-3"]
    with Path("/dev/full").open("wb") as full:
        status, told = spoken(*words, stdout=full.fileno())
    assert (status, told) == (
        2,
        "caas-conformance: standard output cannot be written: No space left on device\n",
    )


@pytest.fixture
def hesitant(right: StartRight) -> Iterator[tuple[str, threading.Event]]:
    """Return a server that takes its time over long lines, and what is set when it is asked for one."""
    asked = threading.Event()

    class Hesitant(Conversation):
        """Serves nothing beyond the sanity cases' lines until the test is over."""

        def serve(self, data: bytes) -> bytes:
            """Return the reply, in the end."""
            if data and not data.startswith(b"hello"):
                asked.set()
                over.wait()
            return super().serve(data)

    over = threading.Event()
    server = Server("tcp://127.0.0.1:0", Settings())
    server.conversation = Hesitant
    threading.Thread(target=server.run, daemon=True).start()
    yield server.endpoint, asked
    over.set()
    server.stop()


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_run_with_a_report_of_what_was_judged(
    hesitant: tuple[str, threading.Event], tmp_path: Path, number: signal.Signals, status: int
) -> None:
    endpoint, asked = hesitant
    path = tmp_path / "report.json"
    command = [*COMMAND, endpoint, "--timeout", "60", "--only", "SERVE", "--json", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert asked.wait(30)
        process.send_signal(number)
        told, complained = process.communicate()
    assert (process.returncode, complained) == (status, f"caas-conformance: interrupted by {number.name}\n")
    assert f"{endpoint} is judged in part: 4 passed, " in told
    report = json.loads(path.read_text())[endpoint]
    assert (report["interrupted"], report["conforms"]) == (True, False)
    assert report["cases"]["SERVE-1.letters/whole"]["reason"] == "the run was interrupted"


async def test_a_second_signal_has_its_usual_effect_and_an_ignored_one_stays_ignored() -> None:
    seen: list[int] = []
    before = [
        signal.signal(signal.SIGTERM, lambda number, _: seen.append(number)),
        signal.signal(signal.SIGINT, signal.SIG_IGN),
    ]
    try:
        scope = trio.CancelScope()
        with interruptible(scope) as received, scope:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGTERM)
            await trio.sleep_forever()
    finally:
        signal.signal(signal.SIGTERM, before[0])
        signal.signal(signal.SIGINT, before[1])
    assert (received, seen) == ([signal.SIGTERM], [signal.SIGTERM])


def test_an_interruption_after_the_run_is_reported(right: StartRight, tmp_path: Path) -> None:
    """As while a report waits for the reader of a pipe."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    command = [*COMMAND, str(right()), "--only", "FRAME-3", "--json", str(pipe)]
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 4096)
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert select.select([reader], [], [], 30) == ([reader], [], [])
        process.send_signal(signal.SIGINT)
        assert process.communicate()[1] == "caas-conformance: interrupted\n"
    os.close(reader)
    assert process.returncode == 130


def test_an_interruption_while_the_program_is_loaded_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def load() -> None:
        raise KeyboardInterrupt

    with pytest.raises(SystemExit, match="130"):
        __main__.main(load)
    assert capsys.readouterr().err == "caas-conformance: interrupted\n"


def test_the_program_loads_slow_modules_late() -> None:
    code = "import sys, caas_trio.conformance.__main__; print({'trio', 'jinja2'} & set(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout == "set()\n"


def test_only_the_page_needs_jinja2() -> None:
    code = (
        "import sys; sys.modules['jinja2'] = None; from caas_trio.conformance.command import main;"
        "main(['tcp://127.0.0.1:1', '--html=report.html'])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert answer.stderr == (
        "caas-conformance: --html needs jinja2: python -m pip install 'caas-trio[html]'\n"
    )
    assert answer.returncode == 2


def test_the_program_is_the_command() -> None:
    names: list[str] = []

    def run(*, prog_name: str) -> None:
        names.append(prog_name)

    __main__.main(lambda: run)
    assert names == ["caas-conformance"]
    command = [sys.executable, "-m", "caas_trio.conformance", "--case", "nope"]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 2


def test_verbose_says_why_a_case_was_not_judged(right: StartRight) -> None:
    result = run(right(), "--only", "FRAME-3", "--verbose")
    assert "not judged  SAY-1.prompt/whole: the server is declared to have no prompt\n" in result.output


def on_terminal(command: list[str]) -> bytes:
    """Return what a command writes to a terminal."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, env={**os.environ, "TERM": "xterm"}):
        os.close(theirs)
        seen = b""
        try:
            while data := os.read(ours, 65536):
                seen += data
        except OSError:  # what Linux says at the end of a terminal
            pass
        finally:
            os.close(ours)
    return seen


def test_the_process_shows_a_bar_on_a_terminal_and_plain_lines_elsewhere(right: StartRight) -> None:
    """Slow: Python starts twice, and each process judges some cases."""
    endpoint: Endpoint = right()
    command = [sys.executable, "-m", "caas_trio.conformance", str(endpoint), "--only", "SERVE"]
    plain = subprocess.run(command, capture_output=True, check=True)
    assert plain.stderr == b""
    assert plain.stdout.isascii()
    assert b"\x1b" not in plain.stdout
    assert b"judging tcp://" in on_terminal(command)
