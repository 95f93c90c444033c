"""The peer of a connection."""

from __future__ import annotations

import os
import socket

import pytest

from caas_trio import InternetPeer, LocalPeer
from caas_trio.core.peer import Peer, peer_behind, peer_of


@pytest.mark.parametrize(
    ("address", "peer", "text"),
    [
        (("192.0.2.1", 5), InternetPeer("192.0.2.1", 5), "192.0.2.1:5"),
        (("2001:db8::1", 5, 0, 0), InternetPeer("2001:db8::1", 5), "[2001:db8::1]:5"),
        (("::ffff:192.0.2.1", 5, 0, 0), InternetPeer("192.0.2.1", 5), "192.0.2.1:5"),
        (("0:0::FFFF:c000:201", 5, 0, 0), InternetPeer("192.0.2.1", 5), "192.0.2.1:5"),
        (("::ffff:1:2:3", 5, 0, 0), InternetPeer("::ffff:1:2:3", 5), "[::ffff:1:2:3]:5"),
        (("no ffff: address", 5), InternetPeer("no ffff: address", 5), "[no ffff: address]:5"),
    ],
)
def test_a_network_client_has_an_address(address: object, peer: Peer, text: str) -> None:
    with socket.socket() as unused:
        assert peer_of(unused, address) == peer
    assert str(peer) == text


def test_a_unix_client_has_process_credentials() -> None:
    client, server = socket.socketpair()
    with client, server:
        peer = peer_of(server, "")
    assert peer == LocalPeer(os.getpid(), os.geteuid(), os.getegid())
    assert str(peer) == f"pid {os.getpid()} uid {os.geteuid()}"


def test_a_unix_client_of_a_closed_socket_is_unknown() -> None:
    client, server = socket.socketpair()
    client.close()
    server.close()
    assert peer_of(server, "") == LocalPeer(-1, -1, -1)


def test_the_peer_of_a_connected_socket_is_known() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        with socket.create_connection(listening.getsockname()):
            accepted, address = listening.accept()
            with accepted:
                assert peer_behind(accepted) == InternetPeer(*address)
        with socket.socket() as unconnected:
            assert peer_behind(unconnected) == InternetPeer("", 0)
            assert str(peer_behind(unconnected)) == "an unknown address"


def test_the_peer_of_a_connected_unix_socket_has_credentials() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert peer_behind(ours) == LocalPeer(os.getpid(), os.geteuid(), os.getegid())
