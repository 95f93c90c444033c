"""A service in three lines: `caas-trio --app shout:shout`."""


def shout(line: bytes) -> bytes:
    """Return the reply to a line; it has its LF, and so has the reply."""
    return line.upper()
