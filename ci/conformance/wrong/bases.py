"""Bases of several wrong servers: right servers with one more place to go wrong."""

from __future__ import annotations

import select
import socket
import threading
from typing import ClassVar

from ci.conformance.reference import Conversation, Server, Settings


class ByLine(Conversation):
    """Knows the number of the line that it answers, from 1."""

    number = 0

    def serve(self, data: bytes) -> bytes:
        self.number += bool(data)
        return self.reply(data)

    def reply(self, data: bytes) -> bytes:
        """Return the reply to line `number`."""
        return super().serve(data)


class Impatient(Conversation):
    """Does something, once, when the client has been silent for a while."""

    seconds = 1.0
    was_silent = False
    heard = False
    prompted = False

    def say(self, data: bytes) -> None:
        self.prompted = self.prompted or data == self.settings.prompt
        super().say(data)

    def answer(self, data: bytes) -> tuple[bytes, bool]:
        self.heard = True
        return super().answer(data)

    def read(self) -> bytes:
        if not self.was_silent and self.is_waiting():
            self.sock.settimeout(self.seconds)
            try:
                return super().read()
            except TimeoutError:
                self.sock.settimeout(None)
                self.was_silent = True
                self.silence()
            finally:
                self.sock.settimeout(None)
        return super().read()

    def is_waiting(self) -> bool:
        """Return whether a silence counts now."""
        return True

    def silence(self) -> None:
        """Do what is wrong."""


class Unread(Conversation):
    """Notices a client that does not read its replies."""

    seconds = 0.2

    def say(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            if not select.select([], [self.sock], [], self.seconds)[1]:
                self.begins_to_wait()
                select.select([], [self.sock], [])
            left = left[self.sock.send(left, socket.MSG_DONTWAIT) :]

    def begins_to_wait(self) -> None:
        """Do something about it."""


class Numbered(Conversation):
    """Knows how many clients came before it."""

    clients = 0

    def __init__(self, sock: socket.socket, settings: Settings, server: Server) -> None:
        super().__init__(sock, settings, server)
        type(self).clients += 1
        self.client = self.clients


class Together(Numbered):
    """Knows the other clients, and how each leaves."""

    everybody: ClassVar[list[Together]] = []
    lock: ClassVar[threading.Lock] = threading.Lock()
    was_reset = False
    heard = False

    def run(self) -> None:
        with self.lock:
            self.everybody.append(self)
        try:
            super().run()
        finally:
            with self.lock:
                self.everybody.remove(self)
            self.left()

    def left(self) -> None:
        """Do something when the client has gone."""

    def read(self) -> bytes:
        try:
            data = super().read()
        except ConnectionResetError:
            self.was_reset = True
            raise
        self.heard = self.heard or bool(data)
        return data

    @property
    def others(self) -> list[Together]:
        """The clients that are there beside this one."""
        return [other for other in self.everybody if other is not self]
