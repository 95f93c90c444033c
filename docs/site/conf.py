"""The documentation as a site, for Sphinx: `nox -s docs`.

The sources are the project's Markdown files, where they are; so its root is the source directory, and a
link works here as it does in a clone. What code knows better is written by `ci/site_pages.py`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from docutils import nodes

import caas_trio
from caas_trio.core.endpoint import Scheme

if TYPE_CHECKING:
    from sphinx.application import Sphinx

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))

from ci import site_pages  # noqa: E402 - found through the line above

project = "caas_trio"
copyright = "the caas_trio maintainers"  # noqa: A001 - Sphinx's name for it
version = release = caas_trio.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_click"]
root_doc = "docs/site/index"
include_patterns = [
    "*.md",
    "ci/conformance/README.md",
    "docs/*.md",
    "docs/**/*.md",
    "fuzz/README.md",
]
exclude_patterns = [".*", "build", "dist", "mutants", "src", "tests"]  # none is walked through
myst_heading_anchors = 4
#: The tables of the benchmark have headings of the third level right below the first.
suppress_warnings = ["myst.header"]
#: What docstrings have between single backquotes: names, linked where they are known.
default_role = "py:obj"
#: Quotes and ellipses; no dashes, which options begin with.
smartquotes_action = "qe"
napoleon_use_ivar = True
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"

html_theme = "furo"
html_title = f"caas_trio {release}"
html_show_sourcelink = False
#: The front page is not at the root, where a reader begins.
html_extra_path = ["root"]
html_static_path = ["static"]
html_css_files = ["site.css"]
html_favicon = "static/icon.svg"


def setup(app: Sphinx) -> None:
    """Write the generated pages before Sphinx looks for its sources."""
    app.connect("config-inited", lambda *_: site_pages.write(HERE / "generated"))
    app.connect("doctree-read", lambda _, page: unlink_endpoints(page))


def unlink_endpoints(page: nodes.document) -> None:
    """Show endpoints as code: docutils takes them for addresses that a browser can go to."""
    for link in list(page.findall(nodes.reference)):
        if link.get("refuri", "").startswith(tuple(f"{scheme.value}:" for scheme in Scheme)):
            link.replace_self(nodes.literal("", link.astext()))
