"""A text is an endpoint, and printed back unchanged, or it is refused.

Accepted: `EndpointError` exactly for texts that a second reading of the grammar refuses. Anything else is a
crash.
"""

import atheris

with atheris.instrument_imports(include=["caas_trio"]):
    from fuzz.checks.endpoint import check

from fuzz.engine import fuzz_bytes

if __name__ == "__main__":
    fuzz_bytes(check, max_len=300)
