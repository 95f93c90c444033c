"""The conformance suite against our server on the simulated network, as `nox -s simulate` runs all of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from caas_trio.conformance import Verdict
from ci.simulate.conformance import JUDGED, judged, legs

#: One setting for each transport, and what is quickly judged of it.
QUICK = {
    "tcp --first=server --oversize=discard --max-line=100": ("SAY", "LIMIT-1", "CLOSE-2"),
    "tcp --first=either --oversize=stream --max-line=100 --proxy-protocol v2": ("PROXY-1", "PROXY-2"),
    "unix --first=client --oversize=reject --max-line=100": ("FRAME-3", "CLOSE-2"),
    "tls --first=client --oversize=stream --once": ("FRAME-4", "CLOSE-2"),
    "udp": ("DGRAM",),
    "unixgram": ("DGRAM",),
}


@pytest.mark.parametrize("name", QUICK)
def test_the_verdicts_are_those_on_real_sockets(name: str, tmp_path: Path) -> None:
    [leg] = [leg for leg in legs(tmp_path) if leg.name == name]
    outcome = judged(leg, [case for case in JUDGED if case.id.startswith(QUICK[name])])
    assert outcome.faults == []
    assert sum(verdict is Verdict.PASSED for verdict in outcome.verdicts.values()) > 10


@pytest.mark.slow
def test_all_cases_are_judged_in_one_setting(tmp_path: Path) -> None:
    """Slow: more than 300 cases, some of which send megabytes."""
    name = "tcp --first=client --oversize=discard --max-line=100"
    [leg] = [leg for leg in legs(tmp_path) if leg.name == name]
    outcome = judged(leg)
    assert outcome.faults == []
    fitting = {case.id for case in JUDGED if case.unfit(leg.profile) is None}
    assert {case for case, verdict in outcome.verdicts.items() if verdict is Verdict.PASSED} == fitting


def test_a_wrong_server_is_named(tmp_path: Path) -> None:
    leg = next(leg for leg in legs(tmp_path) if "--max-line=100" in leg.command)
    words = tuple("--max-line=99" if word == "--max-line=100" else word for word in leg.command)
    outcome = judged(replace(leg, command=words), [case for case in JUDGED if case.clause == "LIMIT-1"])
    assert outcome.faults
    assert all(" says of LIMIT-" in fault for fault in outcome.faults)
