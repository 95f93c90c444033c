"""The one private part of trio that is used here: the source of its scheduler's random choices."""

from __future__ import annotations

import importlib
from typing import Any, Final

#: The module and the names of trio's that its plug-in for Hypothesis seeds (trio issue 890).
_MODULE: Final = "trio._core._run"
_SOURCE: Final = "_r"
_SWITCH: Final = "_ALLOW_DETERMINISTIC_SCHEDULING"


def seed_scheduler(seed: int, module: str = _MODULE) -> bool:
    """Run trio's tasks in an order that follows from a seed; return false if this trio cannot.

    It does what trio does for `import hypothesis`, and seeds the same source. The order holds for the
    process, until it is seeded again.
    """
    try:
        door: dict[str, Any] = vars(importlib.import_module(module))
    except ImportError:
        return False
    if not {_SOURCE, _SWITCH} <= door.keys():
        return False
    door[_SWITCH] = True
    door[_SOURCE].seed(seed)
    return True
