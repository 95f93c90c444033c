r"""Bodies of lines that a lone dot ends, as SMTP, POP3 and NNTP have them: `dot_stuff`, `dot_unstuff`.

A line of the body that begins with a dot gets one more (RFC 5321 section 4.5.2). Lines end with CR LF,
and a body with a bare CR or LF is refused: some reader will take "\n.\r\n" for the end.

No I/O, no clock, no trio.
"""

from __future__ import annotations

from typing import Final

from .errors import UsageError
from .terminator import CRLF, has_bare

DOT: Final = b"."
_END: Final = DOT + CRLF


def dot_stuff(body: bytes) -> bytes:
    """Return a body as it is sent: dots doubled, and the lone dot behind it.

    A last line without CR LF gets one.

    Raises:
        UsageError: the body has a bare CR or LF.
    """
    if has_bare(body):
        raise UsageError("a body with a bare CR or LF cannot be dot-stuffed")
    if body and not body.endswith(CRLF):
        body += CRLF
    return (CRLF + body).replace(CRLF + DOT, CRLF + DOT + DOT)[len(CRLF) :] + _END


def dot_unstuff(stuffed: bytes) -> bytes:
    """Return the body that was sent as `stuffed`, up to the lone dot and no further.

    Raises:
        UsageError: it has a bare CR or LF, or does not end with its only lone dot.
    """
    if has_bare(stuffed):
        raise UsageError("what was dot-stuffed has no bare CR or LF")
    if (CRLF + stuffed).find(CRLF + _END) != len(stuffed) - len(_END):
        raise UsageError("what was dot-stuffed ends with its only lone dot")
    body = CRLF + stuffed[: -len(_END)]
    return body.replace(CRLF + DOT, CRLF)[len(CRLF) :]
