"""Browser: what does a person's browser make of the page, and of everything that can be clicked in it?

A missing asset is a failure. A call to the app's own API that fails is doubtful at most: the API may need the
platform, and there is none behind the smoke test. Errors that can follow from such a call are not held against the app.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

from toolkit.browsing.model import CALLS, Asked, BrowserResult, Said
from toolkit.browsing.model import Socket as WebSocket
from toolkit.checks.context import Context
from toolkit.checks.origin import places
from toolkit.crawl import PLATFORM_PATHS, Finding
from toolkit.judging import Problem
from toolkit.references.model import JAVASCRIPT_TYPES, Kind
from toolkit.report import Check, failed, passed, skipped, warned

_SHOWN = 8
_PROGRAM_FAULTS = frozenset({"ReferenceError", "SyntaxError"})
# How a call is answered that the app passes on to a platform that is not there, or that does not know its token.
_NEEDS_PLATFORM = frozenset({401, 403, 502, 503, 504})
_NO_DATA = re.compile(r"not valid JSON|Unexpected token '?<|JSON\.parse|JSON Parse error")
# Errors that Chromium itself writes to the console: each is told by something better.
_MIXED = re.compile(r"^Mixed Content: .*has been blocked|insecure WebSocket connection may not be initiated")
_INSECURE_URL = re.compile(r"insecure [^']*'([^']+)'")
_OF_CHROMIUM = re.compile(
    r"^(?:Failed to load|Access to |Refused to |WebSocket connection to|EventSource|Mixed Content|A bad HTTP response"
    r"|Loading the |Executing inline|Applying inline|Connecting to |Fetch API cannot|The source list|The resource"
    r"|Manifest:|Cross-Origin|Evaluating a string|Framing |Uncaught |Not allowed to load)",
    re.IGNORECASE,
)
_BENIGN_FAILURES = ("net::ERR_ABORTED", "net::ERR_BLOCKED_BY_CSP", "csp", "net::ERR_BLOCKED_BY_CLIENT")
_CODE_TYPES = JAVASCRIPT_TYPES | {"application/json", "text/json", "text/css", "application/wasm"}


def page(context: Context) -> Check:
    """The page shows something."""
    check, seen = "browser.page", context.browser
    if (reason := _blind(context)) or seen is None:
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
    if not empty:
        return passed(check, "the page shows something", evidence=_dialogs(seen))
    first = empty[0]
    what = f"The page {seen.short(first.url)} stays empty" if first.url != seen.start_url else "The page stays empty"
    what += f": {first.root} has no content" if first.root else ""
    if hosts := _hosts(seen, {"script"}):
        return skipped(check, f"the page needs scripts of {', '.join(hosts)}, which is not requested here")
    thrown = [said for said in seen.said if said.kind != "console"]
    if thrown:
        title = f"The page stays empty: {_error(thrown[0])}"
        return failed(check, title, what, evidence=_said(context, thrown), hint=_error_hint(thrown[0]))
    calls = _failed_calls(seen)
    if calls:
        return warned(
            check,
            f"{what}; {_call(seen, calls[0])}",
            "There is no platform behind this test, so that the call may fail for that reason alone.",
            evidence=[_call(seen, one) for one in calls[:_SHOWN]],
            hint="Show something, an error for example, when the call fails.",
        )
    return failed(
        check,
        what,
        "Expected text, an image or a control; nothing of it is visible.",
        evidence=[f"reached by {first.how}", *_said(context, seen.said)],
        hint="Does the script that fills the page run? Open the page with --keep and look into the console.",
    )


def prefix(context: Context) -> Check:
    """Whatever is loaded or clicked, the browser stays below the prefix (platform-contract 4)."""
    check, seen = "browser.prefix", context.browser
    if (reason := _blind(context)) or seen is None:
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
            evidence=[*_cut(list(outside.values())), *_written(context, seen, next(iter(outside)))],
            hint=_prefix_hint(first),
            about=outside,
        )
    if of_platform:
        return warned(
            check,
            f"The page asks DataRobot itself: {next(iter(of_platform.values()))}",
            "That works only for visitors who are signed in there, with their own permissions.",
            evidence=_cut(list(of_platform.values())),
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
    if (reason := _blind(context)) or seen is None:
        return skipped(check, reason)
    wrong: dict[str, tuple[Asked, str]] = {}
    for asked in seen.asked:  # a URL may be asked for again later on; what counts is when it went wrong first
        if problem := _asset_problem(asked):
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
                *_cut([f"{seen.short(one.url)} {why} ({one.kind}, {one.step})" for one, why in wrong.values()]),
                *_written(context, seen, first.url),
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
            evidence=[*_cut([seen.short(one.url) for one in fallbacks]), *_written(context, seen, first.url)],
            hint="Answer this path in the server; answer 404 for unknown paths below it instead of the page.",
            about=[one.url for one in fallbacks],
        )
    failing = _failed_calls(seen)
    meant = coped_with(seen)
    calls = [one for one in failing if one.status not in _NEEDS_PLATFORM and urlsplit(one.url).path not in meant]
    if calls:
        more = f" (and {len(calls) - 1} more)" if len(calls) > 1 else ""
        return warned(
            check,
            f"The page's own {_call(seen, calls[0])}{more}",
            "There is no platform behind this test: a call that needs DataRobot fails here for that reason alone."
            if calls[0].status != 404
            else "The server does not know this path.",
            evidence=_cut([f"{_call(seen, one)} ({one.step})" for one in calls]),
            hint="Look at the app's log; does the call need DataRobot, or another service?"
            if calls[0].status != 404
            else "Add the route, or correct the URL in the script.",
            about=[one.url for one in calls],
        )
    count = len({asked.url for asked in seen.asked if asked.where == "inside"})
    if failing:
        return passed(
            check,
            f"{count - len(failing)} URLs arrived in the browser; the {_call(seen, failing[0])}",
            "There is no platform behind this test, so that calls which need DataRobot are refused."
            if failing[0].status in _NEEDS_PLATFORM
            else "The script looks whether it fails, and the page goes on without a word of an error.",
            evidence=_cut([f"{_call(seen, one)} ({one.step})" for one in failing]),
        )
    return passed(check, f"{count} URLs arrived in the browser")


def styles(context: Context) -> Check:
    """Chromium refuses a stylesheet with a wrong MIME type without a word: only its rules are missing."""
    check, seen = "browser.styles", context.browser
    if (reason := _blind(context)) or seen is None:
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
            evidence=[f"{seen.short(sheet.url)}  {sheet.content_type}" for sheet in dead[:_SHOWN]],
            hint="Is the file built? Serve it with Content-Type: text/css, and answer 404 for files that are missing.",
            about=[sheet.url for sheet in dead],
        )
    return passed(check, "every stylesheet takes effect")


def blocked(context: Context) -> Check:
    """Neither the page's own Content-Security-Policy nor the rule against mixed content keeps out what it needs."""
    check, seen = "browser.blocked", context.browser
    if (reason := _blind(context)) or seen is None:
        return skipped(check, reason)
    kept_out = [one for one in seen.blocked if one.url not in ("eval", "wasm-eval", "trusted-types-policy")]
    own = [one for one in kept_out if one.url == "inline" or one.url.startswith(seen.origin)]
    if insecure := [said for said in seen.said if _MIXED.search(said.text)]:
        urls = [found[1] for said in insecure if (found := _INSECURE_URL.search(said.text))]
        return failed(
            check,
            f"The browser blocks {urls[0] if urls else 'a WebSocket'}: it is not https",
            "The platform speaks https only, and from an https page browsers load nothing by http: or ws:.",
            evidence=_said(context, insecure),
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
        evidence=_cut(list(dict.fromkeys(f"{one.directive}  {seen.short(one.url)}  {one.place}" for one in kept_out))),
        hint=f"Allow it in the Content-Security-Policy header ({first.directive}), or do without it.",
        about=[one.url for one in own if one.url != "inline"],
    )


