"""What a name in a script stands for, where it stands: variables, parameters, and what calls hand in."""

from __future__ import annotations

import re
from itertools import islice

from tree_sitter import Node

from toolkit.references.syntax import FUNCTIONS, Syntax

MOST_CALLS = 200  # of one function that are looked at
_HANDED = {"string", "template_string", "ternary_expression", "parenthesized_expression", "identifier"}


class Scopes:
    """The names of one script."""

    def __init__(self, syntax: Syntax) -> None:
        """Look into the tree of `syntax`."""
        self._syntax = syntax

    def handed_in(self, node: Node) -> list[Node]:
        """When `node` is a parameter of a named function: what its calls hand in there, such as get("/api/items")."""
        if node.type != "identifier":
            return []
        function, position = self._parameter(node)
        name = self._function_name(function) if function is not None else ""
        body = function.child_by_field_name("body") if function is not None else None
        if function is None or not name or (body is not None and self.assigned(body, self._syntax.text(node))):
            return []
        found = []
        root = function
        while root.parent is not None:
            root = root.parent
        for match in islice(
            re.finditer(rb"(?<![\w$.])" + re.escape(name.encode()) + rb"\s*\(", self._syntax.bytes), MOST_CALLS
        ):
            call = root.descendant_for_byte_range(match.start(), match.start() + 1)
            call = call.parent if call is not None and call.type == "identifier" else None
            if call is None or call.type != "call_expression" or self._bound_function(call, name) != function:
                continue
            arguments = self._syntax.arguments(call)
            if len(arguments) > position and arguments[position].type in _HANDED:
                found.append(arguments[position])
        return found

    def _parameter(self, node: Node) -> tuple[Node | None, int]:
        """The function whose parameter an identifier is, and which one; no function when it is something else."""
        name, scope = self._syntax.text(node), node.parent
        while scope is not None:
            if scope.type in ("program", "statement_block") and self._declared(scope, name)[0]:
                return None, 0
            if scope.type in FUNCTIONS:
                single = scope.child_by_field_name("parameter")
                parameters = scope.child_by_field_name("parameters")
                listed = [single] if single is not None else parameters.named_children if parameters is not None else []
                for position, parameter in enumerate(listed):
                    left = parameter.child_by_field_name("left") or parameter
                    if self._syntax.text(left) == name:
                        return scope, position
            scope = scope.parent
        return None, 0

    def _function_name(self, function: Node) -> str:
        name = function.child_by_field_name("name") if function.type.endswith("declaration") else None
        if name is None and function.parent is not None and function.parent.type == "variable_declarator":
            name = function.parent.child_by_field_name("name")
        return self._syntax.text(name) if name is not None and name.type == "identifier" else ""

    def _bound_function(self, node: Node, name: str) -> Node | None:
        """The function that `name` is where `node` is."""
        scope = node.parent
        while scope is not None:
            if scope.type in ("program", "statement_block"):
                for child in scope.named_children:
                    declared = child.child_by_field_name("declaration") if child.type == "export_statement" else child
                    named = declared is not None and declared.type.endswith("function_declaration")
                    if declared is not None and named and self._function_name(declared) == name:
                        return declared
                found, value = self._declared(scope, name)
                if found:
                    return value
            elif scope.type in FUNCTIONS:
                parameters = scope.child_by_field_name("parameters") or scope.child_by_field_name("parameter")
                pattern = rf"(?<![\w$]){re.escape(name)}(?![\w$])"
                if parameters is not None and re.search(pattern, self._syntax.text(parameters)):
                    return None
            scope = scope.parent
        return None

    def binding(self, node: Node, name: str) -> tuple[bool, Node | None, Node | None]:
        """Whether the script itself binds `name` where `node` is, and if so to which expression in which block."""
        scope = node.parent
        while scope is not None:
            if scope.type in ("program", "statement_block"):
                found, declared = self._declared(scope, name)
                if found:
                    return True, declared, scope
            elif scope.type in FUNCTIONS:
                parameters = scope.child_by_field_name("parameters") or scope.child_by_field_name("parameter")
                pattern = rf"(?<![\w$]){re.escape(name)}(?![\w$])"
                if parameters is not None and re.search(pattern, self._syntax.text(parameters)):
                    return True, None, None
            scope = scope.parent
        return False, None, None

    def _declared(self, scope: Node, name: str) -> tuple[bool, Node | None]:
        for child in scope.named_children:
            statement = child.child_by_field_name("declaration") if child.type == "export_statement" else child
            if statement is None or statement.type not in ("lexical_declaration", "variable_declaration"):
                continue
            for declarator in statement.named_children:
                if declarator.type != "variable_declarator":
                    continue
                target, value = declarator.child_by_field_name("name"), declarator.child_by_field_name("value")
                if target is not None and self._syntax.text(target) == name:
                    return True, value
        return False, None

    def constant(self, node: Node, name: str) -> Node | None:
        """The expression that `name` stands for where `node` is, when it is given a value once and for all."""
        _, declared, scope = self.binding(node, name)
        if declared is None or scope is None or (declared.type == "identifier" and self._syntax.text(declared) == name):
            return None
        return declared if self.assigned(scope, name) == 1 else None

    def binds(self, node: Node, name: str) -> bool:
        """Whether the script itself says what `name` is where `node` is, as a variable, parameter or function."""
        return self.binding(node, name)[0] or self._bound_function(node, name) is not None

    def assigned(self, scope: Node, name: str) -> int:
        """Count how often `name` is given a value within `scope`, its declaration included."""
        text, escaped = self._syntax.text(scope), re.escape(name)
        plain = re.findall(rf"(?<![\w$.]){escaped}\s*(?:[-+*/|&?]{{0,2}}=(?![=>])|\+\+)", text)
        taken_apart = re.findall(
            rf"\(\s*[{{[][^{{}}\[\]]*(?<![\w$.]){escaped}(?![\w$:])[^{{}}\[\]]*[}}\]]\s*=(?![=>])", text
        )
        return len(plain) + len(taken_apart)
