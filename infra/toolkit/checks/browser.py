"""Browser: what does a person's browser make of the page, and of everything that can be clicked in it?

A missing asset is a failure. A call to the app's own API that fails is doubtful at most: the API may need the
platform, and there is none behind the smoke test. Errors that can follow from such a call are not held against the app.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from http import HTTPStatus
from urllib.parse import urlsplit

from toolkit.browsing.model import Asked, BrowserResult, Said
from toolkit.checks.context import Context
from toolkit.checks.seen import (
    OF_CHROMIUM,
    SHOWN,
    as_http,
    asset_problem,
    blind,
    call,
    coped_with,
    cut,
    dialog_lines,
    error_line,
    failed_calls,
    number,
    other_hosts,
    refused_scripts,
    said_lines,
    socket_problem,
    stream_problem,
    written,
)
from toolkit.places import PLATFORM_PATHS, is_loopback
from toolkit.report import Check, failed, passed, skipped, warned

_PROGRAM_FAULTS = frozenset({"ReferenceError", "SyntaxError"})
# How a call is answered that the app passes on to a platform that is not there, or that does not know its token.
_NEEDS_PLATFORM = frozenset({401, 403, 502, 503, 504})
_NO_DATA = re.compile(r"not valid JSON|Unexpected token '?<|JSON\.parse|JSON Parse error")
_MIXED = re.compile(r"^Mixed Content: .*has been blocked|insecure WebSocket connection may not be initiated")
_INSECURE_URL = re.compile(r"insecure [^']*'([^']+)'")


def page(context: Context) -> Check:
    """The page shows something."""
    check, seen = "browser.page", context.browser
    if (reason := blind(context)) or seen is None:
        return skipped(check, reason)
    if seen.hangs:
        return failed(
            check,
            f"The page stops answering {seen.hangs}",
            "A script of it never ends, so that nothing can be clicked any more.",
            hint="Look for an endless loop in what runs there.",
        )
    if seen.problem:
        return failed(check, f"The browser cannot show the page: {seen.problem}", hint="Open it with --keep and look.")
    empty = [visit for visit in seen.visits if not visit.shown]
    if not empty and (lost := _lost(seen)):
        return failed(
            check,
            f"The page says “{lost}” of its own address",
            f"The server answers it well. A router in the page looks for {context.prefix}, which it does not know.",
            evidence=said_lines(context, seen.said),
            hint="Give the router its base (new URL('.', document.baseURI).pathname), or keep routes in the hash.",
        )
    if not empty:
        return passed(check, "the page shows something", evidence=dialog_lines(seen))
    first = empty[0]
    what = f"The page {seen.short(first.url)} stays empty" if first.url != seen.start_url else "The page stays empty"
    what += f": {first.root} has no content" if first.root else ""
    if hosts := other_hosts(seen, {"script"}):
        return skipped(check, f"the page needs scripts of {', '.join(hosts)}, which is not requested here")
    thrown = [said for said in seen.said if said.kind != "console"]
    if thrown:
        title = f"The page stays empty: {error_line(thrown[0])}"
        return failed(check, title, what, evidence=said_lines(context, thrown), hint=_error_hint(thrown[0]))
    calls = failed_calls(seen)
    if calls:
        return warned(
            check,
            f"{what}; {call(seen, calls[0])}",
            "There is no platform behind this test, so that the call may fail for that reason alone.",
            evidence=[call(seen, one) for one in calls[:SHOWN]],
            hint="Show something, an error for example, when the call fails.",
        )
    return failed(
        check,
        what,
        "Expected text, an image or a control; nothing of it is visible.",
        evidence=[f"reached by {first.how}", *said_lines(context, seen.said)],
        hint="Does the script that fills the page run? Open the page with --keep and look into the console.",
    )


def _lost(seen: BrowserResult) -> str:
    """What the start page says when it does not know its own address; nothing when something else may be missing."""
    first = next(iter(seen.visits), None)
    return first.lost[:80] if first is not None and first.status == HTTPStatus.OK and not failed_calls(seen) else ""


def prefix(context: Context) -> Check:
    """Whatever is loaded or clicked, the browser stays below the prefix (platform-contract 4)."""
    check, seen = "browser.prefix", context.browser
    if (reason := blind(context)) or seen is None:
        return skipped(check, reason)
    outside: dict[str, str] = {}
    of_platform: dict[str, str] = {}
    for url, how in seen.strayed:
        if urlsplit(url).netloc == urlsplit(seen.start_url).netloc:
            outside.setdefault(url, f"the address becomes {seen.short(url)} ({how})")
    for asked in seen.asked:
        path = urlsplit(asked.url).path
        if asked.where != "outside" or path == "/favicon.ico" or (asked.kind == "other" and seen.strayed):
            continue
        target = of_platform if path.startswith(PLATFORM_PATHS) else outside
        target.setdefault(asked.url, f"{asked.method} {seen.short(asked.url)} ({asked.kind}, {asked.step})")
    for socket in seen.sockets:
        if socket.where == "outside":
            outside.setdefault(socket.url, f"WebSocket {urlsplit(socket.url).path} ({socket.step})")
    for url in seen.links:
        if not urlsplit(url).path.startswith(PLATFORM_PATHS):
            outside.setdefault(url, f"link to {seen.short(url)} (in the rendered page)")
    if outside:
        first = next(iter(outside.values()))
        more = f"{len(outside)} URLs leave the app's prefix, first {first}" if len(outside) > 1 else ""
        return failed(
            check,
            more or f"{first[0].upper()}{first[1:]} leaves the app's prefix",
            f"The app lives at {context.prefix}: everything else on that host belongs to DataRobot.",
            evidence=[*cut(list(outside.values())), *written(context, seen, next(iter(outside)))],
            hint=_prefix_hint(first),
            about=outside,
        )
    if of_platform:
        return warned(
            check,
            f"The page asks DataRobot itself: {next(iter(of_platform.values()))}",
            "That works only for visitors who are signed in there, with their own permissions.",
            evidence=cut(list(of_platform.values())),
            hint="If these are routes of the app, make them relative: ./api/…",
            about=of_platform,
        )
    return passed(check, "the browser stays below the app's prefix")


def _prefix_hint(first: str) -> str:
    if first.startswith(("the address", "link")):
        return "Give the router the path of the page as its base (basename, base), or write relative links."
    return "Write relative URLs: ./x instead of /x; in scripts new URL('./x', document.baseURI)."


def requests(context: Context) -> Check:
    """Everything that the page asks of the app arrives, and is what it has to be."""
    check, seen = "browser.requests", context.browser
    if (reason := blind(context)) or seen is None:
        return skipped(check, reason)
    wrong: dict[str, tuple[Asked, str]] = {}
    refused = refused_scripts(seen)
    for asked in seen.asked:  # a URL may be asked for again later on; what counts is when it went wrong first
        if problem := asset_problem(asked, refused):
            wrong.setdefault(asked.url, (asked, problem))
    if wrong:
        first, problem = next(iter(wrong.values()))
        shown = f"{seen.short(first.url)} {problem}"
        title = f"{len(wrong)} files do not arrive in the browser, first {shown}" if len(wrong) > 1 else shown
        detail, hint = f"Asked for as a {first.kind} ({first.step}).", "Is the file built, shipped and served?"
        if all(asked.step.startswith("reload of") for asked, _ in wrong.values()):
            where = first.step.removeprefix("reload of ")
            title = f"Reloaded at {where}, the page looks for its files in the wrong folder: {shown}"
            hint = "Relative URLs mean the folder of the address: answer deep links with a <base href> of the prefix."
        return failed(
            check,
            title,
            detail,
            evidence=[
                *cut([f"{seen.short(one.url)} {why} ({one.kind}, {one.step})" for one, why in wrong.values()]),
                *written(context, seen, first.url),
            ],
            hint=hint,
            about=wrong,
        )
    fallbacks = [asked for asked in seen.asked if asked.like_page]
    if fallbacks and any(_NO_DATA.search(said.text) for said in seen.said):
        first = fallbacks[0]
        return failed(
            check,
            f"{seen.short(first.url)} answers the start page instead of data",
            f"The script expects JSON ({first.step}) and gets text/html: no route answers, so the fallback does.",
            evidence=[*cut([seen.short(one.url) for one in fallbacks]), *written(context, seen, first.url)],
            hint="Answer this path in the server; answer 404 for unknown paths below it instead of the page.",
            about=[one.url for one in fallbacks],
        )
    failing = failed_calls(seen)
    meant = coped_with(seen)
    calls = [one for one in failing if one.status not in _NEEDS_PLATFORM and urlsplit(one.url).path not in meant]
    if calls:
        more = f" (and {len(calls) - 1} more)" if len(calls) > 1 else ""
        return warned(
            check,
            f"The page's own {call(seen, calls[0])}{more}",
            "There is no platform behind this test: a call that needs DataRobot fails here for that reason alone."
            if calls[0].status != 404
            else "The server does not know this path.",
            evidence=cut([f"{call(seen, one)} ({one.step})" for one in calls]),
            hint="Look at the app's log; does the call need DataRobot, or another service?"
            if calls[0].status != 404
            else "Add the route, or correct the URL in the script.",
            about=[one.url for one in calls],
        )
    count = len({asked.url for asked in seen.asked if asked.where == "inside"})
    if failing:
        return passed(
            check,
            f"{count - len(failing)} URLs arrived in the browser; the {call(seen, failing[0])}",
            "There is no platform behind this test, so that calls which need DataRobot are refused."
            if failing[0].status in _NEEDS_PLATFORM
            else "The script looks whether it fails, and the page goes on without a word of an error.",
            evidence=cut([f"{call(seen, one)} ({one.step})" for one in failing]),
        )
    return passed(check, f"{count} URLs arrived in the browser")


def styles(context: Context) -> Check:
    """Chromium refuses a stylesheet with a wrong MIME type without a word: only its rules are missing."""
    check, seen = "browser.styles", context.browser
    if (reason := blind(context)) or seen is None:
        return skipped(check, reason)
    missing = {asked.url for asked in seen.asked if asked.status >= 400 or asked.failure}
    dead = [sheet for sheet in seen.sheets if sheet.url not in missing and sheet.content_type not in ("", "text/css")]
    if dead:
        first = dead[0]
        more = f" (and {len(dead) - 1} more)" if len(dead) > 1 else ""
        return failed(
            check,
            f"The stylesheet {seen.short(first.url)} takes no effect: it comes as {first.content_type}{more}",
            "Browsers take a stylesheet as text/css only, and say nothing when they refuse it.",
            evidence=[f"{seen.short(sheet.url)}  {sheet.content_type}" for sheet in dead[:SHOWN]],
            hint="Is the file built? Serve it with Content-Type: text/css, and answer 404 for files that are missing.",
            about=[sheet.url for sheet in dead],
        )
    return passed(check, "every stylesheet takes effect")


def blocked(context: Context) -> Check:
    """Neither the page's own Content-Security-Policy nor the rule against mixed content keeps out what it needs."""
    check, seen = "browser.blocked", context.browser
    if (reason := blind(context)) or seen is None:
        return skipped(check, reason)
    kept_out = [one for one in seen.blocked if one.url not in ("eval", "wasm-eval", "trusted-types-policy")]
    own = [one for one in kept_out if one.url == "inline" or one.url.startswith(seen.origin)]
    if insecure := [said for said in seen.said if _MIXED.search(said.text)]:
        urls = [found[1] for said in insecure if (found := _INSECURE_URL.search(said.text))]
        return failed(
            check,
            f"The browser blocks {urls[0] if urls else 'a WebSocket'}: it is not https",
            "The platform speaks https only, and from an https page browsers load nothing by http: or ws:.",
            evidence=said_lines(context, insecure),
            hint="Use relative URLs; for a WebSocket: new URL('./ws', location.href), with its protocol set to wss:.",
            about=urls,
        )
    if not kept_out:
        return passed(check, "nothing of the page is blocked")
    first = (own or kept_out)[0]
    what = "inline code" if first.url == "inline" else seen.short(first.url)
    answer = failed if own else warned
    return answer(
        check,
        f"The app's own Content-Security-Policy blocks {what} ({first.directive})",
        evidence=cut(list(dict.fromkeys(f"{one.directive}  {seen.short(one.url)}  {one.place}" for one in kept_out))),
        hint=f"Allow it in the Content-Security-Policy header ({first.directive}), or do without it.",
        about=[one.url for one in own if one.url != "inline"],
    )


