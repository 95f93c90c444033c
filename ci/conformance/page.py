"""Opens the suite's page in Chromium, as a reader would, and looks at what it does.

    python -m ci.conformance.page

The server that is judged answers some lines with markup and control bytes. The screenshots, wide and
narrow, light and dark, are for people; what can be checked is checked.
"""

from __future__ import annotations

import shutil
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final, Literal

import trio
from playwright.sync_api import Browser, ConsoleMessage, Dialog, Page, sync_playwright

from caas_trio.conformance import Profile, Report, Verdict, judge, select
from caas_trio.conformance.clauses import OF_SERVICES
from caas_trio.conformance.reports import html
from caas_trio.core.endpoint import Endpoint

from .expectations import load
from .reference import Conversation, Server, Settings
from .rendering import as_html

BUILD = Path(__file__).parents[2] / "build" / "conformance"
MARKUP = '<script>document.title="owned"</script><img src=x onerror=document.title="owned">'
HOSTILE = MARKUP.encode() + b"\x00\x1b[31m\xff\n"
#: Quiet, and content with a machine that has no sandbox, no graphics and no network.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
#: Name, width, height, colours.
VIEWS: Final[tuple[tuple[str, int, int, Literal["light", "dark"]], ...]] = (
    ("wide", 1280, 900, "light"),
    ("narrow", 390, 844, "light"),
    ("dark", 1280, 900, "dark"),
)


class Hostile(Conversation):
    """Answers a line with a NUL in it by something that must be shown and not run."""

    def serve(self, data: bytes) -> bytes:
        """Return the reply to a line."""
        return HOSTILE if b"\0" in data else data.upper()


class HostileServer(Server):
    """Its server."""

    conversation = Hostile


def hostile_report() -> Report:
    """Return a report on the hostile server."""
    server = HostileServer("tcp://127.0.0.1:0", Settings())
    threading.Thread(target=server.run, daemon=True).start()
    cases = select(["SERVE", "FRAME-1", "FRAME-2", "FRAME-3", "ORDER-1"])
    report = trio.run(judge, Endpoint.parse(server.endpoint), Profile(), cases)
    server.stop()
    return report


def visible(page: Page) -> int:
    """Return how many cases are to be seen."""
    return page.locator("details:visible").count()


def problems_of_report(page: Page, report: Report) -> Iterator[str]:
    """Yield what is wrong with the page of a report."""
    if visible(page) != len(report.results):
        yield f"{visible(page)} cases are shown, not {len(report.results)}"
    for verdict in Verdict:
        page.locator(f"label.{verdict.value.replace(' ', '-')}").click()
        if visible(page) != report.count(verdict):
            yield f"{visible(page)} cases are shown as {verdict.value}, not {report.count(verdict)}"
    page.locator("label.failed").click()
    case = page.locator("details:visible").first
    if case.locator("table").is_visible():
        yield "a case is open before it is clicked"
    case.locator("summary").click()
    if not case.locator("table").is_visible():
        yield "a case does not open"
    text = case.inner_text()
    for shown in (MARKUP, "\\x00\\x1b[31m\\xff\\n", "--case FRAME-1."):
        if shown not in text:
            yield f"{shown} is not shown"
    if page.title() != f"{report.endpoint}: conformance":
        yield f"the title has become {page.title()}: something ran"


def problems_of_view(page: Page) -> Iterator[str]:
    """Yield what is wrong with how a page fits its window."""
    width, window = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    if width > window:
        yield f"the page is {width} pixels wide in a window of {window}"


def note_message(said: list[str], message: ConsoleMessage) -> None:
    """Keep what a page says on the console."""
    said.append(message.text)


def note_dialog(said: list[str], dialog: Dialog) -> None:
    """Keep what a page says in a dialog."""
    said.append(dialog.message)
    dialog.dismiss()


def look(browser: Browser, name: str, path: Path, report: Report | None) -> Iterator[str]:
    """Open a page in every view, take screenshots, and yield what is wrong."""
    for view, width, height, colours in VIEWS:
        page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=colours)
        said: list[str] = []
        page.on("console", partial(note_message, said))
        page.on("dialog", partial(note_dialog, said))
        page.goto(path.as_uri())
        page.screenshot(path=BUILD / f"{name}-{view}.png")
        if report is not None:
            yield from problems_of_report(page, report)
        yield from problems_of_view(page)
        page.screenshot(path=BUILD / f"{name}-{view}-open.png")
        yield from (f"the page said {text!r}" for text in said)
        page.close()


def main() -> int:
    """Return the exit status: 0 if nothing is wrong."""
    chromium = shutil.which("chromium")
    if chromium is None:
        print("chromium is not installed; Debian has it as the package chromium")
        return 1
    BUILD.mkdir(parents=True, exist_ok=True)
    report = hostile_report()
    pages = {"report": html.as_html(report), "matrix": as_html(load(), OF_SERVICES)}
    problems: list[str] = []
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=chromium, args=FLAGS) as browser,
    ):
        for name, content in pages.items():
            path = BUILD / f"{name}.html"
            path.write_text(content, encoding="utf-8")
            found = look(browser, name, path, report if name == "report" else None)
            problems += [f"{name}: {problem}" for problem in found]
    print("\n".join(problems) or f"the pages do what they should; the screenshots are in {BUILD}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
