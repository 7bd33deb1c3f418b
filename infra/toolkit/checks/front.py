"""Front: through the platform's proxy, does the page come up with all that belongs to it, below its prefix?"""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from toolkit.checks import names
from toolkit.checks.context import Context
from toolkit.checks.origin import places
from toolkit.crawl import Answer, Finding
from toolkit.judging import Problem
from toolkit.report import Check, failed, passed, skipped, warned

_SHOWN = 10

_HTML_IMPORT = re.compile(r"""\s*import\s+\w+\s+from\s+["'][^"']+\.html["']""")
_LARGEST_SCRIPT = 2**20


def page(context: Context) -> Check:
    """The app's URL answers an HTML page."""
    check = "front.page"
    if context.down or context.crawled is None:
        return skipped(check, context.down)
    own = [finding for finding in context.crawled.findings if finding.of_start]
    if not own:
        return passed(check, "the page comes up through the front")
    first = own[0]
    probed = context.waited.response
    if first.problem is Problem.MISSING and probed is not None and first.message.endswith(f"answers {probed.status}"):
        return skipped(check, f"it answers {probed.status} as it does to the probe (start.probe)")
    hint = "Answer GET / with the page, and with Content-Type: text/html."
    if first.message.endswith("answers 403") and probed is not None and probed.status < 400:
        hint = (
            "The probe gets its answer: does the server accept local visitors only? Development servers do so; "
            "run it for production, or let it accept every Host."
        )
    if first.problem is Problem.REDIRECT:
        hint = _prefix_hint([first])
    return failed(
        check,
        f"The page does not come up: {first.message}",
        evidence=[*_evidence(context, [first])[1:], *context.logs[-5:]],
        hint=hint,
    )


def prefix(context: Context) -> Check:
    """Nothing leaves the prefix: `/x` goes to DataRobot itself, not to the app (platform-contract 4)."""
    check = "front.prefix"
    if context.unseen or context.crawled is None:
        return skipped(check, context.unseen)
    outside = context.crawled.of(Problem.OUTSIDE)
    redirects = [f for f in context.crawled.of(Problem.REDIRECT) if "loop" not in f.message]
    found = sorted(outside, key=lambda f: not f.message.startswith("<base")) + redirects
    if found:
        title = _sentence(found[0].message)
        if len(found) > 1:
            title = f"{len(found)} URLs leave the app's prefix, first {found[0].message}"
        return failed(
            check,
            title,
            f"The app lives at {context.prefix}: everything else on that host belongs to DataRobot.",
            evidence=[*_evidence(context, found), *_html_imports(context)],
            hint=_prefix_hint(found, imported=bool(_html_imports(context))),
            about=_urls(found),
        )
    platform = context.crawled.of(Problem.PLATFORM)
    if platform:
        return warned(
            check,
            f"The page asks DataRobot itself for {platform[0].literal}",
            "That works only for visitors who are signed in there, with their own permissions.",
            evidence=_evidence(context, platform),
            hint="If these are routes of the app, make them relative: ./api/…",
            about=_urls(platform),
        )
    return passed(check, "nothing leaves the app's prefix")


def _html_imports(context: Context) -> list[str]:
    """`file:line` where server code imports a page: Bun serves its files from the root of the host, always."""
    server = [file for file in context.staged.files if file.path.endswith((".ts", ".tsx", ".js", ".mjs", ".mts"))]
    return [
        f"{file.path}:{number}  {line.strip()}"
        for file in server
        if file.local.stat().st_size < _LARGEST_SCRIPT
        for number, line in enumerate(file.local.read_text("utf-8", "replace").split("\n"), 1)
        if _HTML_IMPORT.match(line)
    ]


