"""Proves that the soak bites: each flaw is found by what it has to be found by, and there is none without.

python -m ci.soak.proof
"""

import sys
from pathlib import Path

from caas_trio import Oversize
from ci.bench import load
from ci.soak.mix import soak
from ci.soak.service import SERVICE

BUILD = Path("build/soak")
WRONG = str(Path(__file__).with_name("wrong.py"))
SECONDS = 20

#: By the flaw, what a fault has to say; None for the service as it is.
FOUND = {
    None: None,
    "leak_memory": "memory grew by",
    "leak_descriptors": "descriptors where there were",
    "miscount": "connections are left",
    "mistake_bytes": "mismatch",
}


def main() -> int:
    """Run the soak on each; return the exit status."""
    load.build(BUILD)
    load.raise_file_limit()
    blind = 0
    for flaw, said in FOUND.items():
        program = SERVICE if flaw is None else (WRONG, flaw)
        [watched] = soak([Oversize.REJECT], ["tcp", "unix"], 1, SECONDS, BUILD / "load", program=program)
        faults = watched.ledger.faults
        found = not faults if said is None else any(said in fault for fault in faults)
        blind += not found
        shown = faults[0][:100] if faults else "no fault"
        print(f"{'as it should be' if found else 'NOT FOUND':16} {flaw or 'no flaw':18} {shown}", flush=True)
    return 1 if blind else 0


if __name__ == "__main__":
    sys.exit(main())
