"""A script as a tree, read with tree-sitter: the text of its nodes, and what its strings say."""

from __future__ import annotations

import re
from functools import cache, cached_property

import tree_sitter
import tree_sitter_javascript
from tree_sitter import Node

FUNCTIONS = {
    "function_declaration",
    "function_expression",
    "arrow_function",
    "method_definition",
    "generator_function",
    "generator_function_declaration",
}
_ESCAPE = re.compile(r"\\(?:u\{([0-9a-fA-F]+)\}|u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(\r\n|.|\n))", re.DOTALL)
_PLAIN_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v", "0": "\0", "\n": "", "\r\n": ""}


@cache
def _language() -> tree_sitter.Language:
    return tree_sitter.Language(tree_sitter_javascript.language())


class Syntax:
    """A script: its bytes, and its tree once somebody asks for it."""

    def __init__(self, source: str) -> None:
        """Take the text of a script; what cannot be parsed is a tree with errors in it."""
        self.bytes = source.encode("utf-8", "surrogatepass")

    @cached_property
    def root(self) -> Node:
        """The node of the whole script."""
        return tree_sitter.Parser(_language()).parse(self.bytes).root_node

    def text(self, node: Node) -> str:
        """Give what is written at `node`."""
        return self.bytes[node.start_byte : node.end_byte].decode("utf-8", "replace")

    def arguments(self, node: Node) -> list[Node]:
        """Give the arguments of a call or of `new`; none when `node` is neither."""
        arguments = node.child_by_field_name("arguments")
        if arguments is None or arguments.type != "arguments":
            return []
        return [child for child in arguments.named_children if child.type != "comment"]

    def property(self, node: Node, name: str) -> Node | None:
        """Give the value of a property of an object that is written out; None when there is none."""
        for pair in node.named_children if node.type == "object" else ():
            key = pair.child_by_field_name("key") if pair.type == "pair" else None
            if key is not None and unquoted(self.text(key)) == name:
                return pair.child_by_field_name("value")
        return None


def unquoted(text: str) -> str:
    """Give a literal without its quotes."""
    return text[1:-1] if len(text) > 1 and text[0] in "\"'`" and text[-1] == text[0] else text


def unescaped(text: str) -> str:
    """Give what the inside of a string literal says."""
    if "\\" not in text:
        return text

    def one(match: re.Match[str]) -> str:
        code = match[1] or match[2] or match[3]
        return chr(min(int(code, 16), 0x10FFFF)) if code else _PLAIN_ESCAPES.get(match[4], match[4])

    return _ESCAPE.sub(one, text)
