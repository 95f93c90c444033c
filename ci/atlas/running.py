"""Starts a daemon: its packages are unpacked, its user is nobody, its folder and its port are its own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .daemons import Daemon, Place

_USER = "nobody"
_GROUP = "nogroup"
_START_TIMEOUT_S = 20.0
_END_TIMEOUT_S = 5.0


class AbsentError(Exception):
    """A daemon cannot be started; the message says why, in one line."""


def version(daemon: Daemon, debs: Path) -> str:
    """Return the version of a daemon, whose packages are there.

    Raises:
        AbsentError: there is none.
    """
    shown = subprocess.run(
        ["dpkg-deb", "--show", "--showformat=${Version}", _package(daemon.origin, debs)],
        capture_output=True,
        text=True,
        check=True,
    )
    return shown.stdout


def _package(name: str, debs: Path) -> Path:
    """Return the file of a package, fetched if it is not there.

    Raises:
        AbsentError: there is none.
    """
    debs.mkdir(parents=True, exist_ok=True)
    if not (found := sorted(debs.glob(f"{name}_*.deb"))):
        subprocess.run(["apt-get", "download", "-q", name], cwd=debs, capture_output=True, check=False)
        found = sorted(debs.glob(f"{name}_*.deb"))
    if not found:
        raise AbsentError(f"Debian's package {name} cannot be fetched; `apt-get update` may help")
    return found[-1]


def _unpacked(daemon: Daemon, debs: Path, root: Path) -> None:
    for name in (daemon.origin, *daemon.libraries):
        subprocess.run(["dpkg-deb", "--extract", _package(name, debs), root], check=True)


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def _wait_until_it_listens(process: subprocess.Popen[bytes], place: Place, log: Path) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", place.port), 1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    said = log.read_text(errors="replace").strip().splitlines() or ["it says nothing"]
    raise AbsentError(f"it does not listen: {said[-1][:200]}")


@contextmanager
def running(daemon: Daemon, debs: Path) -> Iterator[str]:
    """Run a daemon for as long as the block lasts; yield its endpoint.

    Raises:
        AbsentError: it cannot be started.
    """
    base = Path(tempfile.mkdtemp(prefix="atlas-"))
    base.chmod(0o755)
    place = Place(base / "own", base / "root", _free_port(), _USER)
    place.folder.mkdir()
    place.root.mkdir()
    try:
        _unpacked(daemon, debs, place.root)
        command = daemon.start(place)
        dropped = {"user": _USER, "group": _GROUP, "extra_groups": []} if os.geteuid() == 0 else {}
        if dropped:
            for path in (place.folder, *place.folder.rglob("*")):
                shutil.chown(path, _USER, _GROUP)
        log = base / "output"
        with log.open("wb") as output:
            process = subprocess.Popen(  # type: ignore[call-overload]
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=place.folder,
                env=_environment(place),
                start_new_session=True,
                **dropped,
            )
        try:
            _wait_until_it_listens(process, place, log)
            yield f"tcp://127.0.0.1:{place.port}"
        finally:
            _end(process)
    finally:
        shutil.rmtree(base, ignore_errors=True)


def _environment(place: Place) -> dict[str, str]:
    libraries = [path for path in (place.root / "usr/lib").rglob("*") if path.is_dir()]
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    return {
        **kept,
        "HOME": str(place.folder),
        "LD_LIBRARY_PATH": ":".join(map(str, libraries)),
        "PYTHONPATH": str(place.root / "usr/lib/python3/dist-packages"),
    }


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a daemon and what it has started: it leads a session of its own."""
    for number in (15, 9):
        try:
            os.killpg(process.pid, number)
            process.wait(_END_TIMEOUT_S)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue
    process.wait()
