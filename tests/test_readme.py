"""The code of the README, and of the pages about proxies and observers, is run; the README's claims hold."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import trio

import caas_trio

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
PAGES = [(ROOT / "docs" / name).read_text() for name in ("behind-a-proxy.md", "observing.md")]
BLOCKS = re.findall(r"```python\n(.*?)```", "".join([README, *PAGES]), re.DOTALL)


def test_the_readme_begins_with_its_two_commands() -> None:
    commands = re.findall(r"^    (python .*)$", README, re.MULTILINE)
    assert commands[:2] == [
        "python -m pip install . && python -m caas_trio",
        "python -m pip install nox && python -m nox",
    ]


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_the_readmes_code_runs(block: str, monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[object] = []
    for module in (trio, caas_trio):
        monkeypatch.setattr(module, "run", lambda *call, **_: served.append(call))
    exec(compile(block, "README.md", "exec"), {})  # noqa: S102 - our own text
    assert len(served) == len(re.findall(r"\b(?:caas_)?trio\.run\(", block))


def test_the_changelog_knows_the_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert re.search(rf"^## (Unreleased|{re.escape(caas_trio.__version__)})", changelog, re.MULTILINE)
