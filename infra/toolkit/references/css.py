"""The URLs that a style sheet names, read with tinycss2."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

import tinycss2  # type: ignore[import-untyped]

from toolkit.references.model import Kind, Reference

# Escapes count when they may spell one of these words (`\\75rl(`); those of class names (`.md\\:flex`) do not.
_CSS_WITH_URLS = re.compile(
    r"url\(|src\(|@import|image-set\(|\\(?:0{0,4}(?:[57]5|[57]2|[46]c|[46]9|40)|[urli@])", re.IGNORECASE
)


def css_references(text: str, *, declarations: bool = False) -> list[Reference]:
    """Give what a style sheet (or, with `declarations`, a style attribute) names. Same-document `#…` is left out."""
    if not _CSS_WITH_URLS.search(text):
        return []
    tokens = (
        tinycss2.parse_component_value_list(text, skip_comments=True)
        if declarations
        else tinycss2.parse_stylesheet(text, skip_comments=True, skip_whitespace=True)
    )
    found: list[Reference] = []
    _css_tokens(tokens, Kind.IMAGE, found)
    return [ref for ref in found if ref.literal and not ref.literal.startswith("#")]


def _css_tokens(tokens: Iterable[tinycss2.ast.Node], kind: Kind, found: list[Reference]) -> None:
    for token in tokens:
        if token.type == "url":
            found.append(Reference(token.value, kind, token.source_line, "url()", against="self"))
        elif token.type == "function":
            name = token.lower_name
            if name in ("url", "src"):
                strings = [part for part in token.arguments if part.type == "string"]
                found.extend(Reference(s.value, kind, s.source_line, "url()", against="self") for s in strings[:1])
            elif name in ("image-set", "-webkit-image-set"):
                for part in token.arguments:
                    if part.type == "string":
                        found.append(Reference(part.value, kind, part.source_line, "image-set()", against="self"))
                _css_tokens(token.arguments, kind, found)
            elif name != "format" and name != "type":
                _css_tokens(token.arguments, kind, found)
        elif token.type == "at-rule":
            _css_at_rule(token, kind, found)
        elif token.type in ("qualified-rule", "() block", "[] block", "{} block"):
            _css_tokens(token.content, kind, found)


def _css_at_rule(rule: tinycss2.ast.AtRule, kind: Kind, found: list[Reference]) -> None:
    if rule.lower_at_keyword == "import":
        for token in rule.prelude:
            if token.type in ("string", "url"):
                found.append(Reference(token.value, Kind.STYLESHEET, token.source_line, "@import", against="self"))
                return
            if token.type == "function" and token.lower_name == "url" and token.arguments:
                value = str(getattr(token.arguments[0], "value", ""))
                found.append(Reference(value, Kind.STYLESHEET, token.source_line, "@import", against="self"))
                return
    elif rule.lower_at_keyword == "font-face":
        files: list[Reference] = []
        _css_tokens(rule.content or (), Kind.FONT, files)
        found.extend(_one_of(files))
    elif rule.lower_at_keyword != "namespace":
        _css_tokens(rule.content or (), kind, found)


def _one_of(files: list[Reference]) -> Iterable[Reference]:
    """Of the files of a font browsers ask for one, the first that they understand: the others may be missing."""
    preferred = [one for ending in (".woff2", ".woff") for one in files if ending in one.literal.lower()]
    chosen = None if any(one.literal.startswith("data:") for one in files) else next(iter([*preferred, *files]), None)
    return (one if one is chosen else replace(one, kind=Kind.LINK) for one in files)
