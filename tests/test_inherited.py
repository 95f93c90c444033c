"""Sockets that a process was started with: what is taken, as what, and what is refused."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import pytest
import trio

from caas_trio import (
    App,
    Connection,
    Endpoint,
    Limits,
    LineSession,
    ListenError,
    SocketOptions,
    Trust,
    serve,
    serve_sessions,
)
from caas_trio.drivers.choice import DriverName
from caas_trio.drivers.machine import Machine
from caas_trio.server import inherited
from caas_trio.server.hosting import serve_app
from caas_trio.server.inherited import fill_standard_streams, inherit, is_listening
from caas_trio.server.listeners import listen_all
from caas_trio.server.mixed import serve_mixed

from .support.sockets import descriptors
from .test_listeners import backlog_of

#: Above all descriptors that a process of tests has open by then, and below the usual limit of 1024.
FIRST = 900


class LaterMachine(Machine):
    """One whose standard streams, and what systemd passes, are descriptors that are free here."""

    first_passed = FIRST
    standard_streams = range(FIRST - 3, FIRST)


LATER = LaterMachine()


@pytest.fixture
def hand_down() -> Iterator[Callable[[socket.socket], int]]:
    """Return a function that turns a socket into one that came through exec; close what is left of them."""
    numbers: list[int] = []

    def next_number(sock: socket.socket) -> int:
        with sock:
            numbers.append(os.dup2(sock.fileno(), FIRST + len(numbers)))
        return numbers[-1]

    yield next_number
    os.closerange(FIRST, FIRST + len(numbers))


@pytest.fixture
def systemd(
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[[str | None, str | None, str | None], None]]:
    """Set what systemd says."""
    values = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")

    def say(*said: str | None) -> None:
        inherited._environment.cache_clear()
        for name, value in zip(values, said, strict=True):
            if value is None:
                monkeypatch.delenv(name, raising=False)
            else:
                monkeypatch.setenv(name, value)

    say(None, None, None)
    yield say
    inherited._environment.cache_clear()


def listening(
    family: socket.AddressFamily = socket.AF_INET, address: object = ("127.0.0.1", 0)
) -> socket.socket:
    sock = socket.socket(family)
    sock.bind(address)  # type: ignore[arg-type]
    sock.listen()
    return sock


def reason(text: str) -> str:
    """Return why it cannot be inherited."""
    with pytest.raises(ListenError) as caught:
        inherit(Endpoint.parse(text), machine=LATER)
    assert caught.value.endpoint == text
    return caught.value.reason


def taken(text: str, kind: socket.SocketKind = socket.SOCK_STREAM) -> list[str]:
    """Return the endpoints of what is taken, and close it."""
    found = inherit(Endpoint.parse(text), kind, LATER)
    for each in found:
        each.sock.close()
    return [str(each.endpoint) for each in found]


def test_a_descriptor_becomes_a_listener_of_its_kind(hand_down: Callable[[socket.socket], int]) -> None:
    sock = listening()
    port = sock.getsockname()[1]
    number = hand_down(sock)
    [(endpoint, got)] = inherit(Endpoint.parse(f"fd://{number}"))
    with got:
        assert str(endpoint) == f"tcp://127.0.0.1:{port}"
        assert got.fileno() == number
        assert not got.get_inheritable()
        assert got.getblocking() is False
        with socket.create_connection(("127.0.0.1", port)) as client:
            accepted, _ = got.accept()
            with accepted:
                assert client.getpeername() == accepted.getsockname()


def is_null(number: int) -> bool:
    """Return whether a descriptor is /dev/null, for reading and writing, and inherited by children."""
    found = os.path.samestat(os.fstat(number), Path(os.devnull).stat())
    return found and os.get_inheritable(number) and os.read(number, 1) == b"" and os.write(number, b"x") == 1


def test_a_socket_that_was_a_standard_stream_gets_another_number() -> None:
    """As from inetd: the same socket three times. Here one of them has been replaced, and one closed."""
    first, second, third = LATER.standard_streams
    before = descriptors()
    with listening() as sock, socket.socket() as another:
        port = sock.getsockname()[1]
        os.dup2(sock.fileno(), first)
        os.dup2(sock.fileno(), second)
        os.dup2(another.fileno(), third)
    with inherit(Endpoint.parse(f"fd://{first}"), machine=LATER)[0].sock as moved:
        assert moved.getsockname()[1] == port
        assert moved.fileno() >= FIRST
        assert not moved.get_inheritable()
        assert moved.getblocking() is False
        assert is_null(first)
        assert is_null(second)
        assert not is_null(third)
    os.close(third)
    with listening() as again:
        os.dup2(again.fileno(), second)
    with inherit(Endpoint.parse(f"fd://{second}"), machine=LATER)[0].sock:
        assert is_null(second)
        assert str(third) not in descriptors()
    os.closerange(first, third)
    assert descriptors() == before


def test_a_standard_stream_that_is_closed_becomes_dev_null() -> None:
    with open(os.devnull) as lowest:  # noqa: PTH123 - its descriptor is what is wanted
        closed = lowest.fileno()
    machine = Machine()
    machine.standard_streams = range(closed - 1, closed + 1)
    before, status = descriptors(), os.fstat(closed - 1)
    fill_standard_streams(machine)
    try:
        assert is_null(closed)
        assert os.path.samestat(os.fstat(closed - 1), status)
        assert descriptors() == before | {str(closed)}
    finally:
        os.close(closed)


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("streams", [("stdin",), ("stdout",), ("stderr",), ("stdin", "stdout", "stderr")])
@pytest.mark.slow
def test_with_workers_a_standard_stream_is_inherited_too(streams: Sequence[str], workers: str) -> None:
    """Slow: a supervisor and each of its workers start a Python."""
    number = ("stdin", "stdout", "stderr").index(streams[0])
    command = [sys.executable, "-m", "caas_trio", "--workers", workers, f"fd://{number}"]
    with listening() as sock:
        elsewhere = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
        given = {**elsewhere, **dict.fromkeys(streams, sock.fileno())}
        with subprocess.Popen(command, **given) as process:  # type: ignore[call-overload]
            address = sock.getsockname()
            sock.close()
            for _ in range(4):
                with socket.create_connection(address, timeout=30) as client:
                    client.sendall(b"a\nb")
                    client.shutdown(socket.SHUT_WR)
                    assert client.makefile("rb").read() == b"A\nB"
            process.terminate()
            assert process.wait(timeout=30) == 0
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(address)


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.slow
def test_sockets_never_take_the_numbers_of_standard_streams(workers: str, tmp_path: Path) -> None:
    """Slow: a supervisor and each of its workers start a Python."""
    path = f"{tmp_path}/s"
    start = 'exec "$@" <&- >&- 2>&-'
    service = [sys.executable, "-m", "caas_trio", "--workers", workers, f"unix:{path}"]
    with subprocess.Popen(["/bin/sh", "-c", start, "sh", *service]) as process:
        while not Path(path).exists():
            assert process.poll() is None
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(30)
            client.connect(path)
            client.sendall(b"a\n")
            assert client.recv(100) == b"A\n"
        process.terminate()
        assert process.wait(timeout=30) == 0


def test_sockets_of_each_family_are_taken(hand_down: Callable[[socket.socket], int], tmp_path: Path) -> None:
    path = f"{tmp_path}/s"
    assert taken(f"fd://{hand_down(listening(socket.AF_UNIX, path))}") == [f"unix:{path}"]
    assert Path(path).is_socket()  # whose it is to remove
    abstract = f"{tmp_path.name}{os.getpid()}"
    assert taken(f"fd://{hand_down(listening(socket.AF_UNIX, chr(0) + abstract))}") == [f"unix:@{abstract}"]
    mapped = socket.socket(socket.AF_INET6)
    mapped.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    mapped.bind(("::ffff:127.0.0.1", 0))
    mapped.listen()
    [four] = taken(f"fd://{hand_down(mapped)}")
    assert four.startswith("tcp://127.0.0.1:")
    [six] = taken(f"fd://{hand_down(listening(socket.AF_INET6, ('::1', 0)))}")
    assert six.startswith("tcp://[::1]:")


def test_an_address_without_text_is_shown_as_configured(
    hand_down: Callable[[socket.socket], int],
) -> None:
    number = hand_down(listening(socket.AF_UNIX, b"\0a\nb"))
    assert taken(f"fd://{number}") == [f"fd://{number}"]


def test_a_descriptor_that_is_no_listener_is_refused_and_left_open(
    hand_down: Callable[[socket.socket], int],
) -> None:
    number = hand_down(socket.socket())
    assert reason(f"fd://{number}") == f"descriptor {number} is a socket that does not listen"
    number = hand_down(socket.socket(type=socket.SOCK_DGRAM))
    assert reason(f"fd://{number}") == f"descriptor {number} is no stream socket"
    number = hand_down(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW))
    assert reason(f"fd://{number}") == f"descriptor {number} belongs to no family that is served"
    assert os.get_inheritable(number)
    with open(os.devnull) as file:  # noqa: PTH123 - its descriptor is what is wanted
        os.set_inheritable(file.fileno(), True)  # noqa: FBT003
        assert reason(f"fd://{file.fileno()}") == f"descriptor {file.fileno()} is no socket"
    assert reason(f"fd://{FIRST + 90}") == f"descriptor {FIRST + 90} is not open"


def test_a_socket_of_our_own_is_not_mistaken_for_an_inherited_one(
    hand_down: Callable[[socket.socket], int],
) -> None:
    why = "was not passed to this process, or is in use already"
    with listening() as own:
        assert reason(f"fd://{own.fileno()}") == f"descriptor {own.fileno()} {why}"
        assert own.getsockname()
    number = hand_down(listening())
    with inherit(Endpoint.parse(f"fd://{number}"))[0].sock:
        assert reason(f"fd://{number}") == f"descriptor {number} {why}"


Say = Callable[[str | None, str | None, str | None], None]


def test_systemd_passes_sockets_by_name_or_all(
    hand_down: Callable[[socket.socket], int], systemd: Say, tmp_path: Path
) -> None:
    hand_down(listening(socket.AF_UNIX, f"{tmp_path}/a"))
    hand_down(listening(socket.AF_UNIX, f"{tmp_path}/b"))
    hand_down(listening(socket.AF_UNIX, f"{tmp_path}/c"))
    systemd(str(os.getpid()), "3", "web:local:web")
    assert taken("systemd:web") == [f"unix:{tmp_path}/a", f"unix:{tmp_path}/c"]
    assert not {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} & set(os.environ)
    assert reason("systemd:other") == "no socket of that name was passed; there are: web, local, web"
    assert taken("systemd:local") == [f"unix:{tmp_path}/b"]
    hand_down(listening(socket.AF_UNIX, f"{tmp_path}/d"))
    systemd(str(os.getpid()), "4", None)
    assert reason("systemd:") == f"descriptor {FIRST} is not open"
    assert (
        reason("systemd:web")
        == "no socket of that name was passed; there are: unknown, unknown, unknown, unknown"
    )


def test_each_kind_is_taken_by_itself(
    hand_down: Callable[[socket.socket], int], systemd: Say, tmp_path: Path
) -> None:
    hand_down(listening(socket.AF_UNIX, f"{tmp_path}/a"))
    datagrams = socket.socket(type=socket.SOCK_DGRAM)
    datagrams.bind(("127.0.0.1", 0))
    port = datagrams.getsockname()[1]
    hand_down(datagrams)
    systemd(str(os.getpid()), "2", "lines:both")
    assert reason("systemd:both") == "no stream socket of that name was passed"
    assert taken("systemd:") == [f"unix:{tmp_path}/a"]
    assert taken("systemd:", socket.SOCK_DGRAM) == [f"udp://127.0.0.1:{port}"]
    local = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    local.bind(f"{tmp_path}/d")
    assert taken(f"fd://{hand_down(local)}", socket.SOCK_DGRAM) == [f"unixgram:{tmp_path}/d"]


def test_what_is_no_socket_is_refused_by_the_server_of_connections(
    hand_down: Callable[[socket.socket], int], systemd: Say
) -> None:
    """It may be passed beside datagram sockets, whose server leaves it alone."""
    number = hand_down(socket.socket())
    with open(os.devnull) as file:  # noqa: PTH123 - its descriptor is what is wanted
        os.dup2(file.fileno(), number)
    systemd(str(os.getpid()), "1", None)
    before = descriptors()
    assert reason("systemd:") == f"descriptor {number} is no socket"
    with pytest.raises(ListenError, match="no datagram socket of that name was passed"):
        inherit(Endpoint.parse("systemd:"), socket.SOCK_DGRAM, LATER)
    assert descriptors() == before


def test_a_socket_that_listens_is_told_from_other_descriptors() -> None:
    before = descriptors()
    with listening() as sock, socket.socket() as another, open(os.devnull) as file:  # noqa: PTH123 - as above
        found = [is_listening(each.fileno()) for each in (sock, another, file)]
        assert found == [True, False, False]
        assert sock.fileno() >= 0
        assert sock.getsockname()
    assert not is_listening(FIRST)
    assert descriptors() == before


def test_all_are_taken_or_none(hand_down: Callable[[socket.socket], int], systemd: Say) -> None:
    first = hand_down(listening())
    second = hand_down(socket.socket())
    systemd(str(os.getpid()), "2", None)
    assert reason("systemd:") == f"descriptor {second} is a socket that does not listen"
    assert reason(f"fd://{first}") == f"descriptor {first} is not open"


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ((None, None, None), "no socket was passed to it (LISTEN_FDS is not set)"),
        ((None, "1", None), "no socket was passed to it (LISTEN_FDS is not set)"),
        (("1", "1", None), "the sockets were passed to process 1, and this is {pid}"),
        (("{pid}", "-1", None), "LISTEN_FDS is '-1', not a number of sockets"),
        (("{pid}", "10000", None), "LISTEN_FDS is '10000', not a number of sockets"),
        (("{pid}", "2", "a"), "LISTEN_FDS says 2, and LISTEN_FDNAMES names 1"),
        (("{pid}", "0", None), "no socket of that name was passed"),
    ],
    ids=str,
)
def test_a_missing_systemd_socket_is_refused(
    systemd: Say, said: tuple[str | None, str | None, str | None], why: str
) -> None:
    own = str(os.getpid())  # not among the parameters: each worker of pytest-xdist has another one
    pid, *rest = said
    systemd(pid and pid.format(pid=own), *rest)
    assert reason("systemd:a") == why.format(pid=own)


async def test_each_socket_has_a_listener(
    hand_down: Callable[[socket.socket], int], systemd: Say, tmp_path: Path
) -> None:
    hand_down(listening(socket.AF_UNIX, f"{tmp_path}/a"))
    hand_down(listening(socket.AF_UNIX, f"{tmp_path}/b"))
    systemd(str(os.getpid()), "2", "web:web")
    asked = Endpoint.parse("systemd:web")
    listeners = await listen_all([asked, Endpoint.parse(f"unix:{tmp_path}/c")], machine=LATER)
    assert [str(each.endpoint) for each in listeners] == [f"unix:{tmp_path}/{name}" for name in "abc"]
    assert [each.asked for each in listeners[:2]] == [asked, asked]
    for each in listeners:
        each.close()
    left = {each.name for each in tmp_path.iterdir()}  # noqa: ASYNC240 - nothing else runs
    assert left == {"a", "b"}


async def test_a_client_queued_before_the_start_is_served(
    driver: DriverName, hand_down: Callable[[socket.socket], int], nursery: trio.Nursery
) -> None:
    sock = listening()
    early = trio.SocketStream(trio.socket.from_stdlib_socket(socket.create_connection(sock.getsockname())))
    await early.send_all(b"he")
    await early.socket.send(b"l", socket.MSG_OOB)
    await early.send_all(b"lo\n")
    await early.send_eof()
    await nursery.start(
        partial(serve_sessions, lambda: LineSession(bytes.upper), f"fd://{hand_down(sock)}", driver=driver)
    )
    assert b"".join([data async for data in early]) == b"HELLO\n"
    await early.aclose()
    nursery.cancel_scope.cancel()


async def test_a_client_that_came_before_the_service_has_its_options(
    driver: DriverName, hand_down: Callable[[socket.socket], int], nursery: trio.Nursery
) -> None:
    sock = listening()
    with socket.create_connection(sock.getsockname()) as early:
        served = trio.Event()
        found: list[list[int]] = []

        async def handler(connection: Connection) -> None:
            found.append(options_of(early.getsockname()))
            served.set()

        options = SocketOptions(keepalive=7, user_timeout=9)
        endpoint = f"fd://{hand_down(sock)}"
        await nursery.start(partial(serve, handler, endpoint, driver=driver, sockets=options))
        await served.wait()
    nursery.cancel_scope.cancel()
    assert found == [[7, 9000]]


def options_of(peer: object) -> list[int]:
    """Return keepalive and user timeout of the socket in this process whose peer has this address."""
    for number in descriptors():
        with suppress(OSError), socket.socket(fileno=os.dup(int(number))) as sock:
            if sock.getpeername() == peer:
                names = (socket.TCP_KEEPIDLE, socket.TCP_USER_TIMEOUT)
                return [sock.getsockopt(socket.IPPROTO_TCP, name) for name in names]
    raise AssertionError("no such connection")


async def test_a_passed_socket_keeps_its_backlog_unless_another_is_asked_for(
    hand_down: Callable[[socket.socket], int],
) -> None:
    for asked, got in ((None, 3), (5, 5)):
        sock = listening()
        sock.listen(3)
        endpoint = Endpoint.parse(f"fd://{hand_down(sock)}")
        [listener] = await listen_all([endpoint], options=SocketOptions(backlog=asked))
        with closing(listener):
            assert backlog_of(listener.sockets[0]) == got


async def test_proxy_on_accepts_systemd_names(
    hand_down: Callable[[socket.socket], int], systemd: Say
) -> None:
    for _ in range(3):
        hand_down(listening())
    systemd(str(os.getpid()), "3", "proxied:plain:proxied")
    proxied, plain = Endpoint.parse("systemd:proxied"), Endpoint.parse("systemd:plain")
    trust = Trust(proxy_on=frozenset({proxied}))
    header = b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 25\r\n"
    async with trio.open_nursery() as nursery:
        session = partial(LineSession, bytes.upper)
        start = partial(serve_sessions, session, proxied, plain, trust=trust, machine=LATER)
        bound: list[Endpoint] = await nursery.start(start)
        heard = []
        for endpoint in bound:
            async with await trio.open_tcp_stream(endpoint.host, endpoint.port) as client:
                await client.send_all(header + b"hello\n")
                await client.send_eof()
                heard.append(b"".join([data async for data in client]))
        nursery.cancel_scope.cancel()
    assert heard == [b"HELLO\n", b"HELLO\n", header.upper() + b"HELLO\n"]


async def test_an_app_is_served_on_every_socket_that_is_passed(
    hand_down: Callable[[socket.socket], int], systemd: Say, nursery: trio.Nursery
) -> None:
    hand_down(listening())
    datagrams = socket.socket(type=socket.SOCK_DGRAM)
    datagrams.bind(("127.0.0.1", 0))
    hand_down(datagrams)
    systemd(str(os.getpid()), "2", None)
    everything = [Endpoint.parse("systemd:"), Endpoint.parse(f"fd://{hand_down(listening())}")]
    serve = partial(serve_app, App(service=bytes.upper), everything, limits=Limits(), machine=LATER)
    udp, *both = await nursery.start(serve)
    for tcp in both:
        async with await trio.open_tcp_stream(tcp.host, tcp.port) as client:
            await client.send_all(b"a\n")
            assert await client.receive_some() == b"A\n"
    with trio.socket.socket(type=socket.SOCK_DGRAM) as sender:
        await sender.sendto(b"b", (udp.host, udp.port))
        assert await sender.recv(100) == b"B"
    assert len(both) == 2
    nursery.cancel_scope.cancel()


async def test_connections_and_datagrams_go_to_their_own_servers(
    hand_down: Callable[[socket.socket], int], systemd: Say, tmp_path: Path
) -> None:
    hand_down(listening(socket.AF_UNIX, f"{tmp_path}/a"))
    datagrams = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    datagrams.bind(f"{tmp_path}/b")
    hand_down(datagrams)
    hand_down(listening(socket.AF_UNIX, f"{tmp_path}/c"))
    systemd(str(os.getpid()), "3", None)
    opened = [
        *await listen_all([Endpoint.parse(f"unixgram:{tmp_path}/e")], socket.SOCK_DGRAM),
        *await listen_all([Endpoint.parse(f"unix:{tmp_path}/f")]),
    ]
    asked = [Endpoint.parse(text) for text in ("udp://127.0.0.1:0", "systemd:", f"unix:{tmp_path}/d")]

    async def serve(
        kind: socket.SocketKind, *endpoints: Endpoint, task_status: trio.TaskStatus[list[Endpoint]]
    ) -> None:
        listeners = await listen_all(endpoints, kind, machine=LATER)
        assert {sock.type for each in listeners for sock in each.sockets} == {kind}
        opened.extend(listeners)
        task_status.started([each.endpoint for each in listeners])

    async with trio.open_nursery() as nursery:
        bound = await nursery.start(
            partial(serve_mixed, machine=LATER),
            partial(serve, socket.SOCK_STREAM),
            partial(serve, socket.SOCK_DGRAM),
            [*asked, *opened],
        )
    for each in opened:
        each.close()
    first, *others = [str(endpoint) for endpoint in bound]
    assert first.startswith("udp://127.0.0.1:")
    assert others == [
        f"{scheme}:{tmp_path}/{name}"
        for scheme, name in (
            *(("unixgram", "b"), ("unix", "a"), ("unix", "c"), ("unix", "d")),
            *(("unixgram", "e"), ("unix", "f")),
        )
    ]
