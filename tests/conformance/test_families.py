"""The tables of cases: their ids, their order, and what their scripts send."""

from __future__ import annotations

import graphlib
import itertools
from pathlib import Path

import pytest

from caas_trio.conformance import CASES, Case, First, Oversize, Profile, Proxy, Service
from caas_trio.conformance.script import Connect, Expect, Send
from caas_trio.core.terminator import Terminator

#: Ids are permanent: what others have written down must go on meaning the same.
KNOWN = Path(__file__).with_name("case-ids.txt")

PROFILES = [
    Profile(first=first, max_line=limit, oversize=oversize, once=once)
    for first, (limit, oversize), once in itertools.product(
        First, [(None, None), *((100, policy) for policy in Oversize)], [False, True]
    )
] + [
    Profile(datagrams=True),
    Profile(oversize=Oversize.STREAM),
    *(Profile(oversize=policy, max_line=100, terminator=Terminator.CRLF) for policy in Oversize),
    Profile(terminator=Terminator.CRLF, once=True),
    Profile(service=Service.ECHO_BYTES),
    *(Profile(first=First.SERVER, proxy=proxy) for proxy in Proxy),
]


def group(case: Case) -> int:
    """Return when the runner comes to a case."""
    return 2 if case.alone else int(case.effort > 1)


def heavy(case: Case) -> bool:
    """Return whether the script of a case holds megabytes."""
    return case.effort > 1 and case.clause != "LOAD-5"


def test_ids_are_unique() -> None:
    ids = [case.id for case in CASES]
    assert len(ids) == len(set(ids))


def test_no_id_is_ever_lost() -> None:
    assert set(KNOWN.read_text(encoding="utf-8").split()) == {case.id for case in CASES}, (
        "an id is permanent: add new ones to case-ids.txt, and rename none"
    )


def test_every_case_named_by_another_is_there_and_none_waits_for_itself() -> None:
    by_id = {case.id: case for case in CASES}
    for case in CASES:
        for before in case.after:
            assert before in by_id, f"{case.id} waits for {before}"
            # Groups run one after the other: whoever waited for a later one would wait for ever.
            assert group(case) >= group(by_id[before]), case.id
            assert not by_id[before].sanity, case.id
    alone = [case.id for case in CASES if case.alone]
    for place, name in enumerate(alone):
        assert not set(by_id[name].after) & set(alone[place:]), f"{name} is alone, and waits for a later one"
    graphlib.TopologicalSorter({case.id: case.after for case in CASES}).prepare()


def test_no_case_without_a_cr_waits_for_one_that_has_some() -> None:
    """What a server makes of CRs says nothing about the others: one that drops them is judged on all else."""

    def sends_cr(case: Case) -> bool:
        profile = next(profile for profile in PROFILES if case.unfit(profile) is None)
        return any(isinstance(step, Send) and b"\r" in step.data for step in case.script(profile))

    streams = [case for case in CASES if not heavy(case) and "PROXY" not in case.id]
    with_cr = {case.id for case in streams if sends_cr(case)}
    assert len(with_cr) > 10
    assert [case.id for case in streams if case.id not in with_cr and with_cr & {*case.after}] == []


def test_the_sanity_cases_come_first() -> None:
    stream = [case for case in CASES if "DGRAM" not in case.id]
    assert [case.sanity for case in stream] == sorted((case.sanity for case in stream), reverse=True)


@pytest.mark.parametrize("profile", PROFILES, ids=repr)
def test_every_script_opens_each_connection_before_it_uses_it(profile: Profile) -> None:
    """And every script can be built for every profile that it fits."""
    for case in CASES:
        if case.unfit(profile) is not None or heavy(case):
            continue
        open_clients = set()
        for step in case.script(profile):
            if isinstance(step, Connect):
                open_clients.add(step.client)
            elif isinstance(step, Send | Expect):
                assert step.client in open_clients, case.id


def test_the_heavy_scripts_can_be_built_too() -> None:
    """Each for one profile only, since it holds as many bytes as it sends."""
    for case in CASES:
        profile = next(profile for profile in PROFILES if case.unfit(profile) is None)
        if heavy(case):
            assert sum(1 for _ in case.script(profile)) > 0, case.id


def test_every_case_fits_some_profile() -> None:
    for case in CASES:
        assert any(case.unfit(profile) is None for profile in PROFILES), case.id


def test_a_case_is_not_judged_if_its_line_is_longer_than_declared() -> None:
    case = next(case for case in CASES if case.id == "FRAME-7.4KiB/whole")
    assert case.unfit(Profile()) == "lines of 4096 bytes are beyond what the server declares to take"
    assert case.unfit(Profile(max_line=4096)) is None
