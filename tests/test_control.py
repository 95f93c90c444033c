"""What a supervisor and its workers say to each other."""

from __future__ import annotations

import math
import socket

import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from caas_trio.program.control import Control, Order, SharedSocket

ANY_TEXT = st.text(st.characters(exclude_categories=())).filter(lambda text: "\0" not in text)

ORDERS = st.builds(
    Order,
    arguments=st.lists(ANY_TEXT),
    config=st.dictionaries(ANY_TEXT, ANY_TEXT | st.booleans() | st.lists(ANY_TEXT)),
    sockets=st.lists(
        st.builds(
            SharedSocket, asked=ANY_TEXT, endpoint=ANY_TEXT, descriptors=st.lists(st.integers(0, 1 << 31))
        )
    ),
    slot=st.integers(0),
    watchdog_interval=st.floats(0) | st.just(math.inf),
    figures=st.none() | ANY_TEXT,
)


@settings(max_examples=50)
@given(ORDERS)
def test_an_order_is_one_line_and_comes_back_as_it_was(order: Order) -> None:
    line = order.line()
    assert line.isascii()
    assert "\n" not in line
    assert Order.from_line(line) == order


async def test_lines_go_both_ways_until_one_hangs_up() -> None:
    ours, theirs = map(Control, socket.socketpair())
    ours.say("ready")
    ours.say("failed for a reason")
    long = "x" * 3_000_000
    async with trio.open_nursery() as nursery:
        nursery.start_soon(theirs.send, long)
        assert await ours.next_line() == long
    assert [await theirs.next_line() for _ in range(2)] == ["ready", "failed for a reason"]
    ours.close()
    assert await theirs.next_line() is None
    theirs.say("lost")
    await theirs.send("lost, too")
    theirs.close()


async def test_who_is_killed_with_unread_lines_has_hung_up() -> None:
    ours, theirs = map(Control, socket.socketpair())
    theirs.say("unread")
    ours.close()
    assert await theirs.next_line() is None
    theirs.close()
