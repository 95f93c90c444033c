"""Settings from a file: their values, what takes precedence, and how mistakes in them are reported."""

from __future__ import annotations

from pathlib import Path

import pytest

from caas_trio import Endpoint
from caas_trio.program import cli
from caas_trio.program.command import parse
from caas_trio.program.options import FileType, StartDirectory
from caas_trio.program.processors import processors
from caas_trio.program.program import Program

from .test_cli import told

FILE = """
endpoints = ["unix:@a", "tcp://[::1]:0"]
first = "server"
max-line = 10
prompt-delay = 0.5
once = true
proxy-protocol = false
allow-from = ["192.0.2.0/24", "2001:db8::/32"]
unix-mode = "0600"
workers = 2
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    written = tmp_path / "caas.toml"
    written.write_text(FILE)
    return written


def program(*arguments: str) -> Program:
    parsed = parse(arguments)
    assert isinstance(parsed, Program)
    return parsed


def test_the_keys_are_the_options(file: Path) -> None:
    got = program("--config", str(file))
    assert got.endpoints == (Endpoint.parse("unix:@a"), Endpoint.parse("tcp://[::1]:0"))
    assert (got.limits.max_line, got.limits.prompt_delay) == (10, 0.5)
    assert [str(each) for each in got.trust.allow_from] == ["192.0.2.0/24", "2001:db8::/32"]
    assert (got.trust.unix_mode, got.trust.proxy_protocol, got.workers) == (0o600, False, 2)


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAAS_TRIO_CONFIG", str(file))
    monkeypatch.setenv("CAAS_TRIO_MAX_LINE", "20")
    monkeypatch.setenv("CAAS_TRIO_WORKERS", "3")
    got = program("--workers", "4", "unix:@b")
    assert (got.limits.prompt_delay, got.limits.max_line, got.workers) == (0.5, 20, 4)
    assert got.endpoints == (Endpoint.parse("unix:@b"),)


def test_a_config_is_not_read_twice(tmp_path: Path) -> None:
    got = parse(["--config", str(tmp_path / "missing")], {"max_line": "7"})
    assert isinstance(got, Program)
    assert (got.limits.max_line, got.config) == (7, {"max_line": "7"})


def test_a_config_file_brings_a_supervisor(tmp_path: Path) -> None:
    empty = tmp_path / "empty.toml"
    empty.touch()
    assert program("--config", str(empty)).supervised
    assert not program().supervised


def test_workers_0_is_one_per_processor() -> None:
    assert program("--workers", "0").workers == processors()


def test_a_byte_order_mark_is_skipped(tmp_path: Path) -> None:
    file = tmp_path / "windows.toml"
    file.write_bytes(b"\xef\xbb\xbfmax-line = 10\r\nonce = true\r\n")
    assert program("--config", str(file)).limits.max_line == 10


def test_the_file_is_named_as_the_source(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["--config", str(file), "--explain"]) == 0
    explained = capsys.readouterr().out
    [line] = [line for line in explained.splitlines() if line.startswith("--max-line")]
    assert line.split() == ["--max-line", "10", str(file)]
    assert "2, so " in explained


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("max-lien = 10", "sets 'max-lien', and there is no such option"),
        ("max_line = 10", "sets 'max_line', and there is no such option"),
        ("explain = true", "sets 'explain', and there is no such option"),
        ('config = "x"', "sets 'config', and there is no such option"),
        ("max-line = 1.5", "sets 'max-line': '1.5' is not a number of bytes, 1 or more"),
        ("max-line = true", "sets 'max-line' to True, and that is to be a text or a number"),
        ("max-line = [1]", "sets 'max-line' to [1], and that is to be a text or a number"),
        ("max-line = {}", "sets 'max-line' to {}, and that is to be a text or a number"),
        ("unix-mode = 0o660", "sets 'unix-mode' to 432, and that is to be a text"),
        ('unix-mode = "999"', "sets 'unix-mode': '999' is not"),
        ("once = 1", "sets 'once' to 1, and that is to be true or false"),
        (
            'endpoints = "unix:@a"',
            "sets 'endpoints' to 'unix:@a', and that is to be a list of one text or more",
        ),
        ("endpoints = []", "sets 'endpoints' to [], and that is to be a list of one text or more"),
        ("allow-from = [true]", "sets 'allow-from' to [True], and that is to be a list of texts"),
        ('allow-from = ["x"]', "sets 'allow-from': 'x' is not a network"),
        ('first = "nobody"', "sets 'first': 'nobody' is not one of"),
        ("max-line", "is no TOML: Expected '=' after a key"),
        (f"max-line = {'[' * 5000}", "is no TOML that can be read: it is nested too deeply"),
        (r'tls-cert = "a\u0000b"', "sets 'tls-cert' to 'a\\x00b', and that is to be a text or a number"),
        (
            r'endpoints = ["\u0000"]',
            "sets 'endpoints' to ['\\x00'], and that is to be a list of one text or more",
        ),
    ],
)
def test_a_mistake_is_one_line(
    text: str, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "caas.toml"
    file.write_text(text)
    status, message = told(capsys, "--config", str(file))
    assert (status, message.startswith(f"{file} {reason}")) == (2, True), message


def test_an_unreadable_file_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = tmp_path / "missing"
    assert told(capsys, "--config", str(missing)) == (1, f"cannot use {missing}: no such file or directory")
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff")
    status, message = told(capsys, "--config", str(binary))
    assert (status, "is no TOML: 'utf-8' codec can't decode" in message) == (2, True)


@pytest.mark.parametrize(
    ("directory", "value", "path"),
    [
        ("/a/b", "c", "/a/b/c"),
        ("/a/b", "/c", "/c"),
        ("/a/b", "../c", "/a/c"),
        ("/a/b", "../../../c", "/c"),
        ("/a/b", "c/../d", "/a/b/c/../d"),
        ("/a/b", "..", "/a"),
        (None, "../c", "../c"),
    ],
)
def test_relative_paths_start_at_the_start_directory(directory: str | None, value: str, path: str) -> None:
    assert str(StartDirectory(directory).resolve(value)) == path


def test_without_a_context_a_path_is_kept() -> None:
    assert FileType().convert("a", None, None) == Path("a")
