"""The course of a seed of a supervised service: `Course`."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Final, NamedTuple

#: Workers behave until then (seconds), and behave again from some time on; all that was begun by then is over
#: after the longest drain, the longest start and a further attempt to replace a worn worker.
QUIET_S: Final = 1.0
DISTURBED_S: Final = 60.0
SETTLED_S: Final = 400.0


class Event(NamedTuple):
    """Something that is done to the service.

    Attributes:
        at: when, in seconds.
        what: "reload", "kill", "wear", "settings", "listen", "take over", "stop".
        number: of the workers, or which of them.
    """

    at: float
    what: str
    number: int


@dataclass(frozen=True)
class Course:
    """The course of one seed.

    Attributes:
        seed: the seed.
        workers: how many workers there are at first.
        timeout: for how many seconds the loop of a worker may stand still.
        badness: the probability that a new worker is bad, while it is disturbed.
        doomed: whether every new worker dies at once from some time on, for good.
        events: what is done, in order.
        stops_early: whether the stop comes while all is disturbed.
    """

    seed: int
    workers: int
    timeout: float
    badness: float
    doomed: bool
    events: tuple[Event, ...]
    stops_early: bool

    @classmethod
    def drawn(cls, seed: int) -> Course:
        """Return the course of a seed."""
        choices = random.Random(f"course/{seed}")  # noqa: S311 - to be repeated
        kinds = ("reload", "reload", "kill", "kill", "wear", "settings", "listen", "take over")
        # Often at the same moment as something else, and as what workers do.
        times = [choices.randrange(1, 600) / 10 for _ in range(4)]
        events = [
            Event(
                choices.choice([*times, choices.uniform(0, DISTURBED_S)]),
                choices.choice(kinds),
                choices.randrange(1, 4),
            )
            for _ in range(choices.randrange(12))
        ]
        stops_early = choices.random() < 0.3
        if stops_early:
            at = choices.choice([*times, 0.0])
            events += [Event(at + pause, "stop", 0) for pause in (0.0, 0.1, 7.0)[: choices.randrange(1, 4)]]
        return cls(
            seed=seed,
            workers=choices.randrange(1, 4),
            timeout=choices.choice((math.inf, math.inf, 4.0)),
            badness=choices.choice((0.0, 0.2, 0.5, 0.9)),
            doomed=choices.random() < 0.15,
            events=tuple(sorted(events)),
            stops_early=stops_early,
        )
