"""The messages to the service manager: sd_notify(3), and sd_watchdog_enabled(3)."""

from __future__ import annotations

import math
import os
import socket
import time
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager, suppress
from typing import Final

_MICROSECONDS: Final = 1_000_000


class Notifier:
    """Reports the state of the service to a service manager; without one, it does nothing.

    Attributes:
        watchdog_interval: how many seconds may lie between two calls of `alive`: half of what the manager
            waits before it takes the service for dead. `math.inf` if it does not watch.
    """

    def __init__(self, address: str = "", watchdog_interval: float = math.inf) -> None:
        self.watchdog_interval = watchdog_interval
        self._ends = False
        self._address = f"\0{address[1:]}" if address.startswith("@") else address

    @classmethod
    def from_environment(cls, environment: MutableMapping[str, str] = os.environ) -> Notifier:
        """Return the notifier that the environment asks for.

        Its variables are unset: they are not for the processes that this one starts.
        """
        address, microseconds, pid = (
            environment.pop(name, "") for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
        )
        watched = pid in ("", str(os.getpid())) and microseconds.isascii() and microseconds.isdecimal()
        return cls(address, int(microseconds) / _MICROSECONDS / 2 or math.inf if watched else math.inf)

    def ready(self) -> None:
        """Report that the service serves, unless it is about to end."""
        if not self._ends:
            self._tell("READY=1")

    @contextmanager
    def reloading(self) -> Iterator[None]:
        """Report that the service reads its configuration again, and after the block that it is ready."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={now}")
        yield
        self.ready()

    def stopping(self) -> None:
        """Report that the service is about to end; from now on `alive` is not expected."""
        self._ends = True
        self._tell("STOPPING=1")

    def alive(self) -> None:
        """Report that the service goes on."""
        self._tell("WATCHDOG=1")

    def _tell(self, state: str) -> None:
        if not self._address:
            return
        # A manager that cannot be reached is no reason to stop serving.
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(state.encode(), self._address)
