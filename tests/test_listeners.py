"""Listening sockets: what is opened, what is refused and why, what is left behind."""

from __future__ import annotations

import errno
import math
import socket
import stat
import struct
from collections.abc import Collection
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest

from caas_trio import Endpoint, EndpointError, LimitError, ListenError, SocketOptions
from caas_trio.drivers.machine import MACHINE, Machine
from caas_trio.program.sharedsockets import SharedSockets
from caas_trio.server.listeners import listen, listen_all, set_backlog

from .support.machines import HookedMachine, failing


async def reason(text: str, machine: Machine = MACHINE) -> str:
    """Return why it cannot be listened on."""
    with pytest.raises(ListenError) as caught:
        await listen(Endpoint.parse(text), machine=machine)
    assert caught.value.endpoint == text
    assert "\n" not in caught.value.reason
    return caught.value.reason


async def test_port_0_is_replaced_by_the_real_port() -> None:
    listener = await listen(Endpoint.parse("tcp://127.0.0.1:0"))
    assert listener.endpoint.port == listener.sockets[0].getsockname()[1] > 0
    assert str(listener.asked) == "tcp://127.0.0.1:0"
    assert listener.sockets[0].getblocking() is False
    listener.close()
    assert listener.sockets[0].fileno() == -1


Found: TypeAlias = list[tuple[int, int, int, str, tuple[Any, ...]]]

#: A name with two addresses, one of them listed twice.
TWINS: Final = [("127.0.0.1", 0), ("127.0.0.2", 0), ("127.0.0.1", 0)]


class NamingMachine(Machine):
    """A machine that finds these addresses for every name, or fails to; the binds with these numbers fail."""

    def __init__(
        self, *found: tuple[Any, ...], failure: Exception | None = None, taken: Collection[int] = ()
    ) -> None:
        self.found = found
        self.failure = failure
        self.taken = taken
        self.bound: list[tuple[Any, ...]] = []

    async def getaddrinfo(self, *_: object, kind: int, **__: object) -> Found:
        if self.failure is not None:
            raise self.failure
        families = {2: socket.AF_INET, 4: socket.AF_INET6}
        return [(families[len(each)], kind, 6, "", each) for each in self.found]

    def new_socket(self, family: int, kind: int) -> socket.socket:
        sock = BindingSocket(family, kind)
        sock.machine = self
        return sock


class BindingSocket(socket.socket):
    """A socket whose machine notes where it is bound."""

    machine: NamingMachine

    def bind(self, address: Any) -> None:
        self.machine.bound.append(address)
        if len(self.machine.bound) in self.machine.taken:
            raise OSError(errno.EADDRINUSE, "in use")
        super().bind(address)


async def test_all_addresses_of_a_name_get_the_same_port() -> None:
    listener = await listen(Endpoint.parse("tcp://twins.example:0"), machine=NamingMachine(*TWINS))
    port = listener.endpoint.port
    assert [sock.getsockname() for sock in listener.sockets] == [("127.0.0.1", port), ("127.0.0.2", port)]
    assert str(listener.endpoint) == f"tcp://twins.example:{port}"
    listener.close()


async def test_another_port_is_tried_if_one_address_has_it_in_use() -> None:
    machine = NamingMachine(*TWINS, taken={2})
    listener = await listen(Endpoint.parse("tcp://twins.example:0"), machine=machine)
    assert [host for host, *_ in machine.bound] == ["127.0.0.1", "127.0.0.2", "127.0.0.1", "127.0.0.2"]
    listener.close()


@pytest.mark.parametrize(("port", "tries"), [(0, 8), (50007, 1)])
async def test_a_given_port_is_tried_once_and_a_free_one_eight_times(port: int, tries: int) -> None:
    machine = NamingMachine(*TWINS, taken=range(2, 100, 2))
    assert await reason(f"tcp://twins.example:{port}", machine) == "the address is in use"
    assert [host for host, *_ in machine.bound] == ["127.0.0.1", "127.0.0.2"] * tries


