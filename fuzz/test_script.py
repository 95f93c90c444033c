"""The scripts of conversations, and the mutations that know them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from .mutator import mutate
from .script import CUT, END, HEADER, MAX_STEPS, SILENCE, header, steps

KNOWN = frozenset({END, SILENCE})


def script(text: bytes) -> list[tuple[bytes, int]]:
    return steps(bytes(HEADER) + text, 5, KNOWN)


def test_a_script_is_chunks_with_steps_in_between() -> None:
    assert script(b"one\n\xff/two\xff~\xff.") == [(b"one\n", CUT), (b"two", SILENCE), (b"", END), (b"", CUT)]


def test_lines_are_padded_to_the_limit() -> None:
    assert script(b"\xff<\n\xff=\n\xff>\n") == [(b"pppp\nppppp\npppppp\n", CUT)]
    assert script(b"ab\xff/c\xff=") == [(b"ab", CUT), (b"cpp", CUT)]
    assert script(b"longer\xff=") == [(b"longer", CUT)]


def test_the_escape_itself_can_be_sent() -> None:
    assert script(b"a\xffxb") == [(b"a\xffb", CUT)]


def test_an_unknown_step_is_plain_text() -> None:
    assert script(b"a\xffQ\xff\xffb\xff") == [(b"aQb", CUT)]


def test_there_are_not_too_many_steps() -> None:
    assert len(script(b"x\xff/" * 50)) == MAX_STEPS + 1


def test_a_header_is_filled_up() -> None:
    assert header(b"a") == b"a\0\0\0"


@given(data=st.binary(max_size=60), max_bytes=st.integers(0, 64), seed=st.integers(0, 2**32 - 1))
def test_a_mutation_is_no_longer_than_allowed_and_repeats_itself(
    data: bytes, max_bytes: int, seed: int
) -> None:
    mutated = mutate(data, max_bytes, seed)
    assert len(mutated) <= max_bytes
    assert mutated == mutate(data, max_bytes, seed)


def test_mutations_reach_every_step() -> None:
    data = bytes(HEADER) + b"one\r\n\xff/two\n\xff~three"
    found = {sign for seed in range(2000) for _, sign in script(mutate(data, 64, seed)[HEADER:])}
    assert found == {CUT, END, SILENCE}
