"""The commands that take inputs, given invalid ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from click import Command
from click.testing import CliRunner, Result

from .merge import main as merge
from .minimize import main as minimize
from .replay import main as replay
from .run import main as run
from .targets import HERE


def invoke(command: Command, *arguments: str | Path) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    path = tmp_path / "input"
    path.write_bytes(b"\0\x05\0\0line\n")
    return path


def test_an_input_from_elsewhere_needs_a_target(elsewhere: Path) -> None:
    result = invoke(replay, elsewhere)
    assert result.exit_code == 2
    assert "is in no harness's directory; name the harness with --target" in result.output
    result = invoke(replay, "--target", "line_buffer", elsewhere)
    assert (result.exit_code, result.output) == (0, "1 inputs, no failure\n")


def test_an_input_in_a_target_folder_needs_no_target_option() -> None:
    result = invoke(replay, next(HERE.glob("corpus/line_buffer/*")))
    assert (result.exit_code, result.output) == (0, "1 inputs, no failure\n")


def test_a_broken_link_is_reported_and_the_rest_replayed(tmp_path: Path) -> None:
    good, dangling = tmp_path / "good", tmp_path / "dangling"
    good.touch()
    dangling.symlink_to(tmp_path / "nothing")
    result = invoke(replay, "--target", "endpoint", dangling, good)
    assert result.exit_code == 1
    assert f"cannot read {dangling}: No such file or directory\n" in result.output
    assert "1 inputs, no failure\n" in result.output


def test_a_passing_input_is_not_minimized(elsewhere: Path) -> None:
    before = elsewhere.read_bytes()
    result = invoke(minimize, "line_buffer", elsewhere)
    assert result.exit_code == 1
    assert "does not fail" in result.output
    assert elsewhere.read_bytes() == before


def test_an_unreadable_input_is_not_minimized(tmp_path: Path) -> None:
    result = invoke(minimize, "line_buffer", tmp_path)
    assert result.exit_code == 1
    assert result.output == f"Error: {tmp_path}: Is a directory\n"


@pytest.mark.parametrize(
    "command", [merge, minimize, replay, run], ids=["merge", "minimize", "replay", "run"]
)
def test_every_command_has_help(command: Command) -> None:
    result = invoke(command, "--help")
    assert result.exit_code == 0
    assert result.output.startswith("Usage: ")


def test_minimize_needs_a_target_and_a_file() -> None:
    result = invoke(minimize)
    assert result.exit_code == 2
    assert "Missing argument 'TARGET'" in result.output


@pytest.mark.parametrize("command", [merge, minimize, replay], ids=["merge", "minimize", "replay"])
def test_an_unknown_harness_is_named(command: Command, elsewhere: Path) -> None:
    arguments = ("--target", "nope", elsewhere) if command is replay else ("nope", elsewhere)
    result = invoke(command, *arguments)
    assert result.exit_code == 2
    assert "there is no harness 'nope'" in result.output
