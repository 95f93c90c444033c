"""The code of the README, and of the pages about proxies and observers, is run: programs as processes."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from caas_trio import Endpoint

from .support.processes import started
from .support.sockets import reply_to, talk

ROOT = Path(__file__).parent.parent
PAGES = [(ROOT / name).read_text() for name in ("README.md", "docs/behind-a-proxy.md", "docs/observing.md")]
BLOCKS = re.findall(r"```python\n(.*?)```", "".join(PAGES), re.DOTALL)
#: Programs that say where they listen, one that does not, and snippets.
SCRIPTS = [block for block in BLOCKS if "caas_trio.run(" in block]
[SILENT] = [block for block in BLOCKS if re.search(r"^trio\.run\(", block, re.MULTILINE)]
SNIPPETS = [block for block in BLOCKS if block not in [*SCRIPTS, SILENT]]
LINE = b"One. Two.\n"
REPLIES = [b"Enter some data to be capitalized:\nONE. TWO.\n", b"ONE! TWO!\n", b"ONE. TWO.\n"]


def elsewhere(program: str, folder: Path) -> str:
    """Return a program that listens on free ports, and at paths in a folder."""
    return program.replace(":50007", ":0").replace("/run/caas", str(folder))


@pytest.mark.parametrize(("script", "reply"), [*zip(SCRIPTS, REPLIES, strict=True)], ids=range(len(REPLIES)))
def test_a_script_serves_at_each_endpoint(script: str, reply: bytes, tmp_path: Path) -> None:
    listeners = len(re.findall(r'"(?:tcp|udp|unix):', script))
    with started([sys.executable, "-c", elsewhere(script, tmp_path)], listeners=listeners) as running:
        for which, endpoint in enumerate(running.endpoints):
            is_datagram = endpoint.scheme.value == "udp"
            answer = reply_to(endpoint, LINE) if is_datagram else talk(running.connect(which), LINE)
            assert answer == reply
        assert running.stop()[0] == 0


def test_the_datagram_script_serves(tmp_path: Path) -> None:
    socket = tmp_path / "caas.sock"
    with subprocess.Popen([sys.executable, "-c", elsewhere(SILENT, tmp_path)]) as process:
        try:
            while not socket.exists():
                assert process.poll() is None
                time.sleep(0.01)
            assert reply_to(Endpoint.parse(f"unixgram:{socket}"), LINE) == b"ONE. TWO.\n"
        finally:
            process.kill()


@pytest.mark.parametrize("snippet", SNIPPETS, ids=range(len(SNIPPETS)))
def test_the_assertions_of_the_snippets_hold(snippet: str) -> None:
    assert "\nassert " in snippet
    exec(compile(snippet, "README.md", "exec"), {})  # noqa: S102 - our own text