def hosts(context: Context) -> Check:
    """No other host is asked that visitors cannot reach, or not from an https page."""
    check, seen = "browser.hosts", context.browser
    if (reason := blind(context)) or seen is None:
        return skipped(check, reason)
    asked: dict[str, tuple[str, str]] = {}
    for one in seen.asked:
        if one.where == "elsewhere":
            asked.setdefault(one.url, (one.kind, one.step))
    for socket in seen.sockets:
        if socket.where == "elsewhere":
            asked.setdefault(socket.url, ("WebSocket", socket.step))
    own = [(url, kind, step) for url, (kind, step) in asked.items() if is_loopback(url)]
    insecure = [
        (url, kind, step)
        for url, (kind, step) in asked.items()
        if url.startswith(("http:", "ws:")) and not is_loopback(url) and kind not in ("image", "media", "document")
    ]
    wrong = own or insecure
    if wrong:
        url, kind, step = wrong[0]
        problem = "asks the visitor's own machine" if own else "is not https: browsers block it on the platform"
        return failed(
            check,
            f"{url} {problem}",
            f"Asked for as a {kind} ({step}).",
            evidence=[*cut([one for one, _, _ in wrong]), *written(context, seen, url)],
            hint="Use a relative URL (./api/…)." if own else "Use https: or wss:.",
            about=[one for one, _, _ in wrong],
        )
    named = sorted({urlsplit(url).netloc for url in asked})
    title = f"{len(named)} other hosts were named, none was requested" if named else "no other host is asked"
    return passed(check, title, evidence=named[:20])


