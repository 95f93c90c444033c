"""The reports: what they say, and that nothing a server sent can do more than be read."""

from __future__ import annotations

import html.parser
import json
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from caas_trio.conformance import (
    CASES,
    Fault,
    First,
    Oversize,
    Profile,
    Proxy,
    Report,
    Result,
    Service,
    Verdict,
)
from caas_trio.conformance.clauses import OF_SERVICES, SECTIONS
from caas_trio.conformance.reports import html as html_report
from caas_trio.conformance.reports import machine, text
from caas_trio.conformance.reports.command import again, options
from caas_trio.conformance.wirelog import Event
from caas_trio.core.endpoint import Endpoint
from caas_trio.core.terminator import Terminator

HOSTILE = b"<script>alert(1)</script>\x00\x1b[31m\xff&amp;\"'</code>\r\n"
ENDPOINT = Endpoint.parse("tcp://127.0.0.1:50007")


@pytest.fixture
def report() -> Report:
    """A report with every verdict, in which a server has sent everything that might do harm."""
    results = []
    for number, case in enumerate(CASES):
        result = Result(case, Verdict.PASSED)
        if case.clause == "FRAME-2":
            result = Result(
                case, faults=[Fault("FRAME-2", "byte 3 of the reply is wrong", b"OK\r\n", HOSTILE)]
            )
        elif case.clause == "FLOW-3":
            result = Result(case, Verdict.NON_STRICT, faults=[Fault("FLOW-3", "the server took it all")])
        elif case.clause == "FRAME-4":
            fault = Fault("CLOSE-2", "the server reset the connection", received=b"")
            result = Result(case, Verdict.PASSED, Verdict.FAILED, [fault])
        elif number % 5 == 1:
            result = Result(case, Verdict.NOT_JUDGED, reason="no limit is declared (--max-line)")
        result.log.add(0, Event.CONNECTED)
        result.log.add(0, Event.SENT, b"hello\n")
        result.log.add(0, Event.RECEIVED, HOSTILE * 20)
        result.log.left_out = 3 if case.clause == "FRAME-2" else 0
        results.append(result)
    return Report(ENDPOINT, Profile(), results)


def test_a_name_that_is_not_utf_8_is_escaped(report: Report) -> None:
    report = replace(report, endpoint=Endpoint.parse("unix:caf\udce9"))
    for written in (
        text.summary(report),
        machine.as_json(report),
        machine.as_junit(report),
        html_report.as_html(report),
    ):
        assert "caf\\xe9" in written.encode().decode().replace("\\\\", "\\")


def test_the_options_name_what_differs_from_the_default() -> None:
    assert options(Profile()) == []
    profile = Profile(
        service=Service.ECHO,
        first=First.SERVER,
        prompt=b"who's there?\r\n",
        max_line=10,
        oversize=Oversize.REJECT,
        once=True,
        terminator=Terminator.CRLF,
        proxy=Proxy.V2,
        tls_ca="ca.pem",
        tls_insecure=True,
    )
    assert again(Report(ENDPOINT, profile, []), Result(CASES[0])) == (
        "python -m caas_trio.conformance tcp://127.0.0.1:50007 --service echo --first server "
        "--prompt 'who'\"'\"'s there?' --max-line 10 --oversize reject --proxy v2 "
        "--terminator crlf --tls-ca ca.pem --once --tls-insecure "
        "--case ORDER-1.silent/whole"
    )


def test_text_has_a_line_per_section_and_each_failure(report: Report) -> None:
    lines = list(text.lines(report))
    judged = {case.rule.section for case in CASES}
    assert [line.split()[0] for line in lines[: len(judged)]] == [s for s in SECTIONS if s in judged]
    start = lines.index("FAILED  FRAME-2.crlf/whole")
    assert lines[start + 1 : start + 6] == [
        "  FRAME-2   A line MUST come back whole, its end as it came: LF for LF, CRLF for CRLF.",
        "  seen      byte 3 of the reply is wrong",
        "  expected  b'OK\\r\\n'",
        f"  received  {HOSTILE!r}",
        "  again     python -m caas_trio.conformance tcp://127.0.0.1:50007 --case FRAME-2.crlf/whole",
    ]
    assert "NON-STRICT  FLOW-3.64MiB/whole" in lines
    assert lines[-1].startswith("tcp://127.0.0.1:50007 does not conform: ")
    assert all(line.isascii() and line.isprintable() for line in lines)


