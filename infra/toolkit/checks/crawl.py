"""Crawl: what else the pages lead to: links, other hosts, and how far the crawl went."""

from __future__ import annotations

from urllib.parse import urlsplit

from toolkit.checks.context import Context
from toolkit.checks.origin import places
from toolkit.checks.seen import NEEDS_PLATFORM, coped_with
from toolkit.crawl import Finding
from toolkit.judging import Problem
from toolkit.references.model import Kind
from toolkit.report import Check, failed, passed, skipped, warned


def links(context: Context) -> Check:
    """In-app links and the data files that scripts fetch lead somewhere."""
    if context.unseen or context.crawled is None:
        return skipped("crawl.links", context.unseen)
    meant = coped_with(context.browser)
    refused = {answer.url for answer in context.crawled.answers if answer.status in NEEDS_PLATFORM}
    found = [one for one in context.crawled.of(Problem.DEAD_LINK) if urlsplit(one.url).path not in meant]
    dead = [one for one in found if one.url not in refused]
    if dead:
        return warned(
            "crawl.links",
            f"{len(dead)} links lead nowhere, first {dead[0].message}" if len(dead) > 1 else dead[0].message,
            evidence=[f"{finding.named_by[0]}  {finding.literal}" for finding in dead[:10]],
            hint="Correct the link, or answer its path.",
            about=[finding.url for finding in dead if finding.url],
        )
    if found:
        return passed(
            "crawl.links",
            f"links lead somewhere; {found[0].message}",
            "There is no platform behind this test, so that what needs DataRobot is refused.",
            evidence=_named(found),
        )
    return passed("crawl.links", "every link that was followed leads somewhere")


def hosts(context: Context) -> Check:
    """Browsers can reach the other hosts that the pages name, from an https page (they are not requested here)."""
    crawled = context.crawled
    if context.unseen or crawled is None:
        return skipped("crawl.hosts", context.unseen)
    found = crawled.of(Problem.LOOPBACK, Problem.INSECURE)
    broken = [finding for finding in found if finding.kind not in (Kind.LINK, Kind.PAGE)]
    if broken:
        first = broken[0]
        return failed(
            "crawl.hosts",
            first.message[:1].upper() + first.message[1:] + _more(broken),
            evidence=[*_named(broken), *(f"{place}  {first.literal}" for place in places(context, first))],
            hint="Use a relative URL (./api/…)." if first.problem is Problem.LOOPBACK else "Use https: or wss:.",
            about=[finding.url for finding in broken if finding.url],
        )
    if found:
        return warned("crawl.hosts", found[0].message, evidence=_named(found), hint="Is this link meant for visitors?")
    named = [f"{host} ({place})" for host, place in sorted(crawled.hosts.items())]
    title = f"{len(named)} other hosts are named" if named else "no other host is named"
    return passed("crawl.hosts", title, evidence=named[:20])


def _named(findings: list[Finding]) -> list[str]:
    return [f"{finding.named_by[0]}  {finding.literal}" for finding in findings[:10]]


def encoding(context: Context) -> Check:
    """Texts are sent in the encoding in which they are written (HTML standard, encoding sniffing)."""
    if context.unseen or context.crawled is None:
        return skipped("crawl.encoding", context.unseen)
    if wrong := context.crawled.of(Problem.ENCODING):
        return warned(
            "crawl.encoding",
            f"{wrong[0].message}: letters such as ü or 日 come out wrong" + _more(wrong),
            evidence=_named(wrong),
            hint='Send "text/html; charset=utf-8", or write <meta charset="utf-8"> first in <head>.',
        )
    return passed("crawl.encoding", "texts are read as they are written")


def _more(found: list[Finding]) -> str:
    return f" (and {len(found) - 1} more)" if len(found) > 1 else ""


def complete(context: Context) -> Check:
    """The crawl came to its end."""
    if context.unseen or context.crawled is None:
        return skipped("crawl.complete", context.unseen)
    limits = context.crawled.of(Problem.LIMIT)
    if limits:
        return warned("crawl.complete", limits[0].message, hint="Is there a page that makes up new URLs forever?")
    return passed("crawl.complete", f"{len(context.crawled.answers)} URLs were asked")
