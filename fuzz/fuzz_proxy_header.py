"""Bytes are a PROXY header, begin one or are invalid, wherever they are cut; written headers are read back.

Accepted: `ProxyHeaderError` exactly where a second reading of the specification refuses. Anything else is a
crash.
"""

from fuzz.engine import fuzz_bytes, instrumenting

with instrumenting("caas_trio.core.proxy_header", "caas_trio.core.proxy_encoding"):
    from fuzz.checks.proxy_header import check

if __name__ == "__main__":
    fuzz_bytes(check, max_len=400)
