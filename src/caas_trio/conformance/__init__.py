"""The conformance suite: judges any line server from outside, over a socket.

    python -m caas_trio.conformance tcp://127.0.0.1:50007

It takes endpoints, TLS and the names of the settings (`First`, `Oversize`) from the server's side of
the package, and no framing, no session and no PROXY header, so that a mistake there cannot hide here.
What is required, and why, is in `docs/specification.md`.

    clauses         the requirements
    families        the cases: tables of scripts
    script, cuts    what a case does, as data
    oracle          what a right server answers
    engine          takes a script's steps over connections (wire, compare) or datagrams
    runner          selects and runs the cases
    reports         text, JSON, JUnit XML, HTML
"""

from typing import TYPE_CHECKING, Final

from caas_trio.core.lazy import exporter

if TYPE_CHECKING:
    from caas_trio.core.session import First, Oversize

    from .case import Case, Fault, Result, Verdict
    from .families import CASES
    from .profile import Profile, Proxy, Service
    from .runner import Report, UnreachableError, judge, select

__all__ = [
    "CASES",
    "Case",
    "Fault",
    "First",
    "Oversize",
    "Profile",
    "Proxy",
    "Report",
    "Result",
    "Service",
    "UnreachableError",
    "Verdict",
    "judge",
    "select",
]

#: Where each name is. A name is loaded when it is asked for: loading takes a moment, and `__main__`
#: has to be there by then to take a Ctrl-C.
_MODULES: Final = {
    "CASES": ".families",
    **dict.fromkeys(["Case", "Fault", "Result", "Verdict"], ".case"),
    **dict.fromkeys(["First", "Oversize"], "caas_trio.core.session"),
    **dict.fromkeys(["Profile", "Proxy", "Service"], ".profile"),
    **dict.fromkeys(["Report", "UnreachableError", "judge", "select"], ".runner"),
}

if not TYPE_CHECKING:
    __getattr__ = exporter(__name__, _MODULES)
