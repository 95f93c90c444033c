"""Stream sockets of a simulated host: what a script of calls cannot compare with the real kernel."""

from __future__ import annotations

import errno
import socket
import struct

import pytest

from caas_trio.testing.files import EPOLLIN, EPOLLOUT
from caas_trio.testing.links import Conditions
from caas_trio.testing.streams import StreamSocket

from .support import Lab, error_of, received


def code(call: object, *arguments: object) -> str:
    """Return the name of the error that a call raises."""
    with pytest.raises(OSError) as raised:  # noqa: PT011 - whichever it is
        call(*arguments)  # type: ignore[operator]
    return errno.errorcode[raised.value.errno or 0]


def test_a_send_takes_what_both_buffers_hold_and_goes_on_when_they_are_read() -> None:
    lab = Lab()
    client, server = lab.pair()
    data = bytes(range(256)) * 1024
    sent = client.send(data)
    assert sent == lab.client.send_buffer + lab.server.receive_buffer
    assert code(client.send, b"x") == "EAGAIN"
    assert not client.ready & EPOLLOUT
    got = b""
    while chunk := received(server, 10_000):
        got += chunk
    assert got == data[:sent]
    assert client.ready & EPOLLOUT


def test_the_sender_of_a_unix_socket_pays_for_what_is_unread() -> None:
    lab = Lab()
    listening = StreamSocket(lab.server, socket.AF_UNIX)
    listening.bind("\0name")
    listening.listen(1)
    client = StreamSocket(lab.server, socket.AF_UNIX)
    assert client.connect_ex("\0name") == 0
    server, address = listening.accept()
    assert address == ""
    assert client.getpeername() == b"\0name"
    assert client.send(b"x" * 100_000) == lab.server.send_buffer
    received(server, lab.server.send_buffer // 2)
    assert client.send(b"x" * 100_000) == lab.server.send_buffer // 2


def test_the_queue_is_one_longer_than_the_backlog_and_later_clients_try_again() -> None:
    lab = Lab()
    listening = lab.listening(backlog=1)
    clients = [lab.connecting() for _ in range(4)]
    lab.wait()
    assert [bool(client.ready & EPOLLOUT) for client in clients] == [True, True, False, False]
    accepted = [listening.accept()[0]]
    lab.wait(1)  # the first retransmission
    accepted += [listening.accept()[0], listening.accept()[0]]
    assert sum(bool(client.ready & EPOLLOUT) for client in clients) == 3
    lab.wait(2)
    accepted.append(listening.accept()[0])
    assert all(client.ready & EPOLLOUT for client in clients)


def test_a_client_gives_up_after_its_retries() -> None:
    lab = Lab()
    lab.there.partition()
    client = lab.connecting()
    lab.wait(126)
    assert client.connecting
    lab.wait(1)
    assert error_of(client) == errno.ETIMEDOUT


def test_a_lost_answer_to_a_syn_is_asked_for_again() -> None:
    lab = Lab()
    listening = lab.listening()
    lab.back.partition()
    client = lab.connecting()
    lab.wait()
    lab.back.repair()
    lab.wait(1)
    assert client.ready & EPOLLOUT
    assert listening.ready & EPOLLIN


def test_a_client_that_has_left_during_the_handshake_takes_no_place() -> None:
    lab = Lab(Conditions(latency=0.1))
    listening = lab.listening(backlog=0)
    left = lab.connecting()
    lab.wait(0.15)
    left.close()
    lab.wait(0.1)
    client = lab.connecting()
    lab.wait(1)
    assert client.ready & EPOLLOUT
    assert listening.accept()[1] == client.getsockname()


def test_a_listener_that_is_closed_resets_what_waits_and_what_arrives() -> None:
    lab = Lab(Conditions(latency=0.1))
    listening = lab.listening()
    first = lab.connecting()
    lab.wait(0.2)
    second = lab.connecting()
    lab.wait(0.25)
    listening.close()
    lab.wait(1)
    assert code(first.recv, 1) == code(second.recv, 1) == "ECONNRESET"


def test_accepting_fails_without_a_descriptor_and_as_planned() -> None:
    lab = Lab()
    listening = lab.listening()
    lab.server.descriptors.limit = 1
    lab.connecting()
    lab.wait()
    assert code(listening.accept) == "EMFILE"
    lab.server.descriptors.limit = 2
    lab.server.accept_errors = [errno.ENOBUFS, errno.ENFILE]
    assert [code(listening.accept) for _ in range(2)] == ["ENOBUFS", "ENFILE"]
    accepted, _ = listening.accept()
    assert code(StreamSocket, lab.server, socket.AF_INET) == "EMFILE"
    fd = accepted.fileno()
    accepted.close()
    assert StreamSocket(lab.server, socket.AF_INET).fileno() == fd


def test_data_and_its_end_take_their_time_in_order() -> None:
    lab = Lab(Conditions(latency=0.5))
    client, server = lab.pair(2)
    client.send(b"a")
    lab.wait(0.1)
    client.send(b"b")
    client.shutdown(socket.SHUT_WR)
    lab.wait(0.4)
    assert received(server) == b"a"
    assert code(server.recv, 1) == "EAGAIN"
    lab.wait(0.1)
    assert received(server) == b"b"
    assert server.recv(1) == b""


def test_a_reset_destroys_what_has_not_departed_and_arrives_behind_what_has() -> None:
    lab = Lab(Conditions(latency=0.5))
    client, server = lab.pair(2)
    client.send(b"x" * 100_000)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    lab.wait(0.5)
    assert len(received(server)) == lab.server.receive_buffer
    assert code(server.recv, 1) == "ECONNRESET"
    assert server.recv(1) == b""


def test_a_close_with_unread_input_resets() -> None:
    lab = Lab()
    client, server = lab.pair()
    client.send(b"unread")
    server.close()
    assert code(client.recv, 1) == "ECONNRESET"


def test_what_arrives_after_a_close_is_answered_with_a_reset() -> None:
    lab = Lab(Conditions(latency=0.5))
    client, server = lab.pair(2)
    client.send(b"on its way")
    server.close()
    lab.wait(0.5)
    assert client.recv(1) == b""
    lab.wait(0.5)
    assert code(client.send, b"x") == "EPIPE"


def test_a_rate_spreads_the_bytes_over_time() -> None:
    lab = Lab(Conditions(rate=1000))
    client, server = lab.pair(1)
    client.send(b"x" * 500)
    client.send(b"y" * 500)
    lab.wait(0.6)
    assert received(server) == b"x" * 500
    lab.wait(0.5)
    assert received(server) == b"y" * 500


def test_a_stream_is_cut_at_any_byte_and_loses_none() -> None:
    lab = Lab(Conditions(cuts=0.9, stall=0.1, stall_time=1))
    client, server = lab.pair()
    data = bytes(range(200))
    client.send(data)
    pieces = []
    for _ in range(10_000):
        pieces.append(received(server))
        lab.wait(0.001)
    assert b"".join(pieces) == data
    assert len(list(filter(None, pieces))) > 3


def test_a_seed_may_reset_a_connection_after_some_bytes() -> None:
    lab = Lab(Conditions(reset=1, reset_within=100))
    client, server = lab.pair()
    sent = 0
    while not error_of(client):
        sent += client.send(b"x")
    assert sent <= 100
    assert len(received(server)) == sent - 1
    assert code(server.recv, 1) == "ECONNRESET"
    assert lab.kernel.trace[-1].what == "broken off"


def test_a_test_may_reset_all_connections_between_two_hosts() -> None:
    lab = Lab()
    client, server = lab.pair()
    lab.there.reset()
    lab.there.reset()
    assert error_of(client) == error_of(server) == errno.ECONNRESET


def test_what_is_held_arrives_when_it_is_released() -> None:
    lab = Lab()
    client, server = lab.pair()
    lab.there.hold()
    client.send(b"a")
    client.send(b"b")
    server.send(b"back")
    lab.wait(100)
    assert received(server) == b""
    assert received(client) == b"back"
    lab.there.release()
    assert received(server) == b"ab"


def test_what_is_sent_over_a_link_that_became_fast_overtakes_nothing() -> None:
    lab = Lab()
    client, server = lab.pair()
    lab.there.conditions = Conditions(latency=1)
    client.send(b"first ")
    lab.there.conditions = Conditions()
    client.send(b"second")
    lab.wait(0.5)
    assert received(server) == b""
    lab.now += 0.5  # the event is due, and has not run
    client.send(b", third")
    assert received(server) == b""
    lab.wait()
    assert received(server) == b"first second, third"
    client.send(b"fourth")
    assert received(server) == b"fourth"


def test_what_is_sent_over_a_link_that_became_fast_does_not_overtake_the_handshake() -> None:
    lab = Lab(Conditions(latency=1))
    with lab.listening() as listening:
        client = lab.connecting()
        lab.wait(2)
        lab.there.conditions = Conditions()
        client.send(b"early")
        assert lab.kernel.trace[-1].what == "sent"
        lab.wait(1)
        assert received(listening.accept()[0]) == b"early"


def test_a_send_may_take_fewer_bytes_than_there_is_room_for() -> None:
    client, server = Lab().pair()
    client.max_sent = 3
    assert client.send(b"abcde") == 3
    assert client.send(b"de") == 2
    assert received(server) == b"abcde"


def test_a_pair_is_what_socketpair_makes() -> None:
    ours = StreamSocket(Lab().server, socket.AF_UNIX)
    real = socket.socketpair()
    for one, other in ((ours, ours.pair()), real):
        for sock in (one, other):
            assert (sock.getsockname(), sock.getpeername()) == ("", "")
            sock.setblocking(False)  # noqa: FBT003 - the socket module's signature
        one.send(b"there")
        other.send(b"back")
        assert (received(other), received(one)) == (b"there", b"back")
        one.close()
        assert other.recv(1) == b""
        assert code(other.send, b"x") == "EPIPE"
        other.close()


def test_a_stream_goes_on_after_a_partition_when_it_next_tries() -> None:
    lab = Lab()
    client, server = lab.pair()
    lab.there.partition()
    lab.there.partition()
    client.send(b"a")
    client.shutdown(socket.SHUT_WR)
    lab.wait(3)
    lab.there.repair()
    lab.there.repair()
    lab.wait(2.9)
    assert received(server) == b""
    lab.wait(0.1)
    assert received(server) == b"a"
    assert server.recv(1) == b""


def test_a_reset_that_is_lost_is_not_repeated() -> None:
    lab = Lab()
    client, server = lab.pair()
    client.send(b"unread")
    lab.back.partition()
    server.close()
    lab.back.repair()
    lab.wait(1000)
    assert code(client.recv, 1) == "EAGAIN"


def test_addresses_in_use_and_not_there_are_refused() -> None:
    lab = Lab()
    listening = lab.listening(host="10.0.0.1")
    other = StreamSocket(lab.server, socket.AF_INET)
    other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    assert code(other.bind, ("10.0.0.1", 7)) == "EADDRINUSE"
    assert code(other.bind, ("10.0.0.2", 7)) == "EADDRNOTAVAIL"
    assert code(other.bind, ("::1", 7)) == "EADDRNOTAVAIL"
    assert code(lab.connecting().connect, ("10.0.0.1", 7)) == "EALREADY"
    assert code(StreamSocket(lab.client, socket.AF_INET).connect, ("10.9.9.9", 7)) == "EHOSTUNREACH"
    other.bind(("127.0.0.1", 7))
    other.listen()
    assert listening.getsockname() == ("10.0.0.1", 7)
    assert StreamSocket(lab.server, socket.AF_INET).getsockname() == ("0.0.0.0", 0)  # noqa: S104


def test_two_sockets_may_share_a_port_until_one_listens() -> None:
    lab = Lab()
    socks = [StreamSocket(lab.server, socket.AF_INET) for _ in range(2)]
    for sock in socks:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("", 7))
    socks[0].listen()
    assert code(socks[1].listen) == "EADDRINUSE"


