"""The public surface: complete, reachable, and the core of it free of trio."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import get_type_hints

import pytest

import caas_trio
import caas_trio.observing
import caas_trio.testing
from caas_trio.core import telemetry
from caas_trio.core.telemetry import EVENTS

#: For an interpreter that loads nothing by itself.
PATH = f"import sys; sys.path[:0] = {[str(Path(caas_trio.__file__).parent.parent)]!r}; "


def test_every_public_name_is_reachable_once() -> None:
    assert len(set(caas_trio.__all__)) == len(caas_trio.__all__)
    for name in caas_trio.__all__:
        assert getattr(caas_trio, name) is not None


def test_the_types_of_public_signatures_can_be_named() -> None:
    for function in (caas_trio.serve, caas_trio.serve_sessions, caas_trio.serve_datagrams, caas_trio.run):
        assert get_type_hints(function)
    for event in EVENTS:
        hints = get_type_hints(getattr(caas_trio.Telemetry, event), vars(telemetry))
        ours = {
            hint.__name__
            for hint in hints.values()
            if getattr(hint, "__module__", "").startswith("caas_trio")
        }
        assert ours <= set(caas_trio.__all__), event


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'serve_threads'"):
        _ = caas_trio.serve_threads  # type: ignore[attr-defined]


def test_the_kit_for_tests_is_exported() -> None:
    names = {"Network", "serving", "check_any_split", "check_hostile"}
    assert names < {name for name in caas_trio.testing.__all__ if getattr(caas_trio.testing, name)}
    with pytest.raises(AttributeError, match="no attribute 'check_all'"):
        _ = caas_trio.testing.check_all  # type: ignore[attr-defined]


def test_the_service_observers_are_exported() -> None:
    for name in caas_trio.observing.__all__:
        assert issubclass(getattr(caas_trio.observing, name), caas_trio.Telemetry)
    with pytest.raises(AttributeError, match="no attribute 'Reports'"):
        _ = caas_trio.observing.Reports  # type: ignore[attr-defined]


def test_the_type_marker_is_shipped() -> None:
    assert (Path(caas_trio.__file__).parent / "py.typed").exists()


@pytest.mark.parametrize("module", ["framing", "session", "endpoint", "errors", "limits", "proxy_header"])
def test_the_core_does_not_import_trio(module: str) -> None:
    code = f"import sys, caas_trio.core.{module}; print('trio' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout == "False\n"


def test_the_service_handles_signals_before_it_loads_the_rest() -> None:
    code = "known = set(sys.modules); import caas_trio.__main__; print(*set(sys.modules) - known)"
    command = [sys.executable, "-I", "-c", PATH + code]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    own = {each for each in loaded if each.startswith("caas_trio")}
    assert own == {"caas_trio", "caas_trio.__main__", "caas_trio.program", "caas_trio.program.startup"}
    assert not {"trio", "typing", "socket"} & set(loaded)