def _prefix_hint(found: Sequence[Finding], *, imported: bool = False) -> str:
    if imported or any(f.known.startswith("/_bun/") for f in found):
        return (
            "Bun.serve with an HTML import always serves the files of the page from /: build the page with Bun.build "
            "in build-app.sh, and let the server send the files of dist."
        )
    if found[0].message.startswith("<base"):
        return 'Remove it, or write <base href="./">.'
    if found[0].problem is Problem.REDIRECT:
        return "Redirect to a relative Location (./login), or put X-Forwarded-Prefix in front."
    return "Write relative URLs: ./x instead of /x (in a bundler: publicPath or base './')."


def assets(context: Context) -> Check:
    """Every asset that the page names, and every one that those name, answers as browsers demand."""
    check = "front.assets"
    crawled = context.crawled
    if context.unseen or crawled is None:
        return skipped(check, context.unseen)
    wrong = crawled.of(
        Problem.SPECIFIER, Problem.FALLBACK, Problem.MISSING, Problem.TYPE, Problem.BROKEN, Problem.INTEGRITY
    )
    wrong += [finding for finding in crawled.of(Problem.REDIRECT) if "loop" in finding.message]
    if not wrong:
        return passed(check, f"{_count(crawled.answers)} answer as browsers demand")
    first = wrong[0]
    title = _sentence(first.message)
    same = [finding for finding in wrong if finding.problem is first.problem]
    if len(wrong) > 1:
        title = f"{len(wrong)} assets do not work, first {first.message}"
    hint = _asset_hint(first)
    if first.problem in (Problem.MISSING, Problem.FALLBACK) and (path := _otherwise(context, first)):
        title += f"; the file is called {path}"
        hint = (
            f"They differ {names.difference(first.url, path)}: on the platform these are two files. Write it as it is."
        )
    return failed(
        check,
        title,
        "" if len(same) == len(wrong) else _problems(wrong),
        evidence=_evidence(context, wrong),
        hint=hint,
        about=_urls(wrong),
    )


def _otherwise(context: Context, finding: Finding) -> str:
    """The shipped file that is meant by a URL that is written in another form."""
    return names.same_but_for_form(urlsplit(finding.url).path.rsplit("/", 1)[-1], context.paths)


def _asset_hint(finding: Finding) -> str:
    if finding.problem is Problem.FALLBACK:
        return "Build the file or correct its name; answer 404 for missing files instead of the page."
    if finding.problem is Problem.MISSING:
        return "Is the file built, shipped and served? Mind case, and the folder that the URL is relative to."
    if finding.problem is Problem.TYPE:
        return "Send the right Content-Type: new Response(Bun.file(path)) does so by the file's extension."
    if finding.problem is Problem.SPECIFIER:
        return "Bundle the script (Bun.build), or name the module in an import map."
    if finding.problem is Problem.INTEGRITY:
        return "Compute the hash from the file that is served, after the build."
    return "Ask for this URL by hand and look at the app's log."


def _urls(findings: Sequence[Finding]) -> list[str]:
    return [finding.url for finding in findings if finding.url]


def _problems(findings: Sequence[Finding]) -> str:
    names = sorted({finding.problem.value for finding in findings})
    return ", ".join(f"{sum(f.problem.value == name for f in findings)} {name}" for name in names)


def _count(answers: Sequence[Answer]) -> str:
    return f"{len(answers)} URLs" if len(answers) != 1 else "1 URL"


def _evidence(context: Context, findings: Sequence[Finding]) -> list[str]:
    """`URL:line` with the literal for each finding, and for the first ones where the literal is written."""
    shown = [f"{finding.named_by[0]}  {finding.literal}" for finding in findings[:_SHOWN]]
    if len(findings) > _SHOWN:
        shown.append(f"… and {len(findings) - _SHOWN} more")
    for finding in findings[:2]:
        shown.extend(f"{place}  {finding.literal}" for place in places(context, finding))
    return list(dict.fromkeys(shown))


def _sentence(text: str) -> str:
    return text if text.startswith(("./", "<")) or re.match(r"\S*\(", text) else text[:1].upper() + text[1:]
