"""The code of the README, and of the pages about proxies and observers, is run: programs as processes."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from .support.processes import started
from .support.sockets import talk

ROOT = Path(__file__).parent.parent
PAGES = [(ROOT / name).read_text() for name in ("README.md", "docs/behind-a-proxy.md", "docs/observing.md")]
BLOCKS = re.findall(r"```python\n(.*?)```", "".join(PAGES), re.DOTALL)
#: Programs that say where they listen, and snippets.
SCRIPTS = [block for block in BLOCKS if "caas_trio.run(" in block]
SNIPPETS = [block for block in BLOCKS if block not in SCRIPTS]
LINE = b"One. Two.\n"
REPLIES = [b"Enter some data to be capitalized:\nONE. TWO.\n", b"ONE. TWO.\n"]


@pytest.mark.parametrize(("script", "reply"), [*zip(SCRIPTS, REPLIES, strict=True)], ids=range(len(REPLIES)))
def test_a_script_serves(script: str, reply: bytes) -> None:
    with started([sys.executable, "-c", script.replace(":50007", ":0")]) as running:
        assert talk(running.connect(), LINE) == reply
        assert running.stop()[0] == 0


@pytest.mark.parametrize("snippet", SNIPPETS, ids=range(len(SNIPPETS)))
def test_the_assertions_of_the_snippets_hold(snippet: str) -> None:
    assert "\nassert " in snippet
    exec(compile(snippet, "README.md", "exec"), {})  # noqa: S102 - our own text
