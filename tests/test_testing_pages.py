"""The tests and harnesses in docs/testing-your-server.md and docs/fuzzing-your-server.md run, as they are.

Slow: each test runs pytest, or a harness, in a process of its own.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

DOCS = Path(__file__).parent.parent / "docs"
TESTING = (DOCS / "testing-your-server.md").read_text()
FUZZING = (DOCS / "fuzzing-your-server.md").read_text()

#: In place of atheris, which has no wheels for every Python: it calls the function with a few inputs.
ATHERIS = """
from contextlib import contextmanager

@contextmanager
def instrument_imports(include):
    assert all(name in ("words", "greeter") for name in include)
    yield

def Setup(argv, function):
    global run
    run = function

def Fuzz():
    for data in (b"", b"\\0\\0one two\\n", b"\\1\\3\\x40\\x80\\xc0one two\\nthree\\n", b"\\2\\1\\x80one\\n"):
        run(data)
    print("fuzzed")
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a directory with all files of both pages."""
    for code in re.findall(r"^```python\n(.*?)^```", TESTING + FUZZING, re.MULTILINE | re.DOTALL):
        _, name, _ = code.split(maxsplit=2)
        assert name.endswith(".py")
        (tmp_path / name).write_text(code)
    (tmp_path / "atheris.py").write_text(ATHERIS)
    return tmp_path


def run(project: Path, *arguments: str) -> str:
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, check=True).stdout


def test_the_tests_pass(project: Path) -> None:
    plugins = ("-p", "caas_trio.testing.plugin", "-p", "no:cacheprovider")
    told = run(project, "-m", "pytest", *plugins, "-o", "trio_mode=true", "-q")
    count = len(re.findall(r"^(?:async )?def test_", TESTING, re.MULTILINE))
    assert count == 8
    assert f"{count} passed" in told


@pytest.mark.parametrize("harness", ["fuzz_words.py", "fuzz_greeter.py"])
def test_the_harnesses_run_and_have_ten_lines(project: Path, harness: str) -> None:
    assert run(project, harness) == "fuzzed\n"
    lines = [line for line in (project / harness).read_text().splitlines() if line]
    assert len(lines) <= 10


def test_the_message_of_a_split_is_as_shown(project: Path) -> None:
    [shown] = re.findall(r"^(    the reply depends.*?)\n\n", TESTING, re.MULTILINE | re.DOTALL)
    wrong = """
import sys
from functools import partial
import trio
from caas_trio import testing
from trio.testing import MockClock

async def handler(connection):
    count = 0
    while chunk := await connection.receive_some():
        for line in chunk.splitlines():
            count += len(line.split())
            await connection.send(b"%d so far\\n" % count)

check = partial(testing.check_any_split, handler, b"one two\\r\\nthree\\n")
try:
    trio.run(check, clock=MockClock(autojump_threshold=0))
except AssertionError as error:
    print(error)
"""
    (project / "wrong.py").write_text(wrong)
    assert [line.strip() for line in run(project, "wrong.py").splitlines()] == [
        line.strip() for line in shown.splitlines()
    ]
