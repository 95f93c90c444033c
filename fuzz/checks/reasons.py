"""The reasons that errors may give; a reason in other words is not one that anybody wrote."""

from __future__ import annotations

import re
from typing import Final

_SHOWN: Final = "('.*'|\".*\")"  # by repr()

_OF_AN_ENDPOINT: Final = (
    "it must begin with (one of ([a-z]+, )+[a-z]+ and a colon|[a-z]+://)",
    "a colon must follow [a-z]+",
    "(host|port|path|fd|name) has no meaning for [a-z]+",
    "port -?[0-9]+ is not between 0 and 65535",
    "-?[0-9]+ is no descriptor's number",
    "a socket's name is printable ASCII without spaces or colons",
    f"the (port|descriptor) is a number in plain digits, not {_SHOWN}",
    "the (port|descriptor) has no more than 10 digits",
    r"a port must follow the host, as in tcp://127\.0\.0\.1:50007",
    "brackets are for IPv6 addresses",
    r"an IPv6 address is written in brackets, as in tcp://\[::1\]:50007",
    r"the host is missing; for every interface write 0\.0\.0\.0 or \[::\]",
    f"{_SHOWN} is (no host name|no IP address|an IPv4 address; write [0-9.]+)",
    "the path (is missing|contains control characters)",
    r"one slash begins an absolute path, as in unix:/run/caas\.sock",
)
_OF_A_PROXY_HEADER: Final = (
    "the input ended before it was complete",
    "nothing that begins like one",
    "not a line of version 1",
    "an invalid (address|port)",
    "no CRLF within 107 bytes",
    "an unknown address family or transport",
    "shorter than its addresses",
    "longer than 4096 bytes",
    "a TLV that is cut off",
    "a (second|wrong) checksum",
)


def _any_of(reasons: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(reasons))


ENDPOINT: Final = _any_of(_OF_AN_ENDPOINT)
PROXY_HEADER: Final = _any_of(_OF_A_PROXY_HEADER)
