"""Browser: does all that the page asks for arrive, and only from where it may?

A missing asset is a failure. A call to the app's own API that fails is doubtful at most: the API may need the
platform, and there is none behind the smoke test.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from toolkit.browsing.model import Asked, BrowserResult
from toolkit.checks.context import Context
from toolkit.checks.seen import (
    NEEDS_PLATFORM,
    NO_DATA,
    SHOWN,
    as_http,
    asset_problem,
    call,
    coped_with,
    cut,
    failed_calls,
    looks,
    refused_scripts,
    said_lines,
    socket_problem,
    stream_problem,
    written,
)
from toolkit.places import PLATFORM_PATHS, is_loopback
from toolkit.report import Check, failed, passed, warned

_MIXED = re.compile(r"^Mixed Content: .*has been blocked|insecure WebSocket connection may not be initiated")
_INSECURE_URL = re.compile(r"insecure [^']*'([^']+)'")


@looks("browser.prefix")
def prefix(check: str, context: Context, seen: BrowserResult) -> Check:
    """Whatever is loaded or clicked, the browser stays below the prefix (platform-contract 4)."""
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


@looks("browser.requests")
def requests(check: str, context: Context, seen: BrowserResult) -> Check:
    """Everything that the page asks of the app arrives, and is what it has to be."""
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
    if fallbacks and any(NO_DATA.search(said.text) for said in seen.said):
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
    calls = [one for one in failing if one.status not in NEEDS_PLATFORM and urlsplit(one.url).path not in meant]
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
            if failing[0].status in NEEDS_PLATFORM
            else "The script looks whether it fails, and the page goes on without a word of an error.",
            evidence=cut([f"{call(seen, one)} ({one.step})" for one in failing]),
        )
    return passed(check, f"{count} URLs arrived in the browser")


@looks("browser.styles")
def styles(check: str, _context: Context, seen: BrowserResult) -> Check:
    """Chromium refuses a stylesheet with a wrong MIME type without a word: only its rules are missing."""
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


@looks("browser.blocked")
def blocked(check: str, context: Context, seen: BrowserResult) -> Check:
    """Neither the page's own Content-Security-Policy nor the rule against mixed content keeps out what it needs."""
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


@looks("browser.hosts")
def hosts(check: str, context: Context, seen: BrowserResult) -> Check:
    """No other host is asked that visitors cannot reach, or not from an https page."""
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


@looks("browser.sockets")
def sockets(check: str, _context: Context, seen: BrowserResult) -> Check:
    """WebSockets and event streams of the app connect through the front."""
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
