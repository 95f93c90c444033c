"""The report for machines: JSON, and JUnit XML."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from typing import Any, Final

from caas_trio.conformance.baseline import Baseline, is_bad
from caas_trio.conformance.case import Fault, Result, Verdict
from caas_trio.conformance.clauses import SECTIONS, requirement
from caas_trio.conformance.runner import Report
from caas_trio.core.printable import printable

from .command import again
from .text import by_section, counted

_NOTHING_KNOWN: Final = Baseline()
#: What XML 1.0, section 2.2, does not let a document contain in any form.
_FORBIDDEN: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def as_json(report: Report) -> str:
    """Return the report as JSON: keyed by endpoint, then by case; bytes are written as Python writes them."""
    profile = report.profile
    document = {
        printable(str(report.endpoint)): {
            "profile": {
                "service": profile.service.value,
                "first": profile.first.value,
                "prompt": repr(profile.prompt),
                "max_line": profile.max_line,
                "oversize": profile.oversize.value if profile.oversize else None,
                "once": profile.once,
                "terminator": profile.terminator.name.lower(),
                "proxy": profile.proxy.value if profile.proxy else None,
                "tls_ca": profile.tls_ca,
                "tls_insecure": profile.tls_insecure,
                "dialect": profile.dialect.declared if profile.dialect else None,
            },
            "cases": {result.case.id: _case(report, result) for result in report.results},
            "clauses": {clause: verdict.value for clause, verdict in report.clauses().items()},
            "conforms": report.conforms(),
            "interrupted": report.interrupted,
        }
    }
    return json.dumps(document, indent=2, sort_keys=True) + "\n"


def _case(report: Report, result: Result) -> dict[str, Any]:
    return {
        "clause": result.case.clause,
        "level": result.case.rule.level.value,
        "verdict": result.verdict.value,
        "answer": result.answer.value,
        "close": result.close.value,
        "reason": result.reason,
        "note": result.note,
        "hint": result.hint,
        "faults": [_fault(fault) for fault in result.faults],
        "seconds": round(result.seconds, 6),
        "again": again(report, result),
        "log": [
            [round(entry.seconds, 6), entry.client, entry.event.value, entry.size, repr(entry.data)]
            for entry in result.log.entries
        ],
        "log_left_out": result.log.left_out,
    }


def _fault(fault: Fault) -> dict[str, Any]:
    return {
        "clause": fault.clause,
        "reason": fault.reason,
        "expected": None if fault.expected is None else repr(fault.expected),
        "received": None if fault.received is None else repr(fault.received),
    }


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("\ufffd", text)


def as_junit(report: Report, *, strict: bool = False, baseline: Baseline = _NOTHING_KNOWN) -> str:
    """Return the report as JUnit XML: a suite per section.

    Args:
        report: what came out.
        strict: whether a missed SHOULD is a failure.
        baseline: what is known; a case that found nothing else counts as skipped.
    """
    root = ET.Element("testsuites", name=_clean(printable(str(report.endpoint))))
    for section, results in by_section(report):
        suite = ET.SubElement(
            root, "testsuite", name=f"{section} {SECTIONS[section]}", tests=str(len(results))
        )
        failures = 0
        for result in results:
            failures += _testcase(suite, report, result, strict=strict, baseline=baseline)
        suite.set("failures", str(failures))
        suite.set("errors", "0")
        suite.set("skipped", str(len(suite.findall("testcase/skipped"))))
        suite.set("time", f"{sum(result.seconds for result in results):.3f}")
        ET.SubElement(suite, "system-out").text = counted(results)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _testcase(suite: ET.Element, report: Report, result: Result, *, strict: bool, baseline: Baseline) -> bool:
    """Add a case to its suite; return whether it counts as a failure."""
    case = result.case
    element = ET.SubElement(
        suite, "testcase", classname=case.clause, name=case.id, time=f"{result.seconds:.3f}"
    )
    if result.verdict is Verdict.NOT_JUDGED:
        ET.SubElement(element, "skipped", message=_clean(result.reason))
    if not result.faults:
        return False
    lines = [
        f"{fault.clause} {requirement(fault.clause, report.profile.service)}\n{fault.reason}\n"
        f"expected {fault.expected!r}\nreceived {fault.received!r}"
        for fault in result.faults
    ]
    lines += [result.hint] if result.hint else []
    text = _clean("\n\n".join([*lines, again(report, result)]))
    known = baseline.knows(result, strict=strict)
    failed = is_bad(result.verdict, strict=strict) and not known
    if known:
        ET.SubElement(element, "skipped", message="known: it is in the baseline")
    if failed:
        ET.SubElement(element, "failure", message=_clean(result.faults[0].reason)).text = text
    else:
        ET.SubElement(element, "system-out").text = text
    return failed
