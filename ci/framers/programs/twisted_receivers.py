"""Twisted's `LineReceiver` or `LineOnlyReceiver`, as the argument says, as they are: CR LF, 16384 bytes."""

from __future__ import annotations

import os
import sys

from twisted.internet import reactor, stdio
from twisted.internet.protocol import connectionDone
from twisted.protocols import basic
from twisted.python.failure import Failure

from ci.framers.programs import shim


class Shim:
    """Tells what comes."""

    def lineReceived(self, line: bytes) -> None:  # noqa: N802 - Twisted's name
        """Report a line."""
        shim.line(line)

    def lineLengthExceeded(self, line: bytes) -> None:  # noqa: N802 - Twisted's name
        """Report an error, then do what Twisted does."""
        shim.error(f"{len(line)} bytes")
        super().lineLengthExceeded(line)  # type: ignore[misc]

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: ARG002, N802
        """Report the end."""
        shim.tell("end", "")
        os._exit(0)


kind = {"LineReceiver": basic.LineReceiver, "LineOnlyReceiver": basic.LineOnlyReceiver}[sys.argv[1]]
stdio.StandardIO(type("Receiver", (Shim, kind), {})())  # type: ignore[no-untyped-call]
reactor.run()  # type: ignore[misc]