def test_the_most_specific_listener_gets_the_client() -> None:
    lab = Lab()
    everywhere, here = StreamSocket(lab.server, socket.AF_INET), StreamSocket(lab.server, socket.AF_INET)
    for sock, host in ((everywhere, ""), (here, "10.0.0.1")):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, 7))
    here.listen()
    lab.connecting()
    lab.wait()
    assert here.accept()[1][0] == lab.client.addresses[0]


def test_ports_are_taken_in_turn_until_there_is_none() -> None:
    lab = Lab()
    lab.server.descriptors.limit = 100_000
    for _ in range(65536 - 32768):
        StreamSocket(lab.server, socket.AF_INET).bind(("", 0))
    assert code(StreamSocket(lab.server, socket.AF_INET).bind, ("", 0)) == "EADDRINUSE"


def test_paths_in_use_and_of_another_kind_are_refused() -> None:
    lab = Lab()
    listening = StreamSocket(lab.server, socket.AF_UNIX)
    listening.bind("/run/caas")
    assert code(StreamSocket(lab.server, socket.AF_UNIX).bind, "/run/caas") == "EADDRINUSE"
    assert code(StreamSocket(lab.server, socket.AF_UNIX).connect, "/run/nobody") == "ENOENT"
    assert code(StreamSocket(lab.client, socket.AF_UNIX).connect, "/run/caas") == "ENOENT"
    listening.listen(0)
    StreamSocket(lab.server, socket.AF_UNIX).connect("/run/caas")
    assert code(StreamSocket(lab.server, socket.AF_UNIX).connect, "/run/caas") == "EAGAIN"


