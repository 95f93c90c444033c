"""Makes README's links absolute in what a release publishes: a hook of the build, by Hatchling.

A package index shows the README far from its files. `CAAS_TRIO_REPOSITORY` says where they are, such as
`https://github.com/OWNER/NAME`; the links are to the tag of the version. Without it they stay as they are.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

#: The target of a link that is not to another site, nor into the page itself; `!` before it for an image.
_LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?:|#)([^)]+)\)")
_VERSION = re.compile(r'^__version__ = "(.+)"$', re.MULTILINE)


class CustomMetadataHook(MetadataHookInterface):
    """Sets the fields `readme` and `urls`."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set the fields, by the environment."""
        root = Path(self.root)
        text = (root / "README.md").read_text()
        repository = os.environ.get("CAAS_TRIO_REPOSITORY", "").rstrip("/")
        if repository:
            [version] = _VERSION.findall((root / "src/caas_trio/__init__.py").read_text())
            text = published(text, repository, f"v{version}")
            metadata["urls"] = urls(repository, f"v{version}")
        metadata["readme"] = {"content-type": "text/markdown", "text": text}


def published(readme: str, repository: str, tag: str) -> str:
    """Return the README with absolute links, and a badge below its heading."""
    workflow = f"{repository}/actions/workflows/ci.yml"
    heading, _, rest = readme.partition("\n")

    def absolute(link: re.Match[str]) -> str:
        image, words, target = link.groups()
        return f"{image}[{words}]({repository}/{'raw' if image else 'blob'}/{tag}/{target})"

    return f"{heading}\n\n[![CI]({workflow}/badge.svg)]({workflow})\n{_LINK.sub(absolute, rest)}"


def urls(repository: str, tag: str) -> dict[str, str]:
    """Return what a package index lists beside the README."""
    return {
        "Source": repository,
        "Documentation": f"{repository}/tree/{tag}/docs",
        "Changes": f"{repository}/blob/{tag}/CHANGELOG.md",
        "Issues": f"{repository}/issues",
    }
