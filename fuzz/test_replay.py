"""Replay every seed and every old crasher through the checks, and hold the corpus to what it reaches."""

from __future__ import annotations

from pathlib import Path

import pytest

from .meter import Meter
from .targets import HERE, Target, targets

#: What no script reaches yet: bursts of more connections than one wake-up accepts, more refusals than
#: are let go gently, newcomers that wait, request handlers.
LEAST = {"server": 94}
INPUTS = [(target, path) for target in targets() for path in target.inputs()]
NAMES = [f"{path.parent.parent.name}/{path.parent.name}/{path.name}" for _, path in INPUTS]


@pytest.mark.parametrize(("target", "path"), INPUTS, ids=NAMES)
def test_an_input_that_is_kept_passes(target: Target, path: Path) -> None:
    target.check(path.read_bytes())  # raises where the promise is broken


@pytest.mark.parametrize("target", targets(), ids=lambda target: target.name)
def test_the_corpus_alone_reaches_the_target(target: Target) -> None:
    assert target.corpus.is_dir()
    with Meter(target) as meter:
        meter.add(target.inputs())
        assert meter.reach.branch_percentage > LEAST.get(target.name, 95)


def test_every_directory_of_inputs_belongs_to_a_target() -> None:
    names = {target.name for target in targets()}
    for kind in ("corpus", "regressions"):
        assert {path.name for path in (HERE / kind).glob("*")} <= names
