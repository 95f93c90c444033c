"""The code in the documents is typed as strictly as the package, so that a reader can paste it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
WHERE = ("*.md", "docs/**/*.md", "fuzz/*.md", "ci/**/*.md")


def blocks(page: Path) -> dict[str, str]:
    """Return the Python blocks of a page, by names that say where each begins."""
    text = page.read_text("utf-8")
    name = re.sub(r"\W", "_", str(page.relative_to(ROOT).with_suffix("")))
    return {
        f"{name}_line_{text.count(chr(10), 0, block.start()) + 2}.py": block[1]
        for block in re.finditer(r"^```(?:python|py)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    }


@pytest.mark.timeout(300)
def test_every_block_of_code_is_typed(tmp_path: Path) -> None:
    """Slow: mypy checks every block in the documentation."""
    pages = [page for where in WHERE for page in ROOT.glob(where)]
    files = {name: code for page in pages for name, code in blocks(page).items()}
    assert len(files) > 20
    for name, code in files.items():
        (tmp_path / name).write_text(code, "utf-8")
        own_name = re.match(r"# (\w+\.py)\n", code)
        if own_name:  # another block may import it
            (tmp_path / own_name[1]).write_text(code, "utf-8")
    cache = ROOT / ".mypy_cache" / "blocks"
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={cache}"]
    checked = subprocess.run(
        [*command, *files],
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (checked.returncode, checked.stderr) == (0, ""), checked.stdout


def test_every_page_with_code_has_a_test_that_runs_it() -> None:
    """Each of those takes all blocks of its pages, or fails."""
    run_by = {
        "test_readme.py": {"README.md", "docs/behind-a-proxy.md", "docs/observing.md"},
        "test_hosting_page.py": {"docs/hosting.md"},
        "test_migrating.py": {"docs/migrating-from-socketserver.md"},
        "test_protocol_page.py": {"docs/writing-a-protocol.md"},
        "test_testing_pages.py": {"docs/testing-your-server.md", "docs/fuzzing-your-server.md"},
        "test_tls.py": {"docs/tls.md"},
    }
    pages = {page for where in WHERE for page in ROOT.glob(where) if blocks(page)}
    assert {str(page.relative_to(ROOT)) for page in pages} == set().union(*run_by.values())
    for test, named in run_by.items():
        text = (ROOT / "tests" / test).read_text("utf-8")
        assert all(Path(page).name in text for page in named)