async def test_an_unsupported_address_family_is_skipped() -> None:
    machine = NamingMachine(("2001:db8::1", 0, 1, 2), ("127.0.0.1", 0))
    listener = await listen(Endpoint.parse("tcp://both.example:0"), machine=machine)
    assert [sock.family for sock in listener.sockets] == [socket.AF_INET]
    assert machine.bound == [("2001:db8::1", 0, 1, 2), ("127.0.0.1", 0)]
    listener.close()


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
async def test_ipv4_and_ipv6_wildcards_may_share_a_port(
    kind: socket.SocketKind,
) -> None:
    scheme = "tcp" if kind is socket.SOCK_STREAM else "udp"
    [six] = await listen_all([Endpoint.parse(f"{scheme}://[::]:0")], kind)
    with closing(six):
        assert six.sockets[0].getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
        [four] = await listen_all([Endpoint.parse(f"{scheme}://0.0.0.0:{six.endpoint.port}")], kind)
        four.close()


async def test_accepted_tcp_sockets_have_nodelay() -> None:
    listener = await listen(Endpoint.parse("tcp://127.0.0.1:0"))
    with closing(listener), socket.create_connection(listener.sockets[0].getsockname()):
        accepted, _ = listener.sockets[0].accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def backlog_of(sock: socket.socket) -> int:
    """Return how many connections may wait on a listening TCP socket: what Linux has in `tcpi_sacked`."""
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 32)
    return int(struct.unpack_from("I", info, 28)[0])


def tcp_options(sock: socket.socket) -> tuple[int, ...]:
    """Return keepalive on or off, its three numbers, and the user timeout in milliseconds."""
    names = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)
    asks = sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    return (asks, *(sock.getsockopt(socket.IPPROTO_TCP, name) for name in names))


async def test_what_is_accepted_has_the_options_of_its_endpoint() -> None:
    for options, wanted in (
        (SocketOptions(), (1, 60, 15, 4, 300000)),
        (SocketOptions(keepalive=1, user_timeout=1.5), (1, 1, 1, 4, 1500)),
        (SocketOptions(keepalive=32767, user_timeout=2147483), (1, 32767, 8192, 4, 2147483000)),
    ):
        [listener] = await listen_all([Endpoint.parse("tcp://127.0.0.1:0")], options=options)
        with closing(listener), socket.create_connection(listener.sockets[0].getsockname()):
            accepted, _ = listener.sockets[0].accept()
            with accepted:
                assert tcp_options(accepted) == wanted


async def test_a_client_cannot_come_before_the_options_of_its_endpoint(tmp_path: Path) -> None:
    seen: list[tuple[int, ...]] = []

    def look(sock: socket.socket, _: int) -> None:
        if sock.family == socket.AF_INET:
            seen.append(tcp_options(sock))

    endpoints = [Endpoint.parse(text) for text in ("tcp://127.0.0.1:0", f"unix:{tmp_path}/a")]
    listeners = await listen_all(
        endpoints,
        unix_mode=0o640,
        options=SocketOptions(keepalive=8, user_timeout=2, backlog=7),
        machine=HookedMachine(listen=look),
    )
    assert [listener.asked for listener in listeners] == endpoints
    assert stat.S_IMODE((tmp_path / "a").lstat().st_mode) == 0o640
    for listener in listeners:
        listener.close()
    assert seen == [(1, 8, 2, 4, 2000)] * 2


async def test_options_can_be_changed_while_it_listens() -> None:
    [listener] = await listen_all([Endpoint.parse("tcp://127.0.0.1:0")])
    with closing(listener):
        off = SocketOptions(keepalive=math.inf, user_timeout=math.inf)
        assert await listen_all([listener], options=off) == [listener]
        asks, *_, user_timeout = tcp_options(listener.sockets[0])
        assert (asks, user_timeout) == (0, 0)


