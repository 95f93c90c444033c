"""The types of the command line's options, and how wrong usage is reported."""

from __future__ import annotations

import enum
import sys
from typing import Any, Final, NoReturn

import click

from caas_trio.core.endpoint import Endpoint, Scheme
from caas_trio.core.errors import EndpointError

from . import datagram
from .wire import CONNECTORS

#: The exit status of wrong usage.
WRONG_USAGE: Final = 2
_MAX_TIMEOUT_S: Final = 3600


def fail(message: str) -> NoReturn:
    """End with one line about what is wrong with the usage, or with the endpoint."""
    click.echo(f"caas-conformance: {message}", err=True)
    sys.exit(WRONG_USAGE)


class EndpointType(click.ParamType[Endpoint]):
    """An endpoint that the suite can reach."""

    name = "endpoint"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Endpoint:
        """Return the endpoint that `value` names."""
        try:
            endpoint = Endpoint.parse(value)
        except EndpointError as error:
            self.fail(str(error), param, ctx)
        if endpoint.scheme not in CONNECTORS and endpoint.scheme not in datagram.SCHEMES:
            known = ", ".join(
                scheme.value for scheme in Scheme if scheme in CONNECTORS or scheme in datagram.SCHEMES
            )
            self.fail(f"the suite reaches {known}, not {endpoint.scheme.value}", param, ctx)
        return endpoint


def values_of(kind: type[enum.Enum]) -> click.Choice[str]:
    """Return the type of an option that takes one of the values of `kind`."""
    return click.Choice([member.value for member in kind])


class SecondsType(click.ParamType[float]):
    """A number of seconds, more than 0."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return `value` as a number."""
        try:
            seconds = float(value)
        except ValueError:
            seconds = 0.0
        if not 0 < seconds <= _MAX_TIMEOUT_S:  # which nan is not either
            self.fail(
                f"{value!r} is not a number of seconds, more than 0 and at most {_MAX_TIMEOUT_S}", param, ctx
            )
        return seconds
