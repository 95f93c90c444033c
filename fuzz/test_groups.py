"""Failures in groups: which are the same, and how a harness goes on behind them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from caas_trio import Endpoint, EndpointError

from .groups import Group, Grouping, group_of
from .minimize import minimize

#: Opens what counts the inputs played so far, and fails with `!`, or closes with an error behind `?`.
_LOOP = """
from contextlib import asynccontextmanager
from fuzz.loop import Loop

@asynccontextmanager
async def open_player():
    played = []
    async def play(data):
        played.append(data)
        if data in b"!?":
            raise ValueError(data)
        print(*played)
    yield play
    if b"?" in played:
        raise OSError("cannot be closed")

loop = Loop(open_player)
for data in (b"a", b"b", b"!", b"c", b"?", b"d"):
    try:
        loop(data)
    except ValueError as error:
        print(error)
"""


def judge(data: bytes) -> None:
    """Fail in one of three ways, or in none."""
    if b"e" in data:
        Endpoint.parse(data.decode())
    assert b"a" not in data, f"an a is in {data!r}"
    assert b"b" not in data, f"a b is in {data!r}"


def failure(data: bytes) -> Exception:
    """Return what `judge` raises."""
    with pytest.raises((AssertionError, EndpointError)) as info:
        judge(data)
    return info.value


def test_a_group_is_what_broke_and_where_whatever_the_input() -> None:
    group = group_of(failure(b"a"))
    assert group == 'AssertionError in fuzz/test_groups.py: assert b"a" not in data, f"an a is in {data!r}"'
    assert group_of(failure(b"xxax")) == group
    assert group_of(failure(b"b")) != group
    places = "core/endpoint.py parse < fuzz/test_groups.py judge < fuzz/test_groups.py failure"
    assert group_of(failure(b"e")) == f"EndpointError < {places}"


def test_a_failure_that_comes_out_of_nurseries_is_in_its_own_group() -> None:
    alone = failure(b"a")
    assert group_of(ExceptionGroup("outer", [ExceptionGroup("inner", [alone])])) == group_of(alone)


def test_a_harness_that_goes_on_keeps_each_group_once_with_its_smallest_input(tmp_path: Path) -> None:
    grouping = Grouping(judge, tmp_path)
    for data in (b"xa", b"sound", b"a: b", b"a", b"xb", b"xxa"):
        grouping(data)
    found = sorted((Group.load(path) for path in tmp_path.iterdir()), key=lambda group: group.name)
    assert [(group.count, group.data) for group in found] == [(4, b"a"), (1, b"xb")]
    assert "an a is in b'a'" in found[0].shown


def test_an_input_is_made_smaller_within_its_group() -> None:
    assert minimize(judge, b"xx a xx") == b"a"
    assert minimize(judge, b"xbx") == b"b"


def test_what_an_input_has_broken_is_opened_anew_for_the_next_one() -> None:
    ran = subprocess.run([sys.executable, "-c", _LOOP], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines() == ["b'a'", "b'a' b'b'", "b'!'", "b'c'", "b'?'", "b'd'"]
