"""Follow every URL that an app emits, as a browser would, and judge the answers.

Nothing leaves the app's prefix and nothing goes to another host: what would is recorded as a finding instead.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections import deque
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from urllib.parse import urldefrag, urlsplit

from toolkit.fetch import MEGABYTE, Fetch, Response
from toolkit.judging import HTML_TYPES, READ_AS_TEXT, Problem, header_references, misread, taken_as, textual, unfit
from toolkit.places import Place, Site, normal, settled
from toolkit.references.css import css_references
from toolkit.references.html import html_document
from toolkit.references.javascript import script_references
from toolkit.references.manifest import manifest_references
from toolkit.references.model import JAVASCRIPT_TYPES, ImportMap, Kind, Reference, integrity_matches

MAX_PARSED = 8 * MEGABYTE
MOST_MAPS = 100
_MAP = re.compile(rb"[#@] ?sourceMappingURL=(\S+)")
_NEVER_FOLLOW = re.compile(
    r"(?:log|sign)[-_]?(?:out|off)|/(?:delete|remove|destroy|unsubscribe|shutdown)\b", re.IGNORECASE
)


@dataclass(frozen=True)
class Finding:
    """One thing wrong: what, which literal, and `URL:line` of each document that names it."""

    problem: Problem
    literal: str
    message: str
    named_by: tuple[str, ...]
    kind: Kind
    url: str = ""
    known: str = ""  # what the literal evaluates to, as far as it is known
    of_start: bool = False  # the start page itself does not come up


@dataclass(frozen=True)
class Answer:
    """One URL below the prefix that was asked for."""

    url: str
    path: str  # below the prefix, no leading slash
    kind: Kind
    status: int
    content_type: str
    size: int
    seconds: float
    sha256: str


@dataclass(frozen=True)
class CrawlResult:
    """Everything that was asked for, everything found wrong, and other hosts that are named (never requested)."""

    start_url: str
    prefix: str
    answers: tuple[Answer, ...]
    findings: tuple[Finding, ...]
    hosts: Mapping[str, str]  # host -> URL:line of the first document that names it
    served: Mapping[str, str]
    bodies: Mapping[str, bytes]  # path -> body of text-like answers, for searches
    headers: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # path -> headers of the answer

    def of(self, *problems: Problem) -> list[Finding]:
        """The findings of these problems, in the order of discovery."""
        return [finding for finding in self.findings if finding.problem in problems]


@dataclass(frozen=True)
class Limits:
    """How far a crawl goes."""

    urls: int = 2000
    pages: int = 60
    depth: int = 4
    seconds: float = 120.0
    workers: int = 6
    second_look: int = 60


_IGNORED = re.compile(r"#|(?:data|blob|javascript|mailto|tel|sms|about|node|bun|file|chrome|vscode):", re.IGNORECASE)
# Browsers upgrade these to https by themselves, or a click may go anywhere.
_UPGRADED = frozenset({Kind.IMAGE, Kind.MEDIA, Kind.PAGE, Kind.LINK, Kind.HINT})
_CHANGING = HTML_TYPES | {"application/json", "text/plain", "text/event-stream"}


@dataclass(frozen=True)
class _Task:
    url: str
    kind: Kind
    reference: Reference | None
    named_by: str
    page: _Page | None
    depth: int
    hops: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Page:
    """The page in whose name something is loaded: relative URLs in scripts mean its base URL."""

    base_url: str
    import_map: ImportMap


def crawl(fetch: Fetch, start_url: str, prefix: str, limits: Limits = Limits()) -> CrawlResult:
    """Ask for the page at `start_url` and everything it leads to below `prefix` (a path with a slash at both ends)."""
    return _Crawl(fetch, start_url, prefix, limits).run()


def _passed_on(kind: Kind, response: Response) -> bool:
    """Whether this is likely the answer of a platform that is not there: a picture that the app asks it for, say."""
    return kind in (Kind.IMAGE, Kind.MEDIA, Kind.FRAME) and response.status in (502, 503, 504)


@dataclass(frozen=True)
class _Got:
    """A response as it is kept: large bodies that nobody reads are cut, their digest and size are of the whole."""

    response: Response
    sha256: str
    size: int


class _Crawl:
    def __init__(self, fetch: Fetch, start_url: str, prefix: str, limits: Limits) -> None:
        self._fetch = fetch
        self._start = start_url
        self._prefix = prefix
        self._limits = limits
        self._site = Site(start_url, prefix)
        self._asked: dict[str, Future[_Got]] = {}
        self._queue: deque[tuple[_Task, Future[_Got]]] = deque()
        self._answers: dict[str, Answer] = {}
        self._bodies: dict[str, bytes] = {}
        self._headers: dict[str, Mapping[str, str]] = {}
        self._done: set[tuple[str, str]] = set()
        self._findings: dict[tuple[Problem, str], Finding] = {}
        self._hosts: dict[str, str] = {}
        self._pages = 0
        self._deadline = time.monotonic() + limits.seconds
        self._pool = ThreadPoolExecutor(limits.workers, "crawl")

    def run(self) -> CrawlResult:
        try:
            self._ask(_Task(self._start, Kind.PAGE, None, self._site.shown(self._start), None, 0))
            # Fetched at once, judged in the order of discovery: the same site gives the same result every time.
            while self._queue:
                task, future = self._queue.popleft()
                left = self._deadline - time.monotonic()
                try:
                    got = future.result(timeout=max(left, 0.0))
                except TimeoutError:
                    seconds, waiting = self._limits.seconds, len(self._queue) + 1
                    self._stop(f"The crawl stopped after {seconds:.0f} s; {waiting} URLs were not judged.")
                    break
                self._answered(task, got)
            self._read_maps()
            served = self._served()
        finally:
            self._pool.shutdown(wait=False, cancel_futures=True)
        return CrawlResult(
            self._start,
            self._prefix,
            tuple(self._answers.values()),
            tuple(self._findings.values()),
            self._hosts,
            served,
            {self._site.path(url): body for url, body in self._bodies.items()},
            {self._site.path(url): headers for url, headers in self._headers.items()},
        )

    # asking

    def _ask(self, task: _Task) -> None:
        future = self._asked.get(task.url)
        if future is None:
            if len(self._asked) >= self._limits.urls:
                self._stop(f"More than {self._limits.urls} URLs; the rest was not asked.")
                return
            future = self._asked[task.url] = self._pool.submit(self._get, task.url)
        self._queue.append((task, future))

    def _get(self, url: str) -> _Got:
        response = self._fetch(url)
        digest = hashlib.sha256(response.body).hexdigest()
        kept = response if textual(response.content_type) else replace(response, body=response.body[:4096])
        return _Got(kept, digest, len(response.body))

    def _stop(self, message: str) -> None:
        self._find(Problem.LIMIT, "", message, self._site.shown(self._start), Kind.PAGE)

    def _once(self, url: str, how: str) -> bool:
        if (url, how) in self._done:
            return False
        self._done.add((url, how))
        return True

    def _answered(self, task: _Task, got: _Got) -> None:
        response, url = got.response, task.url
        if url not in self._answers:
            self._answers[url] = Answer(
                url,
                self._site.path(url),
                task.kind,
                response.status,
                response.content_type,
                got.size,
                response.seconds,
                got.sha256,
            )
            self._headers[url] = response.headers
            if textual(response.content_type):
                self._bodies[url] = response.body
        linked = task.kind is Kind.DATA_FILE or (task.kind is Kind.PAGE and task.reference is not None)
        broken = response.error or (response.cut if task.kind in READ_AS_TEXT and not linked else "")
        if broken:
            problem = Problem.DEAD_LINK if linked else Problem.BROKEN
            self._blame(problem, task, f"{self._site.shown(url)}: {broken}")
        elif response.status in (301, 302, 303, 307, 308):
            self._redirected(task, response)
        elif not 200 <= response.status < 300:
            problem = Problem.DEAD_LINK if linked or _passed_on(task.kind, response) else Problem.MISSING
            self._blame(problem, task, f"{self._site.shown(url)} answers {response.status}")
        elif (unfitness := unfit(task.kind, response, first=task.reference is None)) is not None:
            self._blame(unfitness[0], task, f"{self._site.shown(url)} {unfitness[1]}")
        elif response.cut:
            return  # what came of it is fit
        elif task.reference and not integrity_matches(task.reference.integrity, response.body):
            message = f"{self._site.shown(url)} does not match its integrity attribute, so browsers refuse it"
            self._blame(Problem.INTEGRITY, task, message)
        else:
            if wrong := misread(response):
                literal = task.reference.literal if task.reference else "./"
                self._find(Problem.ENCODING, literal, f"{self._site.shown(url)} {wrong}", task.named_by, task.kind, url)
            self._read(task, response)

    def _redirected(self, task: _Task, response: Response) -> None:
        location = response.headers.get("location", "")
        shown = self._site.shown(task.url)
        if not location:
            self._blame(Problem.REDIRECT, task, f"{shown} answers {response.status} without a Location")
            return
        target = self._site.absolute(task.url, location)
        place = self._site.place(target)
        if target in (*task.hops, task.url) or len(task.hops) > 10:
            self._blame(Problem.REDIRECT, task, f"{shown} redirects in a loop")
        elif place in (Place.OUTSIDE, Place.PLATFORM):
            message = f"{shown} redirects to {location}, which leaves the app's prefix"
            self._blame(Problem.REDIRECT, task, message, literal=location)
        elif place is Place.LOOPBACK:
            message = f"{shown} redirects to {location}, an address that only exists inside the container"
            self._blame(Problem.REDIRECT, task, message, literal=location)
        elif place is Place.INSIDE:
            self._ask(replace(task, url=target, hops=(*task.hops, task.url)))
        else:
            self._hosts.setdefault(urlsplit(target).netloc, task.named_by)

    # reading

    def _read(self, task: _Task, response: Response) -> None:
        kind, url, mime = task.kind, task.url, response.content_type
        if len(response.body) > MAX_PARSED:
            return
        if kind in (Kind.PAGE, Kind.FRAME):
            if taken_as(response) in HTML_TYPES and self._once(url, "html"):
                self._read_page(task, response)
        elif kind is Kind.STYLESHEET or (kind is Kind.ASSET and mime == "text/css"):
            if self._once(url, "css"):
                self._follow(css_references(response.text()), task)
        elif kind in (Kind.WORKER, Kind.SERVICE_WORKER):
            if self._once(url, "worker"):
                self._read_script(replace(task, page=_Page(url, ImportMap())), response)
        elif kind in (Kind.SCRIPT, Kind.MODULE) or (kind is Kind.ASSET and mime in JAVASCRIPT_TYPES):
            if self._once(url, f"script of {task.page.base_url if task.page else ''}"):
                self._read_script(task, response)
        elif kind is Kind.MANIFEST:
            found = manifest_references(response.text())
            if found is None:
                self._blame(
                    Problem.TYPE, task, f"{self._site.shown(url)} is not a web manifest: it must be a JSON object"
                )
            elif self._once(url, "manifest"):
                self._follow(found, task)
        elif kind is Kind.IMAGE and mime == "image/svg+xml" and self._once(url, "svg"):
            document = html_document(response.text(), url, self._site.on_platform(url))
            drawn = [ref for ref in document.references if ref.kind in (Kind.IMAGE, Kind.STYLESHEET)]
            self._follow(drawn, replace(task, page=_Page(url, ImportMap())))

    def _read_page(self, task: _Task, response: Response) -> None:
        self._pages += 1
        url = task.url
        document = html_document(response.text(), url, self._site.on_platform(url))
        base_url = document.base_url
        if document.base is not None and self._site.place(self._site.absolute(url, base_url)) is not Place.INSIDE:
            literal, line = document.base.literal, document.base.line
            message = f'<base href="{literal}"> moves every relative URL of the page out of the app\'s prefix'
            self._find(Problem.OUTSIDE, literal, message, f"{self._site.shown(url)}:{line}", Kind.PAGE, base_url)
            base_url = url  # one wrong base is one finding: judge the rest as if it were not there
        page = replace(task, page=_Page(base_url, document.import_map))
        self._follow(document.references, page)
        self._follow(header_references(response.headers), page)

    def _read_script(self, task: _Task, response: Response) -> None:
        base = task.page.base_url if task.page else self._start
        found = script_references(
            response.text(), self._site.on_platform(base), script_url=self._site.on_platform(task.url)
        )
        self._follow(found, task)

    def _follow(self, found: Iterable[Reference], task: _Task) -> None:
        for ref in found:
            named = f"{self._site.shown(task.url)}:{ref.line}"
            target = self._resolve(ref, task, named)
            if target is None:
                continue
            place = self._site.place(target, complete=ref.complete)
            if place is Place.INSIDE:
                if ref.complete and self._wanted(ref, target, task):
                    depth = task.depth + (ref.kind in (Kind.PAGE, Kind.FRAME))
                    self._ask(_Task(urldefrag(target)[0], ref.kind, ref, named, task.page, depth))
            elif place is Place.ELSEWHERE:
                self._hosts.setdefault(urlsplit(target).netloc, named)
            elif place is not Place.UNKNOWN and not self._may_be_right(ref, task, named):
                self._misplaced(place, ref, target, named)

    def _resolve(self, ref: Reference, task: _Task, named: str) -> str | None:
        literal = ref.target.strip()
        if _IGNORED.match(literal):
            return None
        base = task.page.base_url if task.page else self._start
        if ref.against == "self":
            base = task.url
        if (
            ref.kind in (Kind.MODULE, Kind.JSON_MODULE, Kind.STYLESHEET)
            and ref.via.startswith("import")
            and ref.complete
        ):
            import_map = task.page.import_map if task.page else ImportMap()
            resolved = import_map.resolve(literal, base)
            if resolved is None:
                message = f'import "{literal}": browsers cannot resolve a bare name without an import map'
                self._find(Problem.SPECIFIER, literal, message, named, ref.kind)
            return resolved and self._site.absolute(base, resolved, upgraded=False)
        if not ref.complete and not settled(literal):
            return None
        return self._site.absolute(base, literal, upgraded=ref.kind in _UPGRADED)

    def _may_be_right(self, ref: Reference, task: _Task, named: str) -> bool:
        """Whether a condition that the text does not settle may choose a URL that is right."""
        for other in ref.others:
            target = self._resolve(replace(ref, target=other, others=()), task, named)
            if target is None or self._site.place(target, complete=False) in (Place.INSIDE, Place.UNKNOWN):
                return True
        return False

    def _wanted(self, ref: Reference, target: str, task: _Task) -> bool:
        if ref.kind in (Kind.LINK, Kind.CALL, Kind.SOCKET, Kind.HINT):
            return False
        if ref.kind is Kind.PAGE:
            followed = not _NEVER_FOLLOW.search(urlsplit(target).path)
            return followed and task.depth < self._limits.depth and self._pages < self._limits.pages
        return True

    def _misplaced(self, place: Place, ref: Reference, target: str, named: str) -> None:
        literal = ref.literal
        if place is Place.INSECURE and ref.kind in _UPGRADED:
            self._hosts.setdefault(urlsplit(target).netloc, named)
            return
        if place is Place.LOOPBACK:
            problem, message = Problem.LOOPBACK, f"{ref.via} {literal} points at the visitor's own machine"
        elif place is Place.INSECURE:
            problem, message = Problem.INSECURE, f"{ref.via} {literal} is not https: browsers block it on the platform"
        elif place is Place.PLATFORM:
            problem, message = Problem.PLATFORM, f"{ref.via} {literal} asks DataRobot itself, not the app"
        else:
            goes = normal(urlsplit(target).path)
            problem, message = Problem.OUTSIDE, f"{ref.via} {literal} goes to {goes}, outside the app's prefix"
        self._find(problem, literal, message, named, ref.kind, target, ref.target)

    # findings

    def _blame(self, problem: Problem, task: _Task, message: str, *, literal: str = "") -> None:
        shown = literal or (task.reference.literal if task.reference else task.url)
        self._find(problem, shown, message, task.named_by, task.kind, task.url, of_start=task.reference is None)

    def _find(
        self,
        problem: Problem,
        literal: str,
        message: str,
        named: str,
        kind: Kind,
        url: str = "",
        known: str = "",
        *,
        of_start: bool = False,
    ) -> None:
        key = (problem, url or literal)
        before = self._findings.get(key)
        if before is None:
            self._findings[key] = Finding(problem, literal, message, (named,), kind, url, known or literal, of_start)
        elif named not in before.named_by and len(before.named_by) < 5:
            self._findings[key] = replace(before, named_by=(*before.named_by, named))

    def _read_maps(self) -> None:
        """Get the source maps that the texts name: nobody misses one that is not there, but it may say too much."""
        wanted: dict[str, None] = {}
        for url, body in self._bodies.items():
            for found in _MAP.findall(body[-4096:]):
                target = self._site.absolute(url, found.decode("utf-8", "replace"))
                if target not in self._asked and self._site.place(target) is Place.INSIDE and len(wanted) < MOST_MAPS:
                    wanted.setdefault(target)
        for response in self._pool.map(self._fetch, wanted):
            if response.status == 200 and not response.error and not response.cut:
                self._bodies[response.url] = response.body

    # what verify compares

    def _served(self) -> dict[str, str]:
        """Digest per path, without what differs between two looks or depends on where the app is mounted."""
        good = [answer for answer in self._answers.values() if answer.status == 200 and answer.size]
        marks = (self._prefix.strip("/").rsplit("/", 1)[-1].encode(), self._site.host.encode())
        fixed = [a for a in good if not any(m and m in self._bodies.get(a.url, b"") for m in marks)]
        whole = [self._asked[a.url].result().response for a in fixed]
        fixed = [a for a, got in zip(fixed, whole, strict=True) if not got.error and not got.cut]
        looked = [a for a in fixed if len(fixed) <= self._limits.second_look or a.content_type in _CHANGING]
        again = dict(
            zip((a.url for a in looked), self._pool.map(lambda a: self._get(a.url).sha256, looked), strict=True)
        )
        return {a.path: a.sha256 for a in fixed if again.get(a.url, a.sha256) == a.sha256}
