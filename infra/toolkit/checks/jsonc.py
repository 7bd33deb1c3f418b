"""JSON as Bun reads it in package.json: comments, commas at the end and a byte order mark are allowed (Bun 1.4)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from tree_sitter import Node

from toolkit.references.syntax import Syntax

_PLAIN = {"true": True, "false": False, "null": None}


def loads(text: str) -> Any:
    """Read a document. Raises JSONDecodeError."""
    text = text.removeprefix("\ufeff")
    try:
        return _strictly(text)
    except json.JSONDecodeError:
        syntax = Syntax(f"({text}\n)")  # a script in which the document is the only expression
        try:
            return _document(syntax)
        except (ValueError, RecursionError):
            return _strictly(_without_comments(syntax)[1:-2])  # an error that is no comment's


def _strictly(text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError:
        raise json.JSONDecodeError("Nested too deeply", text, 0) from None


def _without_comments(syntax: Syntax) -> str:
    text = bytearray(syntax.bytes)
    for start, end in _comments(syntax.root):
        text[start:end] = re.sub(rb"[^\n]", b" ", text[start:end])
    return text.decode("utf-8", "replace")


def _comments(root: Node) -> Iterator[tuple[int, int]]:
    nodes = [root]
    while nodes:
        node = nodes.pop()
        if node.type == "comment":
            yield node.start_byte, node.end_byte
        nodes += node.children


def _document(syntax: Syntax) -> Any:
    node = syntax.root
    if node.has_error:
        raise ValueError
    for kind in ("program", "expression_statement", "parenthesized_expression"):
        if node.type != kind:
            raise ValueError(node.type)
        (node,) = _parts(node)
    return _value(syntax, node)


def _value(syntax: Syntax, node: Node) -> Any:
    if node.type == "object":
        return dict(_pair(syntax, pair) for pair in _parts(node))
    if node.type == "array":
        return [_value(syntax, part) for part in _parts(node)]
    if node.type in _PLAIN:
        return _PLAIN[node.type]
    return json.loads(syntax.text(node))  # of a string, or a number; anything else is an error to it


def _pair(syntax: Syntax, node: Node) -> tuple[str, Any]:
    key, value = node.child_by_field_name("key"), node.child_by_field_name("value")
    if key is None or value is None:
        raise ValueError(node.type)
    return str(json.loads(syntax.text(key))), _value(syntax, value)


def _parts(node: Node) -> list[Node]:
    """What a node holds. Raises ValueError where something lacks between two commas."""
    parts = [part for part in node.named_children if part.type != "comment"]
    if sum(part.type == "," for part in node.children) > len(parts):
        raise ValueError(node.type)
    return parts
