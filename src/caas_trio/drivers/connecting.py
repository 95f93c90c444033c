"""Streams to servers: `open_stream`."""

from __future__ import annotations

from typing import Any, Final

import trio

from caas_trio.core.endpoint import Endpoint, Scheme
from caas_trio.core.errors import EndpointError

from .machine import MACHINE, Machine

#: The schemes of endpoints that can be connected to.
CONNECTABLE: Final = (Scheme.TCP, Scheme.TLS, Scheme.UNIX)


def connectable(endpoint: Endpoint) -> Endpoint:
    """Return the endpoint.

    Raises:
        EndpointError: it does not take connections, or is known to this process only.
    """
    if endpoint.scheme not in CONNECTABLE:
        known = ", ".join(scheme.value for scheme in CONNECTABLE)
        raise EndpointError(str(endpoint), f"connections can be made to {known}")
    return endpoint


async def open_stream(endpoint: Endpoint, machine: Machine = MACHINE) -> trio.SocketStream:
    """Return a stream to a server, in plain, which the caller closes.

    Raises:
        OSError: there is no connection; `reason_of` says why.
    """
    if endpoint.scheme is Scheme.UNIX:
        return await machine.open_unix(unix_address(endpoint))
    return await machine.open_tcp(endpoint.host, endpoint.port)


def server_name(host: str) -> str:
    """Return the name that the certificate for a host must have: without a last dot or a zone."""
    return host.partition("%")[0].rstrip(".")


def unix_address(endpoint: Endpoint) -> str:
    """Return what the kernel calls a Unix socket's path."""
    path = endpoint.path
    return f"\0{path[1:]}" if path.startswith("@") else path


def reason_of(error: OSError) -> str:
    """Return why there is no connection, in the kernel's words where trio has wrapped them."""
    wrapped = error.__cause__
    if isinstance(wrapped, ExceptionGroup):
        errors: tuple[Any, ...] = wrapped.exceptions  # one for each address that was tried
        error = errors[0]
    return (error.strerror or str(error)).rpartition(": ")[2].lower()
