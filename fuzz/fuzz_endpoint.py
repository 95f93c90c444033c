"""A text is an endpoint, and printed back unchanged, or it is refused.

Accepted: `EndpointError` exactly for texts that a second reading of the grammar refuses. Anything else is a
crash.
"""

from fuzz.engine import fuzz_bytes, instrumenting

with instrumenting("caas_trio.core.endpoint"):
    from fuzz.checks.endpoint import check

if __name__ == "__main__":
    fuzz_bytes(check, max_len=300)
