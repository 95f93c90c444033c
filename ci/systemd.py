"""Holds the units in docs/deploy against systemd's own tools, and runs the service as the units say.

    python -m ci.systemd

`systemd-analyze verify` reads the units, `systemd-analyze security` judges the hardening, and
`systemd-socket-activate` plays the part of the socket unit, with this program in that of the manager
that is notified of the state of the service.
"""

from __future__ import annotations

import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

UNITS = Path(__file__).parents[1] / "docs" / "deploy"
SERVICE, SOCKETS = "caas-trio.service", "caas-trio.socket"
#: The program that the unit names, which is not there, and the one that is tried in its place.
NAMED = "/opt/caas-trio/bin/caas-trio"
TRIED = Path(sys.executable).with_name("caas-trio")
#: The most that `systemd-analyze security` may find the service exposed, of 100.
MAX_EXPOSURE = 12
TIMEOUT_S = 30


def main() -> int:
    """Check everything; return the exit status."""
    missing = [name for name in ("systemd-analyze", "systemd-socket-activate") if shutil.which(name) is None]
    if missing:
        print(f"not installed: {', '.join(missing)}; Debian has them in the package systemd")
        return 1
    with tempfile.TemporaryDirectory() as directory:
        here = Path(directory)
        service = (UNITS / SERVICE).read_text().replace(NAMED, str(TRIED))
        (here / SERVICE).write_text(service)
        shutil.copy(UNITS / SOCKETS, here)
        analyze(here)
        serve(
            here, setting(service, "ExecStart"), setting((UNITS / SOCKETS).read_text(), "FileDescriptorName")
        )
    print("the units are right, and the service runs as they say")
    return 0


def analyze(here: Path) -> None:
    """Check the units by `systemd-analyze`."""
    verify = ["systemd-analyze", "verify", "--man=no", f"./{SERVICE}", f"./{SOCKETS}"]
    found = subprocess.run(verify, cwd=here, check=False, stderr=subprocess.PIPE, text=True)
    expect((found.returncode, found.stderr), (0, ""))
    security = ["systemd-analyze", "security", "--offline=yes", f"--threshold={MAX_EXPOSURE}", f"./{SERVICE}"]
    subprocess.run(security, cwd=here, check=True, stdout=subprocess.DEVNULL)


def serve(here: Path, command: str, name: str) -> None:
    """Run the service's command on sockets that are passed under this name."""
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    path = here / "lines.sock"
    activate = [
        *("systemd-socket-activate", f"--listen=127.0.0.1:{port}", f"--listen={path}"),
        *(f"--fdname={name}:{name}", f"--setenv=NOTIFY_SOCKET={here / 'notify'}"),
        *shlex.split(command),
    ]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(here / "notify"))
        manager.settimeout(TIMEOUT_S)
        with subprocess.Popen(activate, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            try:
                for _ in range(2):
                    expect(process.stderr.readline()[:12], "Listening on")  # type: ignore[union-attr] # a pipe
                with socket.create_connection(("127.0.0.1", port)) as client:
                    expect(answer(client), b"HELLO\n")
                expect(manager.recv(100), b"READY=1")
                with socket.socket(socket.AF_UNIX) as client:
                    client.connect(str(path))
                    expect(answer(client), b"HELLO\n")
                process.send_signal(signal.SIGTERM)
                expect(manager.recv(100), b"STOPPING=1")
                expect(process.wait(TIMEOUT_S), 0)
                said = process.stdout.read()  # type: ignore[union-attr] # a pipe
                expect(said, f"listening on tcp://127.0.0.1:{port}\nlistening on unix:{path}\n")
            finally:
                process.kill()
    expect(path.is_socket(), wanted=True)  # it is systemd's to remove


def answer(client: socket.socket) -> bytes:
    """Return what a line is answered."""
    client.settimeout(TIMEOUT_S)
    client.sendall(b"hello\n")
    return client.recv(100)


def setting(unit: str, name: str) -> str:
    """Return the value of a setting that a unit has once."""
    [value] = re.findall(rf"^{name}=(.*)$", unit, re.MULTILINE)
    return str(value)


def expect(got: object, wanted: object) -> None:
    """Fail if they differ."""
    if got != wanted:
        raise AssertionError(f"{got!r}, and not {wanted!r}")


if __name__ == "__main__":
    sys.exit(main())
