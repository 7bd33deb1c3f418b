"""Which lines of a hook end it before its last command? Read with tree-sitter."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import tree_sitter
import tree_sitter_bash

_ENDING = ("exit", "return")
_FUNCTION = "function_definition"
# A process of its own: what ends there is not the hook.
_OTHER_PROCESS = {"subshell", "command_substitution", "process_substitution", "pipeline"}


@dataclass(frozen=True)
class End:
    """A command that ends a script although others follow it.

    `line` counts from 1, `text` is the command as it is written. `code` is what the script ends with; None when that is
    decided while it runs. `certain`: nothing decides whether the command is reached.
    """

    line: int
    text: str
    code: int | None
    certain: bool

    @property
    def returns(self) -> bool:
        """Whether it ends what is sourced, and not the shell that sources it."""
        return self.text.startswith("return")


def early_ends(script: str) -> list[End]:
    """Give the commands that end `script` before its last command, in their order."""
    root = tree_sitter.Parser(_language()).parse(script.encode()).root_node
    commands = list(_commands(root))
    last = max((node.start_byte for node, _ in commands), default=0)
    return [
        _end(node, parents)
        for node, parents in commands
        if _name(node) in _ENDING and node.start_byte < last and _ends_the_script(node, parents)
    ]


@cache
def _language() -> tree_sitter.Language:
    return tree_sitter.Language(tree_sitter_bash.language())


def _commands(
    node: tree_sitter.Node, parents: tuple[str, ...] = ()
) -> Iterator[tuple[tree_sitter.Node, tuple[str, ...]]]:
    """Every command below `node`, with the types of what it stands in."""
    for child in node.named_children:
        if child.type == "command":
            yield child, parents
        yield from _commands(child, (*parents, child.type))


def _ends_the_script(node: tree_sitter.Node, parents: tuple[str, ...]) -> bool:
    return not _OTHER_PROCESS.intersection(parents) and not (_name(node) == "return" and _FUNCTION in parents)


def _end(node: tree_sitter.Node, parents: tuple[str, ...]) -> End:
    text = _text(node)
    argument = text.split()[1] if len(text.split()) > 1 else ""
    certain = set(parents) <= {"compound_statement"}
    return End(node.start_point[0] + 1, text, int(argument) if argument.isdigit() else None, certain)


def _name(node: tree_sitter.Node) -> str:
    name = node.child_by_field_name("name")
    return _text(name) if name is not None else ""


def _text(node: tree_sitter.Node) -> str:
    return (node.text or b"").decode("utf-8", "replace")
