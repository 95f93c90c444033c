"""Serve as one of the wrong servers: `python -m ci.conformance.wrong NAME [ENDPOINT]`."""

from __future__ import annotations

import sys

from . import WRONG


def main() -> None:
    """Serve until killed."""
    if len(sys.argv) < 2 or sys.argv[1] not in WRONG:
        sys.exit(f"usage: python -m ci.conformance.wrong NAME [ENDPOINT], NAME one of {', '.join(WRONG)}")
    wrong = WRONG[sys.argv[1]]
    endpoint = sys.argv[2] if len(sys.argv) > 2 else f"{wrong.scheme}://127.0.0.1:0"
    server = wrong.server(endpoint, wrong.settings)
    print(f"listening on {server.endpoint}", flush=True)
    server.run()


main()