def errors(context: Context) -> Check:
    """The scripts of the app run through without errors of their own."""
    check, seen = "browser.errors", context.browser
    if (reason := blind(context)) or seen is None:
        return skipped(check, reason)
    thrown = [said for said in seen.said if said.kind != "console"]
    logged = [said for said in seen.said if said.kind == "console" and not OF_CHROMIUM.match(said.text)]
    if not thrown and not logged:
        return passed(check, "no script fails")
    if elsewhere := other_hosts(seen, None):
        return skipped(check, f"errors may follow from {', '.join(elsewhere[:3])}, which is not requested here")
    calls = failed_calls(seen) + [asked for asked in seen.asked if asked.held_back]
    faults = [said for said in thrown if said.kind in _PROGRAM_FAULTS and not _NO_DATA.search(said.text)]
    if faults:
        first = faults[0]
        return failed(
            check,
            f"A script of the page fails: {error_line(first)}",
            f"It happens {first.step}." if first.step == "on load" else f"It happens on a {first.step}.",
            evidence=said_lines(context, [*faults, *(said for said in thrown if said not in faults)]),
            hint=_error_hint(first),
        )
    if calls:
        detail = "they may follow from calls that cannot succeed here"
        return passed(check, "no script fails by itself", detail, evidence=said_lines(context, [*thrown, *logged]))
    first = (thrown or logged)[0]
    return warned(
        check,
        f"A script of the page fails: {error_line(first)}" if thrown else f"The page logs an error: {first.text[:120]}",
        f"It happens {first.step}." if first.step == "on load" else f"It happens on a {first.step}.",
        evidence=said_lines(context, [*thrown, *logged]),
        hint=_error_hint(first),
    )


