"""Reloads: new workers, sockets that stay or go, and reloads that fail."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from caas_trio import Endpoint, ListenError

from .harness import FAILED, SupervisorHarness, begin


async def test_a_reload_starts_new_workers_on_the_same_sockets_and_retires_the_old_ones(
    harness: SupervisorHarness, nursery: trio.Nursery, autojump_clock: MockClock, tmp_path: Path
) -> None:
    config = tmp_path / "caas.toml"
    config.write_text("max-line = 10")
    harness.arguments += ["--config", str(config)]
    await begin(harness, nursery)
    old = list(harness.started)
    config.write_text("max-line = 20\nworkers = 3")
    harness.arguments[:2] = []
    harness.behaviors = ["good", "mute"]
    await harness.signal(signal.SIGHUP)
    new = harness.started[2:]
    assert (len(new), [each.commands for each in old]) == (3, [[], []])
    new[1].control.send_nowait("ready")
    await trio.sleep(0.01)
    assert [each.commands for each in old] == [["retire"], ["retire"]]
    assert harness.alive == new
    assert [each.config.slot for each in new] == [2, 3, 4]
    assert {each.config.config["max_line"] for each in new} == {"20"}
    assert {each.config.config["max_line"] for each in old} == {"10"}
    assert new[0].config.sockets == old[0].config.sockets
    assert harness.logged() == [("reloaded", "")]
    config.write_text("nonsense")  # and yet a replacement gets what was read
    new[0].end(-9)
    await trio.sleep(1)
    assert harness.started[-1].config.config["max_line"] == "20"
    assert harness.started[-1].config.slot == 0
    await harness.stop()


@pytest.mark.parametrize(
    ("change", "behaviors", "reason"),
    [
        (["--max-line", "0"], [], "Invalid value for '--max-line': '0' is not a number of bytes, 1 or more"),
        ([], ["good", "fails"], "cannot use it"),
        ([], ["good", "crashes"], "exit status 3"),
        ([], ["good", "mute"], "it was not ready within 30 seconds"),
        ([], ["impossible"], "[Errno 11] no room for it"),
        (["fd://9999"], [], "cannot listen on fd://9999: descriptor 9999 is not open"),
    ],
)
async def test_a_failed_reload_keeps_the_old_workers_and_logs_why(  # noqa: PLR0917 - fixtures
    change: list[str],
    behaviors: list[str],
    reason: str,
    harness: SupervisorHarness,
    nursery: trio.Nursery,
    autojump_clock: MockClock,
    tmp_path: Path,
) -> None:
    await begin(harness, nursery)
    old = list(harness.started)
    added = tmp_path / "added"
    harness.arguments += [f"unix:{added}", *change]
    harness.behaviors = list(behaviors)
    await harness.signal(signal.SIGHUP)
    await trio.sleep(40)
    assert harness.logged() == [(FAILED, reason)]
    assert harness.alive == old
    assert [each.commands for each in old] == [[], []]
    assert not added.exists()
    old[0].end(-9)  # they are still looked after
    await trio.sleep(1)
    assert len(harness.alive) == 2
    await harness.stop()


@pytest.mark.parametrize("left", ["", "# to be written\n", "\ufeff", "max-line = 10\n"])
async def test_a_half_written_file_keeps_the_old_workers(
    left: str, harness: SupervisorHarness, nursery: trio.Nursery, autojump_clock: MockClock, tmp_path: Path
) -> None:
    file = tmp_path / "caas.toml"
    whole = "max-line = 10\nendpoints = ['tcp://127.0.0.1:0']\n"
    file.write_text(whole)
    harness.arguments[-1:] = ["--config", str(file)]
    await begin(harness, nursery)
    old = list(harness.started)
    file.write_text(left)
    await harness.signal(signal.SIGHUP)
    await trio.sleep(40)
    reason = "has no endpoints any more" if "max-line" in left else "is empty now"
    assert harness.logged() == [
        (FAILED, f"the file of settings {reason}; if that is meant, restart the service")
    ]
    assert harness.alive == old
    file.write_text(whole)
    await harness.signal(signal.SIGHUP)
    await trio.sleep(40)
    assert harness.logged() == [("reloaded", "")]
    await harness.stop()


async def test_an_empty_file_may_stay_empty(
    harness: SupervisorHarness, nursery: trio.Nursery, autojump_clock: MockClock, tmp_path: Path
) -> None:
    file = tmp_path / "caas.toml"
    file.touch()
    harness.arguments += ["--config", str(file)]
    await begin(harness, nursery)
    for settings in ("", "max-line = 10\n"):
        file.write_text(settings)
        await harness.signal(signal.SIGHUP)
        await trio.sleep(40)
        assert harness.logged() == [("reloaded", "")]
    await harness.stop()


async def test_a_reload_adds_and_removes_endpoints(
    harness: SupervisorHarness, nursery: trio.Nursery, autojump_clock: MockClock, tmp_path: Path
) -> None:
    going, coming = tmp_path / "going", tmp_path / "coming"
    harness.arguments += [f"unix:{going}", "tcp://127.0.0.1:0"]
    await begin(harness, nursery)
    before = {each.endpoint for each in harness.started[0].config.sockets}
    harness.arguments[-2:] = [f"unixgram:{coming}", "tcp://0.0.0.0:0"]
    harness.behaviors = ["mute"]
    await harness.signal(signal.SIGHUP)
    assert going.exists()
    harness.started[2].control.send_nowait("ready")
    await trio.sleep(0.01)
    assert (going.exists(), coming.exists()) == (False, True)
    after = {each.endpoint for each in harness.started[-1].config.sockets}
    assert len(before & after) == 1
    assert f"unixgram:{coming}" in after
    assert harness.logged() == [
        ("open to every network, without TLS or --allow-from", ""),
        ("reloaded", ""),
    ]
    await harness.stop()
    assert not coming.exists()


async def test_a_passed_socket_can_be_configured_again(
    harness: SupervisorHarness, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        passed = listening.dup().detach()
    os.set_inheritable(passed, True)  # noqa: FBT003 - the os module's signature
    harness.arguments.append(f"fd://{passed}")
    await begin(harness, nursery)
    sockets = harness.started[0].config.sockets
    for change in ([], ["--max-line", "0"], ["--max-line", "1", f"fd://{passed}"], []):
        harness.arguments[7:] = change
        await harness.signal(signal.SIGHUP)
    failed = (FAILED, "Invalid value for '--max-line': '0' is not a number of bytes, 1 or more")
    assert harness.logged() == [("reloaded", ""), failed, ("reloaded", ""), ("reloaded", "")]
    shared = [each.config.sockets for each in harness.started[::2]]
    assert shared == [sockets, sockets[:1], sockets, sockets[:1]]
    socket.create_connection(("127.0.0.1", Endpoint.parse(sockets[1].endpoint).port)).close()
    await harness.stop()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(passed)


@pytest.mark.parametrize("other", ["fd://9999", "unix:{folder}/none/a"])
async def test_a_passed_socket_survives_a_reload_that_fails(
    other: str, harness: SupervisorHarness, nursery: trio.Nursery, autojump_clock: MockClock, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        passed = listening.dup().detach()
    os.set_inheritable(passed, True)  # noqa: FBT003 - the os module's signature
    await begin(harness, nursery)
    for change, behaviors in (
        ([f"fd://{passed}", other.format(folder=tmp_path)], []),
        ([f"fd://{passed}"], ["crashes"]),
        ([f"fd://{passed}"], []),
    ):
        harness.arguments[7:] = change
        harness.behaviors = list(behaviors)
        await harness.signal(signal.SIGHUP)
    assert [event for event, _ in harness.logged()] == [FAILED, FAILED, "reloaded"]
    await harness.stop()


async def test_a_failed_takeover_fails_the_reload(
    harness: SupervisorHarness, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    await begin(harness, nursery)

    async def fail() -> None:
        raise ListenError("unix:/a", "the server that listens on it does not stop")

    harness.hooks.before_takeover = fail
    await harness.signal(signal.SIGHUP)
    assert harness.logged() == [
        (FAILED, "cannot listen on unix:/a: the server that listens on it does not stop")
    ]
    assert harness.alive == harness.started[:2]
    await harness.stop()


async def test_settings_that_need_a_restart_are_logged(
    harness: SupervisorHarness, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    harness.arguments += ["--metrics", "127.0.0.1:0"]
    await begin(harness, nursery)
    harness.logged()
    for metrics, others, settings in (
        ("127.0.0.1:1", ["--unix-mode", "0600"], 2),
        ("127.0.0.1:1", [], 1),
        ("127.0.0.1:0", [], 0),
    ):
        harness.arguments[harness.arguments.index("--metrics") + 1 :] = [metrics, *others]
        await harness.signal(signal.SIGHUP)
        events = [event for event, _ in harness.logged()]
        assert events == [*settings * ["a setting is changed by a restart only"], "reloaded"]
    await harness.stop()


async def test_reloads_requested_during_a_reload_are_merged_into_one(
    harness: SupervisorHarness, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    await begin(harness, nursery)
    harness.behaviors = ["mute"]
    for _ in range(4):
        await harness.signal(signal.SIGHUP)
    assert len(harness.started) == 4
    harness.started[2].control.send_nowait("ready")
    await trio.sleep(1)
    assert len(harness.started) == 6
    assert harness.logged() == 2 * [("reloaded", "")]
    await harness.stop()


async def test_the_status_names_what_each_worker_does_and_how_the_last_reload_went(
    harness: SupervisorHarness, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    harness.behaviors = ["stubborn", "good"]
    await begin(harness, nursery)
    assert harness.supervisor._status().reload is None
    harness.behaviors = ["good", "mute"]
    await harness.signal(signal.SIGHUP)
    await trio.sleep(1)
    status = harness.supervisor._status()
    assert [(each.number, each.state) for each in status.workers] == [
        (0, "serving"),
        (1, "serving"),
        (2, "serving"),
        (3, "starting"),
    ]
    assert [each.pid for each in status.workers] == [100, 101, 102, 103]
    assert status.workers[0].age_s > status.workers[2].age_s
    harness.started[3].control.send_nowait("ready")
    await trio.sleep(1)
    status = harness.supervisor._status()
    assert [each.state for each in status.workers] == ["retiring", "serving", "serving"]
    assert (status.state, status.reload and status.reload.failure) == ("serving", None)
    harness.arguments += ["--max-line", "0"]
    await harness.signal(signal.SIGHUP)
    await trio.sleep(1)
    reload = harness.supervisor._status().reload
    assert reload is not None
    assert "--max-line" in str(reload.failure)
    harness.behaviors = []
    await harness.stop()
    assert harness.supervisor._status().state == "stopping"
