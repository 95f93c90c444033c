"""Opens the status page of a service under load in Chromium, as an operator would.

    python -m ci.status_page [--write]

The service has workers, an endpoint whose path is markup, and clients good and bad. The page has to show
it, to go on showing it, and to be of use without JavaScript. The screenshots, wide and narrow, light and
dark, are for people. With --write the load lasts for as long as the page remembers, five minutes, and
docs/images gets two of them, without the markup.
"""

from __future__ import annotations

import argparse
import math
import random
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

import trio
from playwright.sync_api import Browser, Page, sync_playwright

from caas_trio import Endpoint
from caas_trio.observing.status import KEPT, PERIOD_S

from .conformance.page import FLAGS, note_dialog, note_message, problems_of_view
from .process import LISTENING, start

ROOT: Final = Path(__file__).parents[1]
BUILD: Final = ROOT / "build" / "status"
IMAGES: Final = ROOT / "docs" / "images"
MARKUP: Final = '<img src=x onerror=document.title="owned">'
#: Name, width, height, colours.
VIEWS: Final = (
    ("wide-light", 1280, 1000, "light"),
    ("wide-dark", 1280, 1000, "dark"),
    ("narrow-light", 390, 844, "light"),
    ("narrow-dark", 390, 844, "dark"),
)
SHOWN: Final = (
    "open connections",
    "lines",
    "reply time",
    "refusals",
    "too many connections from this host",
    "idle timeout",
    "serving",
)
OPTIONS: Final = (
    *("--workers", "2", "--metrics", "127.0.0.1:0", "--oversize", "reject", "--max-line", "200"),
    *("--idle-timeout", "3", "--max-per-host", "12", "--max-connections", "500"),
)
#: How long the load lasts before the page is opened, and how long that is waited for what it shows.
WARM_UP_S: Final = 2 * PERIOD_S
WAIT_MS: Final = 15000


class Load:
    """Clients of all kinds, in a thread.

    Args:
        endpoint: where the service is.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._random = random.Random(7)  # noqa: S311 - which client does what
        self._done = threading.Event()
        self._thread = threading.Thread(target=trio.run, args=(self._run,))

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._done.set()
        self._thread.join()

    async def _run(self) -> None:
        async with trio.open_nursery() as nursery:
            for number in range(40):
                nursery.start_soon(self._talk, f"127.0.0.{2 + number % 8}")
            for host in ("127.0.0.20", "127.0.0.21"):
                nursery.start_soon(self._crowd, host)
            nursery.start_soon(self._be_silent)
            while not self._done.is_set():  # noqa: ASYNC110 - the thread's event
                await trio.sleep(0.1)
            nursery.cancel_scope.cancel()

    async def _connect(self, host: str) -> trio.SocketStream:
        return await trio.open_tcp_stream(self._endpoint.host, self._endpoint.port, local_address=host)

    async def _talk(self, host: str) -> None:
        """Send lines, more of them at some times than at others, some of them too long."""
        while True:
            try:
                async with await self._connect(host) as stream:
                    for _ in range(self._random.randrange(200)):
                        line = b"x" * self._random.choice((10, 20, 50, 100))
                        await stream.send_all((line if self._random.random() > 0.002 else line * 9) + b"\n")
                        await stream.receive_some()
                        tide = 1.2 + math.sin(trio.current_time() / 40) + 0.3 * self._random.random()
                        await trio.sleep(0.2 / tide)
            except (trio.BrokenResourceError, OSError):
                await trio.sleep(0.1)

    async def _crowd(self, host: str) -> None:
        """Take more places than a host may have, now and then."""
        while True:
            streams = [await self._connect(host) for _ in range(self._random.randrange(30))]
            await trio.sleep(self._random.random() * 4)
            for stream in streams:
                await trio.aclose_forcefully(stream)

    async def _be_silent(self) -> None:
        while True:
            async with await self._connect("127.0.0.30") as stream:
                with trio.move_on_after(4):
                    await stream.receive_some()


def missing(page: Page, path: str) -> list[str]:
    """Return what the page does not show."""
    text = page.locator("main").inner_text()
    return [f"{shown!r} is not shown" for shown in (*SHOWN, path) if shown not in text]


def problems_of(page: Page, url: str, path: str) -> Iterator[str]:
    """Yield what is wrong with what the page shows, at once and later."""
    yield from missing(page, path)
    if page.locator("svg polyline").count() < 8:
        yield "there are figures without a curve"
    if page.title() != "caas_trio: serving":
        yield f"the title has become {page.title()}: something ran"
    before = page.locator(".total").nth(2).inner_text()
    page.wait_for_function(
        "before => document.querySelectorAll('.total')[2].innerText != before", arg=before, timeout=WAIT_MS
    )
    page.route(url, lambda route: route.abort())
    page.wait_for_function("() => document.body.classList.contains('lost')", timeout=WAIT_MS)
    page.unroute(url)
    page.wait_for_function("() => !document.body.classList.contains('lost')", timeout=WAIT_MS)


def look(browser: Browser, url: str, path: str, *, write: bool) -> Iterator[str]:
    """Open the page in every view, take screenshots, and yield what is wrong."""
    for name, width, height, colours in VIEWS:
        page = browser.new_page(
            viewport={"width": width, "height": height},
            color_scheme="dark" if colours == "dark" else "light",
        )
        said: list[str] = []
        page.on("console", partial(note_message, said))
        page.on("dialog", partial(note_dialog, said))
        page.goto(url)
        page.screenshot(path=BUILD / f"{name}.png", full_page=True)
        yield from problems_of_view(page)
        yield from (f"the page said {text!r}" for text in said)
        if name == VIEWS[0][0]:
            yield from problems_of(page, url, path)
        if write and name.startswith("wide"):
            page.screenshot(path=IMAGES / f"status-{colours}.png")
        page.close()


def without_script(browser: Browser, url: str, path: str) -> Iterator[str]:
    """Yield what is missing where JavaScript is off: the page is as whole, and comes again by itself."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(url)
    yield from (f"without JavaScript, {each}" for each in missing(page, path))
    with page.expect_navigation(timeout=WAIT_MS):
        pass
    context.close()


def opened(url: str, path: str, *, write: bool) -> list[str]:
    """Return what is wrong with the page of a service."""
    chromium = shutil.which("chromium")
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=chromium, args=FLAGS) as browser,
    ):
        return [*look(browser, url, path, write=write), *without_script(browser, url, path)]


def main() -> int:
    """Return the exit status: 0 if nothing is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="renew the pictures in docs/images")
    write = parser.parse_args().write
    if shutil.which("chromium") is None:
        print("chromium is not installed; Debian has it as the package chromium")
        return 1
    BUILD.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/{'caas.sock' if write else MARKUP}"
        command = [sys.executable, "-m", "caas_trio", "tcp://127.0.0.1:0", f"unix:{path}", *OPTIONS]
        with start(command, announcements=(LISTENING, LISTENING, "metrics on ")) as server:
            load = Load(Endpoint.parse(server.endpoint))
            load.start()
            try:
                threading.Event().wait(PERIOD_S * KEPT if write else WARM_UP_S)
                url = server.announced[2].removesuffix("metrics")
                problems = opened(url, path, write=write)
            finally:
                load.stop()
    print("\n".join(problems) or f"the page shows what it should; the screenshots are in {BUILD}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
