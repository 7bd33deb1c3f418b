"""Reading what the browser saw: which of it is wrong, and how that is told."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from urllib.parse import urlsplit

from toolkit.browsing.model import CALLS, Asked, BrowserResult, Said
from toolkit.browsing.model import Socket as WebSocket
from toolkit.checks.context import Context
from toolkit.checks.origin import places
from toolkit.crawl import Finding
from toolkit.judging import Problem
from toolkit.references.model import Kind
from toolkit.report import Check, skipped

SHOWN = 8  # lines of evidence
# Errors that Chromium itself writes to the console: each is told by something better.
OF_CHROMIUM = re.compile(
    r"^(?:Failed to load|Access to |Refused to |WebSocket connection to|EventSource|Mixed Content|A bad HTTP response"
    r"|Loading the |Executing inline|Applying inline|Connecting to |Fetch API cannot|The source list|The resource"
    r"|Manifest:|Cross-Origin|Evaluating a string|Framing |Uncaught |Not allowed to load)",
    re.IGNORECASE,
)
_BENIGN_FAILURES = ("net::ERR_ABORTED", "net::ERR_BLOCKED_BY_CSP", "csp", "net::ERR_BLOCKED_BY_CLIENT")
# A script of another type runs all the same, but for these, for modules, and where nosniff says so: Chromium logs that.
_NEVER_A_SCRIPT = ("text/html", "application/xhtml+xml", "image/", "audio/", "video/", "text/csv")
NO_DATA = re.compile(
    r"not valid JSON|Unexpected token '?<|JSON\.parse|JSON Parse error|of JSON input|after JSON|in JSON at position"
)
# How a call is answered that the app passes on to a platform that is not there, or that does not know its token.
NEEDS_PLATFORM = frozenset({401, 403, 502, 503, 504})
_REFUSED_SCRIPT = re.compile(r"^(?:Failed to load module script|Refused to execute script)")


def blind(context: Context) -> str:
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


def looks(check: str) -> Callable[[Callable[[str, Context, BrowserResult], Check]], Callable[[Context], Check]]:
    """Make a function the check of this id: it is skipped, with the reason, where the browser has seen nothing."""

    def of(judge: Callable[[str, Context, BrowserResult], Check]) -> Callable[[Context], Check]:
        @wraps(judge)
        def asked(context: Context) -> Check:
            if (reason := blind(context)) or context.browser is None:
                return skipped(check, reason)
            return judge(check, context, context.browser)

        return asked

    return of


def refused_scripts(seen: BrowserResult) -> list[str]:
    """What Chromium says of the scripts that it does not run, each with its URL."""
    return [f"{said.place} {said.text}" for said in seen.said if _REFUSED_SCRIPT.match(said.text)]


def asset_problem(asked: Asked, refused: Sequence[str]) -> str:
    """What is wrong with something that the page is made of; nothing when it is well, or no part of it.

    `refused` is what `refused_scripts` gives. Of the kind "other" are icons, which are asked for anew at each address,
    and hints: the crawl judges them.
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
    never = asked.content_type.startswith(_NEVER_A_SCRIPT) or any(asked.url in said for said in refused)
    if asked.kind == "script" and never:
        return f"answers {asked.content_type} instead of a script"
    if asked.kind in ("image", "font", "media") and asked.content_type == "text/html":
        return f"answers text/html instead of {'an image' if asked.kind == 'image' else f'a {asked.kind}'}"
    return ""


def failed_calls(seen: BrowserResult) -> list[Asked]:
    """Calls of the page to the app itself that failed, each URL once."""
    found: dict[str, Asked] = {}
    for asked in seen.asked:
        if asked.where != "inside" or asked.kind not in CALLS - {"eventsource"} or asked.held_back:
            continue
        if asked.status >= 400 or (asked.failure and not asked.failure.startswith(_BENIGN_FAILURES)):
            found.setdefault(asked.url, asked)
    return list(found.values())


def held_back(seen: BrowserResult) -> list[Asked]:
    """What the test itself did not let through, since it may change something."""
    return [asked for asked in seen.asked if asked.held_back]


def coped_with(seen: BrowserResult | None) -> frozenset[str]:
    """Give the paths of calls that are refused (4xx) and that the page is made for: it looked, and went on.

    An optional setting, somebody who has not signed in, a translation that there is not. None, when a script fails or
    the page tells its visitor of an error: then the call is missed.
    """
    if seen is None or any(visit.complains for visit in seen.visits):
        return frozenset()
    if any(said.kind != "console" or not OF_CHROMIUM.match(said.text) for said in seen.said):
        return frozenset()
    return frozenset(urlsplit(one.url).path for one in failed_calls(seen) if one.heeded and 400 <= one.status < 500)


def call(seen: BrowserResult, asked: Asked) -> str:
    """Say in words what became of a call."""
    answer = f"is answered with {asked.status}" if asked.status else f"gets no answer ({asked.failure})"
    return f"call {asked.method} {seen.short(asked.url)} {answer}"


def other_hosts(seen: BrowserResult, kinds: set[str] | None) -> list[str]:
    """Other hosts that the page asked for something of these kinds (None: any but pictures and fonts)."""
    harmless = {"image", "font", "media", "ping", "stylesheet"}
    return sorted(
        {
            urlsplit(asked.url).netloc
            for asked in seen.asked
            if asked.where == "elsewhere" and (asked.kind in kinds if kinds else asked.kind not in harmless)
        }
    )


def socket_problem(socket: WebSocket) -> str:
    """What is wrong with a WebSocket; nothing when it is well."""
    if socket.status and socket.status != 101:
        return f"the handshake is answered with {socket.status}"
    if not socket.status and "Unexpected response code" in socket.error:
        return socket.error.rsplit("handshake: ", 1)[-1]
    if not socket.status and "net::ERR_" in socket.error and "ABORTED" not in socket.error:
        return socket.error
    return ""


def stream_problem(asked: Asked) -> str:
    """What is wrong with an event stream; nothing when it is well."""
    if asked.status >= 400:
        return f"it answers {asked.status}"
    if asked.status == 200 and asked.content_type != "text/event-stream":
        return f"it answers {asked.content_type or 'no content type'} instead of text/event-stream"
    return ""


def error_line(said: Said) -> str:
    """Give an error in one line."""
    if said.kind in ("console", "Error") or said.text.startswith(said.kind):
        return said.text.splitlines()[0][:160]
    return f"{said.kind}: {said.text.splitlines()[0][:160]}"


def said_lines(context: Context, said: Iterable[Said]) -> list[str]:
    """One line for each different error, with its place."""
    seen = context.browser
    lines = []
    for one in said:
        place = seen.short(one.place) if seen is not None and one.place else ""
        lines.append(f"{place}  {error_line(one)}" if place else error_line(one))
    return cut(list(dict.fromkeys(lines)))


def dialog_lines(seen: BrowserResult) -> list[str]:
    """One line for each dialog that was dismissed."""
    return [f"dialog dismissed: {dialog}" for dialog in seen.dialogs[:3]]


def cut(lines: Sequence[str]) -> list[str]:
    """Give the first lines, and how many more there are."""
    rest = len(lines) - SHOWN
    return [*lines[:SHOWN], *([f"… and {rest} more"] if rest > 0 else [])]


def written(context: Context, seen: BrowserResult, url: str) -> list[str]:
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


def as_http(seen: BrowserResult, url: str) -> str:
    """Give the URL of a WebSocket as people know it."""
    return seen.short(re.sub("^ws(s?)://", r"http\1://", url))


def number(count: int, noun: str) -> str:
    """Give a count with its noun."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
