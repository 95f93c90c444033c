"""The memcached example."""

from __future__ import annotations

import memcached_ascii
import pytest
from memcached_ascii import MAX_VALUE, PER_ITEM, Cache

from .talking import connected, talk

CONVERSATIONS = {
    "values": (
        b"get a\r\nset a 1 0 3\r\n\r\n.\r\nget a b a\r\n",
        b"END\r\nSTORED\r\nVALUE a 1 3\r\n\r\n.\r\nVALUE a 1 3\r\n\r\n.\r\nEND\r\n",
    ),
    "add": (
        b"add a 0 0 1\r\nx\r\nadd a 0 0 1\r\ny\r\nget a\r\n",
        b"STORED\r\nNOT_STORED\r\nVALUE a 0 1\r\nx\r\nEND\r\n",
    ),
    "cas": (
        (
            b"cas a 0 0 1 1\r\nx\r\nset a 0 0 1\r\nx\r\ngets a\r\ncas a 0 0 1 1\r\ny\r\ncas a 0 0 1 1\r\n"
            b"z\r\ngets a\r\n"
        ),
        (
            b"NOT_FOUND\r\nSTORED\r\nVALUE a 0 1 1\r\nx\r\nEND\r\nSTORED\r\nEXISTS\r\nVALUE a 0 1 2\r\ny\r\n"
            b"END\r\n"
        ),
    ),
    "incr": (
        b"incr n 1\r\nset n 7 0 2\r\n41\r\nincr n 1\r\nget n\r\nincr n x\r\n",
        (
            b"NOT_FOUND\r\nSTORED\r\n42\r\nVALUE n 7 2\r\n42\r\nEND\r\n"
            b"CLIENT_ERROR invalid numeric delta argument\r\n"
        ),
    ),
    "incr of a text": (
        b"set n 0 0 1\r\nx\r\nincr n 1\r\n",
        b"STORED\r\nCLIENT_ERROR cannot increment or decrement non-numeric value\r\n",
    ),
    "a number that wraps": (b"set n 0 0 20\r\n18446744073709551615\r\nincr n 2\r\n", b"STORED\r\n1\r\n"),
    "delete": (b"set a 0 0 0\r\n\r\ndelete a\r\ndelete a\r\n", b"STORED\r\nDELETED\r\nNOT_FOUND\r\n"),
    "noreply": (
        (
            b"set a 0 0 1 noreply\r\n1\r\nadd a 0 0 1 noreply\r\n2\r\nincr a 1 noreply\r\n"
            b"delete b noreply\r\nget a\r\n"
        ),
        b"VALUE a 0 1\r\n2\r\nEND\r\n",
    ),
    "LF alone ends a command": (b"version\nget a\n", b"VERSION 1.0.0\r\nEND\r\n"),
    "unknown commands": (b"nonsense\r\n\r\nget\r\nincr a\r\n", b"ERROR\r\n" * 4),
    "quit": (b"quit\r\nversion\r\n", b""),
    "a command cut off": (b"set a 0 0 1\r\nx\r\nget a\r\ndelete a", b"STORED\r\nVALUE a 0 1\r\nx\r\nEND\r\n"),
    "a value cut off": (b"set a 0 0 5\r\nxyz", b""),
    "a key that is too long": (
        b"set %b 0 0 3\r\nabc\r\nversion\r\n" % (b"k" * 251),
        b"CLIENT_ERROR key too long\r\nVERSION 1.0.0\r\n",
    ),
}


@pytest.mark.parametrize("cut", [False, True], ids=["whole", "cut"])
@pytest.mark.parametrize("name", CONVERSATIONS)
async def test_a_conversation(name: str, *, cut: bool) -> None:
    said, heard = CONVERSATIONS[name]
    assert await talk(Cache().handler, said, cut=cut) == heard


@pytest.mark.parametrize(
    "command",
    [
        b"set a 0 0\r\n",
        b"set a 0 0 -1\r\n",
        b"set a 0 0 99999999999\r\n",
        b"set a x 0 1\r\n",
        b"set a 0 0 1 2\r\n",
        b"cas a 0 0 1\r\n",
        b"set a 0 0 1 noreply 1\r\n",
        b"set \x01 0 0 1\r\n",
        b"add\r\n",
    ],
)
async def test_a_value_of_unknown_length_ends_the_connection(command: bytes) -> None:
    heard = await talk(Cache().handler, b"version\r\n" + command + b"quit\r\nversion\r\n")
    assert heard == b"VERSION 1.0.0\r\nCLIENT_ERROR bad command line format\r\n"


async def test_a_value_without_an_end_ends_the_connection() -> None:
    heard = await talk(Cache().handler, b"set a 0 0 1\r\nxyz\r\nversion\r\n")
    assert heard == b"CLIENT_ERROR bad data chunk\r\n"


async def test_a_line_that_is_too_long_ends_the_connection() -> None:
    assert (
        await talk(Cache().handler, b"get " + b"k" * 70_000)
        == b"CLIENT_ERROR line longer than 65536 bytes\r\n"
    )


async def test_a_value_that_is_too_large_is_skipped_and_the_old_one_is_gone() -> None:
    large = b"set a 0 0 %d\r\n%b\r\n" % (MAX_VALUE + 1, bytes(MAX_VALUE + 1))
    heard = await talk(Cache().handler, b"set a 0 0 1\r\nx\r\n" + large + b"get a\r\n")
    assert heard == b"STORED\r\nSERVER_ERROR object too large for cache\r\nEND\r\n"


async def test_the_item_that_was_not_used_for_longest_makes_room() -> None:
    cache = Cache(max_bytes=2 * (PER_ITEM + 2))
    said = b"set a 0 0 1\r\n1\r\nset b 0 0 1\r\n2\r\nget a\r\nset c 0 0 1\r\n3\r\nget a b c\r\n"
    assert await talk(cache.handler, said) == (
        b"STORED\r\nSTORED\r\nVALUE a 0 1\r\n1\r\nEND\r\nSTORED\r\nVALUE a 0 1\r\n1\r\nVALUE c 0 1\r\n"
        b"3\r\nEND\r\n"
    )


@pytest.mark.parametrize(
    ("lifetime", "lasts"),
    [(0, 10**9), (10, 10), (memcached_ascii.MAX_LIFETIME_S, 2_592_000), (2_600_000, 2_599_000), (-1, 0)],
)
async def test_an_item_expires(lifetime: int, lasts: int) -> None:
    now = 1000.0
    cache = Cache(clock=lambda: now)
    async with connected(cache.handler) as client:
        await client.ask(b"set a 0 %d 1\r\nx\r\n" % lifetime, b"STORED\r\n")
        if lasts:
            now += lasts - 1
            await client.ask(b"get a\r\n", b"VALUE a 0 1\r\nx\r\nEND\r\n")
        if lifetime:
            now += 1
            await client.ask(b"get a\r\n", b"END\r\n")


async def test_statistics() -> None:
    cache = Cache(max_bytes=1000, clock=lambda: 5.5)
    heard = await talk(cache.handler, b"set a 0 0 1\r\nx\r\nstats\r\n")
    assert heard == (
        b"STORED\r\nSTAT curr_items 1\r\nSTAT bytes 302\r\nSTAT limit_maxbytes 1000\r\nSTAT time 5\r\nEND\r\n"
    )
