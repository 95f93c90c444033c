"""Tests of line servers, and of other programs on trio, over a network in a seed: `Network`.

`serving` serves an app in memory; `check_any_split` cuts its input in all ways, `check_hostile` attacks
it, and `harness` is for fuzzers. See docs/testing-your-server.md.

Each name is loaded when it is asked for: pytest loads the plug-in of this package in every project, and trio
is for those that use it.
"""

from __future__ import annotations

from caas_trio.core.lazy import exporter

TYPE_CHECKING = False  # for type checkers it is true
if TYPE_CHECKING:
    from .failure import CheckFailed
    from .fuzzing import harness
    from .host import Host
    from .hostile import check_hostile
    from .kernel import TraceEvent
    from .links import Conditions, Link
    from .network import Network
    from .place import Place, serving
    from .splits import check_any_split

__all__ = [
    "CheckFailed",
    "Conditions",
    "Host",
    "Link",
    "Network",
    "Place",
    "TraceEvent",
    "check_any_split",
    "check_hostile",
    "harness",
    "serving",
]

#: By name: the module that it is loaded from.
_HOME = {
    "CheckFailed": ".failure",
    "Conditions": ".links",
    "Host": ".host",
    "Link": ".links",
    "Network": ".network",
    "Place": ".place",
    "TraceEvent": ".kernel",
    "check_any_split": ".splits",
    "check_hostile": ".hostile",
    "harness": ".fuzzing",
    "serving": ".place",
}

if not TYPE_CHECKING:
    __getattr__ = exporter(__name__, _HOME)
