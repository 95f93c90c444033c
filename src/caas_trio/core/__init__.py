"""The core: bytes in, bytes out. No I/O, no clock, no trio; it imports nothing of the other packages."""