def test_over_ipv6_addresses_have_four_parts() -> None:
    lab = Lab()
    listening = StreamSocket(lab.server, socket.AF_INET6)
    listening.bind(("::", 7))
    listening.listen()
    client = StreamSocket(lab.client, socket.AF_INET6)
    client.connect_ex((lab.server.addresses[1], 7))
    lab.wait()
    _, address = listening.accept()
    assert address == client.getsockname() == (lab.client.addresses[1], 32768, 0, 0)


def test_a_socket_that_was_bound_to_all_addresses_has_one_once_connected() -> None:
    lab = Lab()
    lab.listening()
    client = StreamSocket(lab.client, socket.AF_INET)
    client.bind(("", 99))
    client.connect_ex((lab.server.addresses[0], 7))
    assert client.getsockname() == (lab.client.addresses[0], 99)
    assert code(client.send, b"x") == "EAGAIN"


def test_it_reads_into_a_buffer_and_never_blocks() -> None:
    lab = Lab()
    client, server = lab.pair()
    client.send(b"abc")
    buffer = bytearray(10)
    assert server.recv_into(buffer) == 3
    assert buffer[:3] == b"abc"
    client.send(b"abc")
    assert server.recv_into(buffer, 2) == 2
    assert server.gettimeout() == 0
    with pytest.raises(ValueError, match="never blocks"):
        server.setblocking(True)  # noqa: FBT003 - the socket module's signature
    assert server.getsockopt(socket.SOL_SOCKET, 99, 4) == bytes(4)


