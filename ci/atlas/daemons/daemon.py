"""A daemon: where it comes from, what it speaks, and the smallest configuration it serves with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias


@dataclass(frozen=True)
class Place:
    """Where a daemon runs.

    Attributes:
        folder: its own; it is empty, and belongs to the user that the daemon runs as.
        port: where it has to listen, on 127.0.0.1.
        user: whom it runs as.
    """

    folder: Path
    port: int
    user: str

    def file(self, name: str, text: str) -> str:
        """Write a file, and return its path."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return str(path)

    def accounts(self, users: dict[str, int], groups: dict[str, int]) -> None:
        """Write the users and groups that it sees besides root and nobody."""
        users = {"root": 0, "nobody": 65534} | users
        groups = {"root": 0, "nogroup": 65534} | groups
        home = self.folder
        self.file(
            "etc/passwd", "".join(f"{name}:x:{uid}:{uid}::{home}:/bin/sh\n" for name, uid in users.items())
        )
        self.file("etc/group", "".join(f"{name}:x:{gid}:\n" for name, gid in groups.items()))


def own(name: str) -> str:
    """Return where a dialect of the atlas is."""
    return f"ci/atlas/dialects/{name}.toml"


#: Lets a program that sees itself as root become any user, as it believes.
AS_ANYBODY = ("env", "LD_PRELOAD=libuid_wrapper.so", "UID_WRAPPER=1", "UID_WRAPPER_ROOT=1")


def under_socat(place: Place, command: str) -> list[str]:
    """Return the command that runs another for each connection, and on it, as inetd does."""
    return [
        "/usr/bin/socat",
        f"TCP-LISTEN:{place.port},bind=127.0.0.1,reuseaddr,fork,backlog=200",
        f"EXEC:{command},nofork",
    ]


Start: TypeAlias = Callable[[Place], list[str]]


@dataclass(frozen=True)
class Daemon:
    """One server of the atlas.

    Attributes:
        name: what it is called.
        origin: the Debian package whose version is shown; empty for a server of this repository.
        dialect: what `--dialect` is given.
        start: writes its configuration, and returns its command.
        packages: those that it needs besides, and does not depend on.
        root: whether it wants to see itself as root: that of its namespace, who may do no more than nobody.
        jobs: how many cases run side by side.
    """

    name: str
    origin: str
    dialect: str
    start: Start
    packages: tuple[str, ...] = ()
    root: bool = False
    jobs: int = 4