def hosts(context: Context) -> Check:
    """No other host is asked that visitors cannot reach, or not from an https page."""
    check, seen = "browser.hosts", context.browser
    if (reason := _blind(context)) or seen is None:
        return skipped(check, reason)
    asked: dict[str, tuple[str, str]] = {}
    for one in seen.asked:
        if one.where == "elsewhere":
            asked.setdefault(one.url, (one.kind, one.step))
    for socket in seen.sockets:
        if socket.where == "elsewhere":
            asked.setdefault(socket.url, ("WebSocket", socket.step))
    own = [(url, kind, step) for url, (kind, step) in asked.items() if _is_loopback(url)]
    insecure = [
        (url, kind, step)
        for url, (kind, step) in asked.items()
        if url.startswith(("http:", "ws:")) and not _is_loopback(url) and kind not in ("image", "media", "document")
    ]
    wrong = own or insecure
    if wrong:
        url, kind, step = wrong[0]
        problem = "asks the visitor's own machine" if own else "is not https: browsers block it on the platform"
        return failed(
            check,
            f"{url} {problem}",
            f"Asked for as a {kind} ({step}).",
            evidence=[*_cut([one for one, _, _ in wrong]), *_written(context, seen, url)],
            hint="Use a relative URL (./api/…)." if own else "Use https: or wss:.",
            about=[one for one, _, _ in wrong],
        )
    named = sorted({urlsplit(url).netloc for url in asked})
    title = f"{len(named)} other hosts were named, none was requested" if named else "no other host is asked"
    return passed(check, title, evidence=named[:20])