def _error_hint(said: Said) -> str:
    name = said.text.split(" ", 1)[0]
    if name in ("process", "require", "Bun", "Buffer", "module", "exports", "__dirname", "global"):
        return f"{name} exists on the server only: build for the browser (Bun.build target 'browser', define)."
    return "Open the page with --keep and look at this place in the browser's tools."


def sockets(context: Context) -> Check:
    """WebSockets and event streams of the app connect through the front."""
    check, seen = "browser.sockets", context.browser
    if (reason := blind(context)) or seen is None:
        return skipped(check, reason)
    own = [socket for socket in seen.sockets if socket.where == "inside"]
    streams = {one.url: one for one in seen.asked if one.kind == "eventsource" and one.where == "inside"}.values()
    wrong = [(one.url, why, one.status) for one in own if (why := socket_problem(one))]
    wrong += [(one.url, why, one.status) for one in streams if (why := stream_problem(one))]
    if wrong:
        url, why, status = wrong[0]
        kind = "WebSocket" if url.startswith("ws") else "event stream"
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        answer = warned if status >= 500 or status in (401, 403) else failed
        return answer(
            check,
            f"The {kind} {as_http(seen, url)} does not connect: {why}{more}",
            "Expected 101 Switching Protocols." if kind == "WebSocket" else "Expected 200 with text/event-stream.",
            evidence=cut([f"{as_http(seen, one)}  {problem}" for one, problem, _ in wrong]),
            hint="Answer the upgrade at this path: server.upgrade(request)."
            if kind == "WebSocket"
            else "Send Content-Type: text/event-stream and keep the answer open.",
            about=[one for one, _, _ in wrong],
        )
    held = [one for one in streams if one.compressed]
    if held:
        return warned(
            check,
            f"Nothing arrives of the event stream {seen.short(held[0].url)}: it is compressed",
            "A compressor keeps what it gets until there is enough of it. Events come late then, or never.",
            evidence=[seen.short(one.url) for one in held],
            hint="Leave event streams out of the compression, or flush it after each event.",
            about=[one.url for one in held],
        )
    count = len(own) + len(streams)
    return passed(check, f"{count} WebSockets and event streams connect" if count else "no WebSocket, no event stream")


