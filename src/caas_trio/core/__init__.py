"""The core: bytes in, bytes out. It waits for nothing, and has no clock and no trio.

It imports nothing of the other packages. What needs the machine at all is `tls`, which reads
certificates, and `peer`, which asks a socket for its other side; the others do no I/O.
"""
