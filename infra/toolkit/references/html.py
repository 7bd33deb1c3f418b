"""The URLs that an HTML page (or an SVG image) names, read with lexbor."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from urllib.parse import urljoin, urlsplit

from selectolax.lexbor import LexborHTMLParser, LexborNode

from toolkit.references.css import css_references
from toolkit.references.javascript import script_references
from toolkit.references.model import JAVASCRIPT_TYPES, ImportMap, Kind, Lines, Reference, url_like


@dataclass(frozen=True)
class HtmlDocument:
    """What an HTML page says: its references in document order, and what changes their meaning."""

    references: tuple[Reference, ...]
    base: Reference | None
    base_url: str
    import_map: ImportMap


_ICON_RELATIONS = {"icon", "apple-touch-icon", "apple-touch-icon-precomposed", "mask-icon", "fluid-icon"}
_PRELOADED = {
    "style": Kind.STYLESHEET,
    "script": Kind.SCRIPT,
    "image": Kind.IMAGE,
    "font": Kind.FONT,
    "worker": Kind.WORKER,
    "document": Kind.FRAME,
    "audio": Kind.MEDIA,
    "video": Kind.MEDIA,
    "track": Kind.MEDIA,
    "fetch": Kind.ASSET,
}
_SIMPLE_ATTRIBUTES: dict[str, tuple[tuple[str, Kind], ...]] = {
    "area": (("href", Kind.PAGE),),
    "audio": (("src", Kind.MEDIA),),
    "body": (("background", Kind.IMAGE),),
    "button": (("formaction", Kind.LINK),),
    "feimage": (("href", Kind.IMAGE), ("xlink:href", Kind.IMAGE)),
    "form": (("action", Kind.LINK),),
    "frame": (("src", Kind.FRAME),),
    "iframe": (("src", Kind.FRAME),),
    "image": (("href", Kind.IMAGE), ("xlink:href", Kind.IMAGE)),
    "img": (("src", Kind.IMAGE),),
    "table": (("background", Kind.IMAGE),),
    "td": (("background", Kind.IMAGE),),
    "track": (("src", Kind.MEDIA),),
    "use": (("href", Kind.IMAGE), ("xlink:href", Kind.IMAGE)),
    "video": (("src", Kind.MEDIA), ("poster", Kind.IMAGE)),
}
# What htmx asks for, on any element (https://htmx.org/reference/#attributes; also written data-hx-…).
_HTMX = {f"hx-{method}": Kind.CALL for method in ("get", "post", "put", "patch", "delete")}
_HTMX |= {"sse-connect": Kind.CALL, "ws-connect": Kind.SOCKET}


class _Element:
    """An element with its attributes, which the parser puts together anew each time they are asked for."""

    def __init__(self, node: LexborNode) -> None:
        self.node = node
        self.tag = node.tag or ""
        self.attributes = node.attributes

    def value(self, name: str) -> str:
        return (self.attributes.get(name) or "").strip()

    def text(self) -> str:
        return str(self.node.text())


def html_document(text: str, url: str, page_url: str) -> HtmlDocument:
    """Read the page at `url`. `page_url` is the address its scripts see as `location` on the platform."""
    tree = LexborHTMLParser(_NOSCRIPT.sub(_blanked, text))
    lines = Lines(text)
    base: Reference | None = None
    import_map = ImportMap()
    found: list[Reference] = []
    base_url = url
    elements = [_Element(node) for node in (tree.root.traverse() if tree.root else ()) if not _inert(node)]
    for one in elements:
        if one.tag == "base" and "href" in one.attributes:
            base = Reference(one.value("href"), Kind.LINK, Lines(text).of(one.value("href")), "<base href>")
            base_url = urljoin(url, base.literal)
            break
    script_page = urljoin(page_url, base.literal) if base else page_url
    for one in elements:
        if one.tag == "script" and one.value("type").lower() == "importmap":
            import_map = _import_map(one.text(), base_url)
            found.extend(_import_map_references(one.text(), lines))
        else:
            found.extend(_named_by(one, lines, script_page, page_url))
        if one.attributes:
            found.extend(_of_any_element(one, lines, page_url))
    kept = tuple(ref for ref in found if ref.target.strip())
    return HtmlDocument(kept, base, base_url, import_map)


def _named_by(one: _Element, lines: Lines, script_page: str, page_url: str) -> Iterator[Reference]:
    """What an element of this kind names."""
    for name, kind in _SIMPLE_ATTRIBUTES.get(one.tag, ()):
        if name in one.attributes:
            yield _attribute(one, name, kind, lines)
    match one.tag:
        case "a":
            yield from _anchor(one, lines)
        case "link":
            yield from _link(one, lines)
        case "object" | "embed":
            yield from _embedded(one, lines)
        case "script":
            yield from _script(one, lines, script_page, page_url)
        case "style":
            yield from _offset(css_references(one.text()), lines.of(one.text()) - 1, "document")
        case "source":
            parent = one.node.parent.tag if one.node.parent else ""
            if "src" in one.attributes and parent != "picture":
                yield _attribute(one, "src", Kind.MEDIA, lines)
        case "input":
            if one.value("type").lower() == "image" and "src" in one.attributes:
                yield _attribute(one, "src", Kind.IMAGE, lines)
        case "meta":
            if one.value("http-equiv").lower() == "refresh":
                yield from _meta_refresh(one, lines)


def _of_any_element(one: _Element, lines: Lines, page_url: str) -> Iterator[Reference]:
    """What attributes name that any element may have."""
    for name in ("srcset", "imagesrcset"):
        if value := one.value(name):
            line = lines.of(value)
            yield from (Reference(u, Kind.IMAGE, line, f"<{one.tag} {name}>") for u in srcset(value))
    if "formaction" in one.attributes and one.tag == "input":
        yield _attribute(one, "formaction", Kind.LINK, lines)
    if style := one.value("style"):
        yield from _offset(css_references(style, declarations=True), lines.of(style) - 1, "document")
    for name, written in one.attributes.items():
        asked = _HTMX.get(name.removeprefix("data-"))
        if asked is not None and written and "{" not in written:
            yield _attribute(one, name, asked, lines)
        elif name.startswith("on") and written:
            yield from _offset(script_references(written, page_url), lines.of(written) - 1, "document")


_NOSCRIPT = re.compile(r"(<noscript\b[^>]*>)(.*?)(</noscript\s*>)", re.IGNORECASE | re.DOTALL)


def _blanked(match: re.Match[str]) -> str:
    """Browsers that run scripts take what is in <noscript> as text; the parser here would not."""
    if "</script" in match[2].lower():
        return match[0]
    return match[1] + re.sub(r"[^\n]", " ", match[2]) + match[3]


def _inert(node: LexborNode) -> bool:
    if not node.is_element_node:
        return True
    parent = node.parent
    while parent is not None:
        if parent.tag == "template":
            return True
        parent = parent.parent
    return False


def _attribute(one: _Element, name: str, kind: Kind, lines: Lines) -> Reference:
    value = one.value(name)
    if kind is Kind.IMAGE and "onerror" in one.attributes:
        kind = Kind.LINK  # the page is made to go without it
    return Reference(value, kind, lines.of(value), f"<{one.tag} {name}>", integrity=one.value("integrity"))


def _anchor(one: _Element, lines: Lines) -> Iterator[Reference]:
    for name in ("href", "xlink:href"):
        if name in one.attributes:
            yield _attribute(one, name, Kind.LINK if "download" in one.attributes else Kind.PAGE, lines)


def _link(one: _Element, lines: Lines) -> Iterator[Reference]:
    relations = set(one.value("rel").lower().split())
    kind: Kind | None = None
    if "stylesheet" in relations:
        kind = Kind.STYLESHEET
    elif relations & _ICON_RELATIONS:
        kind = Kind.IMAGE
    elif "manifest" in relations:
        kind = Kind.MANIFEST
    elif "modulepreload" in relations:
        kind = Kind.MODULE
    elif "preload" in relations:
        kind = _PRELOADED.get(one.value("as").lower())
    elif "prefetch" in relations:
        kind = _PRELOADED.get(one.value("as").lower()) or (Kind.PAGE if _may_be_page(one.value("href")) else Kind.ASSET)
    elif relations & {"preconnect", "dns-prefetch"}:
        kind = Kind.HINT
    if kind is not None and one.value("href"):
        via = f"<link rel={one.value('rel')} href>"
        yield replace(_attribute(one, "href", kind, lines), via=via)


def _embedded(one: _Element, lines: Lines) -> Iterator[Reference]:
    """What an <object> or <embed> shows: a document, unless its type or name says otherwise."""
    name = "data" if one.tag == "object" else "src"
    if one.value(name):
        page = one.value("type").lower() in ("text/html", "") and _may_be_page(one.value(name))
        yield _attribute(one, name, Kind.FRAME if page else Kind.ASSET, lines)


def _may_be_page(url: str) -> bool:
    last = urlsplit(url).path.rsplit("/", 1)[-1]
    return "." not in last or last.lower().endswith((".html", ".htm"))


def _script(one: _Element, lines: Lines, script_page: str, page_url: str) -> Iterator[Reference]:
    mime = one.value("type").lower().split(";")[0].strip()
    if mime not in JAVASCRIPT_TYPES | {"", "module"}:
        return
    module = mime == "module"
    for name in ("src", "href", "xlink:href"):
        if name in one.attributes:
            yield _attribute(one, name, Kind.MODULE if module else Kind.SCRIPT, lines)
            return
    source = one.text()
    if source.strip():
        yield from _offset(
            script_references(source, page_url, script_url=script_page), lines.of(source) - 1, "document"
        )


def _meta_refresh(one: _Element, lines: Lines) -> Iterator[Reference]:
    content = one.value("content")
    if url := refresh_url(content):
        yield Reference(url, Kind.PAGE, lines.of(content), "<meta http-equiv=refresh>")


def refresh_url(value: str) -> str:
    """Give the URL that a `Refresh` header, or its like in a page, leads to; empty when it only loads anew."""
    match = re.match(r"\s*[\d.]+\s*[;,]\s*(?:url\s*=\s*)?(['\"]?)(.*?)\1\s*$", value, re.IGNORECASE)
    return match[2] if match else ""


def _import_map(source: str, base_url: str) -> ImportMap:
    try:
        data = json.loads(source)
    except ValueError:
        return ImportMap()
    imports = _addresses(data.get("imports"), base_url) if isinstance(data, dict) else {}
    scopes = data.get("scopes") if isinstance(data, dict) else None
    return ImportMap(
        imports,
        {urljoin(base_url, key): _addresses(value, base_url) for key, value in scopes.items()}
        if isinstance(scopes, dict)
        else {},
    )


def _addresses(entries: object, base_url: str) -> dict[str, str]:
    if not isinstance(entries, dict):
        return {}
    return {
        url_like(key, base_url) or key: urljoin(base_url, value)
        for key, value in entries.items()
        if isinstance(value, str)
    }


def _import_map_references(source: str, lines: Lines) -> Iterator[Reference]:
    """The addresses an import map names; a browser asks for them only when something imports them."""
    try:
        data = json.loads(source)
    except ValueError:
        return
    tables = [data.get("imports"), *(data.get("scopes") or {}).values()] if isinstance(data, dict) else []
    for table in tables:
        for address in (table or {}).values():
            if isinstance(address, str):
                yield Reference(address, Kind.LINK, lines.of(address), "import map")


def srcset(value: str) -> list[str]:
    """Give the URLs of a `srcset` attribute. A URL may hold commas (`data:`)."""
    urls: list[str] = []
    rest = value
    while rest := rest.lstrip(" \t\r\n\f,"):
        url, _, after = rest.partition(" ") if " " in rest else (rest, "", "")
        if "\n" in url or "\t" in url:
            url, after = re.split(r"\s", rest, maxsplit=1)
        if url.endswith(","):
            rest = after
            url = url.rstrip(",")
        else:
            rest = after.partition(",")[2]
        urls.append(url)
    return urls


def _offset(references: Iterable[Reference], lines: int, against: str) -> Iterator[Reference]:
    for reference in references:
        yield replace(reference, line=reference.line + lines, against=against)