async def test_the_backlog_limits_waiting_connections() -> None:
    [listener] = await listen_all([Endpoint.parse("tcp://127.0.0.1:0")], options=SocketOptions(backlog=2))
    with closing(listener):
        assert backlog_of(listener.sockets[0]) == 2
        set_backlog(listener, SocketOptions())
        assert backlog_of(listener.sockets[0]) > 100


async def test_an_open_listener_is_not_listened_on_again() -> None:
    """The process that does so last is the one that a successor stops: the supervisor, not a worker."""
    [listener] = await listen_all([Endpoint.parse("tcp://127.0.0.1:0")], options=SocketOptions(backlog=2))
    with closing(listener):
        await listen_all([listener], options=SocketOptions(backlog=7))
        assert backlog_of(listener.sockets[0]) == 2


@pytest.mark.parametrize("backlog", [1, (1 << 31) - 1])
def test_a_backlog_may_be_as_small_or_as_large_as_the_kernel_takes_it(backlog: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        sock.listen(SocketOptions(backlog=backlog).backlog or 0)
        assert backlog_of(sock) == min(backlog, backlog_of(sock))


async def test_a_reload_changes_the_backlog_of_sockets_that_stay() -> None:
    endpoints = [Endpoint.parse("tcp://127.0.0.1:0"), Endpoint.parse("udp://127.0.0.1:0")]
    change_to = partial(SharedSockets.changed_to, endpoints=endpoints, unix_mode=0o600, takeover=False)
    first = await change_to(SharedSockets(), options=SocketOptions(backlog=2))
    second = await change_to(first, options=SocketOptions(backlog=7))
    try:
        assert backlog_of(second.groups[0][0].sockets[0]) == 7
    finally:
        second.close()


async def test_the_backlog_limits_waiting_connections_on_a_unix_socket(tmp_path: Path) -> None:
    path = f"{tmp_path}/a"
    [listener] = await listen_all([Endpoint.parse(f"unix:{path}")], options=SocketOptions(backlog=2))
    with closing(listener), ExitStack() as clients:
        for _ in range(3):  # one more than the backlog, as listen(2) has it
            client = clients.enter_context(socket.socket(socket.AF_UNIX))
            client.setblocking(False)  # noqa: FBT003 - the socket module's signature
            client.connect(path)
        with pytest.raises(BlockingIOError):
            clients.enter_context(
                socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            ).connect(path)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"keepalive": 0.5}, "keepalive is 0.5; it must be 1 to 32767 seconds, or inf"),
        ({"keepalive": 32768}, "keepalive is 32768; it must be 1 to 32767 seconds, or inf"),
        ({"user_timeout": math.nan}, "user_timeout is nan; it must be 1 to 2147483 seconds, or inf"),
        ({"user_timeout": 1e9}, "user_timeout is .*; it must be 1 to 2147483 seconds, or inf"),
        ({"backlog": 0}, "backlog is 0; it must be 1 to 2147483647"),
        ({"backlog": 1 << 31}, "backlog is 2147483648; it must be 1 to 2147483647"),
    ],
)
def test_what_the_kernel_would_not_take_is_refused(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(LimitError, match=words):
        SocketOptions(**wrong)


async def test_a_tcp_address_in_use_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        text = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        assert await reason(text) == "the address is in use"


async def test_an_address_of_another_machine_is_refused() -> None:
    assert await reason("tcp://192.0.2.1:0") == "the address is not one of this machine's"


async def test_an_unknown_host_is_refused() -> None:
    machine = NamingMachine(failure=socket.gaierror(socket.EAI_NONAME, "Name or service not known"))
    found = await reason("tcp://nobody.example:1", machine)
    assert found == "the host is unknown (Name or service not known)"


async def test_no_thread_for_the_lookup_is_a_listen_error() -> None:
    machine = NamingMachine(failure=RuntimeError("can't start new thread"))
    assert await reason("tcp://somebody.example:1", machine) == "resource temporarily unavailable"


async def test_an_error_without_a_message_gets_the_systems() -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOBUFS, "No buffer space available")

    assert await reason("tcp://127.0.0.1:0", HookedMachine(bind=refuse)) == "no buffer space available"


