"""`--explain`: each setting with its origin, and what they come to."""

from __future__ import annotations

import re
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from caas_trio import LineSession, Oversize
from caas_trio.program import cli
from caas_trio.program.explain import TLS_BUFFERS, TLS_CERTIFICATES, session_ceiling
from caas_trio.server.admission import RESERVED_DESCRIPTORS

from .test_loading import folder  # noqa: F401 - a fixture

KIB = 1024


@contextmanager
def descriptors(limit: int) -> Iterator[None]:
    """Set the limit of the process on descriptors, as `ulimit -Sn` does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def hard_limit() -> str:
    """Return how many descriptors the process could have, in words."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return "infinite" if hard == resource.RLIM_INFINITY else str(hard)


@pytest.fixture(autouse=True)
def enough() -> Iterator[None]:
    with descriptors(20000):
        yield


def explained(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[list[list[str]], str]:
    """Return the rows of the table, and the text below it."""
    assert cli.run(["--explain", *arguments]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    table, costs = captured.out.split("\n\n")
    return [re.split(r"  +", line) for line in table.splitlines()], costs


def test_each_setting_has_an_origin(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAAS_TRIO_MAX_LINE", "100")
    monkeypatch.setenv("CAAS_TRIO_LINE_TIMEOUT", "7")
    (header, *rows), _ = explained(capsys, "--line-timeout", "0.5", "--once", "unix:@a", "tcp://[::1]:0")
    assert header == ["setting", "value", "from"]
    settings = {name: (value, source) for name, value, source in rows}
    assert settings["endpoints"] == ("unix:@a tcp://[::1]:0", "endpoints")
    assert settings["--max-line"] == ("100", "CAAS_TRIO_MAX_LINE")
    assert settings["--line-timeout"] == ("0.5", "--line-timeout")
    assert settings["--once"] == ("yes", "--once")
    assert settings["--idle-timeout"] == ("300", "default")
    assert settings["--max-per-host"] == ("no limit", "default")
    assert settings["--unix-mode"] == ("0660", "default")
    assert settings["--max-connections"] == ("10000", "default")
    assert settings["--metrics"] == ("off", "default")
    named = {parameter.opts[0] for parameter in cli.command.params}
    assert set(settings) == named - {"--explain", "--version"}


LIMITED = """\
import caas_trio

limits = caas_trio.Limits(max_connections=3, drain_timeout=4, at_capacity=caas_trio.AtCapacity.WAIT)
app = caas_trio.App(service=bytes.upper, limits=limits)
"""


@pytest.mark.usefixtures("folder")  # what is imported is forgotten afterwards
def test_the_limits_of_an_app_are_shown(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "limited.py").write_text(LIMITED)
    asked = ("--app", "limited:app", "--app-dir", str(tmp_path), "--drain-timeout", "5")
    (_, *rows), costs = explained(capsys, *asked)
    settings = {name: (value, source) for name, value, source in rows}
    assert settings["--app"] == ("limited:app", "--app")
    assert settings["--max-connections"] == ("3", "the app")
    assert settings["--at-capacity"] == ("wait", "the app")
    assert settings["--drain-timeout"] == ("5", "--drain-timeout")
    assert "--text" not in settings
    assert "connections  3 at most" in costs
    assert costs.splitlines()[-1] == "app          what its code holds, and makes of a line, is extra"


@pytest.mark.usefixtures("folder")
def test_an_app_without_limits_has_those_of_the_command_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "plain.py").write_text("def app(line): return line\n")
    (_, *rows), _ = explained(capsys, "--app", "plain:app", "--app-dir", str(tmp_path))
    assert ["--max-connections", "10000", "default"] in rows


def test_a_name_that_is_not_utf_8_is_escaped(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "caf\udce9\n.toml"
    file.write_text("max-line = 100")
    (_, endpoints, *rows), _ = explained(capsys, "--config", str(file), "unix:caf\udce9")
    assert endpoints[1] == r"unix:caf\xe9"
    assert ["--max-line", "100", rf"{tmp_path}/caf\xe9\n.toml"] in rows


def test_the_default_endpoint_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    (_, endpoints, *_), _ = explained(capsys)
    assert endpoints == ["endpoints", "tcp://127.0.0.1:50007", "default"]


def test_the_costs(capsys: pytest.CaptureFixture[str]) -> None:
    _, costs = explained(capsys)
    connections, needed, memory = costs.splitlines()
    assert connections == "connections  10000 at most"
    wanted = 10000 + RESERVED_DESCRIPTORS
    assert needed.startswith(f"descriptors  {wanted}: one for each connection, {RESERVED_DESCRIPTORS} for ")
    assert needed.endswith(f"the limit is 20000, and can be raised to {hard_limit()} (ulimit -n)")
    assert memory.startswith(
        "memory       3.663 GiB at most, if every client does its worst: 384 KiB for each"
    )


@pytest.mark.parametrize("shown", [False, True])
def test_tls_is_counted(capsys: pytest.CaptureFixture[str], *, shown: bool) -> None:
    client_ca = ("--tls-client-ca", "ca.pem") if shown else ()
    files = ("--tls-cert", "cert.pem", *client_ca)
    _, costs = explained(capsys, *files, "--max-connections", "100", "tls://[::1]:0", "unix:@a")
    of_tls, memory = costs.splitlines()[2:]
    assert of_tls.startswith(f"TLS          {704 if shown else 192} KiB at most for each connection")
    each = 192 + 64 + 64 + 128 + (512 if shown else 0)
    assert f": {each} KiB for each connection" in memory
    assert (TLS_BUFFERS + TLS_CERTIFICATES) // KIB == 704


def test_too_few_descriptors_are_reported(capsys: pytest.CaptureFixture[str]) -> None:
    with descriptors(1024):
        _, costs = explained(capsys)
    limit = 1024 - RESERVED_DESCRIPTORS
    assert costs.startswith(f"connections  {limit} at most, lowered from 10000: descriptors are short\n")
    assert f"the limit is 1024, and can be raised to {hard_limit()}" in costs


def test_a_wrong_setting_is_refused_as_without_explain(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["--explain", "--max-line", "0"]) == 2
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("max_line", "connections", "told"),
    [(1, 1, "1.25 MiB at most"), (10**13, 100, "18.19 TiB for each"), (10**15, 2, "1819 TiB for each")],
)
def test_sizes_have_fitting_units(
    max_line: int, connections: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _, costs = explained(capsys, "--max-line", str(max_line), "--max-connections", str(connections))
    assert told in costs


def test_the_ceiling_of_a_session() -> None:
    assert session_ceiling(64 * KIB, 1, Oversize.STREAM, "hub") == 384 * KIB
    assert session_ceiling(64 * KIB, 3, Oversize.REJECT, "hub") == (64 + 3 * 320) * KIB
    assert session_ceiling(64 * KIB, 1, Oversize.STREAM, "stream") == (64 + 64 + 128) * KIB


def test_the_error_lines_of_discard_are_counted() -> None:
    session = LineSession(bytes.upper, max_line=3, oversize=Oversize.DISCARD)
    session.open()
    said = len(session.receive(b"aaaa\n" * (session.max_chunk // 5)))
    assert 0.99 < said / session_ceiling(3, 1, Oversize.DISCARD, "hub") <= 1
