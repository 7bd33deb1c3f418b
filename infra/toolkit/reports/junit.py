"""A smoke report as JUnit XML, for continuous integration: a suite for each family, a case for each check."""

from __future__ import annotations

import io
import re

from junitparser import Failure, JUnitXml, Skipped, TestCase, TestSuite

from toolkit.report import Check, SmokeReport

_NOT_IN_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render(report: SmokeReport) -> str:
    """Give the document. Warnings are cases that pass and say so; what is accepted is skipped, with the reason."""
    document = JUnitXml("smoke")
    families: dict[str, TestSuite] = {}
    for check in report.checks:
        if check.family not in families:
            families[check.family] = TestSuite(check.family)
        families[check.family].add_testcase(_case(check))
    for suite in families.values():
        document.add_testsuite(suite)
    document.update_statistics()  # type: ignore[no-untyped-call]
    document.time = round(report.seconds, 3)
    stream = io.BytesIO()
    document.write(stream, pretty=True)
    return stream.getvalue().decode()


def _case(check: Check) -> TestCase:
    case = TestCase(check.id, f"smoke.{check.family}", round(check.seconds, 3))
    if check.accepted:
        case.result = [Skipped(_text(f"accepted: {check.accepted}"))]
        case.system_out = _text(_told(check))
    elif check.status == "fail":
        failure = Failure(_text(check.title), check.id)
        failure.text = _text(_told(check))
        case.result = [failure]
    elif check.status == "skip":
        case.result = [Skipped(_text(check.title))]
    elif check.status == "warn":
        case.system_out = _text(f"warning: {_told(check)}")
    return case


def _told(check: Check) -> str:
    hint = f"next: {check.hint}" if check.hint else ""
    return "\n".join(filter(None, [check.title, check.detail, *check.evidence, hint]))


def _text(text: str) -> str:
    return _NOT_IN_XML.sub("\ufffd", text)