async def test_an_error_without_a_number_keeps_its_words() -> None:
    def refuse(*_: object) -> None:
        raise OSError("An address of the day before")

    found = await reason("tcp://127.0.0.1:0", HookedMachine(bind=refuse))
    assert found == "an address of the day before"


@pytest.mark.parametrize("several", [False, True])
async def test_a_path_is_taken_over_only_if_asked_for(tmp_path: Path, *, several: bool) -> None:
    endpoint = Endpoint.parse(f"unix:{tmp_path}/caas.sock")
    with closing(await listen(endpoint)), pytest.raises(ListenError, match="another server listens on it"):
        await (listen_all([endpoint]) if several else listen(endpoint))


async def test_a_server_that_may_not_be_signalled_is_named(tmp_path: Path) -> None:
    endpoint = Endpoint.parse(f"unix:{tmp_path}/caas.sock")
    machine = HookedMachine(kill=failing(errno.EPERM), peer=lambda: (12345, 0, 0))
    with closing(await listen(endpoint)) as old:
        [new] = await listen_all([endpoint], takeover=True, machine=machine)
        with closing(new):
            with pytest.raises(ListenError) as caught:
                await new.take_over()
            old.withdraw()
            assert old.handed_over is True
    assert new.handed_over is False
    assert (caught.value.endpoint, caught.value.reason) == (str(endpoint), "operation not permitted")


async def test_a_withdrawn_unix_socket_still_serves_its_queue(tmp_path: Path) -> None:
    path = tmp_path / "caas.sock"
    listener = await listen(Endpoint.parse(f"unix:{path}"), unix_mode=0o600)
    assert stat.S_IMODE(path.lstat().st_mode) == 0o600
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        listener.withdraw()
        assert not list(tmp_path.iterdir())  # noqa: ASYNC240 - nothing else runs
        accepted, _ = listener.sockets[0].accept()
        accepted.close()
    listener.close()
    assert listener.sockets[0].fileno() == -1


async def test_a_path_in_a_missing_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert await reason(f"unix:{tmp_path}/none/caas.sock") == "the directory does not exist"
    assert await reason(f"unix:{tmp_path}/file/caas.sock") == "a part of the path is no directory"


async def test_a_file_in_the_way_of_the_lock_is_named(tmp_path: Path) -> None:
    path = tmp_path / "caas.sock"
    (tmp_path / "caas.sock.lock").mkdir()
    assert await reason(f"unix:{path}") == f"is a directory: {path}.lock"


@pytest.mark.parametrize("text", ["udp://127.0.0.1:0", "fd://3"])
async def test_datagram_endpoints_are_refused_for_sessions(text: str) -> None:
    with pytest.raises(EndpointError) as caught:
        await listen(Endpoint.parse(text))
    wanted = "sessions are served over tcp, tls, unix, fd and systemd endpoints"
    assert (caught.value.text, caught.value.reason) == (text, wanted)


@pytest.mark.parametrize("text", ["tcp://127.0.0.1:0", "unix:/run/caas.sock"])
async def test_stream_endpoints_are_refused_for_datagrams(text: str) -> None:
    with pytest.raises(EndpointError) as caught:
        await listen(Endpoint.parse(text), socket.SOCK_DGRAM)
    wanted = "datagrams are served over udp and unixgram endpoints"
    assert (caught.value.text, caught.value.reason) == (text, wanted)


async def test_all_are_opened_or_none(tmp_path: Path) -> None:
    path = tmp_path / "caas.sock"
    (tmp_path / "precious").touch()
    with pytest.raises(ListenError):
        await listen_all([Endpoint.parse(f"unix:{path}"), Endpoint.parse(f"unix:{tmp_path}/precious")])
    assert not path.exists()
