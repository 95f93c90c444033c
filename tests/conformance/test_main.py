"""The command: options, output, exit statuses."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from types import ModuleType

import pytest
from click.testing import CliRunner, Result

from caas_trio import __version__
from caas_trio.conformance import CASES, __main__
from caas_trio.conformance.command import main
from caas_trio.core.endpoint import Endpoint

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


def test_help_and_version_are_told_as_the_service_tells_them() -> None:
    assert run("-h").output == run("--help").output
    assert run("--version").output == f"caas-conformance, version {__version__}\n"


def test_a_wrong_server_does_not_conform(right: StartRight) -> None:
    result = run(right(service="echo"), "--case", "FRAME-2.crlf/whole")
    assert result.exit_code == 1
    assert "FAILED  SERVE-1.hello/whole" in result.output
    assert "  so        nothing else was judged; the server was declared by no option" in result.output
    assert "  expected  b'HELLO'\n  received  b'hello\\n'\n" in result.output


def test_a_server_is_judged_as_what_it_is_declared_to_be(right: StartRight) -> None:
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
    result = run(endpoint, *declared, "--once", "--only=LIMIT-", "--only=CLOSE")
    assert (result.exit_code, "conforms" in result.output) == (0, True)


def test_a_missed_should_counts_only_when_strict(right: StartRight) -> None:
    endpoint = right(max_line=20_000, oversize="discard")
    relaxed, strict = (run(endpoint, "--only", "FRAME-8", *option) for option in ([], ["--strict"]))
    assert (relaxed.exit_code, strict.exit_code) == (0, 1)
    assert "NON-STRICT  FRAME-8.64KiB/whole" in relaxed.output


def test_the_list_has_every_case_and_needs_no_endpoint() -> None:
    result = run("--list")
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.output.splitlines()] == [case.id for case in CASES]
    assert len(run("--list", "--only", "SAY").output.splitlines()) == 1


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
            "caas-conformance: no case has such an id; --list shows them",
        ),
        (["tcp://127.0.0.1:1", "--case", "SAY-1.prompt/whole", "--case", "SAY-2"], "there is no case SAY-2"),
        (["tcp://127.0.0.1:1", "--oversize", "reject"], "--oversize reject says nothing without --max-line"),
        (["tcp://127.0.0.1:1", "--first", "server", "--prompt", ""], "a prompt of nothing"),
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


def test_a_file_that_cannot_be_written(right: StartRight, tmp_path: Path) -> None:
    path = tmp_path / "missing" / "report.json"
    result = run(right(), "--case", "SERVE-1.hello/whole", "--json", path)
    assert result.exit_code == 2
    assert (
        result.output.splitlines()[-1]
        == f"caas-conformance: {path} cannot be written: No such file or directory"
    )


@pytest.mark.parametrize("others", [[], [ValueError("a bug of the suite")]])
def test_an_interruption_is_no_traceback_and_a_bug_is(
    right: StartRight, monkeypatch: pytest.MonkeyPatch, others: list[BaseException]
) -> None:
    def interrupted(*_: object) -> None:
        raise BaseExceptionGroup("from a nursery", [KeyboardInterrupt(), *others])

    endpoint = right()
    monkeypatch.setattr("caas_trio.conformance.command.trio.run", interrupted)
    if others:
        with pytest.raises(BaseExceptionGroup, match="from a nursery"):
            run(endpoint)
    else:
        result = run(endpoint)
        assert (result.exit_code, result.output) == (2, "caas-conformance: interrupted\n")


class _Interrupted(ModuleType):
    def __getattr__(self, name: str) -> object:
        raise KeyboardInterrupt


def test_an_interruption_while_it_is_loaded_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "caas_trio.conformance.command"
    monkeypatch.setitem(sys.modules, name, _Interrupted(name))
    with pytest.raises(SystemExit, match="2"):
        __main__.main()
    assert capsys.readouterr().err == "caas-conformance: interrupted\n"


def test_what_takes_long_to_load_is_not_loaded_before_that() -> None:
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


def test_the_program_is_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["", "--case", "nope"])
    with pytest.raises(SystemExit, match="2"):
        __main__.main()


def test_verbose_tells_why(right: StartRight) -> None:
    result = run(right(), "--case", "SAY-1.prompt/whole", "--verbose")
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
    endpoint: Endpoint = right()
    command = [sys.executable, "-m", "caas_trio.conformance", str(endpoint), "--only", "SERVE"]
    plain = subprocess.run(command, capture_output=True, check=True)
    assert plain.stderr == b""
    assert plain.stdout.isascii()
    assert b"\x1b" not in plain.stdout
    assert b"judging tcp://" in on_terminal(command)
