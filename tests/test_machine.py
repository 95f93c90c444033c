"""The real machine, as the seam to it shows it."""

from __future__ import annotations

import os
import resource
import socket
import stat
from pathlib import Path

import pytest
import trio

from caas_trio.drivers.machine import MACHINE, finite

from .support.sockets import descriptors


async def test_a_tcp_port_is_connected_to() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        async with await MACHINE.open_tcp(*listening.getsockname()) as stream:
            await stream.send_all(b"a")
            with listening.accept()[0] as accepted:
                assert accepted.recv(10) == b"a"


async def test_a_unix_socket_is_connected_to() -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"\0caas-machine-{os.getpid()}")
        listening.listen()
        async with await MACHINE.open_unix(listening.getsockname().decode()) as stream:
            await stream.send_all(b"a")
            with listening.accept()[0] as accepted:
                assert accepted.recv(10) == b"a"


async def test_where_nobody_listens_nothing_is_left_open() -> None:
    await trio.lowlevel.checkpoint()
    before = descriptors()
    with pytest.raises(ConnectionRefusedError):
        await MACHINE.open_unix(f"\0caas-nobody-{os.getpid()}")
    assert descriptors() == before


async def test_an_accepted_socket_is_as_the_socket_module_would_have_it() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        socket.create_connection(listening.getsockname()) as client,
        socket.create_connection(listening.getsockname()),
    ):
        accepted, address = MACHINE.accept(listening, socket.AF_INET, socket.SOCK_STREAM)
        other, _ = listening.accept()
        with accepted, other:
            assert address == accepted.getpeername() == client.getsockname()
            for attribute in ("family", "type", "proto"):
                assert getattr(accepted, attribute) == getattr(other, attribute)
            client.send(b"seven..")
            assert MACHINE.waiting(accepted) == 7
            async with MACHINE.stream(accepted) as stream:
                assert await stream.receive_some() == b"seven.."


def test_a_new_socket_is_of_the_kind_asked_for() -> None:
    with MACHINE.new_socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        assert (sock.family, sock.type) == (socket.AF_UNIX, socket.SOCK_DGRAM)


async def test_a_name_is_resolved_for_one_kind_of_socket() -> None:
    found = await MACHINE.getaddrinfo("127.0.0.1", 7, kind=socket.SOCK_DGRAM)
    assert [(family, kind, address) for family, kind, _, _, address in found] == [
        (socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 7))
    ]


def test_a_spare_descriptor_takes_a_place_until_it_is_closed() -> None:
    before = descriptors()
    spare = MACHINE.open_spare()
    assert descriptors() == before | {str(spare)}
    assert not os.get_inheritable(spare)
    MACHINE.close(spare)
    assert descriptors() == before


def test_a_file_is_locked_until_it_is_closed(tmp_path: Path) -> None:
    path, moved = tmp_path / "lock", tmp_path / "moved"
    first = MACHINE.open_file(path, os.O_RDWR | os.O_CREAT, 0o600)
    MACHINE.lock_file(first)
    second = MACHINE.open_file(path, os.O_RDWR)
    with pytest.raises(BlockingIOError):
        MACHINE.lock_file(second)
    MACHINE.close(first)
    MACHINE.lock_file(second)
    MACHINE.close(second)
    moved.touch()
    MACHINE.rename(path, moved)
    assert list(tmp_path.iterdir()) == [moved]
    assert stat.S_IMODE(moved.stat().st_mode) == 0o600


def test_without_a_mode_a_file_is_made_as_by_any_program(tmp_path: Path) -> None:
    umask = os.umask(0o022)
    try:
        MACHINE.close(MACHINE.open_file(tmp_path / "file", os.O_RDWR | os.O_CREAT))
    finally:
        os.umask(umask)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o755


@pytest.mark.parametrize(
    ("uid", "trusted"),
    [(0, True), (os.geteuid(), True), (os.geteuid() + 1, False), (os.geteuid() + 2, False)],
)
def test_files_of_this_user_and_of_root_are_trusted(uid: int, trusted: bool) -> None:  # noqa: FBT001
    assert MACHINE.is_trusted(os.stat_result((stat.S_IFREG, 1, 1, 1, uid, 1, 0, 0, 0, 0))) is trusted


def test_a_signal_is_sent_to_one_process() -> None:
    MACHINE.kill(os.getpid(), 0)  # which only looks whether that is allowed
    with pytest.raises(ProcessLookupError):
        MACHINE.kill(2**22 + 1, 0)  # more than Linux gives out


def test_the_soft_limit_is_how_many_descriptors_there_may_be() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft - 1, hard))
    try:
        assert MACHINE.max_descriptors() == soft - 1
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert finite(resource.RLIM_INFINITY) is None