def test_data_under_way_at_a_reset_is_dropped() -> None:
    for ends in (StreamSocket.close, lambda sock: sock.shutdown(socket.SHUT_WR)):
        lab = Lab(Conditions(latency=1))
        client, server = lab.pair(5)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.send(b"a")
        ends(client)
        lab.back.reset()
        lab.wait(5)
        assert code(server.recv, 1) == "ECONNRESET"
        assert server.recv(1) == b""


def test_data_for_a_socket_that_has_reset_is_dropped() -> None:
    lab = Lab(Conditions(latency=1))
    client, server = lab.pair(5)
    client.send(b"a")
    server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    server.close()
    lab.wait(5)
    assert code(client.recv, 1) == "ECONNRESET"


def test_a_closed_client_gets_no_refusal() -> None:
    lab = Lab(Conditions(latency=1))
    client = lab.connecting()
    client.close()
    other = lab.connecting()
    lab.wait(1)
    other.close()
    lab.wait(5)
    assert not any("failed" in event.what for event in lab.kernel.trace)


def test_a_shutdown_ends_a_handshake() -> None:
    lab = Lab(Conditions(latency=1))
    lab.listening()
    client = lab.connecting()
    client.shutdown(socket.SHUT_WR)
    assert error_of(client) == errno.ECONNRESET
    assert code(client.getpeername) == "ENOTCONN"


def test_what_has_arrived_can_be_read_when_the_peer_has_forgotten_the_connection() -> None:
    lab = Lab()
    client, server = lab.pair()
    client.send(b"last")
    lab.there.reset()
    assert code(client.connect, ("10.0.0.1", 7)) == "ECONNRESET"
    assert server.recv(10) == b"last"
