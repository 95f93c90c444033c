"""Loading late: a name when it is asked for, a program under Ctrl-C."""

from __future__ import annotations

import sys
from collections import OrderedDict as OrderedDictionary
from typing import NoReturn

import pytest

from caas_trio.core.lazy import exporter, loaded


def test_a_name_that_was_asked_for_stays_in_the_package() -> None:
    package = sys.modules[__name__]
    load = exporter(__name__, {"OrderedDict": "collections"})
    assert "OrderedDict" not in vars(package)
    assert load("OrderedDict") is OrderedDictionary
    assert vars(package).pop("OrderedDict") is OrderedDictionary
    with pytest.raises(AttributeError, match=r"^module '.*test_lazy' has no attribute 'deque'$"):
        load("deque")


def test_a_program_that_ctrl_c_ends_while_it_loads_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    def load() -> NoReturn:
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as ended:
        loaded(load, "caas-test")
    assert ended.value.code == 130
    assert capsys.readouterr().err == "caas-test: interrupted\n"
    assert loaded(lambda: 7, "caas-test") == 7
