"""`caas_trio.LineBuffer`."""

from __future__ import annotations

import os

from caas_trio.core.errors import LineTooLong
from caas_trio.core.framing import LineBuffer
from ci.framers.programs import shim

buffer = LineBuffer(max_line=int(os.environ.get("MAX_LINE", "65536")))


def found() -> None:
    """Report the lines that are complete."""
    while True:
        try:
            data = buffer.next_line()
        except LineTooLong as error:
            shim.error(error)
            continue
        if data is None:
            return
        shim.line(data.removesuffix(b"\n"))


while data := os.read(0, 65536):
    buffer.feed(data)
    found()
buffer.end_of_input()
found()
shim.end()
