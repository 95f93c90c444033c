"""The start, and workers that die."""

from __future__ import annotations

import signal
import socket

import pytest
import trio
from trio.testing import MockClock

from caas_trio import Endpoint, ListenError, UsageError
from caas_trio.program.supervisor import WorkersFailed

from .harness import DIED, SupervisorHarness, begin


async def test_it_announces_endpoints_once_all_workers_are_ready(
    harness: SupervisorHarness, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    harness.behaviors = ["mute"]
    await begin(harness, nursery)
    first, second = harness.started
    assert harness.logged() == []
    assert harness.out == ""
    first.control.send_nowait("ready")
    await trio.sleep(0.01)
    assert harness.logged() == []
    [shared] = first.config.sockets
    assert harness.out == f"listening on {shared.endpoint}\n"
    assert first.config.sockets == second.config.sockets
    assert (first.config.slot, second.config.slot) == (0, 1)
    assert Endpoint.parse(shared.endpoint).port
    await harness.stop()
    assert (first.commands, second.commands, harness.failure) == (["stop"], ["stop"], None)
    assert harness.logged() == []
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", Endpoint.parse(shared.endpoint).port))


async def test_a_dead_worker_is_replaced_at_once_in_the_same_slot(
    harness: SupervisorHarness, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    await begin(harness, nursery)
    await trio.sleep(10)
    harness.started[1].end(-9)
    before = trio.current_time()
    await trio.testing.wait_all_tasks_blocked()
    assert trio.current_time() == before
    assert len(harness.started) == 3
    assert (harness.started[1].config, len(harness.alive)) == (harness.started[2].config, 2)
    assert harness.logged() == [(DIED, "signal 9")]
    await harness.stop()


async def test_a_worker_that_exits_by_itself_is_replaced(
    harness: SupervisorHarness, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    await begin(harness, nursery)
    harness.started[0].end(0)
    await trio.sleep(1)
    assert len(harness.alive) == 2
    assert harness.logged() == [(DIED, "exit status 0")]
    await harness.stop()


@pytest.mark.parametrize(
    ("behavior", "reason", "seconds"),
    [
        ("crashes", "exit status 3", 1.5),
        ("brief", "signal 11", 1.5 + 5 * 0.5),
        ("mute", "it was not ready within 30 seconds", 1.5 + 5 * 30),
    ],
)
async def test_repeated_early_deaths_end_the_service(  # noqa: PLR0917 - fixtures
    behavior: str,
    reason: str,
    seconds: float,
    harness: SupervisorHarness,
    nursery: trio.Nursery,
    autojump_clock: MockClock,
) -> None:
    harness.behaviors = ["good", *5 * [behavior]]
    begun = trio.current_time()
    await nursery.start(harness.run)
    await harness.over.wait()
    assert trio.current_time() - begun == pytest.approx(seconds)
    assert isinstance(harness.failure, WorkersFailed)
    assert str(harness.failure) == f"workers die before they have served for long, 5 in a row: {reason}"
    assert harness.started[0].commands == ["stop"]
    assert harness.logged() == 4 * [(DIED, reason)]


async def test_a_worker_that_cannot_serve_at_the_start_ends_the_service(
    harness: SupervisorHarness, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    harness.behaviors = ["good", "fails"]
    await begin(harness, nursery)
    assert isinstance(harness.failure, WorkersFailed)
    assert str(harness.failure) == "cannot use it"
    assert harness.logged() == []
    assert harness.out == ""


async def test_a_replacement_that_cannot_serve_is_started_again(
    harness: SupervisorHarness, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    await begin(harness, nursery)
    harness.behaviors = ["fails"]
    harness.started[0].end(-9)
    await trio.sleep(1)
    assert len(harness.alive) == 2
    assert harness.logged() == [(DIED, "signal 9"), (DIED, "cannot use it")]
    await harness.stop()


@pytest.mark.parametrize("behavior", ["impossible", "no room"])
@pytest.mark.parametrize("at_the_start", [False, True])
async def test_exhausted_resources_are_retried_without_ending_other_workers(
    behavior: str,
    at_the_start: bool,  # noqa: FBT001
    harness: SupervisorHarness,
    nursery: trio.Nursery,
    autojump_clock: MockClock,
) -> None:
    if at_the_start:
        harness.behaviors = ["good", *8 * [behavior]]
        await begin(harness, nursery)
    else:
        await begin(harness, nursery)
        await trio.sleep(10)
        harness.behaviors = 8 * [behavior]
        harness.started[1].end(-9)
    await trio.sleep(0.1 + 0.2 + 0.4 + 0.8 + 1.6 + 3.2 + 5 - 0.5)
    assert len(harness.alive) == 1
    await trio.sleep(6)
    assert len(harness.alive) == 2
    reason = "[Errno 11] no room for it" if behavior == "impossible" else "cannot allocate memory"
    assert harness.logged()[-8:] == 8 * [("no room for a worker", reason)]
    assert harness.started[0] in harness.alive
    await harness.stop()
    assert harness.failure is None


async def test_a_worker_that_breaks_the_control_protocol_is_killed_and_replaced(
    harness: SupervisorHarness, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    harness.behaviors = ["rude"]
    await begin(harness, nursery)
    await trio.sleep(1)
    assert harness.started[0].returncode == -signal.SIGKILL
    assert len(harness.alive) == 2
    assert harness.logged() == [(DIED, "it broke the control protocol: ready comes twice")]
    await harness.stop()


async def test_a_worker_that_only_closes_its_channel_is_killed(
    harness: SupervisorHarness, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    harness.behaviors = ["detached"]
    await begin(harness, nursery)
    await trio.sleep(29)
    assert harness.logged() == []
    await trio.sleep(2)
    assert harness.started[0].returncode == -signal.SIGKILL
    assert harness.logged() == [(DIED, "it closed its control channel and did not end")]
    assert len(harness.alive) == 2
    await harness.stop()


async def test_an_address_in_use_is_a_failure(
    harness: SupervisorHarness, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        harness.arguments[-1] = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        await begin(harness, nursery)
    assert isinstance(harness.failure, ListenError)
    assert harness.started == []


async def test_a_usage_error_found_by_a_worker_is_a_usage_error(
    harness: SupervisorHarness, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    harness.behaviors = ["misused"]
    await nursery.start(harness.run)
    await harness.over.wait()
    assert type(harness.failure) is UsageError
    assert str(harness.failure) == "there is no such app"
