"""A dialect's file: what it comes to, and that each mistake is one line that names its place."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from caas_trio.conformance.dialects.dialect import Meaning
from caas_trio.conformance.dialects.locating import Lines
from caas_trio.conformance.dialects.parsing import DialectError, load, names, parse

PAGE = Path(__file__).parents[3] / "docs" / "dialects.md"

PROBE = '[[probe]]\nrequest = "A"\nreply = "B"\nrepeat = true\n'
EVERYTHING = (
    """\
name = "Jobs"
standard = "none"
terminator = ["LF", "CRLF"]
unasked = "NOTE"
burst = 7
flood = false
clients = 3

[greeting]
reply = { first = "HELLO", lines = 2 }
early = true

[[login]]
request = ["USER u{n}", "PASS p"]
reply = "OK"

"""
    + PROBE
    + """
[[probe]]
request = "STATS"
reply = { first = 'OK (\\d+)', counted = true, body = "x" }

[unknown]
request = "XYZZY"
reply = "ERR"

[end]
request = "QUIT"

[line]
bytes = 100
request = "A {pad}"
reply = "B"
source = "section 1"

[oversize]
bytes = 200
goes_on = false

[ends]
bare_cr = "payload"
nul = "end"
tail = "request"

[body]
request = "PUT"
reply = "GO"
accepted = "TAKEN"
source = "section 2"

[[body.before]]
request = "TO x"
reply = "OK"

[starttls]
request = "TLS"
reply = "GO"

