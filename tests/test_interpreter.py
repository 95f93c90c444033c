"""A worker sees what its supervisor sees: flags, path, a zip, and no directory that is gone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from caas_trio.program.interpreter import Interpreter, _extras

#: Shows in a child what it sees, and in this process how the child is started.
PROBE = """
import json, os, subprocess, sys
from caas_trio.program.interpreter import Interpreter
def main(number):
    import trio
    path = [os.path.normpath(os.path.join(os.environ["START"], each)) for each in sys.path]
    extras = {name: value for name, value in sys._xoptions.items() if name != "utf8"}  # a flag, too
    seen = [number, trio.__file__, path, list(sys.flags), sys.warnoptions, extras]
    print(json.dumps(seen))
"""
STARTS = """
import sys, os, subprocess
if {remove!r}:
    os.mkdir({remove!r}); os.chdir({remove!r})
import probe, trio  # which a supervisor has imported by then
from caas_trio.program.interpreter import Interpreter
interpreter = Interpreter.current()
if {remove!r}:
    os.rmdir({remove!r})
print(subprocess.run(interpreter.command("probe", 7), stdout=subprocess.PIPE, check=True).stdout.decode())
probe.main(7)
"""


def seen(tmp_path: Path, *options: str, remove: str = "", **environment: str) -> tuple[object, object]:
    """Return what a child sees, and what its parent does, under some options of the interpreter."""
    (tmp_path / "probe.py").write_text(PROBE)
    start = f"import sys; sys.path[:0] = {[str(tmp_path), *sys.path]!r}\n"
    done = subprocess.run(
        [sys.executable, *options, "-c", start + STARTS.format(remove=remove)],
        env={"PATH": os.environ["PATH"], "START": str(tmp_path), **environment},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        check=True,
    )
    child, parent = filter(None, done.stdout.decode().splitlines())
    return json.loads(child), json.loads(parent)


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("-I",),
        ("-E", "-s"),
        ("-P", "-B", "-OO"),
        ("-S",),
        ("-Wignore::UserWarning", "-Wdefault", "-b"),
        ("-Xutf8", "-Xpycache_prefix=/nowhere", "-Xdev"),
    ],
    ids=" ".join,
)
@pytest.mark.slow
def test_flags_and_path_are_the_parents(options: tuple[str, ...], tmp_path: Path) -> None:
    """Slow: two processes start a Python for each set of options."""
    child, parent = seen(tmp_path, *options)
    assert child == parent


def test_nothing_shadows_what_the_parent_has_imported(tmp_path: Path) -> None:
    shadow = tmp_path / "shadow"
    shadow.mkdir()
    (shadow / "trio.py").write_text("raise SystemExit('the shadow')")
    child, parent = seen(tmp_path, "-I", PYTHONPATH=str(shadow))
    assert child == parent


def test_a_removed_directory_does_not_matter(tmp_path: Path) -> None:
    child, parent = seen(tmp_path, remove=str(tmp_path / "gone"))
    assert child[:2] == parent[:2]  # type: ignore[index]


def test_a_directory_removed_before_the_start_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    search = ["", "relative", "/absolute"]
    assert Interpreter.current(search).path == (f"{gone}", f"{gone}/relative", "/absolute")
    gone.rmdir()
    interpreter = Interpreter.current(search)
    assert (interpreter.directory, interpreter.path) == (None, ("/absolute",))


def test_a_switch_to_utf_8_is_passed_on() -> None:
    assert _extras({"dev": True, "a": "b"}, utf8=False) == ["-Xdev", "-Xa=b"]
    assert _extras({"utf8": True}, utf8=True) == ["-Xutf8=1"]
