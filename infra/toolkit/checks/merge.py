"""One finding for one cause: what the crawl and the browser say of the same URL, and what only follows from it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from urllib.parse import unquote, urlsplit

from toolkit.checks.build import ENDED_EARLY, GO_NO_FURTHER, GO_ON, WENT_ON
from toolkit.checks.catalog import QUESTIONS, with_question
from toolkit.checks.source import BUILD
from toolkit.report import Check, failed, skipped

# Which answers of the static checks speak of the same thing as one of the browser's.
SAME = {
    "browser.prefix": ("front.prefix",),
    "browser.requests": ("front.prefix", "front.assets", "crawl.links", "browser.prefix"),
    "browser.styles": ("front.prefix", "front.assets", "browser.prefix", "browser.requests"),
    "browser.hosts": ("crawl.hosts",),
    "browser.blocked": ("crawl.hosts", "front.assets"),
    "browser.deeplink": ("crawl.links",),
    "browser.sockets": ("front.prefix", "crawl.hosts", "browser.prefix"),
}
# What is only the consequence of something else that failed, and of what.
CAUSES = ("front.page", "front.prefix", "front.assets", "crawl.hosts", "browser.prefix", "browser.requests")
FOLLOWS = {
    "environment.settings": ("environment.token",),
    "lifecycle.replica": ("start.probe",),
    "browser.page": (*CAUSES, "browser.blocked", "browser.hosts"),
    "browser.errors": (*CAUSES, "browser.blocked", "browser.hosts", "browser.sockets", "browser.page"),
}
# What is missing when a build went on after an error.
SWALLOWED, LOST = "build.output", ("start.listens", "start.probe", "front.assets")
_LOST = re.compile(r"answered with 404|answers 404|the file is missing|[Cc]annot find|[Nn]ot found|No such file|ENOENT")
_WORDS = {"fail": 2, "warn": 1}


def _never(_check: Check) -> bool:
    return False


def merge(checks: Iterable[Check], is_accepted: Callable[[Check], bool] = _never) -> tuple[Check, ...]:
    """Give the answers with their questions, in the order of the catalog, each cause once.

    An answer of the browser about URLs of which a static check speaks already becomes evidence of that one; an answer
    that only follows from another failure is skipped and names it. What somebody has accepted is no cause: an answer
    that was skipped for its sake would pass with it.
    """

    def is_cause(check: Check | None) -> bool:
        return check is not None and check.status == "fail" and not is_accepted(check)

    order = list(QUESTIONS)
    answers = {check.id: with_question(check) for check in checks}
    for check_id, sames in SAME.items():
        check = answers.get(check_id)
        if check is None or check.status not in _WORDS:
            continue
        for other in sames:
            if (known := answers.get(other)) is not None and _tells(known, check):
                answers[other] = _with_evidence(known, check)
                answers[check_id] = _told(check, other)
                break
    if (swallowed := answers.get(SWALLOWED)) is not None and swallowed.evidence and not is_accepted(swallowed):
        lost = next((one for one in LOST if is_cause(answers.get(one)) and _LOST.search(answers[one].title)), "")
        if lost:
            _blame_the_build(answers, lost)
    for check_id, causes in FOLLOWS.items():
        check = answers.get(check_id)
        if check is None or check.status not in _WORDS:
            continue
        cause = next((one for one in causes if is_cause(answers.get(one))), "")
        if cause:
            answers[cause] = _with_evidence(answers[cause], check)
            answers[check_id] = _told(check, cause)
    return tuple(sorted(answers.values(), key=lambda one: order.index(one.id) if one.id in order else len(order)))


def _blame_the_build(answers: dict[str, Check], lost: str) -> None:
    """A build that printed errors and went on, or ended early, is the cause when what it makes is not there."""
    swallowed, check = answers[SWALLOWED], answers[lost]
    said = swallowed.evidence[0]
    what, hint = (ENDED_EARLY, GO_ON) if said.startswith(f"{BUILD}:") else (WENT_ON, GO_NO_FURTHER)
    title = f"{what} ({said[:100]}): {check.title[:1].lower()}{check.title[1:]}"
    blamed = failed(SWALLOWED, title, evidence=swallowed.evidence, hint=hint)
    blamed = replace(blamed, question=swallowed.question, seconds=swallowed.seconds)
    answers[SWALLOWED] = _with_evidence(blamed, check)
    answers[lost] = _told(check, SWALLOWED)


def _tells(known: Check, check: Check) -> bool:
    """Whether `known` speaks, at least as gravely, of everything that `check` is about."""
    if _WORDS.get(known.status, 0) < _WORDS[check.status] or not check.about:
        return False
    named = set(map(_path, known.about))
    text = "\n".join([known.title, *known.evidence])
    return all(_path(url) in named or _name(url) in text for url in check.about)


def _path(url: str) -> str:
    return unquote(urlsplit(url).path)


def _name(url: str) -> str:
    """What a literal for this URL ends with, whatever it begins with."""
    parts = urlsplit(url)
    tail = unquote(parts.path).rstrip("/").rsplit("/", 1)[-1]
    return tail if len(tail) > 2 else url


def _with_evidence(known: Check, check: Check) -> Check:
    seen = _seen(check)
    return known if seen in known.evidence else replace(known, evidence=(*known.evidence, seen))


def _seen(check: Check) -> str:
    return f"in the browser: {check.title}" if check.family == "browser" else f"and so: {check.title}"


def _told(check: Check, cause: str) -> Check:
    told = skipped(check.id, f"it follows from {cause}")
    return replace(told, question=check.question, seconds=check.seconds, detail=check.title)


def worst_first(checks: Sequence[Check]) -> list[Check]:
    """The answers that count, failures before warnings, each group in its order."""
    return sorted((check for check in checks if check.counts), key=lambda check: -_WORDS[check.status])