def test_the_text_report_explains_unjudged_cases_only_if_asked(report: Report) -> None:
    brief, verbose = list(text.lines(report)), list(text.lines(report, verbose=True))
    more = [line for line in verbose if line not in brief]
    assert len(more) == report.count(Verdict.NOT_JUDGED) + sum(
        bool(clause.unjudged) for clause in OF_SERVICES.values()
    )
    assert all(line.startswith("not judged  ") for line in more)


def test_a_report_without_faults_conforms() -> None:
    report = Report(ENDPOINT, Profile(), [Result(CASES[0], Verdict.PASSED)])
    assert list(text.lines(report))[-1] == "tcp://127.0.0.1:50007 conforms: 1 passed"


def test_json_is_keyed_by_endpoint_and_by_case(report: Report) -> None:
    document = json.loads(machine.as_json(report))[str(ENDPOINT)]
    assert list(document["cases"]) == sorted(case.id for case in CASES)
    assert document["clauses"]["CLOSE-2"] == "failed"
    assert document["conforms"] is False
    case = document["cases"]["FRAME-2.crlf/whole"]
    assert (case["verdict"], case["level"], case["log_left_out"]) == ("failed", "MUST", 3)
    assert case["faults"][0]["received"] == repr(HOSTILE)
    assert document["cases"]["FLOW-3.64MiB/whole"]["faults"][0]["expected"] is None
    assert case["log"][1][1:] == [0, "sent", 6, repr(b"hello\n")]
    declared = json.loads(machine.as_json(replace(report, profile=Profile(oversize=Oversize.STREAM))))
    assert declared[str(ENDPOINT)]["profile"]["oversize"] == "stream"


def test_junit_counts_what_failed(report: Report) -> None:
    root = ET.fromstring(machine.as_junit(report))  # noqa: S314 - our own
    assert len(root.findall("testsuite/testcase")) == len(CASES)
    assert len(root.findall("testsuite/testcase/failure")) == report.count(Verdict.FAILED)
    assert len(root.findall("testsuite/testcase/skipped")) == report.count(Verdict.NOT_JUDGED)
    failures = sum(int(suite.get("failures", "")) for suite in root.findall("testsuite"))
    assert failures == report.count(Verdict.FAILED)


def test_junit_has_a_missed_should_as_a_failure_when_strict(report: Report) -> None:
    root = ET.fromstring(machine.as_junit(report, strict=True))  # noqa: S314 - our own
    both = report.count(Verdict.FAILED) + report.count(Verdict.NON_STRICT)
    assert len(root.findall("testsuite/testcase/failure")) == both


def test_junit_has_no_character_that_xml_forbids(report: Report) -> None:
    skipped = next(result for result in report.results if result.verdict is Verdict.NOT_JUDGED)
    skipped.reason = "a \x00 b \x1b c \ud800 d \uffff e"
    root = ET.fromstring(machine.as_junit(report))  # noqa: S314 - our own
    messages = [element.get("message") for element in root.iter("skipped")]
    assert "a \ufffd b \ufffd c \ufffd d \ufffd e" in messages


class Tags(html.parser.HTMLParser):
    """Counts elements."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[str, int] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen[tag] = self.seen.get(tag, 0) + 1
        assert not any(name.startswith("on") or name in ("src", "href") for name, _ in attrs)


def test_the_page_shows_what_a_server_sent_and_runs_nothing(report: Report) -> None:
    page = html_report.as_html(report)
    tags = Tags()
    tags.feed(page)
    assert "script" not in tags.seen
    assert "link" not in tags.seen
    assert tags.seen["details"] == len(CASES)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "default-src &#39;none&#39;" in page or "default-src 'none'" in page
    assert all(character == "\n" or character.isprintable() for character in page)


def test_the_page_has_a_filter_for_each_verdict_and_the_way_to_repeat_a_case(report: Report) -> None:
    page = html_report.as_html(report)
    for verdict in Verdict:
        assert f'id="show-{verdict.value.replace(" ", "-")}"' in page
    assert again(report, Result(CASES[0])) in page
    assert "3 more events are left out" in page


def test_bytes_are_shown_as_python_writes_them_with_their_escapes_marked() -> None:
    assert list(html_report.spans(b"a\r\nb\xff\\")) == [
        ("a", False),
        ("\\r", True),
        ("\\n", True),
        ("b", False),
        ("\\xff", True),
        ("\\\\", True),
    ]
    assert list(html_report.spans(b"")) == []
