"""The URLs that an HTML page (or an SVG image) names, read with lexbor."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from urllib.parse import urljoin

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
    "embed": (("src", Kind.ASSET),),
    "feimage": (("href", Kind.IMAGE), ("xlink:href", Kind.IMAGE)),
    "form": (("action", Kind.LINK),),
    "frame": (("src", Kind.FRAME),),
    "iframe": (("src", Kind.FRAME),),
    "image": (("href", Kind.IMAGE), ("xlink:href", Kind.IMAGE)),
    "img": (("src", Kind.IMAGE),),
    "object": (("data", Kind.ASSET),),
    "table": (("background", Kind.IMAGE),),
    "td": (("background", Kind.IMAGE),),
    "track": (("src", Kind.MEDIA),),
    "use": (("href", Kind.IMAGE), ("xlink:href", Kind.IMAGE)),
    "video": (("src", Kind.MEDIA), ("poster", Kind.IMAGE)),
}


def html_document(text: str, url: str, page_url: str) -> HtmlDocument:
    """Read the page at `url`. `page_url` is the address its scripts see as `location` on the platform."""
    tree = LexborHTMLParser(_NOSCRIPT.sub(_blanked, text))
    lines = Lines(text)
    base: Reference | None = None
    import_map = ImportMap()
    found: list[Reference] = []
    base_url = url
    nodes = [node for node in (tree.root.traverse() if tree.root else ()) if not _inert(node)]
    for node in nodes:
        if node.tag == "base" and "href" in node.attributes:
            base = Reference(_value(node, "href"), Kind.LINK, Lines(text).of(_value(node, "href")), "<base href>")
            base_url = urljoin(url, base.literal)
            break
    script_page = urljoin(page_url, base.literal) if base else page_url
    for node in nodes:
        tag = node.tag or ""
        for name, kind in _SIMPLE_ATTRIBUTES.get(tag, ()):
            if name in node.attributes:
                found.append(_attribute(node, name, kind, lines))
        if tag == "a":
            found.extend(_anchor(node, lines))
        elif tag == "link":
            found.extend(_link(node, lines))
        elif tag == "script":
            if _value(node, "type").lower() == "importmap":
                import_map = _import_map(node.text(), base_url)
                found.extend(_import_map_references(node.text(), lines))
            else:
                found.extend(_script(node, lines, script_page, page_url))
        elif tag == "style":
            found.extend(_offset(css_references(node.text()), lines.of(node.text()) - 1, "document"))
        elif tag == "source":
            parent = node.parent.tag if node.parent else ""
            if "src" in node.attributes and parent != "picture":
                found.append(_attribute(node, "src", Kind.MEDIA, lines))
        elif tag == "input" and _value(node, "type").lower() == "image" and "src" in node.attributes:
            found.append(_attribute(node, "src", Kind.IMAGE, lines))
        elif tag == "meta" and _value(node, "http-equiv").lower() == "refresh":
            found.extend(_meta_refresh(node, lines))
        for name in ("srcset", "imagesrcset"):
            if _value(node, name):
                line = lines.of(_value(node, name))
                found.extend(Reference(u, Kind.IMAGE, line, f"<{tag} {name}>") for u in srcset(_value(node, name)))
        if "formaction" in node.attributes and tag == "input":
            found.append(_attribute(node, "formaction", Kind.LINK, lines))
        if _value(node, "style"):
            line = lines.of(_value(node, "style"))
            found.extend(_offset(css_references(_value(node, "style"), declarations=True), line - 1, "document"))
        for name, value in node.attributes.items():
            if name.startswith("on") and value:
                found.extend(_offset(script_references(value, page_url), lines.of(value) - 1, "document"))
    kept = tuple(ref for ref in found if ref.target.strip())
    return HtmlDocument(kept, base, base_url, import_map)


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


def _value(node: LexborNode, name: str) -> str:
    return (node.attributes.get(name) or "").strip()


def _attribute(node: LexborNode, name: str, kind: Kind, lines: Lines) -> Reference:
    value = _value(node, name)
    if kind is Kind.IMAGE and "onerror" in node.attributes:
        kind = Kind.LINK  # the page is made to go without it
    return Reference(value, kind, lines.of(value), f"<{node.tag} {name}>", integrity=_value(node, "integrity"))


def _anchor(node: LexborNode, lines: Lines) -> Iterator[Reference]:
    for name in ("href", "xlink:href"):
        if name in node.attributes:
            yield _attribute(node, name, Kind.LINK if "download" in node.attributes else Kind.PAGE, lines)


def _link(node: LexborNode, lines: Lines) -> Iterator[Reference]:
    relations = set(_value(node, "rel").lower().split())
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
        kind = _PRELOADED.get(_value(node, "as").lower())
    elif "prefetch" in relations:
        kind = Kind.ASSET
    elif relations & {"preconnect", "dns-prefetch"}:
        kind = Kind.HINT
    if kind is not None and _value(node, "href"):
        via = f"<link rel={_value(node, 'rel')} href>"
        yield replace(_attribute(node, "href", kind, lines), via=via)


def _script(node: LexborNode, lines: Lines, script_page: str, page_url: str) -> Iterator[Reference]:
    mime = _value(node, "type").lower().split(";")[0].strip()
    if mime not in JAVASCRIPT_TYPES | {"", "module"}:
        return
    module = mime == "module"
    for name in ("src", "href", "xlink:href"):
        if name in node.attributes:
            yield _attribute(node, name, Kind.MODULE if module else Kind.SCRIPT, lines)
            return
    source = node.text()
    if source.strip():
        yield from _offset(
            script_references(source, page_url, script_url=script_page), lines.of(source) - 1, "document"
        )


def _meta_refresh(node: LexborNode, lines: Lines) -> Iterator[Reference]:
    content = _value(node, "content")
    match = re.match(r"\s*[\d.]+\s*[;,]\s*(?:url\s*=\s*)?(['\"]?)(.*?)\1\s*$", content, re.IGNORECASE)
    if match and match[2]:
        yield Reference(match[2], Kind.PAGE, lines.of(content), "<meta http-equiv=refresh>")


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
