"""Inputs that lean to near misses: LF at a chunk's edge, limit-1, limit and limit+1, CR, NUL, high bytes."""

from __future__ import annotations

import itertools

from hypothesis import strategies as st

LIMITS = st.integers(min_value=1, max_value=12)

#: Counts as a caller may compute them, sensible or not.
COUNTS = st.integers(min_value=-2, max_value=12)

#: What a careless reader of lines takes for the end of one, or stumbles over.
AWKWARD = [
    b"\n",
    b"\r\n",
    b"\r",
    b"\n\r",
    b"\0",
    b"\x0b",
    b"\x0c",
    b"\x1c",
    b"\x85",
    b"\xe9",
    b"\xc3\x9f",
    b"a",
    b"Z",
]


def inputs(limit: int) -> st.SearchStrategy[bytes]:
    """Return whole inputs, made of awkward pieces and runs that end around the limit."""
    runs = [b"x" * max(0, limit + difference) for difference in (-1, 0, 1)]
    pieces = st.one_of(
        st.sampled_from(AWKWARD), st.sampled_from(runs), st.sampled_from(runs).map(lambda run: run + b"\n")
    )
    return st.lists(pieces, max_size=12).map(b"".join)


@st.composite
def chunked(draw: st.DrawFn, limit: int) -> list[bytes]:
    """Return an input as the chunks it arrives in; some of them may be empty."""
    data = draw(inputs(limit))
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=8)))
    edges = [0, *cuts, len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]
