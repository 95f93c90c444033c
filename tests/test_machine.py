"""The real machine, as the seam to it shows it."""

from __future__ import annotations

import os
import socket

import pytest
import trio

from caas_trio.drivers.machine import MACHINE

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