def errors(context: Context) -> Check:
    """The scripts of the app run through without errors of their own."""
    check, seen = "browser.errors", context.browser
    if (reason := _blind(context)) or seen is None:
        return skipped(check, reason)
    thrown = [said for said in seen.said if said.kind != "console"]
    logged = [said for said in seen.said if said.kind == "console" and not _OF_CHROMIUM.match(said.text)]
    if not thrown and not logged:
        return passed(check, "no script fails")
    if elsewhere := _hosts(seen, None):
        return skipped(check, f"errors may follow from {', '.join(elsewhere[:3])}, which is not requested here")
    calls = _failed_calls(seen) + [asked for asked in seen.asked if asked.held_back]
    faults = [said for said in thrown if said.kind in _PROGRAM_FAULTS and not _NO_DATA.search(said.text)]
    if faults:
        first = faults[0]
        return failed(
            check,
            f"A script of the page fails: {_error(first)}",
            f"It happens {first.step}." if first.step == "on load" else f"It happens on a {first.step}.",
            evidence=_said(context, [*faults, *(said for said in thrown if said not in faults)]),
            hint=_error_hint(first),
        )
    if calls:
        detail = "they may follow from calls that cannot succeed here"
        return passed(check, "no script fails by itself", detail, evidence=_said(context, [*thrown, *logged]))
    first = (thrown or logged)[0]
    return warned(
        check,
        f"A script of the page fails: {_error(first)}" if thrown else f"The page logs an error: {first.text[:120]}",
        f"It happens {first.step}." if first.step == "on load" else f"It happens on a {first.step}.",
        evidence=_said(context, [*thrown, *logged]),
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
    if (reason := _blind(context)) or seen is None:
        return skipped(check, reason)
    own = [socket for socket in seen.sockets if socket.where == "inside"]
    streams = {one.url: one for one in seen.asked if one.kind == "eventsource" and one.where == "inside"}.values()
    wrong = [(one.url, why, one.status) for one in own if (why := _socket_problem(one))]
    wrong += [(one.url, why, one.status) for one in streams if (why := _stream_problem(one))]
    if wrong:
        url, why, status = wrong[0]
        kind = "WebSocket" if url.startswith("ws") else "event stream"
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        answer = warned if status >= 500 or status in (401, 403) else failed
        return answer(
            check,
            f"The {kind} {_short(seen, url)} does not connect: {why}{more}",
            "Expected 101 Switching Protocols." if kind == "WebSocket" else "Expected 200 with text/event-stream.",
            evidence=_cut([f"{_short(seen, one)}  {problem}" for one, problem, _ in wrong]),
            hint="Answer the upgrade at this path: server.upgrade(request)."
            if kind == "WebSocket"
            else "Send Content-Type: text/event-stream and keep the answer open.",
            about=[one for one, _, _ in wrong],
        )
    count = len(own) + len(streams)
    return passed(check, f"{count} WebSockets and event streams connect" if count else "no WebSocket, no event stream")


def deeplink(context: Context) -> Check:
    """An address that was reached by clicks comes up by itself, too: reloaded, or sent to somebody."""
    check, seen = "browser.deeplink", context.browser
    if (reason := _blind(context)) or seen is None:
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
    if (reason := _blind(context)) or seen is None:
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
    if (reason := _blind(context)) or seen is None:
        return skipped(check, reason)
    pages = len({visit.url for visit in seen.visits})
    clicks = sum(step.startswith("click") for step in seen.steps)
    cut = "" if seen.complete else "the budget was used up before everything was clicked"
    left = [f"not clicked on purpose: {name}" for name in seen.untouched[:10]]
    held = [f"held back: {one.method} {seen.short(one.url)} ({one.step})" for one in seen.asked if one.held_back]
    title = f"{_number(pages, 'page')}, {_number(clicks, 'click')} in Chromium {seen.version}"
    return passed(check, title, cut, evidence=[*_dialogs(seen), *left, *dict.fromkeys(held)])


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


# --- Reading what the browser saw -------------------------------------------------------------------------------------


def _blind(context: Context) -> str:
    """Why there is nothing to judge; nothing when there is."""
    if context.down:
        return context.down
    if context.browser is None:
        return "no browser looked at it"
    if not context.browser.version:
        return "the browser does not start"
    first = next((asked for asked in context.browser.asked if asked.kind == "document"), None)
    if context.unseen or (first is not None and first.status >= 400):
        return "the page did not come up"
    return ""


def _asset_problem(asked: Asked) -> str:
    """What is wrong with something that the page is made of; nothing when it is well, or no part of it.

    Of the kind "other" are icons, which are asked for anew at each address, and hints: the crawl judges them.
    """
    if (
        asked.where != "inside"
        or asked.held_back
        or (asked.kind == "image" and asked.heeded)
        or asked.kind == "other"
        or (asked.kind == "document" and not asked.is_frame)
    ):
        return ""
    if asked.kind in CALLS and not urlsplit(asked.url).path.endswith(".wasm"):
        return ""
    if asked.status >= 400:
        return f"answers {asked.status}"
    if asked.failure:
        return "" if asked.failure.startswith(_BENIGN_FAILURES) else f"breaks off ({asked.failure})"
    if asked.status != 200 or not asked.content_type:
        return ""
    if asked.kind == "script" and asked.content_type not in _CODE_TYPES:
        return f"answers {asked.content_type} instead of a script"
    if asked.kind in ("image", "font", "media") and asked.content_type == "text/html":
        return f"answers text/html instead of {'an image' if asked.kind == 'image' else f'a {asked.kind}'}"
    return ""


def _failed_calls(seen: BrowserResult) -> list[Asked]:
    """Calls of the page to the app itself that failed, each URL once."""
    found: dict[str, Asked] = {}
    for asked in seen.asked:
        if asked.where != "inside" or asked.kind not in CALLS - {"eventsource"} or asked.held_back:
            continue
        if asked.status >= 400 or (asked.failure and not asked.failure.startswith(_BENIGN_FAILURES)):
            found.setdefault(asked.url, asked)
    return list(found.values())


def coped_with(seen: BrowserResult | None) -> frozenset[str]:
    """Give the paths of calls that are refused (4xx) and that the page is made for: it looked, and went on.

    An optional setting, somebody who has not signed in, a translation that there is not. None, when a script fails or
    the page tells its visitor of an error: then the call is missed.
    """
    if seen is None or any(visit.complains for visit in seen.visits):
        return frozenset()
    if any(said.kind != "console" or not _OF_CHROMIUM.match(said.text) for said in seen.said):
        return frozenset()
    return frozenset(urlsplit(one.url).path for one in _failed_calls(seen) if one.heeded and 400 <= one.status < 500)


def _call(seen: BrowserResult, asked: Asked) -> str:
    answer = f"is answered with {asked.status}" if asked.status else f"gets no answer ({asked.failure})"
    return f"call {asked.method} {seen.short(asked.url)} {answer}"


def _hosts(seen: BrowserResult, kinds: set[str] | None) -> list[str]:
    """Other hosts that the page asked for something of these kinds (None: any but pictures and fonts)."""
    harmless = {"image", "font", "media", "ping", "stylesheet"}
    return sorted(
        {
            urlsplit(asked.url).netloc
            for asked in seen.asked
            if asked.where == "elsewhere" and (asked.kind in kinds if kinds else asked.kind not in harmless)
        }
    )


def _socket_problem(socket: WebSocket) -> str:
    if socket.status and socket.status != 101:
        return f"the handshake is answered with {socket.status}"
    if not socket.status and "Unexpected response code" in socket.error:
        return socket.error.rsplit("handshake: ", 1)[-1]
    if not socket.status and "net::ERR_" in socket.error and "ABORTED" not in socket.error:
        return socket.error
    return ""


def _stream_problem(asked: Asked) -> str:
    if asked.status >= 400:
        return f"it answers {asked.status}"
    if asked.status == 200 and asked.content_type != "text/event-stream":
        return f"it answers {asked.content_type or 'no content type'} instead of text/event-stream"
    return ""


def _error(said: Said) -> str:
    if said.kind in ("console", "Error") or said.text.startswith(said.kind):
        return said.text.splitlines()[0][:160]
    return f"{said.kind}: {said.text.splitlines()[0][:160]}"


def _said(context: Context, said: Iterable[Said]) -> list[str]:
    """One line for each different error, with its place."""
    seen = context.browser
    lines = []
    for one in said:
        place = seen.short(one.place) if seen is not None and one.place else ""
        lines.append(f"{place}  {_error(one)}" if place else _error(one))
    return _cut(list(dict.fromkeys(lines)))


def _dialogs(seen: BrowserResult) -> list[str]:
    return [f"dialog dismissed: {dialog}" for dialog in seen.dialogs[:3]]


def _cut(lines: Sequence[str]) -> list[str]:
    rest = len(lines) - _SHOWN
    return [*lines[:_SHOWN], *([f"… and {rest} more"] if rest > 0 else [])]


def _written(context: Context, seen: BrowserResult, url: str) -> list[str]:
    """Places of the app's files where this URL is written, as it is or as its beginning."""
    parts = urlsplit(url)
    inside = parts.path.startswith(seen.prefix)
    path = parts.path.removeprefix(seen.prefix) if inside else parts.path
    literals = [path] if parts.netloc == urlsplit(seen.start_url).netloc else [url, f"{parts.scheme}://{parts.netloc}"]
    if "/" in path.strip("/"):
        literals.append(path[: path.rstrip("/").rindex("/") + 1])
    for literal in literals:
        if len(literal.strip("/")) < 2:
            continue
        found = places(context, Finding(Problem.OUTSIDE, literal, "", (), Kind.SCRIPT, url))
        if found:
            return [f"{place}  {literal}" for place in found[:3]]
    return []


def _short(seen: BrowserResult, url: str) -> str:
    return seen.short(re.sub("^ws(s?)://", r"http\1://", url))


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
