"""Is this very release what the public URL serves? Compares what smoke saw with what the platform answers now."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urljoin, urlsplit

from toolkit.errors import PermissionDenied, VerificationFailed
from toolkit.fetch import Fetch, HttpFetch, Response
from toolkit.settings import Secret

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 3.0
ROUND = 20.0  # seconds
REFUSED_FOR = 10.0  # seconds in which a new app may be refused: until the edge knows who may enter
_SIGN_IN = re.compile(r"/(?:sign-in|signin|login|auth|oauth2?|sso|saml)\b", re.IGNORECASE)


class Answered(StrEnum):
    """Who answered: the app, or the platform in front of it."""

    APP = "app"
    SIGN_IN = "sign-in"  # a sign-in page, or a redirect to one
    REFUSED = "refused"  # 401 or 403 of the edge
    LOADING = "loading"  # the app is starting
    ABSENT = "absent"  # the edge knows no such app
    UNREACHABLE = "unreachable"


@dataclass(frozen=True)
class VerifyResult:
    """What the public URL served. `answered` tells who spoke for the start page; paths are below the app's URL."""

    url: str
    answered: Answered
    matched: tuple[str, ...]
    differing: tuple[str, ...]
    missing: tuple[str, ...]
    status: int
    detail: str
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether the app itself answered, and every file was equal."""
        return self.answered is Answered.APP and not self.differing and not self.missing and self.status < 400


def verify(
    base_url: str,
    served: Mapping[str, str],
    *,
    token: Secret,
    deadline: float,
    proxy: str = "",
    ca_bundle: str | None = None,
    fetch: Fetch | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> VerifyResult:
    """Ask `base_url` for every path of `served` with `token` and compare the digests.

    Waits until `deadline` (of time.monotonic()) for the platform to switch over: the old version, or a loading page,
    may answer for a while. A token that is refused all the time for REFUSED_FOR ends it. Requests go below `base_url`
    only, and no redirect is followed.
    """
    base = base_url if base_url.endswith("/") else base_url + "/"
    if fetch is not None:
        return _until(base, served, fetch, deadline, sleep)
    headers = {"authorization": f"Bearer {token.reveal()}"}
    with HttpFetch(headers, timeout=20.0, proxy=proxy, ca_bundle=ca_bundle) as own:
        return _until(base, served, own, deadline, sleep)


def _until(
    base: str, served: Mapping[str, str], fetch: Fetch, deadline: float, sleep: Callable[[float], None]
) -> VerifyResult:
    began = time.monotonic()
    pause = FIRST_PAUSE
    refused = 0.0  # seconds that were waited while nothing else came
    known: dict[str, str] = {}
    while True:
        result, known = _compare(base, served, fetch, began, known, deadline)
        refused = refused + pause if result.answered in (Answered.REFUSED, Answered.SIGN_IN) else 0.0
        if result.ok or refused > REFUSED_FOR or time.monotonic() + pause > deadline:
            return result
        sleep(pause)
        pause = min(pause * 1.6, LONGEST_PAUSE)


def _compare(
    base: str, served: Mapping[str, str], fetch: Fetch, began: float, known: Mapping[str, str], deadline: float
) -> tuple[VerifyResult, dict[str, str]]:
    """Ask once for everything that was not equal yet; gives the result and what was equal.

    A round that begins before the deadline may take ROUND; what it does not come to is missing: an app whose files hang
    is waited for once, not for each of them.
    """
    end = max(deadline, time.monotonic() + ROUND)
    first = fetch(base)
    answered = who(first, base)
    if answered is Answered.SIGN_IN and hashlib.sha256(first.body).hexdigest() == served.get(""):
        answered = Answered.APP  # the app's own start page asks for a password
    equal = dict(known)
    differing: list[str] = []
    missing: list[str] = []
    if answered is Answered.APP and first.status < 400:
        # What is not below the URL is never asked: the token goes with each request.
        missing = [path for path in served if not urljoin(base, path).startswith(base)]
        asked = [path for path in served if path not in missing and (path not in equal or path == "")]

        def ask(path: str) -> Response:
            if path == "":
                return first
            url = urljoin(base, path)
            return fetch(url) if time.monotonic() < end else Response(url, 0, {}, b"", "not asked any more")

        with ThreadPoolExecutor(6, "verify") as pool:
            responses = pool.map(ask, asked)
            for path, response in zip(asked, responses, strict=True):
                equal.pop(path, None)
                if hashlib.sha256(response.body).hexdigest() == served[path] and response.status == 200:
                    equal[path] = served[path]
                elif response.status == 200:
                    differing.append(path)
                else:
                    missing.append(path)
    detail = first.error or f"{first.status} {first.content_type}".strip()
    seconds = time.monotonic() - began
    matched = tuple(path for path in served if path in equal)
    return VerifyResult(base, answered, matched, tuple(differing), tuple(missing), first.status, detail, seconds), equal


def who(response: Response, base: str) -> Answered:
    """Tell the platform's own answers at the edge from those of the app."""
    if not response.status:
        return Answered.UNREACHABLE
    if response.status in (401, 403):
        return Answered.REFUSED
    if 300 <= response.status < 400:
        target = urljoin(base, response.headers.get("location", ""))
        below = target.startswith(base)
        return Answered.SIGN_IN if not below and _SIGN_IN.search(urlsplit(target).path) else Answered.APP
    if response.status in (502, 503, 504):
        return Answered.LOADING
    if response.status == 404:
        return Answered.ABSENT
    if response.content_type == "text/html" and re.search(rb"<input[^>]+type=[\"']?password", response.body, re.I):
        return Answered.SIGN_IN
    return Answered.APP


def require(result: VerifyResult) -> None:
    """Raise VerificationFailed (or PermissionDenied, for a refused token) unless the release was found; says why."""
    if result.ok:
        return
    after = f"after {result.seconds:.0f} s"
    if result.answered in (Answered.REFUSED, Answered.SIGN_IN):
        raise PermissionDenied(
            f"The platform does not let this token in to {result.url} ({result.detail}).",
            hint="Check that DATAROBOT_API_TOKEN belongs to somebody who may open the application. If it does, the "
            "release itself refuses: look at invoke logs; invoke rollback goes back to the one from before.",
        )
    if result.answered is Answered.UNREACHABLE:
        raise VerificationFailed(
            f"{result.url} cannot be reached ({result.detail}).", hint="Check the network and the proxy settings."
        )
    if result.answered is Answered.LOADING:
        raise VerificationFailed(
            f"{result.url} still shows that the application is starting, {after} ({result.detail}).",
            hint="Look at the application's log: invoke logs",
        )
    if result.answered is Answered.ABSENT or result.status >= 400:
        raise VerificationFailed(
            f"{result.url} answers {result.detail}, {after}.", hint="Look at the application's log: invoke logs"
        )
    wrong = [*(f"differs: ./{path}" for path in result.differing), *(f"missing: ./{path}" for path in result.missing)]
    raise VerificationFailed(
        f"{result.url} serves another version, {after}: "
        f"{len(wrong)} of {len(wrong) + len(result.matched)} files differ.",
        hint="Wait a little and look again, or deploy again; invoke logs shows the application's log.",
        details=tuple(wrong[:20]),
    )
