"""What the documentation says of settings and tests is so."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from caas_trio import Limits
from caas_trio.drivers import hubchannel as hub_driver
from caas_trio.drivers import stream as stream_driver

ROOT = Path(__file__).parent.parent
DENIAL = (ROOT / "docs" / "denial-of-service.md").read_text()
ATTACKS = dict(re.findall(r"^### (.*?)\n(.*?)(?=^##)", DENIAL, re.MULTILINE | re.DOTALL))


@pytest.mark.parametrize("attack", ATTACKS)
def test_each_attack_has_a_setting_a_cost_and_a_test(attack: str) -> None:
    [setting, cost, shown_by] = re.findall(r"^\* (\w[\w ]*): ", ATTACKS[attack], re.MULTILINE)
    assert (setting, cost, shown_by) == ("Setting", "Cost", "Shown by")
    named = re.findall(r"`(tests/\w+\.py)::(\w+)`", ATTACKS[attack])
    assert named
    for file, test in named:
        tree = ast.parse((ROOT / file).read_text())
        functions = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        assert test in [function.name for function in functions]


@pytest.mark.parametrize("attack", ATTACKS)
def test_each_default_is_as_told(attack: str) -> None:
    told = re.findall(r"`(\w+)` \((\w+)\)", ATTACKS[attack])
    limits = Limits()
    for name, value in told:
        default = getattr(limits, name)
        assert value == str(getattr(default, "value", default)).removesuffix(".0")


def test_every_limit_is_in_the_entries() -> None:
    named = set(re.findall(r"`(\w+)`", "".join(ATTACKS.values())))
    assert set(Limits.__dataclass_fields__) - named == {"prompt_delay"}


def test_the_sizes_of_the_formulas_are_as_told() -> None:
    sizes = {
        name: re.findall(r"\d+", line)
        for name, line in re.findall(r"^\* ([A-Z]+) (.*)", DENIAL, re.MULTILINE)
    }
    assert sizes["READ"] == [str(hub_driver.READ_SIZE), str(stream_driver.READ_SIZE)]
    assert sizes["HELD"] == [str(hub_driver.MOST_HELD)]
    session = 2 * Limits().max_line + hub_driver.READ_SIZE
    assert session == 384 * 1024
    assert 3.6 < session * Limits().max_connections / 2**30 < 3.7
