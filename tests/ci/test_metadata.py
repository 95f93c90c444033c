"""A release's metadata: the README, with links that lead somewhere from a package index, and addresses."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ci.metadata import CustomMetadataHook, published

ROOT = Path(__file__).parents[2]
REPOSITORY = "https://git.example/owner/name"
LINK = re.compile(r"\]\(([^)]+)\)")


def metadata() -> dict[str, object]:
    """Return the fields that the hook sets."""
    fields: dict[str, object] = {}
    CustomMetadataHook(str(ROOT), {}).update(fields)
    return fields


def test_links_in_a_release_lead_to_files_of_its_tag(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CAAS_TRIO_REPOSITORY", f"{REPOSITORY}/")
    fields = metadata()
    assert isinstance(fields["readme"], dict)
    links = LINK.findall(fields["readme"]["text"])
    ours = [link.removeprefix(f"{REPOSITORY}/") for link in links if link.startswith(REPOSITORY)]
    files = [re.sub(r"^(blob|raw)/v[0-9.]+/", "", link) for link in ours if not link.startswith("actions/")]
    assert len(files) > 20
    assert [file for file in files if not (ROOT / file.partition("#")[0]).exists()] == []
    assert [link for link in links if not link.startswith("https://")] == []
    assert fields["urls"] == {
        "Source": REPOSITORY,
        "Documentation": f"{REPOSITORY}/tree/v0.1.0/docs",
        "Changes": f"{REPOSITORY}/blob/v0.1.0/CHANGELOG.md",
        "Issues": f"{REPOSITORY}/issues",
    }


def test_images_are_raw_files_and_links_into_the_page_stay() -> None:
    readme = (
        "# name\n\n![picture](docs/p.svg) [page](docs/a.md#part) [here](#part) [site](https://a.example/)"
    )
    picture, page = (
        f"![picture]({REPOSITORY}/raw/v1/docs/p.svg)",
        f"[page]({REPOSITORY}/blob/v1/docs/a.md#part)",
    )
    last = published(readme, REPOSITORY, "v1").splitlines()[-1]
    assert last == f"{picture} {page} [here](#part) [site](https://a.example/)"


def test_elsewhere_the_readme_is_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CAAS_TRIO_REPOSITORY", raising=False)
    assert metadata() == {
        "readme": {"content-type": "text/markdown", "text": (ROOT / "README.md").read_text()}
    }
