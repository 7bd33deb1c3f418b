"""Browser: what does a person's browser make of the page, and of everything that can be clicked in it?

Errors that can follow from a call which needs the platform are not held against the app: there is none behind the smoke
test. What the page asks for is judged by `traffic`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http import HTTPStatus

from toolkit.browsing.model import BrowserResult, Said
from toolkit.checks import traffic
from toolkit.checks.context import Context
from toolkit.checks.seen import (
    NEEDS_PLATFORM,
    NO_DATA,
    OF_CHROMIUM,
    SHOWN,
    blind,
    call,
    dialog_lines,
    error_line,
    failed_calls,
    held_back,
    looks,
    number,
    other_hosts,
    said_lines,
)
from toolkit.report import Check, failed, passed, skipped, warned

_PROGRAM_FAULTS = frozenset({"ReferenceError", "SyntaxError"})
_SERVER_ONLY = frozenset({"process", "require", "Bun", "Buffer", "module", "exports", "__dirname", "global"})


@looks("browser.page")
def page(check: str, context: Context, seen: BrowserResult) -> Check:
    """The page shows something."""
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
    thrown = [said for said in seen.said if said.kind != "console"]
    hosts = other_hosts(seen, {"script"})
    if hosts and not any(_of_its_own(seen, said) for said in thrown):
        return skipped(check, f"the page needs scripts of {', '.join(hosts)}, which is not requested here")
    calls, held = failed_calls(seen), held_back(seen)
    excused = [one for one in calls if one.status in NEEDS_PLATFORM or one.status >= 500 or not one.status]
    blamed = _faults(thrown) or ([] if excused or held else thrown)
    if blamed:
        title = f"The page stays empty: {error_line(blamed[0])}"
        return failed(check, title, what, evidence=said_lines(context, thrown), hint=_error_hint(blamed[0]))
    if calls:
        return warned(
            check,
            f"{what}; {call(seen, (excused or calls)[0])}",
            "There is no platform behind this test, so that the call may fail for that reason alone.",
            evidence=[*(call(seen, one) for one in calls[:SHOWN]), *said_lines(context, thrown)],
            hint="Show something, an error for example, when the call fails.",
        )
    if held:
        asked = f"{held[0].method} {seen.short(held[0].url)}"
        return skipped(check, f"{what}, and {asked} was held back here: it may change something")
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


@looks("browser.errors")
def errors(check: str, context: Context, seen: BrowserResult) -> Check:
    """The scripts of the app run through without errors of their own."""
    thrown = [said for said in seen.said if said.kind != "console"]
    logged = [said for said in seen.said if said.kind == "console" and not OF_CHROMIUM.match(said.text)]
    if not thrown and not logged:
        return passed(check, "no script fails")
    faults = _faults(thrown)
    if elsewhere := other_hosts(seen, None):
        faults = [said for said in faults if _of_its_own(seen, said)]
        if not faults:
            return skipped(check, f"errors may follow from {', '.join(elsewhere[:3])}, which is not requested here")
    calls = failed_calls(seen) + held_back(seen)
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


def _faults(thrown: Iterable[Said]) -> list[Said]:
    """Errors that no answer of a call explains: the program itself is wrong."""
    return [said for said in thrown if said.kind in _PROGRAM_FAULTS and not NO_DATA.search(said.text)]


def _of_its_own(seen: BrowserResult, said: Said) -> bool:
    """Whether an error is the app's own, whatever other hosts would have sent."""
    if said.kind == "ReferenceError":
        return bool(_server_only(said))
    own = said.place.startswith(seen.origin) and "does not provide an export" not in said.text
    return said.kind == "SyntaxError" and own and not NO_DATA.search(said.text)


def _server_only(said: Said) -> str:
    """The name that an error misses, when it is one that exists on the server only."""
    name = said.text.removeprefix("ReferenceError: ").split(" ", 1)[0]
    return name if name in _SERVER_ONLY else ""


def _error_hint(said: Said) -> str:
    if name := _server_only(said):
        return f"{name} exists on the server only: build for the browser (Bun.build target 'browser', define)."
    return "Open the page with --keep and look at this place in the browser's tools."


@looks("browser.deeplink")
def deeplink(check: str, _context: Context, seen: BrowserResult) -> Check:
    """An address that was reached by clicks comes up by itself, too: reloaded, or sent to somebody."""
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


@looks("browser.cookies")
def cookies(check: str, context: Context, seen: BrowserResult) -> Check:
    """The host belongs to DataRobot: a cookie needs the app's path, or others get it (platform-contract 4)."""
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
    held = [f"held back: {one.method} {seen.short(one.url)} ({one.step})" for one in held_back(seen)]
    title = f"{number(pages, 'page')}, {number(clicks, 'click')} in Chromium {seen.version}"
    return passed(check, title, cut, evidence=[*dialog_lines(seen), *left, *dict.fromkeys(held)])


CHECKS: tuple[Callable[[Context], Check], ...] = (
    page,
    traffic.prefix,
    traffic.requests,
    traffic.styles,
    traffic.blocked,
    traffic.hosts,
    errors,
    traffic.sockets,
    deeplink,
    cookies,
    explored,
)
