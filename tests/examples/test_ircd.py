"""The IRC example."""

from __future__ import annotations

import dataclasses
from contextlib import AsyncExitStack

import ircd
import pytest
from ircd import MAX_JOINED, Network

from caas_trio import Limits, TooMuchUnsent

from .talking import Client, connected, talk

LIMITS = ircd.app.limits or Limits()


def greeting(nick: bytes) -> bytes:
    """Return what a member gets once both its names are known."""
    return b"".join(
        b":caas %03d %b %b\r\n" % (number, nick, words) for number, words in ircd._GREETING.items()
    )


async def joined(stack: AsyncExitStack, network: Network, nick: bytes, *others: bytes) -> Client:
    """Return a client in the channel #c, where others are."""
    client = await stack.enter_async_context(connected(network.handler, LIMITS))
    await client.ask(b"NICK %b\r\nUSER %b 0 * :name\r\n" % (nick, nick), greeting(nick))
    names = b" ".join(sorted([nick, *others]))
    source = b"%b!%b@caas" % (nick, nick)
    await client.ask(
        b"JOIN #c\r\n",
        b":%b JOIN #c\r\n:caas 353 %b = #c :%b\r\n:caas 366 %b #c :End of /NAMES list\r\n"
        % (source, nick, names, nick),
    )
    return client


@pytest.mark.parametrize("cut", [False, True], ids=["whole", "cut"])
async def test_one_member(*, cut: bool) -> None:
    said = (
        b"\r\nJOIN #c\r\nPING :a token\r\nNICK 1\r\nNICK ann\r\nUSER ann\r\n"
        b"USER a@n:n! 0 * :Ann\nUSER x 0 * :x\r\n"
        b"nonsense\r\nJOIN\r\nJOIN c,#\r\nPART #c\r\nPRIVMSG bob :hi\r\nNOTICE bob :hi\r\n"
        b":ann JOIN #C\r\nJOIN #c\r\n"
        b"PRIVMSG #c :alone\r\nPART #c\r\nNICK Anna\r\nQUIT :bye\r\nPING x\r\n"
    )
    heard = (
        b":caas 451 * :You have not registered\r\n:caas PONG caas :a token\r\n"
        b":caas 432 * 1 :Erroneous nickname\r\n"
        b":caas 451 ann :You have not registered\r\n%b:caas 462 ann :You may not reregister\r\n"
        b":caas 421 ann NONSENSE :Unknown command\r\n:caas 461 ann JOIN :Not enough parameters\r\n"
        b":caas 403 ann c :No such channel\r\n:caas 403 ann # :No such channel\r\n"
        b":caas 442 ann #c :You're not on that channel\r\n:caas 401 ann bob :No such nick/channel\r\n"
        b":ann!ann@caas JOIN #c\r\n:caas 353 ann = #c :ann\r\n:caas 366 ann #c :End of /NAMES list\r\n"
        b":ann!ann@caas PART #c\r\n:ann!ann@caas NICK :Anna\r\nERROR :Closing link\r\n"
    ) % greeting(b"ann")
    assert await talk(Network().handler, said, cut=cut, limits=LIMITS) == heard


async def test_members_see_what_others_do() -> None:
    network = Network()
    async with AsyncExitStack() as stack:
        ann = await joined(stack, network, b"ann")
        bob = await joined(stack, network, b"bob", b"ann")
        await ann.receive(b":bob!bob@caas JOIN #c\r\n")
        await bob.ask(b"PRIVMSG #c :hello: all\r\nPING 1\r\n", b":caas PONG caas :1\r\n")
        await ann.receive(b":bob!bob@caas PRIVMSG #c :hello: all\r\n")
        await ann.ask(b"notice BOB hi\r\nPING 2\r\n", b":caas PONG caas :2\r\n")
        await bob.receive(b":ann!ann@caas NOTICE bob :hi\r\n")
        await bob.ask(b"NICK ANN\r\n", b":caas 433 bob ANN :Nickname is already in use\r\n")
        await bob.ask(b"NICK BOB\r\n", b":bob!bob@caas NICK :BOB\r\n")
        await ann.receive(b":bob!bob@caas NICK :BOB\r\n")
        await ann.ask(b"PART #c\r\n", b":ann!ann@caas PART #c\r\n")
        await bob.receive(b":ann!ann@caas PART #c\r\n")
        await ann.ask(b"PRIVMSG #c :still there?\r\n", b":caas 401 ann #c :No such nick/channel\r\n")


