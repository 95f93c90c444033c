"""Bytes are a PROXY header, begin one or are none, wherever they are cut; what is written is read back.

Accepted: `ProxyHeaderError` exactly where a second reading of the specification refuses. Anything else is a
crash.
"""

import atheris

with atheris.instrument_imports(include=["caas_trio"]):
    from fuzz.checks.proxy_header import check

from fuzz.engine import fuzz_bytes

if __name__ == "__main__":
    fuzz_bytes(check, max_len=400)
