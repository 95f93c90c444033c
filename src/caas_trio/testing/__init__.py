"""A network in a seed, for tests of what runs on trio: `Network`."""

from .host import Host
from .kernel import TraceEvent
from .links import Conditions, Link
from .network import Network

__all__ = ["Conditions", "Host", "Link", "Network", "TraceEvent"]
