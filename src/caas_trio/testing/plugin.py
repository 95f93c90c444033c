"""The plug-in for pytest: the fixture `caas_network`, its seed, and timelines of tests that fail.

pytest loads it in every project that has caas_trio installed. So it imports nothing but names at first, and
does nothing to a test that does not use the fixture, or a check of this package.
"""

from __future__ import annotations

import inspect
import os
import shlex
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from . import Network
    from .timeline import Timeline

FIXTURE: Final = "caas_network"

_SEED: Final = pytest.StashKey[int]()
_NETWORK: Final = pytest.StashKey["Network"]()

#: The attribute of a report that carries a timeline; xdist passes it on to the process that writes the page.
_CARRIED: Final = "caas_timeline"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("caas_trio", "caas_trio: a network in a seed")
    group.addoption(
        "--caas-seed",
        type=int,
        metavar="N",
        help="the seed of caas_network; by default, one drawn for this run",
    )
    group.addoption(
        "--caas-timeline",
        metavar="FILE",
        help="write what happened on the networks of all tests as an HTML page",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Draw a seed, unless one is given; begin the page, so that a wrong path is reported first."""
    seed: int | None = config.getoption("caas_seed")
    config.stash[_SEED] = int.from_bytes(os.urandom(4)) if seed is None else seed
    file: str | None = config.getoption("caas_timeline")
    if file is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Page(Path(config.invocation_params.dir, file)))


@pytest.fixture
def caas_network(request: pytest.FixtureRequest) -> Network:
    """Return a `caas_trio.testing.Network` with the seed of `--caas-seed`, or the one of this run.

    If the test fails, its report has the seed, the command that repeats it, and what happened.
    """
    from . import Network as _Network  # noqa: PLC0415 - it loads trio, which other projects may not want

    network = request.node.stash[_NETWORK] = _Network(request.config.stash[_SEED])
    return network


def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an async test that uses the fixture, if no other plug-in does: with a clock that jumps."""
    if FIXTURE not in pyfuncitem.fixturenames or not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    from functools import partial  # noqa: PLC0415 - as above

    import trio  # noqa: PLC0415
    from trio.testing import MockClock  # noqa: PLC0415

    asked = inspect.signature(pyfuncitem.obj).parameters
    arguments = {name: value for name, value in pyfuncitem.funcargs.items() if name in asked}
    trio.run(partial(pyfuncitem.obj, **arguments), clock=MockClock(autojump_threshold=0))
    return True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the seed and the timeline to the report of a test that has failed."""
    report = yield
    given = item.stash.get(_NETWORK, None)
    network = given or _network_of(call.excinfo.value if call.excinfo else None)
    if call.when != "call" or network is None:
        return report
    from .timeline import as_text, rows  # noqa: PLC0415 - as above

    repeat = _command(item, given)
    if report.failed and given:
        text = f"seed {given.seed}; to repeat it:\n  {repeat}\n{as_text(given.trace)}"
        report.sections.append((FIXTURE, text))
    if item.config.getoption("caas_timeline") is not None:
        timeline: Timeline = {
            "title": f"{item.nodeid}: {report.outcome}",
            "repeat": repeat,
            "rows": rows(network.trace),
        }
        setattr(report, _CARRIED, timeline)
    return report


def _command(item: pytest.Item, network: Network | None) -> str:
    """Return the command that runs a test again, on a network with the same seed."""
    path = os.path.relpath(item.path, item.config.invocation_params.dir)
    _, colons, name = str(item.nodeid).partition("::")
    seed = [] if network is None else ["--caas-seed", str(network.seed)]
    return shlex.join(["python", "-m", "pytest", f"{path}{colons}{name}", *seed])


def _network_of(error: BaseException | None) -> Network | None:
    """Return the network on which a check has failed; None if none has."""
    if isinstance(error, BaseExceptionGroup):
        return next(filter(None, map(_network_of, error.exceptions)), None)
    found: Any = getattr(error, "network", None)
    return found if type(error).__name__ == "CheckFailed" else None


class _Page:
    """Writes the page of `--caas-timeline`."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._timelines: list[Timeline] = []
        self._problem = ""
        try:
            file.write_text("")
        except OSError as error:
            raise pytest.UsageError(f"--caas-timeline {file}: {error.strerror}") from None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what a report carries."""
        timeline = getattr(report, _CARRIED, None)
        if timeline is not None:
            self._timelines.append(timeline)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the page; if that fails, so does the run."""
        from .timeline import page  # noqa: PLC0415 - as above

        try:
            self._file.write_text(page(self._timelines), "utf-8", errors="backslashreplace")
        except OSError as error:
            self._problem = f"--caas-timeline {self._file}: {error.strerror}"
            session.exitstatus = session.exitstatus or pytest.ExitCode.INTERNAL_ERROR

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Write where the page is, or why there is none."""
        terminalreporter.write_line(self._problem or f"timelines: {self._file}", red=bool(self._problem))
