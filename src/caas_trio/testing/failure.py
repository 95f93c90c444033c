"""The error of a check, and the clock that a check needs: `CheckFailed`, `require_jumping_clock`."""

from __future__ import annotations

import math
import traceback
from collections.abc import Sequence

import trio
from trio.testing import MockClock

from caas_trio.core.errors import UsageError

from .network import Network
from .timeline import as_text


class CheckFailed(AssertionError):  # noqa: N818 - as pytest has it: a check failed
    """A server has failed a check; the message says at what.

    A note shows the conversation, as a timeline.

    Attributes:
        network: the network of the check.
    """

    def __init__(self, message: str, network: Network) -> None:
        super().__init__(message)
        self.network = network
        self.add_note(f"what happened (seed {network.seed}):\n{as_text(network.trace)}")


def described(errors: Sequence[BaseException]) -> str:
    """Return the messages of errors, with the last lines of their tracebacks."""
    return "; ".join(_described(error) for error in errors)


def _described(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    text = ": ".join(filter(None, (type(error).__name__, str(error))))
    frames = traceback.extract_tb(error.__traceback__)
    return f"{text} ({frames[-1].filename}:{frames[-1].lineno})" if frames else text


def require_jumping_clock(function: str) -> None:
    """Refuse to wait in real time.

    Raises:
        UsageError: the clock of this run of trio does not jump.
    """
    clock = trio.lowlevel.current_clock()
    if not isinstance(clock, MockClock) or clock.autojump_threshold == math.inf:
        raise UsageError(
            f"{function} needs a clock that jumps: pytest-trio's fixture autojump_clock, "
            "or trio.run(..., clock=trio.testing.MockClock(autojump_threshold=0))"
        )
