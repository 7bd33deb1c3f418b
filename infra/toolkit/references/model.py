"""What a document names: kinds of URLs, references, and import maps."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import urljoin

JAVASCRIPT_TYPES = frozenset(
    f"{family}/{name}"
    for family in ("text", "application")
    for name in ("javascript", "ecmascript", "x-javascript", "x-ecmascript", "jscript", "livescript")
)


class Kind(StrEnum):
    """What a browser does with a URL, and therefore what it demands of the answer."""

    PAGE = "page"
    FRAME = "frame"
    STYLESHEET = "stylesheet"
    SCRIPT = "script"
    MODULE = "module"
    JSON_MODULE = "JSON module"
    WORKER = "worker"
    SERVICE_WORKER = "service worker"
    IMAGE = "image"
    FONT = "font"
    MEDIA = "media"
    MANIFEST = "web manifest"
    WASM = "WebAssembly module"
    ASSET = "asset"
    DATA_FILE = "data file"
    LINK = "link"  # judged, never requested: where a click or a script may go
    CALL = "call"  # judged, never requested: fetch, XHR, EventSource
    SOCKET = "WebSocket"  # judged, never requested
    HINT = "hint"  # only names a host: preconnect, dns-prefetch


@dataclass(frozen=True)
class Reference:
    """One URL as a document names it.

    `literal` is what is written, `target` what it evaluates to in the browser (the same, except in scripts);
    `against` says what a relative target is relative to; an incomplete target is followed by something unknown.
    """

    literal: str
    kind: Kind
    line: int
    via: str
    target: str = ""
    against: str = "document"  # or "self": the style sheet, module or manifest that names it
    complete: bool = True
    others: tuple[str, ...] = ()  # what it may also evaluate to, when a condition decides that the text does not settle
    integrity: str = ""

    def __post_init__(self) -> None:
        if not self.target:
            object.__setattr__(self, "target", self.literal)


@dataclass(frozen=True)
class ImportMap:
    """The `imports` and `scopes` of a page's import map, addresses already absolute."""

    imports: dict[str, str] = field(default_factory=dict)
    scopes: dict[str, dict[str, str]] = field(default_factory=dict)

    def resolve(self, specifier: str, script_url: str) -> str | None:
        """Give the URL of `specifier` in the script at `script_url`; None for a bare name without an entry."""
        absolute = url_like(specifier, script_url)
        for scope in sorted(self.scopes, key=len, reverse=True):
            if script_url == scope or (scope.endswith("/") and script_url.startswith(scope)):
                found = _mapped(self.scopes[scope], specifier, absolute)
                if found is not None:
                    return found
        found = _mapped(self.imports, specifier, absolute)
        return found if found is not None else absolute


def url_like(specifier: str, base: str) -> str | None:
    """Resolve a module specifier that is a URL; None for a bare name."""
    if specifier.startswith(("/", "./", "../")):
        return urljoin(base, specifier)
    return specifier if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", specifier) else None


def _mapped(entries: dict[str, str], specifier: str, absolute: str | None) -> str | None:
    for key in filter(None, (absolute, specifier)):
        if key in entries:
            return entries[key]
        for start in sorted((entry for entry in entries if entry.endswith("/")), key=len, reverse=True):
            if key.startswith(start):
                return urljoin(entries[start], key[len(start) :])
    return None


class Lines:
    """Finds the line of an attribute's value; the tree does not keep positions, so the text is searched in order."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._from = 0

    def of(self, value: str) -> int:
        """Give the line of the next place where `value` is written (1 when it is not found)."""
        if not value:
            return 1
        for written in (value, value.replace("&", "&amp;")):
            for start in (self._from, 0):
                at = self._text.find(written, start)
                if at >= 0:
                    self._from = at
                    return self._text.count("\n", 0, at) + 1
        return 1


def integrity_matches(integrity: str, body: bytes) -> bool:
    """Whether `body` satisfies an `integrity` attribute (the strongest algorithm named decides; unknown ones pass)."""
    by_algorithm: dict[str, list[str]] = {}
    for item in integrity.split():
        algorithm, _, digest = item.partition("-")
        if algorithm.lower() in ("sha256", "sha384", "sha512"):
            by_algorithm.setdefault(algorithm.lower(), []).append(digest.partition("?")[0])
    if not by_algorithm:
        return True
    strongest = max(by_algorithm)
    actual = base64.b64encode(hashlib.new(strongest, body).digest()).decode()
    return actual in by_algorithm[strongest]
