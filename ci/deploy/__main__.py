"""Restarts and kills servers behind haproxy and nginx, under load: `python -m ci.deploy`.

The configurations are those of docs/deploy, and so is the way to restart. Clients connect, ask at once or a
little later, check the answer and close, and others stay and ask line after line. A restart may break
nothing, and a server that is killed its own conversations and no others. With `--quick` there is haproxy
alone, and one restart.

    short, lines   short conversations, and lines of long ones, that went as they should
    ended          long conversations that the server ended between two lines
    crossed        those that it ended while a line was on its way; the client asked again elsewhere
    broken         everything else
    slowest        of the short conversations
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Collection
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import trio

from .background import Service
from .balancers import SECTIONS, UNKNOWN, Haproxy, Nginx
from .fleet import CLIENT_FIRST, NAMES, Fleet
from .load import Front, Tally, loading

#: How many clients each front has: of short conversations, and of long ones.
SHORT, LONG = 10, 5
#: Seconds from taking a server out to ending it, as in docs/deploy: short conversations are over by then.
TAKEN_OUT = 1.0
#: Seconds of load before and after what is done.
MARGIN = 1.0
KILLED = "b"
#: Everything takes a minute.
TIMEOUT_S = 300


class Outcome(NamedTuple):
    """The outcome of an event under load."""

    event: str
    tally: Tally
    wrong: list[str]
    servers: Counter[str]


async def under_load(
    event: str, fronts: list[Front], happen: Callable[[], Awaitable[object]], *, may_break: bool = False
) -> Outcome:
    """Run an event under load; some clients have to be served, and none may break unless all may."""
    async with loading(fronts, SHORT, LONG) as tally:
        await trio.sleep(MARGIN)
        await happen()
        await trio.sleep(MARGIN)
    wrong = ["nothing may break"] if tally.broken and not may_break else []
    if not (tally.short and tally.lines):
        wrong.append("nobody was served")
    return Outcome(event, tally, wrong, Counter())


async def behind_haproxy(fleet: Fleet, folder: Path, names: Collection[str]) -> list[Outcome]:
    """Restart one server after the other, then kill one."""
    async with Haproxy.before(fleet.net, folder) as haproxy:

        async def restart_each() -> None:
            for name in names:
                await haproxy.set_state(name, "drain")
                await trio.sleep(TAKEN_OUT)
                await fleet.restart(name)
                await haproxy.set_state(name, "ready")
                await haproxy.until(lambda seen: all(_is(each, "UP") for each in seen.values()))

        async def kill_one() -> None:
            await fleet.kill(KILLED)
            await haproxy.until(lambda seen: all(_is(seen[each, KILLED], "DOWN") for each in SECTIONS))
            await fleet.start(KILLED)
            await haproxy.until(lambda seen: all(_is(each, "UP") for each in seen.values()))

        restarted = await under_load(f"haproxy: rolling restart of {len(names)}", fleet.fronts, restart_each)
        killed = await under_load("haproxy: kill -9 of one", fleet.fronts, kill_one, may_break=True)
        struck = [*killed.tally.crossed, *killed.tally.broken]
        servers = Counter(haproxy.server_of(each.port, each.when) for each in struck)
    others = [f"conversations of {name} broke as well" for name in servers if name not in (KILLED, UNKNOWN)]
    return [restarted, killed._replace(wrong=killed.wrong + others, servers=servers)]


def _is(server: dict[str, str], status: str) -> bool:
    return server["status"].startswith(status)


async def behind_nginx(fleet: Fleet, folder: Path) -> list[Outcome]:
    """Restart each server after the other."""
    async with Nginx.before(fleet.net, folder) as nginx:

        async def restart_each() -> None:
            for name in NAMES:
                nginx.take_out(fleet.host(name))
                await trio.sleep(TAKEN_OUT)
                await fleet.restart(name)
            nginx.put_back()

        return [await under_load(f"nginx: rolling restart of {len(NAMES)}", fleet.fronts, restart_each)]


async def on_a_unix_socket(net: str, folder: Path) -> list[Outcome]:
    """Replace one process after the other by a takeover of its path."""
    path = folder / "caas.sock"
    arguments = [f"unix:{path}", "--proxy-protocol", "--unix-mode=0666", "--takeover"]
    servers = [Service(*arguments) for _ in range(4)]

    async def take_over() -> None:
        for old, new in pairwise(servers):
            await new.start()
            await old.ended()

    await servers[0].start()
    try:
        async with Nginx.before(net, folder, path):
            front = Front((f"{net}.10", CLIENT_FIRST), greets=False)
            return [await under_load("nginx: three takeovers on a Unix socket", [front], take_over)]
    finally:
        for each in servers:
            await each.kill()


async def everything(folder: Path, *, quick: bool) -> list[Outcome]:
    """Run every event, or with `quick` the first that matter."""
    with trio.fail_after(TIMEOUT_S):
        async with Fleet.started() as fleet:
            if quick:
                return await behind_haproxy(fleet, folder, ["a"])
            return [
                *await behind_haproxy(fleet, folder, NAMES),
                *await behind_nginx(fleet, folder),
                *await on_a_unix_socket(fleet.net, folder),
            ]


def main() -> int:
    """Run the events and print the outcomes; return the exit status."""
    quick = "--quick" in sys.argv[1:]
    needed = ["haproxy"] if quick else ["haproxy", "nginx"]
    missing = [name for name in needed if shutil.which(name) is None]
    if missing:
        print(f"not installed: {', '.join(missing)}")
        return 1
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)  # for nginx's workers, which run as another user
        outcomes = trio.run(partial(everything, folder, quick=quick))
    print(f"{'':<42}{'short':>7}{'lines':>7}{'ended':>7}{'crossed':>9}{'broken':>8}{'slowest':>9}")
    for event, tally, wrong, servers in outcomes:
        print(
            f"{event:<42}{tally.short:>7}{tally.lines:>7}{tally.ended:>7}{len(tally.crossed):>9}"
            f"{len(tally.broken):>8}{tally.slowest:>8.2f}s"
        )
        for why, count in Counter(each.why for each in tally.broken).items():
            print(f"  {count}: {why}")
        for server, count in servers.items():
            print(f"  crossed or broken of server {server}: {count}")
        for line in wrong:
            print(f"  WRONG: {line}")
    return int(any(outcome.wrong for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
