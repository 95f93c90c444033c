"""`Rules`: which replies are withheld, by a second implementation, for ports at the bounds."""

from __future__ import annotations

from typing import Final

from caas_trio.core.datagramrules import Datagram, Drop, Rules

_PORTS: Final = (0, 1, 7, 1023, 1024, 1025, 50007, 65535)
_OWN: Final = (1023, 1024, 50007, 65535)
#: How many bytes a reply has more than its request.
_MORE: Final = (-1, 0, 1, 0)


def check_rules(choice: int, lengths: int) -> None:
    """Compare the rules for one datagram with what they are to be.

    Args:
        choice: a byte, which chooses the ports of sender and server and `reply_to_servers`.
        lengths: a byte, which chooses the lengths of request and reply and `to_many`.
    """
    port, own, to_servers = _PORTS[choice & 7], _OWN[choice >> 3 & 3], bool(choice & 32)
    request, to_many = lengths & 7, bool(lengths & 32)
    reply = max(0, request + _MORE[lengths >> 3 & 3])
    datagram = Datagram(bytes(request), ("192.0.2.1", port), to_many=to_many)
    withheld = Rules(("192.0.2.9", own), reply_to_servers=to_servers).withheld(datagram, bytes(reply))
    if reply > request:
        due = Drop.LONGER
    elif to_many:
        due = Drop.TO_MANY
    elif port == 0:
        due = Drop.NO_ADDRESS
    elif not to_servers and port in {1, 7, 1023, own}:
        due = Drop.SERVER
    else:
        due = None
    assert withheld is due, f"{withheld} instead of {due}: {reply} bytes for {request}, port {port} to {own}"
