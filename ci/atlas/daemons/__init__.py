"""The daemons: where each comes from, what it speaks, and the smallest configuration it serves with."""

from __future__ import annotations

from . import chats, files, libraries, mail, others, stores
from .daemon import Daemon

DAEMONS: tuple[Daemon, ...] = (
    *mail.DAEMONS,
    *files.DAEMONS,
    *chats.DAEMONS,
    *stores.DAEMONS,
    *others.DAEMONS,
    *libraries.DAEMONS,
)
