"""A trace for people."""

from __future__ import annotations

from caas_trio.testing import TraceEvent
from caas_trio.testing.timeline import as_text, page, rows


def test_a_line_says_when_where_what_and_which_bytes() -> None:
    trace = [
        TraceEvent(0.0, "12>", "sent", b"hello\n"),
        TraceEvent(0.25, "12<", "fin"),
        TraceEvent(1.5, "client>server", "hold"),
        TraceEvent(2.0, "1<", "arrived", b"x" * 100),
    ]
    assert as_text(trace).splitlines() == [
        r"      0.000000  connection 12, client to server  sent        b'hello\n'",
        "      0.250000  connection 12, server to client  fin",
        "      1.500000  client>server               hold",
        f"      2.000000  connection 1, server to client  arrived     b'{'x' * 60}' and 40 more bytes",
    ]


def test_of_many_events_the_last_are_shown() -> None:
    trace = [TraceEvent(float(number), "1>", "sent", b"x") for number in range(250)]
    shown = rows(trace)
    assert len(shown) == 201
    assert shown[0] == ["", "", "50 earlier events are left out", ""]
    assert shown[1][0] == "50.000000"
    assert len(rows(trace[:200])) == 200


def test_the_page_escapes_everything() -> None:
    bad = "<script>alert('&')</script>"
    text = page([{"title": bad, "repeat": bad, "rows": [[bad, bad, bad, bad]]}])
    assert "<script" not in text
    assert text.count("&lt;script&gt;alert(&#x27;&amp;&#x27;)&lt;/script&gt;") == 6


def test_a_page_without_tests_says_so() -> None:
    assert "No test has used a network." in page([])