@pytest.mark.parametrize(("said", "reason"), [(b"QUIT :bye\r\n", b"Quit: bye"), (b"", b"Connection closed")])
async def test_members_see_one_leave(said: bytes, reason: bytes) -> None:
    network = Network()
    async with AsyncExitStack() as stack:
        ann = await joined(stack, network, b"ann")
        async with AsyncExitStack() as visit:
            bob = await joined(visit, network, b"bob", b"ann")
            await ann.receive(b":bob!bob@caas JOIN #c\r\n")
            await bob.send(said)
        await ann.receive(b":bob!bob@caas QUIT :%b\r\n" % reason)
        await joined(stack, network, b"bob", b"ann")  # the nick is free again


async def test_a_line_has_512_bytes_at_most() -> None:
    network = Network()
    async with AsyncExitStack() as stack:
        ann = await joined(stack, network, b"ann")
        bob = await joined(stack, network, b"bob", b"ann")
        await ann.receive(b":bob!bob@caas JOIN #c\r\n")
        longest = b"PRIVMSG #c :".ljust(510, b"x")
        await bob.send(longest + b"\r\n")
        await ann.receive((b":bob!bob@caas " + longest)[:510] + b"\r\n")
        await bob.ask(longest + b"y\r\n", b":caas 417 * :Input line was too long\r\n")
        await bob.ask(b"PING 1\r\n", b":caas PONG caas :1\r\n")


async def test_a_carriage_return_is_not_passed_on() -> None:
    network = Network()
    async with AsyncExitStack() as stack:
        ann = await joined(stack, network, b"ann")
        bob = await joined(stack, network, b"bob", b"ann")
        await ann.receive(b":bob!bob@caas JOIN #c\r\n")
        await bob.send(b"PRIVMSG #c :x\r:ann!ann@caas PRIVMSG #c :forged\0\r\n")
        await ann.receive(b":bob!bob@caas PRIVMSG #c :x:ann!ann@caas PRIVMSG #c :forged\r\n")


async def test_a_member_is_in_few_channels() -> None:
    names = [b"#%d" % number for number in range(MAX_JOINED + 1)]
    said = b"NICK ann\r\nUSER ann 0 * :\r\nJOIN %b\r\n" % b",".join(names)
    heard = await talk(Network().handler, said, limits=LIMITS)
    assert heard.count(b" JOIN #") == MAX_JOINED
    assert heard.endswith(b":caas 405 ann %b :You have joined too many channels\r\n" % names[-1])


async def test_the_list_of_many_members_has_several_lines() -> None:
    network = Network()
    nicks = [b"member%02d" % number for number in range(ircd.NICKS_IN_A_LINE + 1)]
    async with AsyncExitStack() as stack:
        for nick in nicks[:-1]:
            client = await stack.enter_async_context(connected(network.handler, LIMITS))
            await client.send(b"NICK %b\r\nUSER u 0 * :\r\nJOIN #c\r\n" % nick)
        last = await stack.enter_async_context(connected(network.handler, LIMITS))
        await last.ask(b"NICK %b\r\nUSER u 0 * :\r\n" % nicks[-1], greeting(nicks[-1]))
        await last.ask(
            b"JOIN #c\r\n",
            b":%b!u@caas JOIN #c\r\n:caas 353 %b = #c :%b\r\n:caas 353 %b = #c :%b\r\n"
            % (nicks[-1], nicks[-1], b" ".join(nicks[:-1]), nicks[-1], nicks[-1]),
        )


async def test_a_member_that_does_not_read_is_dropped_and_slows_no_other() -> None:
    network = Network()
    limits = dataclasses.replace(LIMITS, max_unsent=10_000)
    text = b"x" * 400
    async with AsyncExitStack() as stack:
        ann = await joined(stack, network, b"ann")
        slow = await stack.enter_async_context(connected(network.handler, limits, lockstep=True))
        await slow.ask(b"NICK slow\r\nUSER slow 0 * :\r\n", greeting(b"slow"))
        await slow.send(b"JOIN #c\r\n")
        await ann.receive(b":slow!slow@caas JOIN #c\r\n")
        bob = await joined(stack, network, b"bob", b"ann", b"slow")
        await ann.receive(b":bob!bob@caas JOIN #c\r\n")
        for _ in range(100):
            await bob.send(b"PRIVMSG #c :%b\r\n" % text)
        await slow.ended.wait()
        assert isinstance(slow.outcome, TooMuchUnsent)
        heard = b""
        while b"QUIT" not in heard or heard.count(text) < 100:
            heard += await ann.stream.receive_some()
        assert heard.count(b":slow!slow@caas QUIT :Connection closed\r\n") == 1
