"""Plays systemd's part in a leg: opens a socket, becomes the server, and passes it on.

python -m ci.conformance.activated COMMAND...
"""

from __future__ import annotations

import os
import socket
import sys


def main() -> None:
    """Do what systemd does between fork and exec."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        os.dup2(sock.fileno(), 3)
        os.set_inheritable(3, True)  # noqa: FBT003 - if it was 3 already, dup2 has done nothing
        os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="judged")
        os.execv(sys.argv[1], sys.argv[1:])  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main()
