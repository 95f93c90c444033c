"""The core against its models in every case of a few bytes; `nox -s exhaustive` goes up to eight.

Slow: some hundred thousand cases.
"""

from __future__ import annotations

import pytest

from caas_trio import First, LineBuffer, Oversize, Terminator

from .__main__ import LIMITS
from .buffers import Reading
from .explore import MismatchError, explore
from .replies import Policy, Replies
from .sessions import Conversation, Setting, conversations, policies
from .states import buffer_state, restore

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("oversize", Oversize)
def test_every_conversation_of_four_bytes(oversize: Oversize) -> None:
    chosen = [policy for policy in policies(LIMITS) if policy.oversize is oversize]
    steps = sum(explore(each, 4) for policy in chosen for each in conversations(policy))
    assert steps > 50_000  # as many as there are


@pytest.mark.parametrize("terminator", Terminator)
@pytest.mark.parametrize("max_line", LIMITS)
def test_every_mixture_of_all_kinds_of_reading_over_four_bytes(max_line: int, terminator: Terminator) -> None:
    assert explore(Reading(max_line, terminator), 4) > 40_000


def test_a_difference_is_shown_with_the_steps_that_lead_to_it() -> None:
    policy = Policy(1, Oversize.REJECT, once=False, terminator=Terminator.LF)
    setting = Setting(lambda line: line.replace(b"a", b"B"), First.CLIENT, policy)
    with pytest.raises(MismatchError, match=r"^\('receive', b'.*a\\n'\)\nb'.*B\\n' is not b'.*A\\n'$"):
        explore(Conversation(setting, Replies(policy)), 3)


def test_all_attributes_of_a_buffer_are_put_back() -> None:
    bare = object.__new__(LineBuffer)
    restore(bare, b"a", buffer_state(LineBuffer()), finished=1, oversize_lines=2)
    assert all(hasattr(bare, name) for kind in LineBuffer.__mro__ for name in getattr(kind, "__slots__", ()))
