"""Starts a daemon: its packages are unpacked, its user is nobody, its folder and its port are its own.

It sees its packages' files where they belong: in a user namespace, which needs no privilege, `/usr` and
`/etc` are overlaid with them, and `/var` and `/run` are its own. Nothing outside is changed.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from .daemons.daemon import Daemon, Place

_USER = "nobody"
_GROUP = "nogroup"
_START_TIMEOUT_S = 60.0
#: Below those that Linux gives to clients.
_PORTS = range(20_000, 32_000)
_END_TIMEOUT_S = 5.0
#: A package that `apt-get --simulate` would install; one that it would upgrade has a version in brackets.
_TO_INSTALL = re.compile(r"^Inst (\S+) \(", re.MULTILINE)
#: Changes with what is installed.
_STATUS = Path("/var/lib/dpkg/status")
_SEEING = ("unshare", "--map-root-user", "--mount", "sh", "-c")
#: What Debian has in `/lib` comes to `/usr/lib`, as on the machine.
_UNPACK = ("tar", "--extract", "--keep-directory-symlink", "--no-same-owner", "--directory")
#: Runs "$@" where a daemon sees the folders `own` and `root`, as the user that `inside` changes to.
_SEEN = """
mount -t overlay overlay -o lowerdir="$root/usr:/usr" /usr &&
mount -t overlay overlay -o lowerdir="$own/etc:$root/etc:/etc" /etc &&
mount --bind "$own/var" /var && mount --bind "$own/run" /run && exec $inside "$@"
"""


class AbsentError(Exception):
    """A daemon cannot be started; the message says why, in one line."""


def version(daemon: Daemon, debs: Path) -> str:
    """Return the version of a daemon, whose packages are there.

    Raises:
        AbsentError: there is none.
    """
    if not daemon.origin:
        return "this repository"
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


def _missing(name: str, debs: Path) -> list[str]:
    """Return the packages that a package needs and this machine lacks; they are noted beside its file."""
    noted = debs / f"{name}.needs"
    if noted.exists() and noted.stat().st_mtime > _STATUS.stat().st_mtime:
        return noted.read_text().split()
    plan = subprocess.run(
        ["apt-get", "install", "--simulate", "-qq", "--no-install-recommends", name],
        capture_output=True,
        text=True,
        check=False,
    )
    needed = [each for each in _TO_INSTALL.findall(plan.stdout) if each != name]
    new = debs / f"{name}.needs.{os.getpid()}"
    new.write_text(" ".join(needed))
    new.replace(noted)
    return needed


def _unpacked(daemon: Daemon, debs: Path, root: Path) -> None:
    """Unpack a daemon's packages, and what they need."""
    (root / "etc").mkdir(parents=True)
    for name in ("lib", "bin", "sbin"):
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    wanted = (daemon.origin, *daemon.packages)
    needed = [each for name in wanted for each in _missing(name, debs)]
    for name in dict.fromkeys((*wanted, *needed)):
        files = subprocess.run(
            ["dpkg-deb", "--fsys-tarfile", _package(name, debs)], stdout=subprocess.PIPE, check=True
        )
        subprocess.run([*_UNPACK, root], input=files.stdout, check=True)
    # The user may read what only root could, and nothing is run as another user.
    subprocess.run(["chmod", "-R", "a+rX,u-s,g-s", root], check=True)


def _free_port() -> int:
    """Return a port that is free, and that no client is given meanwhile."""
    while True:
        port = _PORTS[secrets.randbelow(len(_PORTS))]
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
            else:
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
    place = Place(base / "own", _free_port(), _USER)
    try:
        for name in ("etc", "var/log", "var/spool", "var/lib", "var/tmp", "run"):
            (place.folder / name).mkdir(parents=True)
        (place.folder / "var/run").symlink_to("/run")
        command = daemon.start(place)
        if daemon.origin:
            _unpacked(daemon, debs, base / "root")
            command = [*_SEEING, _SEEN, "sh", *command]
        log = base / "output"
        with log.open("wb") as output:
            try:
                process = _started(command, place, output, _variables(daemon, base))
            except OSError as error:
                raise AbsentError(f"it cannot be started: {error}") from None
        try:
            _wait_until_it_listens(process, place, log)
            yield f"tcp://127.0.0.1:{place.port}"
        finally:
            _end(process)
    finally:
        shutil.rmtree(base, ignore_errors=True)


def _variables(daemon: Daemon, base: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("LANG", "PYTHONPATH") if name in os.environ}
    return {
        **kept,
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": str(base / "own"),
        "own": str(base / "own"),
        "root": str(base / "root"),
        "inside": "" if daemon.root else "unshare --map-user=65534 --map-group=65534",
    }


def _started(
    command: list[str], place: Place, output: IO[bytes], variables: dict[str, str]
) -> subprocess.Popen[bytes]:
    """Start a daemon as the unprivileged user, whom its folder belongs to."""
    dropped: dict[str, Any] = {}
    if os.geteuid() == 0:
        dropped = {"user": _USER, "group": _GROUP, "extra_groups": []}
        for path in (place.folder, *place.folder.rglob("*")):
            shutil.chown(path, _USER, _GROUP)
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        cwd=place.folder,
        env=variables,
        start_new_session=True,
        **dropped,
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a daemon and what it has started: it leads a session of its own."""
    for number in (15, 9):
        try:
            os.killpg(process.pid, number)
            process.wait(_END_TIMEOUT_S)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue
    process.wait()