[timeouts]
idle = 2
line = 0.5
"""
)


def test_a_file_may_declare_everything() -> None:
    dialect = parse(EVERYTHING, "jobs", "jobs.toml")
    assert (dialect.name, dialect.declared, dialect.standard) == ("Jobs", "jobs.toml", "none")
    assert dialect.terminators == (b"\n", b"\r\n")
    assert dialect.terminator == b"\n"
    assert not dialect.crlf
    assert (dialect.burst, dialect.flood, dialect.clients) == (7, False, 3)
    assert (dialect.idle_s, dialect.line_s) == (2, 0.5)
    assert dialect.greeting is not None
    assert dialect.greeting.early
    assert dialect.login[0].sent(4, b"\n") == b"USER u4\nPASS p\n"
    assert [probe.request for probe in dialect.probes] == [("A",), ("STATS",)]
    assert dialect.repeated == dialect.probes[:1]
    assert dialect.end is not None
    assert dialect.end.reply is None
    assert dialect.line is not None
    assert dialect.line.exchange.padded(10, 1, b"\r\n") == b"A xxxxxx\r\n"
    assert dialect.line.exchange.padded(1, 1, b"\r\n") == b"A \r\n"
    assert dialect.oversize is not None
    assert (dialect.oversize.size, dialect.oversize.reply, dialect.oversize.goes_on) == (200, None, False)
    assert dialect.ends.meanings == {"bare_cr": Meaning.PAYLOAD, "nul": Meaning.END}
    assert dialect.ends.tail_is_request
    assert dialect.starttls is not None
    assert dialect.body is not None
    assert [each.request for each in dialect.body.before] == [("TO x",)]
    assert (dialect.body.exchange.request, str(dialect.body.accepted)) == (("PUT",), "TAKEN")


def test_what_is_not_declared_has_a_default() -> None:
    dialect = parse(PROBE, "jobs", "jobs.toml")
    assert (dialect.name, dialect.crlf, dialect.burst, dialect.flood, dialect.clients) == (
        "jobs",
        True,
        100,
        True,
        50,
    )
    assert (dialect.greeting, dialect.end, dialect.line, dialect.idle_s, dialect.ends.tail_is_request) == (
        (None,) * 5
    )


def test_the_one_request_of_a_connection_ends_the_conversation() -> None:
    dialect = parse("once = true\n" + PROBE, "jobs", "jobs.toml")
    assert (dialect.once, dialect.burst, dialect.end) == (True, 1, dialect.steady)


@pytest.mark.parametrize("name", names())
def test_the_included_dialects_are_valid(name: str) -> None:
    assert load(name).declared == name


def test_the_example_of_the_page_is_one(tmp_path: Path) -> None:
    [example] = re.findall(r"```toml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    path = tmp_path / "jobs.toml"
    path.write_text(example)
    dialect = load(str(path))
    assert (dialect.name, len(dialect.probes)) == ("jobs", 2)
    assert dialect.steady.request == ("PING {n}",)


def test_the_page_names_every_included_dialect() -> None:
    assert all(f"`{name}`" in PAGE.read_text() for name in names())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "jobs.toml:1: probe: at least one [[probe]] needs repeat = true: one that needs no state"),
        ("a = [", "jobs.toml:1: "),
        ("\n\na = = 1", "jobs.toml:3: Invalid value"),
        ("probe = 1", "jobs.toml:1: probe: it has to be an array of tables, each under [[probe]]"),
        ("probe = [1]", "jobs.toml:1: probe: it has to be an array of tables, each under [[probe]]"),
        ('[[probe]]\nrequest = "A"', "jobs.toml:1: probe.1: reply is missing"),
        ('[[probe]]\nreply = "A"', "jobs.toml:1: probe.1: request is missing"),
        (
            '[[probe]]\nrequest = "A"\nrepyl = "B"',
            "jobs.toml:3: probe.1.repyl: there is no such key; is it reply?",
        ),
        (PROBE + "repaet = 1", "jobs.toml:5: probe.1.repaet: there is no such key; is it repeat?"),
        (
            PROBE + "zzz = 1",
            "jobs.toml:5: probe.1.zzz: there is no such key; there are repeat, request, reply",
        ),
        (PROBE + "[prob]", "jobs.toml:5: prob: there is no such key; is it probe?"),
        (
            '[[probe]]\nrequest = []\nreply = "B"',
            "jobs.toml:2: probe.1.request: it has to be a string, or several",
        ),
        (
            '[[probe]]\nrequest = "A\\n"\nreply = "B"',
            "jobs.toml:2: probe.1.request: it has an end of a line in it",
        ),
        (
            '[[probe]]\nrequest = "A"\nreply = "("',
            "jobs.toml:3: probe.1.reply: it is no regular expression: ",
        ),
        ('[[probe]]\nrequest = "A"\nreply = 1', "jobs.toml:3: probe.1.reply: it has to be a table"),
        (
            '[[probe]]\nrequest = "A"\nreply = {}',
            "jobs.toml:3: probe.1.reply: it needs first, until or to_end",
        ),
        (
            '[[probe]]\nrequest = "A"\nreply = { first = "B", dot = true, lines = 2 }',
            "jobs.toml:3: probe.1.reply.lines: a reply has dot or lines, not both",
        ),
        (
            '[[probe]]\nrequest = "A"\n[probe.reply]\nfirst = "B"\ncounted = true',
            "jobs.toml:5: probe.1.reply.counted: first needs one group, which counts",
        ),
        (
            '[[probe]]\nrequest = "A"\nreply = { first = "B", body = "B" }',
            "jobs.toml:3: probe.1.reply.body: it is for a reply that is counted",
        ),
        ("name = 1\n" + PROBE, "jobs.toml:1: name: it has to be a string"),
        ("burst = true\n" + PROBE, "jobs.toml:1: burst: it has to be a whole number"),
        ("burst = 0\n" + PROBE, "jobs.toml:1: burst: it has to be from 1 to 10000"),
        ("flood = 1\n" + PROBE, "jobs.toml:1: flood: it has to be true or false"),
        ('terminator = "CR"\n' + PROBE, "jobs.toml:1: terminator: 'CR' is not one of CRLF, LF"),
        (PROBE + "[greeting]", "jobs.toml:5: greeting: reply is missing"),
        (
            PROBE + '[line]\nrequest = "A"\nreply = "B"',
            "jobs.toml:6: line.request: it has to be one line with one {pad}",
        ),
        (
            PROBE + '[line]\nbytes = 70000\nrequest = "A{pad}"\nreply = "B"',
            "jobs.toml:6: line.bytes: it has to be from 1 to 65536",
        ),
        (PROBE + '[body]\nrequest = "A"\nreply = "B"', "jobs.toml:5: body: accepted is missing"),
        (PROBE + '[oversize]\nreply = "B"', "jobs.toml:5: oversize: bytes is missing"),
        (
            PROBE + "[oversize]\nbytes = 9",
            "jobs.toml:5: oversize: reply is missing; without one, goes_on has to be",
        ),
        (PROBE + '[oversize]\nbytes = 9\nreply = "B"', "jobs.toml:5: oversize: it needs [line]"),
        (
            PROBE + '[line]\nbytes = 9\nrequest = "A{pad}"\nreply = "B"\n[oversize]\nbytes = 9\nreply = "B"',
            "jobs.toml:9: oversize: a line of 9 bytes is declared to be taken",
        ),
        (PROBE + '[ends]\nnul = "x"', "jobs.toml:6: ends.nul: it has to be 'end' or 'payload'"),
        (PROBE + '[ends]\ntail = "x"', "jobs.toml:6: ends.tail: it has to be 'request' or 'dropped'"),
        (
            PROBE + "[timeouts]\nidle = 0",
            "jobs.toml:6: timeouts.idle: it has to be more than 0 and at most 600",
        ),
        (
            '[[probe]]\nrequest = "A"\nreply = { to_end = true }',
            "jobs.toml:3: probe.1.reply.to_end: it needs once = true",
        ),
        (
            "once = true\nburst = 2\n" + PROBE,
            "jobs.toml:2: burst: with once = true, a connection has one request",
        ),
        (
            "once = true\n" + PROBE + '[end]\nrequest = "Q"',
            "jobs.toml:6: end: with once = true, a connection has one request",
        ),
        ("once = 1\n" + PROBE, "jobs.toml:1: once: it has to be true or false"),
        (PROBE + '[timeouts]\nline = "1"', "jobs.toml:6: timeouts.line: it has to be a number of seconds"),
    ],
)
def test_a_mistake_is_one_line_that_names_its_place(text: str, message: str) -> None:
    with pytest.raises(DialectError) as caught:
        parse(text, "jobs", "jobs.toml")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    def message(path: Path, content: bytes | None = None) -> str:
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(DialectError) as caught:
            load(str(path))
        return str(caught.value).removeprefix(str(path))

    assert message(tmp_path / "absent.toml") == " cannot be read: No such file or directory"
    assert message(tmp_path) == " cannot be read: Is a directory"
    assert message(tmp_path / "large", b"#" * (1 << 21)) == " has more than 1048576 bytes"
    assert message(tmp_path / "latin", b"#\n#\xe9") == ":2: it is not UTF-8"


def test_an_unknown_dialect_is_refused() -> None:
    with pytest.raises(DialectError, match=r"no dialect is called smpt; is it smtp\?"):
        load("smpt")
    with pytest.raises(DialectError, match="no dialect is called zzz; there are beanstalkd, "):
        load("zzz")


def test_text_in_a_multiline_string_is_not_a_key() -> None:
    lines = Lines('a = """\nb = 1\n"""\nb = 2\n[c.d]\n\'e\' = """x"""\nf.g = 1\n[[h]]\n[[h]]\n[[h.i]]\nj = 1')
    assert [lines.of(path) for path in [("a",), ("b",), ("c", "d", "e"), ("c", "d", "f", "g")]] == [
        1,
        4,
        6,
        7,
    ]
    assert [lines.of(path) for path in [("h", 0), ("h", 1), ("h", 1, "i", 0, "j"), ("z", "y")]] == [
        8,
        9,
        11,
        1,
    ]
