"""A handler that keeps a core busy, in several processes on one port."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time

import caas_trio


async def handler(connection: caas_trio.Connection) -> None:
    """Serve one client; each line costs a millisecond of CPU time."""
    async for line in connection:
        work(0.001)
        await connection.send(line.upper())


def work(seconds: float) -> None:
    """Use so much CPU time, as parsing, rendering or hashing would."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def start(count: int = 2, port: int = 50007) -> int:
    """Serve in so many processes until SIGTERM or Ctrl-C; return the exit status."""
    workers: list[subprocess.Popen[bytes]] = []

    def stop(*_: object) -> None:
        for worker in workers:
            worker.terminate()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    for _ in range(count):
        # One socket each, on one port: the kernel deals new connections out.
        with socket.create_server(("127.0.0.1", port), reuse_port=True) as listening:
            port = listening.getsockname()[1]
            passed = listening.fileno()
            command = [sys.executable, __file__, f"fd://{passed}"]
            # Ctrl-C is for this process, which passes it on: a group of their own keeps it from them.
            workers.append(subprocess.Popen(command, pass_fds=[passed], process_group=0))
    return max(worker.wait() for worker in workers)


if __name__ == "__main__":
    match sys.argv[1:]:
        case [str(endpoint)] if endpoint.startswith("fd://"):
            caas_trio.run(handler, *sys.argv[1:])
        case arguments:
            sys.exit(start(*map(int, arguments)))
