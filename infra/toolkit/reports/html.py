"""A smoke report as one HTML page that asks nobody for anything: picture, timeline and log are in it."""

from __future__ import annotations

import base64
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

from jinja2 import Environment, StrictUndefined, Template

from toolkit.checks.catalog import FAMILIES
from toolkit.report import Check, Moment, SmokeReport

_WORDS = {
    "pass": "This app runs on DataRobot",
    "warn": "This app runs, with doubts",
    "fail": "This app would not work on DataRobot",
}


@dataclass(frozen=True)
class _Bar:
    """A moment of the timeline, with its place on it in per cent."""

    name: str
    left: float
    width: float
    started: float
    seconds: float


def render(report: SmokeReport, *, app: str = "", when: str = "") -> str:
    """Give the page. `app` names what was tested, `when` the time; all texts are escaped, there is no script in it."""
    counting = [check for check in report.checks if check.counts]
    page: str = template().render(
        report=report,
        app=app,
        when=when,
        headline=_WORDS[report.verdict],
        failures=[check for check in counting if check.status == "fail"],
        warnings=[check for check in counting if check.status == "warn"],
        accepted=[check for check in report.checks if check.accepted],
        families=_families(report.checks),
        counts=_counts(report.checks),
        bars=_bars(report.timeline, report.seconds),
        screenshot=base64.b64encode(report.screenshot).decode() if report.screenshot else "",
    )
    return page


@functools.cache
def template() -> Template:
    """Give the page's template; compiling it takes longer than rendering it, so it may be asked for beforehand."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(
        resources.files("toolkit").joinpath("reports", "report.html.jinja").read_text(encoding="utf-8")
    )


def _families(checks: Sequence[Check]) -> list[tuple[str, str, list[Check]]]:
    """Each family with its worst status and its checks, in the order of the catalog."""
    grouped: dict[str, list[Check]] = {}
    for check in checks:
        grouped.setdefault(check.family, []).append(check)
    order = [*FAMILIES, *(family for family in grouped if family not in FAMILIES)]
    return [(family, _worst(grouped[family]), grouped[family]) for family in order if family in grouped]


def _worst(checks: Sequence[Check]) -> str:
    counting = {check.status for check in checks if check.counts}
    if counting:
        return "fail" if "fail" in counting else "warn"
    return "skip" if all(check.status == "skip" for check in checks) else "pass"


def _counts(checks: Sequence[Check]) -> dict[str, int]:
    counts = dict.fromkeys(("fail", "warn", "accepted", "pass", "skip"), 0)
    for check in checks:
        counts["accepted" if check.accepted else check.status] += 1
    return {name: count for name, count in counts.items() if count}


def _bars(timeline: Sequence[Moment], seconds: float) -> list[_Bar]:
    whole = max([seconds, 0.001, *(moment.started + moment.seconds for moment in timeline)])
    return [
        _Bar(
            moment.name,
            round(100 * moment.started / whole, 2),
            round(max(100 * moment.seconds / whole, 0.4), 2),
            moment.started,
            moment.seconds,
        )
        for moment in timeline
    ]
