"""`--reload`: the files of an app are watched, and without watchfiles an error line says what to install."""

from __future__ import annotations

import re
import signal
import sys
from pathlib import Path

import pytest
import trio
import trio.lowlevel

from caas_trio import UsageError
from caas_trio.program.watching import changes, check_watchfiles

from .support.processes import started
from .support.sockets import talk

#: What is used of watchfiles, for machines without it: it polls.
STAND_IN = """\
import trio

class PythonFilter:
    suffix = ".py"

async def awatch(folder, *, watch_filter, debounce):
    def state():
        return {(str(each), each.read_text()) for each in folder.glob(f"*{watch_filter.suffix}")}
    before = state()
    while True:
        await trio.sleep(debounce / 10_000)
        if changed := state() - before:
            before = state()
            yield {("modified", path) for path, _ in changed}
"""

#: The stand-in's name in this process; in another one it has the real name.
LIBRARY = "watchfiles_stand_in"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder for an app; the stand-in for watchfiles is first on the path."""
    library = tmp_path / "library"
    library.mkdir()
    for name in ("watchfiles", LIBRARY):
        (library / f"{name}.py").write_text(STAND_IN)
    monkeypatch.syspath_prepend(library)
    monkeypatch.setenv("PYTHONPATH", str(library), prepend=":")
    folder = tmp_path / "app"
    folder.mkdir()
    return folder


def test_without_watchfiles_a_line_says_what_to_install() -> None:
    with pytest.raises(UsageError, match=re.escape("pip install 'caas-trio[reload]'")):
        check_watchfiles("watchfiles_that_nobody_has")


async def test_each_change_lists_the_changed_files(home: Path) -> None:
    check_watchfiles(LIBRARY)
    (home / "a.py").write_text("1")
    found = changes(home, LIBRARY)
    async with trio.open_nursery() as nursery:

        async def edit() -> None:
            await trio.lowlevel.checkpoint()
            (home / "a.py").write_text("2")
            (home / "b.py").write_text("3")
            (home / "c.txt").write_text("4")

        nursery.start_soon(edit)
        assert await anext(found) == [str(home / "a.py"), str(home / "b.py")]
    await found.aclose()


@pytest.mark.slow
def test_a_change_restarts_the_app_and_ctrl_c_ends_it_at_once(home: Path) -> None:
    """Takes more than two seconds: four workers are started."""
    app = home / "shout.py"
    app.write_text("def shout(line): return line.upper()\n")
    words = ["--app", "shout:shout", "--app-dir", str(home), "--reload", "tcp://127.0.0.1:0"]
    with started([sys.executable, "-m", "caas_trio", *words]) as running:
        told = iter(running.stderr.readline, "")
        with running.connect() as old:
            old.sendall(b"a b\n")
            assert old.recv(10) == b"A B\n"
            app.write_text("def shout(line): return line.title()\n")
            assert any("reloaded" in line for line in told)
            assert old.recv(10) == b""  # it is not waited for
        assert talk(running.connect(), b"ab cd\n") == b"Ab Cd\n"
        app.write_text("def shout(line: return line.title()\n")
        said = ""
        while "SyntaxError" not in said or "the old workers stay" not in said:  # in any order
            said += next(told)
        app.write_text("def shout(line): return line.swapcase()\n")
        assert any("reloaded" in line for line in told)
        with running.connect() as waiting:
            waiting.sendall(b"aB\n")
            assert waiting.recv(10) == b"Ab\n"
            running.process.send_signal(signal.SIGINT)
            assert waiting.recv(10) == b""
        assert running.process.wait(timeout=30) == 0
