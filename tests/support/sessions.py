"""Sessions that are not `LineSession`."""

from __future__ import annotations

from caas_trio import Session


class Echo(Session):
    """A session that needs nothing, and has no `on_silence`."""

    closing = False

    def open(self) -> bytes:
        """Return nothing: the client speaks first."""
        return b""

    def receive(self, data: bytes | bytearray | memoryview) -> bytes:
        """Return what was received."""
        return bytes(data)

    def end_of_input(self) -> bytes:
        """Close."""
        self.closing = True
        return b""
