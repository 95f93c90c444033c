"""The plug-in for pytest, in projects of their own.

Slow: each test runs pytest in processes of its own.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PLUGIN = ("-p", "caas_trio.testing.plugin")

TALKS = """
from caas_trio.testing import serving

async def test_it(caas_network, expected):
    async with serving(bytes.upper, network=caas_network) as place:
        assert await place.talk(b"<b>hello</b>\\n") == expected
"""

EXPECTED = """
import pytest

@pytest.fixture(params=[b"<B>HELLO</B>\\n", b"?"], ids=["right", "wrong one"])
def expected(request):
    return request.param
"""


def run(folder: Path, code: str, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_project.py").write_text(code)
    command = [sys.executable, "-m", "pytest", *PLUGIN, "-p", "no:cacheprovider", *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("runs_it", [("-p", "no:trio"), ("-o", "trio_mode=true")])
def test_a_failure_shows_the_seed_and_the_timeline_and_can_be_repeated(
    tmp_path: Path, runs_it: tuple[str, str]
) -> None:
    first = run(tmp_path, EXPECTED + TALKS, *runs_it)
    assert "1 failed, 1 passed" in first.stdout, first.stdout
    [(seed, repeat)] = re.findall(r"^seed (\d+); to repeat it:\n  (python .*)$", first.stdout, re.MULTILINE)
    assert repeat == f"python -m pytest 'test_project.py::test_it[wrong one]' --caas-seed {seed}"
    assert "connection 1, client to server  sent        b'<b>hello</b>\\n'" in first.stdout
    name = "test_project.py::test_it[wrong one]"
    again = run(tmp_path, EXPECTED + TALKS, *runs_it, name, "--caas-seed", seed)
    assert f"seed {seed}; to repeat it:" in again.stdout
    assert "1 failed in" in again.stdout


def test_without_an_option_each_run_has_a_seed_of_its_own(tmp_path: Path) -> None:
    code = "def test_it(caas_network):\n    print('seed is', caas_network.seed)\n"
    seeds = [re.findall(r"seed is (\d+)", run(tmp_path, code, "-s").stdout)[0] for _ in range(2)]
    assert seeds[0] != seeds[1]
    assert "seed is 7\n" in run(tmp_path, code, "-s", "--caas-seed", "7").stdout


def test_tests_that_do_not_use_it_are_left_alone(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "def test_it():\n    assert 'trio' not in sys.modules\n"
        "def test_fails():\n    assert False\n"
        "async def test_async():\n    pass\n"
    )
    ran = run(tmp_path, code, "-p", "no:trio", "-p", "no:anyio", "-p", "no:hypothesispytest")
    assert "2 failed, 1 passed" in ran.stdout, ran.stdout
    assert "caas" not in ran.stdout.replace("plugins: caas-trio-", "")  # pytest lists it if it is installed
    assert "async def functions are not natively supported" in ran.stdout


def test_the_page_shows_all_tests_with_a_network_also_from_other_processes(tmp_path: Path) -> None:
    options = ("-p", "no:trio", "--caas-timeline", "page.html", "--caas-seed", "5")
    for workers in ((), ("-n", "2")):
        ran = run(tmp_path, EXPECTED + TALKS, *options, *workers)
        assert "1 failed, 1 passed" in ran.stdout, ran.stdout
        assert f"timelines: {tmp_path / 'page.html'}" in ran.stdout
        page = (tmp_path / "page.html").read_text()
        assert "test_project.py::test_it[right]: passed" in page
        assert "test_project.py::test_it[wrong one]: failed" in page
        assert "--caas-seed 5" in page
        assert "&lt;b&gt;hello" in page
        assert "<b>" not in page
        (tmp_path / "page.html").unlink()


def test_a_check_that_fails_is_on_the_page(tmp_path: Path) -> None:
    code = """
import pytest
import trio
from trio.testing import MockClock
from caas_trio.testing import check_any_split

async def chunky(connection):
    while chunk := await connection.receive_some():
        await connection.send(b"%d" % len(chunk))

async def check():
    await check_any_split(chunky, b"hello")

def test_it():
    trio.run(check, clock=MockClock(autojump_threshold=0))

def test_in_a_group():
    with pytest.raises(AssertionError) as raised:
        test_it()
    raise ExceptionGroup("several", [ValueError(), raised.value])

def test_another_failure():
    assert False
"""
    ran = run(tmp_path, code, "--caas-timeline", "page.html")
    assert "3 failed" in ran.stdout, ran.stdout
    assert "what happened (seed 0):" in ran.stdout
    assert "--caas-seed" not in ran.stdout
    page = (tmp_path / "page.html").read_text()
    assert page.count("<section>") == 2
    assert "test_project.py::test_it: failed" in page
    assert "test_project.py::test_in_a_group: failed" in page


def test_an_unwritable_page_is_reported_before_and_after_the_tests(tmp_path: Path) -> None:
    code = "def test_it():\n    pass\n"
    ran = run(tmp_path, code, "--caas-timeline", "no/page.html")
    assert (ran.returncode, ran.stdout) == (4, "")
    assert "page.html: No such file or directory" in ran.stderr
    code = (
        "import pathlib\n"
        "def test_it():\n"
        "    pathlib.Path('page.html').unlink()\n    pathlib.Path('page.html').mkdir()\n"
    )
    ran = run(tmp_path, code, "--caas-timeline", "page.html")
    assert ran.returncode == 3
    assert "page.html: Is a directory" in ran.stdout
