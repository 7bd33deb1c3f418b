"""Judge one answer as a browser would: does it take it for what it asked for?"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from enum import StrEnum
from urllib.parse import urlsplit

from requests.utils import parse_header_links

from toolkit.fetch import Response
from toolkit.references.html import refresh_url
from toolkit.references.model import JAVASCRIPT_TYPES, Kind, Reference


class Problem(StrEnum):
    """What can be wrong with a URL."""

    OUTSIDE = "outside"  # leaves the prefix: goes to DataRobot, not to the app
    PLATFORM = "platform"  # leaves the prefix for a path that DataRobot itself serves
    LOOPBACK = "loopback"  # names the visitor's own machine
    INSECURE = "insecure"  # http: or ws: on an https page
    MISSING = "missing"  # an error status
    FALLBACK = "fallback"  # HTML where something else was asked for
    TYPE = "type"  # a content type that browsers refuse
    BROKEN = "broken"  # no answer, or a damaged one
    REDIRECT = "redirect"  # loops, or leaves the prefix
    SPECIFIER = "specifier"  # an import that browsers cannot resolve
    INTEGRITY = "integrity"
    ENCODING = "encoding"  # its letters are taken for others
    DEAD_LINK = "dead-link"
    LIMIT = "limit"


HTML_TYPES = frozenset({"text/html", "application/xhtml+xml"})
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# What makes a browser take a body without a type for a page (MIME sniffing standard, 7.1).
_PAGE_BEGINS = re.compile(
    rb"\s*<(?:!doctype html|!--|html|head|script|iframe|h1|div|font|table|a|style|title|b|body|br|p|meta)[\s>]"
)
_META_CHARSET = re.compile(rb"<meta[^>]+charset[\s=\"']*([\w.:-]*)", re.IGNORECASE)
_GZIP = b"\x1f\x8b"
READ_AS_TEXT = frozenset(
    {Kind.PAGE, Kind.FRAME, Kind.STYLESHEET, Kind.SCRIPT, Kind.MODULE, Kind.WORKER, Kind.SERVICE_WORKER, Kind.MANIFEST}
)
_NOUNS = {
    Kind.STYLESHEET: "a style sheet",
    Kind.SCRIPT: "a script",
    Kind.MODULE: "a module script",
    Kind.JSON_MODULE: "a JSON module",
    Kind.WORKER: "a worker script",
    Kind.SERVICE_WORKER: "a service worker",
    Kind.IMAGE: "an image",
    Kind.FONT: "a font",
    Kind.MEDIA: "a media file",
    Kind.MANIFEST: "a web manifest",
    Kind.WASM: "a WebAssembly module",
    Kind.ASSET: "an asset",
    Kind.DATA_FILE: "a data file",
}


_LINKED = {"style": Kind.STYLESHEET, "script": Kind.SCRIPT, "font": Kind.FONT, "image": Kind.IMAGE, "fetch": Kind.CALL}


def header_references(headers: Mapping[str, str]) -> list[Reference]:
    """Give what the headers of a page (names in lower case) make a browser load: `Link` and `Refresh`."""
    found = []
    if url := refresh_url(headers.get("refresh", "")):
        found.append(Reference(url, Kind.PAGE, 1, "Refresh header"))
    value = headers.get("link", "")
    for link in parse_header_links(value) if value.strip() else ():
        relations = str(link.get("rel", "")).lower().split()
        kind = {"stylesheet": Kind.STYLESHEET, "modulepreload": Kind.MODULE, "icon": Kind.IMAGE}.get("".join(relations))
        if relations == ["preload"]:
            kind = _LINKED.get(str(link.get("as", "")).lower(), Kind.ASSET)
        if kind is not None:
            found.append(Reference(link["url"], kind, 1, f"Link header (rel={relations[0]})"))
    return found


def unfit(kind: Kind, response: Response, *, first: bool = False) -> tuple[Problem, str] | None:
    """Say why a browser would not use this successful answer for `kind`; None when it would."""
    mime = response.content_type
    if kind in READ_AS_TEXT and response.body.startswith(_GZIP):
        return Problem.BROKEN, "is compressed, but has no Content-Encoding: gzip: browsers take it for damaged"
    if kind in (Kind.PAGE, Kind.FRAME):
        if first and not response.body.strip():
            return Problem.BROKEN, f"answers {response.status} without a page: its body is empty"
        if first and taken_as(response) not in HTML_TYPES and not _is_json(response) and not _is_plain_text(response):
            return (
                Problem.TYPE,
                f"answers {mime or 'no content type'}, not text/html: browsers show it as text or save it",
            )
        return None
    asks_for_html = re.search(r"\.html?$", urlsplit(response.url).path, re.IGNORECASE)
    if (mime in HTML_TYPES or (not mime and _looks_like_html(response.body))) and not asks_for_html:
        return Problem.FALLBACK, f"answers an HTML page where {_NOUNS[kind]} is expected: the file is missing"
    javascript = mime in JAVASCRIPT_TYPES
    nosniff = response.headers.get("x-content-type-options", "").strip().lower() == "nosniff"
    shown = mime or "no content type"
    if kind is Kind.STYLESHEET and mime != "text/css" and (mime or nosniff):  # no type at all passes for text/css
        return Problem.TYPE, f"is {shown}, but browsers only take text/css as a style sheet"
    if kind in (Kind.MODULE, Kind.SERVICE_WORKER) and not javascript and not _special_module(response):
        return Problem.TYPE, f"is {shown}, but browsers only take text/javascript as {_NOUNS[kind]}"
    if kind in (Kind.SCRIPT, Kind.WORKER):
        refused = mime.startswith(("image/", "audio/", "video/")) or mime == "text/csv"
        if refused or (nosniff and not javascript):
            return Problem.TYPE, f"is {shown}, which browsers refuse as {_NOUNS[kind]}"
    if kind is Kind.JSON_MODULE and not (mime.endswith("+json") or mime in ("application/json", "text/json")):
        return Problem.TYPE, f"is {shown}, but browsers only take application/json as a JSON module"
    if kind is Kind.WASM and mime != "application/wasm":
        return Problem.TYPE, f"is {shown}, but browsers only compile application/wasm while it arrives"
    if kind is Kind.IMAGE and mime != "image/svg+xml" and response.body.lstrip()[:5].lower() in (b"<svg ", b"<?xml"):
        return Problem.TYPE, f"is {shown}, but browsers only draw SVG as image/svg+xml"
    return None


def taken_as(response: Response) -> str:
    """Give the MIME type that a browser goes by: where none is sent, it looks whether the body begins as a page.

    MIME sniffing standard, 7.1; `X-Content-Type-Options: nosniff` forbids it.
    """
    nosniff = response.headers.get("x-content-type-options", "").strip().lower() == "nosniff"
    if not response.content_type and not nosniff and _PAGE_BEGINS.match(response.body[:512].lower()):
        return "text/html"
    return response.content_type


def _is_plain_text(response: Response) -> bool:
    """Whether this is a text that is meant to be read as it is, such as "Hello from Bun!"; no page sent as text."""
    written = response.content_type == "text/plain" or not response.content_type
    return written and b"\0" not in response.body and not response.body.lstrip().startswith(b"<")


def _is_json(response: Response) -> bool:
    """Whether this is a JSON document: an app without a page answers one, and browsers show it."""
    if response.content_type != "application/json" and not response.content_type.endswith("+json"):
        return False
    try:
        json.loads(response.body)
    except ValueError:
        return False
    return True


def _special_module(response: Response) -> bool:
    return response.content_type == "application/wasm"


def _looks_like_html(body: bytes) -> bool:
    return body[:512].lstrip().lower().startswith((b"<!doctype html", b"<html"))


def textual(mime: str) -> bool:
    """Whether a body of this type is text, as far as its name tells."""
    return mime.startswith("text/") or mime in JAVASCRIPT_TYPES or mime.endswith(("+xml", "json", "/xml")) or not mime


def misread(response: Response) -> str:
    """Say how a browser takes the letters of a text for others; nothing when it reads them right.

    A page without any word about its encoding is read as Windows-1252 (HTML standard, encoding sniffing).
    """
    mime, body = response.content_type, response.body
    if mime not in HTML_TYPES | JAVASCRIPT_TYPES | {"text/css"} or body.isascii():
        return ""
    named = re.search(r"charset=[\"']?([\w.:-]+)", response.headers.get("content-type", ""), re.IGNORECASE)
    said = named[1] if named else (found := _META_CHARSET.search(body[:1024])) and found[1].decode()
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        wrong = str(said).lower() in ("utf-8", "utf8") and not response.error and not response.cut
        return f"is said to be {said}, but is written in another encoding" if wrong else ""
    if named:
        wrong = named[1].lower() not in ("utf-8", "utf8")
        return f"is written in UTF-8, but sent as {named[1]}" if wrong else ""
    if mime in HTML_TYPES and not body.startswith(_BYTE_ORDER_MARK) and not _META_CHARSET.search(body[:1024]):
        return "says nothing of its encoding, so browsers do not read it as UTF-8"
    return ""
