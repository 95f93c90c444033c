"""Rounds: every peer does every work once a round, in an order drawn anew each time."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ci.bench import buffers
from ci.bench.peers import Peer
from ci.bench.works import Work


@dataclass(frozen=True)
class Job:
    """One run to be made; without a peer, `name` is one of the buffers."""

    work: Work
    name: str
    round: int
    peer: Peer | None = None


def plan(works: Sequence[Work], peers: Sequence[Peer], rounds: int, seed: int | None) -> Iterator[Job]:
    """Yield all jobs, round by round and work by work, those of one work in one round in shuffled order."""
    order = random.Random(seed)  # noqa: S311 - an order, not a secret
    for number in range(rounds):
        for work in works:
            if work.mode == "buffer":
                jobs = [Job(work, name, number) for name in buffers.SUBJECTS]
            else:
                jobs = [Job(work, peer.name, number, peer) for peer in peers if work.takes(peer)]
            order.shuffle(jobs)
            yield from jobs