def deeplink(context: Context) -> Check:
    """An address that was reached by clicks comes up by itself, too: reloaded, or sent to somebody."""
    check, seen = "browser.deeplink", context.browser
    if (reason := blind(context)) or seen is None:
        return skipped(check, reason)
    reloads = [visit for visit in seen.visits if visit.how.startswith("reload of")]
    broken = [visit for visit in reloads if visit.status >= 400]
    if broken:
        first = broken[0]
        answer = failed if first.status < 500 else warned
        return answer(
            check,
            f"{seen.short(first.url)} was reached by clicks, but answers {first.status} when it is reloaded",
            "The script in the page knows this address, the server does not.",
            evidence=[f"{seen.short(visit.url)}  {visit.status}" for visit in broken],
            hint="Let the server answer such addresses with the page, or keep the route in the hash (#/…).",
            about=[visit.url for visit in broken],
        )
    return passed(check, f"{len(reloads)} deep links come up again" if reloads else "no deep link without a document")


def cookies(context: Context) -> Check:
    """The host belongs to DataRobot: a cookie needs the app's path, or others get it (platform-contract 4)."""
    check, seen = "browser.cookies", context.browser
    if (reason := blind(context)) or seen is None:
        return skipped(check, reason)
    lost = [one for one in seen.cookies if not f"{one.path.rstrip('/')}/".startswith(seen.prefix)]
    never = [one for one in lost if not seen.prefix.startswith(f"{one.path.rstrip('/')}/")]
    if never:
        first = never[0]
        return failed(
            check,
            f"The cookie {first.name} has Path={first.path}: the browser never sends it to the app",
            f"The app is visible at {context.prefix}, and cookies go to their own path only.",
            evidence=[f"{one.name}; Path={one.path}" for one in never],
            hint="Leave Path out, or set it to the value of the header X-Forwarded-Prefix.",
        )
    if lost:
        return warned(
            check,
            f"The cookie {lost[0].name} leaves the app's prefix (Path={lost[0].path})",
            "DataRobot itself and every other app on that host get it, and may overwrite it.",
            evidence=[f"{one.name}; Path={one.path}" for one in lost],
            hint="Leave Path out, or set it to the value of the header X-Forwarded-Prefix.",
        )
    count = len(seen.cookies)
    return passed(check, f"{count} cookies stay within the prefix" if count else "no cookie is set")


def explored(context: Context) -> Check:
    """How far the browser came; a browser that does not start is a warning."""
    check, seen = "browser.explored", context.browser
    if seen is not None and not seen.version:
        return warned(
            check,
            f"The browser does not start: {seen.problem}",
            hint="Name another Chromium with CHROMIUM=…, or leave it out: --browser off",
        )
    if (reason := blind(context)) or seen is None:
        return skipped(check, reason)
    pages = len({visit.url for visit in seen.visits})
    clicks = sum(step.startswith("click") for step in seen.steps)
    cut = "" if seen.complete else "the budget was used up before everything was clicked"
    left = [f"not clicked on purpose: {name}" for name in seen.untouched[:10]]
    held = [f"held back: {one.method} {seen.short(one.url)} ({one.step})" for one in seen.asked if one.held_back]
    title = f"{number(pages, 'page')}, {number(clicks, 'click')} in Chromium {seen.version}"
    return passed(check, title, cut, evidence=[*dialog_lines(seen), *left, *dict.fromkeys(held)])


CHECKS: tuple[Callable[[Context], Check], ...] = (
    page,
    prefix,
    requests,
    styles,
    blocked,
    hosts,
    errors,
    sockets,
    deeplink,
    cookies,
    explored,
)
