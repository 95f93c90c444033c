"""`caas-trio status URL`: the status of a running service in a terminal, once or repeatedly."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, Final, TextIO

import click
import h11
import trio

from caas_trio.core.endpoint import Endpoint
from caas_trio.core.errors import EndpointError
from caas_trio.core.printable import printable

#: How long (seconds) an answer may take, and how long it may be, in bytes.
_TIMEOUT_S: Final = 5.0
_MAX_ANSWER: Final = 1 << 20

#: The interval between two fetches (seconds).
_PERIOD_S: Final = 2.0

#: ECMA-48: to the first line; erase the rest of this one; erase all that follows.
_HOME, _ERASE_LINE, _ERASE_BELOW = "\x1b[H", "\x1b[K", "\x1b[J"


class AddressType(click.ParamType[Endpoint]):
    """Where a service answers to monitoring: the URL that it prints for `--metrics`, or HOST:PORT."""

    name = "url"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Endpoint:
        """Return the endpoint; see `click.ParamType.convert`."""
        authority, _, _ = str(value).removeprefix("http://").partition("/")
        try:
            return Endpoint.parse(f"tcp://{authority}")
        except EndpointError as error:
            self.fail(f"{value!r} is not as http://127.0.0.1:9464: {error.reason}", param, ctx)


@click.command()
@click.argument("url", type=AddressType())
@click.option("--watch", is_flag=True, help="Show it again every two seconds, until Ctrl-C.")
def status(url: Endpoint, *, watch: bool) -> None:
    """Show what a service does whose --metrics are at URL."""
    trio.run(_show, url, watch)


def run_status(arguments: Sequence[str], program: str) -> int:
    """Run the command and return its exit status.

    Raises:
        click.ClickException: the command line is wrong, or the service does not answer.
    """
    result: int | None = status.main(arguments, program, standalone_mode=False)
    return result or 0


async def _show(endpoint: Endpoint, watch: bool) -> None:  # noqa: FBT001 - trio.run's signature
    show(await fetch(endpoint), sys.stdout, watch=watch)
    while watch:
        await trio.sleep(_PERIOD_S)
        try:
            lines = await fetch(endpoint)
        except click.ClickException as error:  # it may be restarting
            lines = [error.message]
        show(lines, sys.stdout, watch=watch)


def show(lines: Sequence[str], output: TextIO, *, watch: bool) -> None:
    """Write lines; on a terminal, with `--watch`, over the lines before."""
    encoding = output.encoding or "utf-8"
    lines = [line.encode(encoding, "replace").decode(encoding) for line in lines]
    if watch and output.isatty():
        output.write(_HOME + "".join(f"{line}{_ERASE_LINE}\n" for line in lines) + _ERASE_BELOW)
    else:
        output.write("".join(f"{line}\n" for line in lines) + "\n" * watch)
    output.flush()


async def fetch(endpoint: Endpoint) -> list[str]:
    """Return the lines of a service's status; nothing in them reaches a terminal as anything but text.

    Raises:
        click.ClickException: there is no answer, or it does not come from a service.
    """
    answer = b""
    try:
        with trio.fail_after(_TIMEOUT_S):
            async with await trio.open_tcp_stream(endpoint.host, endpoint.port) as stream:
                answer = await _ask(endpoint, stream)
    except trio.TooSlowError:
        raise _failed(endpoint, f"no answer within {_TIMEOUT_S:.0f} seconds") from None
    except OSError as error:
        raise _failed(endpoint, (error.strerror or str(error)).lower()) from error
    except (h11.RemoteProtocolError, trio.BrokenResourceError) as error:
        raise _failed(endpoint, "it does not speak HTTP, or not to the end") from error
    return [printable(line) for line in answer.decode("utf-8", "replace").splitlines()]


async def _ask(endpoint: Endpoint, stream: trio.SocketStream) -> bytes:
    http = h11.Connection(h11.CLIENT)
    headers = [("Host", endpoint.authority), ("Connection", "close")]
    request = http.send(h11.Request(method="GET", target="/status", headers=headers)) or b""
    await stream.send_all(request + (http.send(h11.EndOfMessage()) or b""))
    body = b""
    while True:
        match http.next_event():
            case h11.NEED_DATA:
                http.receive_data(await stream.receive_some(65536))
            case h11.Response(status_code=code) if code != 200:  # noqa: PLR2004 - OK
                raise _failed(endpoint, f"it answers {code}, so it is no service with --metrics")
            case h11.Data(data=data):
                body += data
                if len(body) > _MAX_ANSWER:
                    raise _failed(endpoint, f"it answers more than {_MAX_ANSWER} bytes")
            case h11.EndOfMessage():
                return body


def _failed(endpoint: Endpoint, reason: str) -> click.ClickException:
    return click.ClickException(f"cannot read the status at {endpoint.authority}: {reason}")
