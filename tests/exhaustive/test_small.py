"""The core against its models in every case of a few bytes; `nox -s exhaustive` goes up to eight.

Slow: some hundred thousand cases.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from caas_trio import Oversize, Terminator

from .__main__ import LIMITS
from .buffers import KINDS, Reading, mixtures
from .explore import MismatchError, explore
from .sessions import Conversation, settings

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("oversize", Oversize)
def test_every_conversation_of_four_bytes(oversize: Oversize) -> None:
    chosen = [setting for setting in settings(LIMITS) if setting.oversize is oversize]
    assert sum(explore(Conversation(each), 4) for each in chosen) > 50_000  # as many as there are


@pytest.mark.parametrize("terminator", Terminator)
@pytest.mark.parametrize("kind", list(KINDS)[:-1])
def test_every_mixture_of_a_kind_of_reading_with_each_that_follows_over_three_bytes(
    kind: str, terminator: Terminator
) -> None:
    chosen = [mixture for mixture in mixtures() if kind == mixture[0]]
    steps = [explore(Reading(mixture, max_line, terminator), 3) for mixture in chosen for max_line in LIMITS]
    assert min(steps) > 100


def test_a_difference_is_shown_with_the_steps_that_lead_to_it() -> None:
    setting = settings(LIMITS)[0]
    wrong = Conversation(replace(setting, service=lambda line: line.replace(b"a", b"B")))
    with pytest.raises(MismatchError, match=r"^\('receive', b'.*a\\n'\)\nb'.*B\\n' is not b'.*A\\n'$"):
        explore(wrong, 3)
