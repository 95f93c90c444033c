"""Opens the documentation's site in Chromium, as a reader would: `python -m ci.site_look`.

The site has to be built (`nox -s docs`). Each page is opened wide and narrow, light and dark: it has to fit
its window, say nothing on the console, load nothing from elsewhere and have no link that leads nowhere; and
the search has to find what is there. The screenshots are for people.
"""

from __future__ import annotations

import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final, Literal

from playwright.sync_api import Browser, Page, Request, sync_playwright

from .conformance.page import FLAGS, note_dialog, note_message, problems_of_view

ROOT: Final = Path(__file__).parents[1]
SITE: Final = ROOT / "build" / "site"
BUILD: Final = ROOT / "build" / "site-look"
#: Name, width, height, colours.
VIEWS: Final[tuple[tuple[str, int, int, Literal["light", "dark"]], ...]] = (
    ("wide-light", 1280, 900, "light"),
    ("wide-dark", 1280, 900, "dark"),
    ("narrow-light", 390, 844, "light"),
    ("narrow-dark", 390, 844, "dark"),
)
#: A page of each kind: the root, which leads to the front page; README; a how-to; references; an explanation.
PAGES: Final = {
    "front": "",
    "readme": "README.html",
    "guide": "docs/workers.html",
    "library": "docs/site/generated/api.html",
    "command-line": "docs/site/generated/command-line.html",
    "settings": "docs/site/generated/settings.html",
    "attacks": "docs/denial-of-service.html",
}
#: What a reader looks for, and the page that has to be among what is found.
SEARCHES: Final = {
    "receive_exactly": "docs/site/generated/api.html",
    "smuggling": "docs/specification.html",
    "max-rate-per-host": "docs/site/generated/settings.html",
}
WAIT_MS: Final = 15000


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves the site, and does not log."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name it has there
        """Log nothing."""


class QuietServer(ThreadingHTTPServer):
    """Reports no browser that leaves in the middle of an answer."""

    def handle_error(self, request: object, client_address: object) -> None:
        """Report nothing."""


@contextmanager
def served() -> Iterator[str]:
    """Serve the site on a free port; yield its address."""
    server = QuietServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(SITE)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


def note_stranger(said: list[str], url: str, request: Request) -> None:
    """Keep what a page asks of another server."""
    if not request.url.startswith((url, "data:")):
        said.append(f"it loads {request.url}")


def look(browser: Browser, url: str) -> Iterator[str]:
    """Open each page in each view, take screenshots, and yield what is wrong."""
    for view, width, height, colours in VIEWS:
        for name, path in PAGES.items():
            page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=colours)
            said: list[str] = []
            page.on("console", partial(note_message, said))
            page.on("dialog", partial(note_dialog, said))
            page.on("request", partial(note_stranger, said, url))
            page.goto(url + path)
            page.wait_for_selector("article h1", timeout=WAIT_MS)
            page.screenshot(path=BUILD / f"{name}-{view}.png")
            problems = (*problems_of_view(page), *said, *dead_links(page))
            yield from (f"{name}, {view}: {each}" for each in problems)
            page.close()


def dead_links(page: Page) -> Iterator[str]:
    """Yield the links of a page that a browser cannot follow, such as one to an endpoint."""
    targets = page.locator("a[href]").evaluate_all("links => links.map(link => link.href)")
    yield from (f"it links to {target}" for target in targets if not target.startswith("http"))


def search(page: Page, url: str) -> Iterator[str]:
    """Search as a reader does, by the field on the front page; yield what is not found."""
    for words, wanted in SEARCHES.items():
        page.goto(url)
        page.wait_for_selector("article h1", timeout=WAIT_MS)
        field = page.locator("input.sidebar-search")
        field.fill(words)
        field.press("Enter")
        page.wait_for_selector("#search-results ul.search li", timeout=WAIT_MS)
        page.wait_for_function(
            "() => !document.querySelector('#search-progress')?.innerText.includes('Preparing')"
        )
        found = page.locator("#search-results ul.search li a")
        found.first.wait_for(timeout=WAIT_MS)
        addresses = [str(each.get_attribute("href")) for each in found.all()]
        if not any(wanted in address for address in addresses):
            yield f"a search for {words} finds {', '.join(addresses) or 'nothing'}, and not {wanted}"
    page.screenshot(path=BUILD / "search.png")


def main() -> int:
    """Return the exit status: 0 if nothing is wrong."""
    chromium = shutil.which("chromium")
    if chromium is None or not SITE.is_dir():
        print("it takes Debian's package chromium, and a site that is built: nox -s docs")
        return 1
    BUILD.mkdir(parents=True, exist_ok=True)
    with (
        served() as url,
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=chromium, args=FLAGS) as browser,
    ):
        problems = [*look(browser, url), *search(browser.new_page(), url)]
    print("\n".join(problems) or f"the site reads as it should; the screenshots are in {BUILD}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
