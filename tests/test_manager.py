"""The service in a process of its own, under a service manager that this test plays."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

from .support.sockets import talk

#: What systemd does between fork and exec.
EXEC = """
import os, sys
for number, passed in enumerate(sys.argv[1:], 3):
    os.dup2(int(passed), 100 + number)
for number in (3, 4):
    os.dup2(100 + number, number)
    os.close(100 + number)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="2", LISTEN_FDNAMES="web:dns")
os.execv(sys.executable, [sys.executable, "-m", "caas_trio", "unix:@" + str(os.getppid()), "systemd:"])
"""


def test_passed_sockets_are_served_and_each_state_is_notified(tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        socket.socket(type=socket.SOCK_DGRAM) as taking,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager,
    ):
        manager.bind(f"{tmp_path}/notify")
        manager.settimeout(30)
        taking.bind(("127.0.0.1", 0))
        sockets = [listening.fileno(), taking.fileno()]
        environment = {**os.environ, "NOTIFY_SOCKET": f"{tmp_path}/notify", "WATCHDOG_USEC": "40000"}
        with subprocess.Popen(
            [sys.executable, "-c", EXEC, *map(str, sockets)],
            env=environment,
            pass_fds=sockets,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            try:
                port = listening.getsockname()[1]
                assert [process.stdout.readline() for _ in range(3)] == [
                    f"listening on unix:@{os.getpid()}\n",
                    f"listening on udp://127.0.0.1:{taking.getsockname()[1]}\n",
                    f"listening on tcp://127.0.0.1:{port}\n",
                ]
                heard = [manager.recv(100) for _ in range(4)]
                assert heard.count(b"READY=1") == 1
                assert heard.count(b"WATCHDOG=1") == 3
                assert talk(socket.create_connection(("127.0.0.1", port)), b"a\n") == b"A\n"
                with socket.socket(type=socket.SOCK_DGRAM) as client:
                    client.settimeout(30)
                    client.sendto(b"a", taking.getsockname())
                    assert client.recv(100) == b"A"
                process.terminate()
                while heard[-1] != b"STOPPING=1":
                    heard.append(manager.recv(100))
                assert process.wait() == 0
            finally:
                process.kill()
        # The socket is the manager's: a client that connects now waits for the next process.
        with socket.create_connection(("127.0.0.1", port)) as client, listening.accept()[0] as accepted:
            assert accepted.getpeername() == client.getsockname()
