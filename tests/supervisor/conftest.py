"""The harness as a fixture."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import trio

from .harness import SupervisorHarness


@pytest.fixture
async def harness(capsys: pytest.CaptureFixture[str]) -> AsyncIterator[SupervisorHarness]:
    with trio.fail_after(1000):
        async with trio.open_nursery() as nursery:
            harness = SupervisorHarness(nursery, capsys)
            yield harness
            nursery.cancel_scope.cancel()
