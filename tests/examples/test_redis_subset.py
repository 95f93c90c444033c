"""The Redis example."""

from __future__ import annotations

import pytest
import redis_subset
from redis_subset import Store

from .talking import connected, talk

CONVERSATIONS = {
    "a line, its end CR LF or LF": (
        b"PING\r\nping\n\r\nPing hello\r\n",
        b"+PONG\r\n+PONG\r\n$5\r\nhello\r\n",
    ),
    "counted words": (
        b"*1\r\n$4\r\nPING\r\n*2\r\n$4\r\necho\r\n$4\r\n\r\n*1\r\n",
        b"+PONG\r\n$4\r\n\r\n*1\r\n",
    ),
    "no words": (b"*0\r\nPING\r\n", b"+PONG\r\n"),
    "values": (
        b"GET k\r\nSET k v\r\nSET k vw\r\nGET k\r\nDEL k k x\r\nGET k\r\n",
        b"$-1\r\n+OK\r\n+OK\r\n$2\r\nvw\r\n:1\r\n$-1\r\n",
    ),
    "counting": (b"INCR n\r\nINCR n\r\nSET n -1\r\nINCR n\r\n", b":1\r\n:2\r\n+OK\r\n:0\r\n"),
    "the largest number": (
        b"SET n 9223372036854775806\r\nINCR n\r\nINCR n\r\n",
        b"+OK\r\n:9223372036854775807\r\n-ERR increment or decrement would overflow\r\n",
    ),
    "an unknown command": (b"NO\x01PE '\r\n", b"-ERR unknown command 'NO?PE'\r\n"),
    "arguments": (b"GET\r\n", b"-ERR wrong number of arguments for 'get' command\r\n"),
    "quit": (b"QUIT\r\nPING\r\n", b"+OK\r\n"),
    "a command cut off": (b"DEL a", b""),
    "words cut off": (b"*2\r\n$3\r\nDEL\r\n", b""),
    "a word cut off": (b"*1\r\n$4\r\nPI", b""),
}


@pytest.mark.parametrize("cut", [False, True], ids=["whole", "cut"])
@pytest.mark.parametrize("name", CONVERSATIONS)
async def test_a_conversation(name: str, *, cut: bool) -> None:
    said, heard = CONVERSATIONS[name]
    assert await talk(Store().handler, said, cut=cut) == heard


@pytest.mark.parametrize("value", [b"01", b"+1", b" 1", b"", b"1.0", b"9223372036854775808", b"-0", b"\xb2"])
async def test_a_value_that_is_not_a_number_cannot_be_incremented(value: bytes) -> None:
    said = b"*3\r\n$3\r\nSET\r\n$1\r\nn\r\n$%d\r\n%b\r\nINCR n\r\n" % (len(value), value)
    assert await talk(Store().handler, said) == b"+OK\r\n-ERR value is not an integer or out of range\r\n"


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"*x\r\n", "invalid multibulk length"),
        (b"*1\n", "invalid multibulk length"),
        (b"*-2\r\n", "invalid multibulk length"),
        (b"*100000\r\n", "invalid multibulk length"),
        (b"*1\r\nPING\r\n", "expected '$', got 'P'"),
        (b"*1\r\n$-1\r\n", "invalid bulk length"),
        (b"*1\r\n$1048577\r\n", "invalid bulk length"),
        (b"*1\r\n$99999999999999999999\r\n", "invalid bulk length"),
        (b"*1\r\n$4\r\nPINGPING\r\n", "expected CRLF behind a word"),
        (b"x" * 100_000, "too big inline request"),
    ],
)
async def test_what_is_garbled_ends_the_connection(said: bytes, reason: str) -> None:
    heard = b"-ERR Protocol error: %b\r\n" % reason.encode()
    assert await talk(Store().handler, b"PING\r\n" + said + b"PING\r\n") == b"+PONG\r\n" + heard


async def test_the_words_of_a_command_are_bounded_together() -> None:
    word = b"$500000\r\n%b\r\n" % bytes(500_000)
    said = b"*4\r\n$3\r\nDEL\r\n" + word * 3
    assert await talk(Store().handler, said) == b"-ERR Protocol error: invalid bulk length\r\n"


async def test_a_full_store_refuses_values_until_there_is_room() -> None:
    full = b"-OOM command not allowed when used memory > 'maxmemory'.\r\n"
    store = Store(max_bytes=2 * redis_subset.PER_WORD + 10)
    assert (
        await talk(store.handler, b"SET k 012345678\r\nSET j 1\r\nSET k 0123456789\r\n")
        == b"+OK\r\n" + full * 2
    )
    assert await talk(store.handler, b"SET k 9\r\nINCR k\r\nSET j 1\r\nDEL k\r\nSET j 1\r\n") == (
        b"+OK\r\n:10\r\n" + full + b":1\r\n+OK\r\n"
    )


async def test_clients_share_a_store() -> None:
    store = Store()
    async with connected(store.handler) as one, connected(store.handler) as other:
        await one.ask(b"SET k v\r\n", b"+OK\r\n")
        await other.ask(b"GET k\r\n", b"$1\r\nv\r\n")
