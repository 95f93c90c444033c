"""Starts a server that cannot choose its port: `python external.py COMMAND...`, PORT in it replaced."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from types import FrameType

_STARTING = 10


def free_port() -> int:
    """Return a port that is free now; if it is taken before the server has it, nothing comes up."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def accepting(port: int) -> bool:
    """Return whether a port takes connections."""
    with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def main() -> None:
    """Run the command until SIGTERM, and end it with its children."""
    port = free_port()
    command = [word.replace("PORT", str(port)) for word in sys.argv[1:]]
    process = subprocess.Popen(command, start_new_session=True)

    def stop(_number: int, _frame: FrameType | None) -> None:
        os.killpg(process.pid, signal.SIGKILL)

    signal.signal(signal.SIGTERM, stop)
    deadline = time.monotonic() + _STARTING
    while process.poll() is None and not accepting(port) and time.monotonic() < deadline:
        time.sleep(0.02)  # it does not say when it listens
    print(f"listening on tcp://127.0.0.1:{port}", flush=True)
    process.wait()


if __name__ == "__main__":
    main()
