"""`--app MODULE:NAME`: what is imported, and the one line about each mistake."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from caas_trio import App, AppError, UsageError
from caas_trio.program.loading import AppName, load

MODULES = {
    "shouts.py": "def shout(line):\n    return line.upper()\n\n\nclass tools:\n    quiet = bytes.lower\n",
    "runs.py": "import trio\n\nasync def main(): ...\n\ntrio.run(main)\n",
    "scripted.py": "import caas_trio\n\ncaas_trio.run(bytes.upper, 'tcp://127.0.0.1:0')\n",
    "misses.py": "import not_installed_anywhere\n",
    "misspelt.py": "def f(:\n",
    "outer.py": "import inner\n",
    "inner.py": "def work():\n    1 / 0\n\nwork()\n",
    "leaves.py": "import sys\n\nsys.exit(3)\n",
    "interrupted.py": "raise KeyboardInterrupt\n",
    "parcel/__init__.py": "",
    "parcel/server.py": "from . import shouts\n",
    "spaced/shouts.py": "def shout(line):\n    return line.upper()\n",
    "raises.py": "raise RuntimeError('for its own reason')\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Return a folder with modules; forget afterwards what was imported from there."""
    path, known, quiet = sys.path[:], set(sys.modules), sys.dont_write_bytecode
    for name, text in MODULES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    yield tmp_path
    sys.path[:], sys.dont_write_bytecode = path, quiet
    for name in set(sys.modules) - known:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("text", "served"), [("shouts:shout", b"A"), ("shouts:tools.quiet", b"a"), ("spaced.shouts:shout", b"A")]
)
async def test_an_app_is_found_by_its_name(text: str, served: bytes, folder: Path) -> None:
    name = AppName.parse(text, folder)
    assert str(name) == text
    for _ in range(2):
        app = await load(name)
        assert isinstance(app, App)
        assert app.service is not None
        assert app.service(b"a" if served == b"A" else b"A") == served
    assert sys.path.count(str(folder)) == 1


async def test_no_bytecode_is_written(folder: Path) -> None:
    await load(AppName.parse("shouts:shout", folder))
    assert not await trio.to_thread.run_sync(lambda: list(folder.rglob("*.pyc")))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("shouts", "'shouts' is not MODULE:NAME, such as mypackage.server:handler"),
        ("shouts:", "'shouts:' is not MODULE:NAME"),
        (":shout", "':shout' is not MODULE:NAME"),
        ("a-b:c", "'a-b:c' is not MODULE:NAME"),
        ("shouts.py", "'shouts.py' is a file; name the module: shouts:NAME"),
        ("./shouts.py:shout", "'./shouts.py' is a file; name the module: shouts:shout"),
        ("parcel/server.py:x", "'parcel/server.py' is a file; name the module: parcel.server:x"),
    ],
)
def test_an_invalid_name_is_refused(text: str, told: str, folder: Path) -> None:
    with pytest.raises(UsageError, match="^" + told.replace(".", r"\.")):
        AppName.parse(text, folder)


def test_a_missing_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="missing is not a directory to import an app from"):
        AppName.parse("shouts:shout", tmp_path / "missing")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "shoust:shout",
            "there is no module 'shoust' in {}, or elsewhere on the path; did you mean 'shouts'?",
        ),
        ("qqq.server:x", "there is no module 'qqq' in {}, or elsewhere on the path"),
        ("parcel.sever:x", "there is no module 'parcel.sever' in {}, or elsewhere on the path"),
        ("shouts:shuot", "there is no 'shuot' in the module shouts ({}/shouts.py); did you mean 'shout'?"),
        ("shouts:tools.quite", "there is no 'quite' in shouts.tools; did you mean 'quiet'?"),
        ("spaced:qqq", "there is no 'qqq' in the module spaced"),
        ("runs:main", "runs runs a server while it is imported; put that under `if __name__ == '__main__':`"),
        ("scripted:main", "scripted runs a server while it is imported; put that under `if __name__ =="),
        ("shouts:tools", "tools is a class of another kind than StreamRequestHandler"),
    ],
)
async def test_a_users_mistake_is_one_line(text: str, told: str, folder: Path) -> None:
    with pytest.raises(UsageError) as raised:
        await load(AppName.parse(text, folder))
    message = str(raised.value)
    assert message.startswith(told.format(folder))
    assert "\n" not in message


@pytest.mark.parametrize(
    ("module", "told", "frames"),
    [
        ("misses", "ModuleNotFoundError: No module named 'not_installed_anywhere'", ["<module>"]),
        ("misspelt", "SyntaxError: invalid syntax (misspelt.py, line 1)", []),
        ("outer", "ZeroDivisionError: division by zero", ["<module>", "<module>", "work"]),
        ("leaves", "it calls sys.exit", ["<module>"]),
        ("raises", "RuntimeError: for its own reason", ["<module>"]),
        ("parcel.server", "ImportError: cannot import name 'shouts' from 'parcel'", ["<module>"]),
    ],
)
async def test_a_failed_import_keeps_the_apps_frames(
    module: str, told: str, frames: list[str], folder: Path
) -> None:
    with pytest.raises(AppError) as raised:
        await load(AppName.parse(f"{module}:x", folder))
    assert str(raised.value).startswith(f"{module}: it cannot be imported: {told}")
    cause = raised.value.__cause__
    assert cause is not None
    assert [frame.name for frame in traceback.extract_tb(cause.__traceback__)] == frames


async def test_an_interrupt_during_an_import_is_raised(folder: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        await load(AppName.parse("interrupted:x", folder))
