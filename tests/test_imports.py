"""What an import loads: a library user pays for nothing that the library does not use."""

from __future__ import annotations

import subprocess
import sys

import pytest

#: What the package depends on, by the names of the modules.
DEPENDENCIES = {"click", "h11", "jinja2", "outcome", "prometheus_client", "structlog", "trio"}


@pytest.mark.parametrize(
    ("statement", "loaded"),
    [
        ("import caas_trio", set()),
        ("from caas_trio import LineBuffer, LineSession, ProxyHeaderParser", set()),
        ("from caas_trio import serve, serve_sessions, serve_datagrams", {"outcome", "trio"}),
        ("from caas_trio import Connection, StreamRequestHandler", {"outcome", "trio"}),
        ("import caas_trio.testing.plugin, caas_trio.testing.timeline", set()),
        ("from caas_trio.conformance import judge", {"outcome", "trio"}),
        ("import caas_trio.program.cli", DEPENDENCIES - {"jinja2"}),
    ],
)
def test_an_import_loads_what_it_needs(statement: str, loaded: set[str]) -> None:
    code = f"import sys; {statement}; print(*sorted({DEPENDENCIES!r} & set(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(answer.stdout.split()) == loaded
