"""Whether a script gets to a place at all: conditions that the page's own address settles."""

from __future__ import annotations

from collections.abc import Iterator

from tree_sitter import Node

from toolkit.references.syntax import Syntax
from toolkit.references.values import Values

MOST_LOOKED_AT = 50  # statements above one, for an early return
_LEAVES = {"return_statement", "throw_statement", "continue_statement", "break_statement"}


class Conditions:
    """The conditions of one script."""

    def __init__(self, syntax: Syntax, values: Values) -> None:
        """Look into the tree of `syntax`; `values` knows what expressions evaluate to."""
        self._syntax = syntax
        self._values = values

    def dead(self, node: Node) -> bool:
        """Whether a condition such as `location.hostname === "localhost"` keeps the platform from getting there."""
        return any(
            self._values.holds(condition) is (not wanted)
            for child, parent in _upwards(node)
            for condition, wanted in self._needs(child, parent)
        )

    def _needs(self, child: Node, parent: Node) -> Iterator[tuple[Node, bool]]:
        """What has to hold, or must not, for `parent` to get to its `child`."""
        if parent.type in ("if_statement", "ternary_expression"):
            condition, then = parent.child_by_field_name("condition"), parent.child_by_field_name("consequence")
            if condition is not None and condition.id != child.id:
                yield condition, then is not None and then.id == child.id
        elif parent.type == "binary_expression":
            left, operator = parent.child_by_field_name("left"), parent.child_by_field_name("operator")
            if left is not None and operator is not None and left.id != child.id and operator.type in ("&&", "||"):
                yield left, operator.type == "&&"
        elif parent.type == "statement_block":
            before = child.prev_named_sibling
            for _ in range(MOST_LOOKED_AT):
                if before is None:
                    return
                if before.type == "if_statement" and (left := self._leaving(before)) is not None:
                    yield left, False
                before = before.prev_named_sibling

    def _leaving(self, statement: Node) -> Node | None:
        """The condition of an `if` that leads out of its block; None for any other."""
        then = statement.child_by_field_name("consequence")
        if then is None or statement.child_by_field_name("alternative") is not None:
            return None
        last = then.named_children[-1] if then.type == "statement_block" and then.named_child_count else then
        return statement.child_by_field_name("condition") if last.type in _LEAVES else None

    def guarded(self, node: Node) -> bool:
        """Whether a script gets to a place only under some condition, or copes with what goes wrong there."""
        return any(
            parent.type in ("switch_case", "catch_clause")
            or (parent.type == "try_statement" and parent.child_by_field_name("handler") is not None)
            or (parent.type == "member_expression" and self._syntax.text(parent).endswith("catch"))
            or any(True for _ in self._needs(child, parent))
            for child, parent in _upwards(node)
        )


def _upwards(node: Node) -> Iterator[tuple[Node, Node]]:
    """Each node around `node`, with the part of it that `node` is in."""
    child, parent = node, node.parent
    while parent is not None:
        yield child, parent
        child, parent = parent, parent.parent
