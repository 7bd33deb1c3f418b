"""What an expression of a script evaluates to, as far as its text settles that: literals, constants, `location`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from tree_sitter import Node

from toolkit.references.scopes import Scopes
from toolkit.references.syntax import Syntax, unescaped, unquoted

GLOBALS = re.compile(r"^(?:(?:window|globalThis|self|document)\.)+")
MODULE_URL = "import.meta.url"
MOST_DEPTH = 12  # of expressions within expressions


@dataclass(frozen=True)
class Value:
    """What an expression evaluates to: a known beginning, and whether that is all of it."""

    text: str
    complete: bool = True

    def __add__(self, other: Value) -> Value:
        """Give this and then `other`; nothing comes after what is not complete."""
        return Value(self.text + other.text, other.complete) if self.complete else self


UNKNOWN = Value("", False)


class Values:
    """The values of the expressions of one script."""

    def __init__(self, syntax: Syntax, scopes: Scopes, page_url: str, script_url: str) -> None:
        """Evaluate for a browser that shows `page_url` and has loaded the script from `script_url`."""
        self._syntax = syntax
        self._scopes = scopes
        parts = urlsplit(page_url)
        origin = f"{parts.scheme}://{parts.netloc}"
        self._location = {
            "location": page_url,
            "location.href": page_url,
            "location.origin": origin,
            "origin": origin,
            "location.protocol": f"{parts.scheme}:",
            "location.host": parts.netloc,
            "location.hostname": parts.hostname or "",
            "location.port": str(parts.port or ""),
            "location.pathname": parts.path,
            "location.search": "",
            "location.hash": "",
            "baseURI": page_url,
            "URL": page_url,
            MODULE_URL: script_url,
        }

    def evaluate(self, node: Node, depth: int = 0) -> list[Value]:
        """Give all that `node` may evaluate to, at most four values; `depth` is how deep the caller is in already."""
        if depth > MOST_DEPTH:
            return [UNKNOWN]
        if node.type == "string":
            return [Value(unescaped(unquoted(self._syntax.text(node))))]
        if node.type == "template_string":
            return self._template(node, depth)
        if node.type == "parenthesized_expression" and node.named_child_count == 1:
            return self.evaluate(node.named_children[0], depth + 1)
        if node.type == "binary_expression":
            return self._binary(node, depth)
        if node.type == "ternary_expression":
            return self._ternary(node, depth)
        if node.type == "member_expression":
            return self._member(node, depth)
        if node.type == "identifier":
            return self._identifier(node, depth)
        if node.type == "call_expression":
            return self._string_method(node, depth)
        if node.type == "new_expression":
            return self._new_url(node, depth)
        return [UNKNOWN]

    def known(self, node: Node) -> str:
        """The value of `node` when there is exactly one and all of it is known, else nothing."""
        values = self.evaluate(node)
        return values[0].text if len(values) == 1 and values[0].complete else ""

    def shadowed(self, node: Node, name: str) -> bool:
        """Whether `location.…` is a variable of the script (a router's, say) and not the browser's."""
        return name.startswith("location") and self._scopes.binding(node, "location")[0]

    def _template(self, node: Node, depth: int) -> list[Value]:
        values = [Value("")]
        for child in node.named_children:
            if child.type == "template_substitution" and child.named_child_count:
                values = _joined(values, self.evaluate(child.named_children[0], depth + 1))
            elif child.type in ("string_fragment", "escape_sequence"):
                values = _joined(values, [Value(unescaped(self._syntax.text(child)))])
        return values

    def _binary(self, node: Node, depth: int) -> list[Value]:
        left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
        operator = node.child_by_field_name("operator")
        if left is None or right is None or operator is None:
            return [UNKNOWN]
        if operator.type == "+":
            return _joined(self.evaluate(left, depth + 1), self.evaluate(right, depth + 1))
        if operator.type in ("||", "??"):
            values = self.evaluate(left, depth + 1)
            return values if all(value.complete and value.text for value in values) else [UNKNOWN]
        return [UNKNOWN]

    def _ternary(self, node: Node, depth: int) -> list[Value]:
        condition = node.child_by_field_name("condition")
        yes, no = node.child_by_field_name("consequence"), node.child_by_field_name("alternative")
        if condition is None or yes is None or no is None:
            return [UNKNOWN]
        holds = self.holds(condition, depth)
        chosen = [yes] if holds is True else [no] if holds is False else [yes, no]
        return [value for branch in chosen for value in self.evaluate(branch, depth + 1)][:4]

    def holds(self, node: Node, depth: int = 0) -> bool | None:
        """Whether a condition holds; None when the text does not settle it."""
        if depth > MOST_DEPTH:
            return None
        if node.type == "parenthesized_expression" and node.named_child_count == 1:
            return self.holds(node.named_children[0], depth + 1)
        if node.type in ("true", "false"):
            return node.type == "true"
        if node.type == "unary_expression" and self._syntax.text(node).startswith("!"):
            argument = node.child_by_field_name("argument")
            value = None if argument is None else self.holds(argument, depth + 1)
            return None if value is None else not value
        if node.type == "identifier":
            declared = self._scopes.constant(node, self._syntax.text(node))
            return None if declared is None else self.holds(declared, depth + 1)
        if node.type == "call_expression":
            return self._asked(node)
        return self._compared(node, depth) if node.type == "binary_expression" else None

    def _compared(self, node: Node, depth: int) -> bool | None:
        left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
        operator = node.child_by_field_name("operator")
        if left is None or right is None or operator is None:
            return None
        if operator.type in ("&&", "||"):
            decides = operator.type == "||"  # one that is so decides the whole
            both = [self.holds(left, depth + 1), self.holds(right, depth + 1)]
            return decides if decides in both else None if None in both else not decides
        if operator.type in ("===", "==", "!==", "!="):
            a, b = self.evaluate(left, depth + 1), self.evaluate(right, depth + 1)
            if len(a) == len(b) == 1 and a[0].complete and b[0].complete:
                return (a[0].text == b[0].text) == (operator.type in ("===", "=="))
        return None

    def _asked(self, node: Node) -> bool | None:
        """Whether a text or a list, both written out, begins with or includes something."""
        function, arguments = node.child_by_field_name("function"), self._syntax.arguments(node)
        if function is None or function.type != "member_expression" or not arguments:
            return None
        owner, method = function.child_by_field_name("object"), function.child_by_field_name("property")
        name, part = self._syntax.text(method) if method is not None else "", self.known(arguments[0])
        if owner is None or not part or name not in ("startsWith", "endsWith", "includes"):
            return None
        if owner.type == "array":
            listed = [self.known(one) for one in owner.named_children]
            return part in listed if all(listed) else None
        whole = self.known(owner)
        return None if not whole else part in whole if name == "includes" else bool(getattr(whole, name.lower())(part))

    def _member(self, node: Node, depth: int) -> list[Value]:
        name = self._syntax.text(node)
        if len(name) > 200:
            return [UNKNOWN]
        known = self._location.get(GLOBALS.sub("", name))
        if known is not None:
            return [UNKNOWN] if self.shadowed(node, name) else [Value(known)]
        owner, prop = node.child_by_field_name("object"), node.child_by_field_name("property")
        if owner is not None and prop is not None and owner.type == "new_expression":
            values = self._new_url(owner, depth)
            part = self._syntax.text(prop)
            if part == "href":
                return values
            if part in ("pathname", "host", "origin", "protocol") and all(value.complete for value in values):
                return [Value(_url_part(value.text, part)) for value in values]
        return [UNKNOWN]

    def _new_url(self, node: Node, depth: int) -> list[Value]:
        constructor, arguments = node.child_by_field_name("constructor"), self._syntax.arguments(node)
        if constructor is None or GLOBALS.sub("", self._syntax.text(constructor)[:40]) != "URL" or not arguments:
            return [UNKNOWN]
        targets = self.evaluate(arguments[0], depth + 1)
        if len(arguments) == 1:
            return targets
        base = self.known(arguments[1])
        if not base:
            return [value if re.match(r"[a-z]+://", value.text) else UNKNOWN for value in targets]
        return [Value(urljoin(base, value.text), value.complete) if value.text else UNKNOWN for value in targets]

    def _string_method(self, node: Node, depth: int) -> list[Value]:
        function, arguments = node.child_by_field_name("function"), self._syntax.arguments(node)
        if function is None or function.type != "member_expression":
            return [UNKNOWN]
        owner, method = function.child_by_field_name("object"), function.child_by_field_name("property")
        if owner is None or method is None:
            return [UNKNOWN]
        name = self._syntax.text(method)
        if name == "toString" and not arguments:
            return self.evaluate(owner, depth + 1)
        if name == "replace" and len(arguments) == 2:
            return self._replaced(owner, arguments, depth)
        return [UNKNOWN]

    def _replaced(self, owner: Node, arguments: list[Node], depth: int) -> list[Value]:
        values, new = self.evaluate(owner, depth + 1), self.evaluate(arguments[1], depth + 1)
        simple = re.fullmatch(r"/(\^?)([A-Za-z:]+)(\$?)/[a-z]*", self._syntax.text(arguments[0]))
        old = simple[2] if simple and not simple[3] else self.known(arguments[0])
        if not old or len(new) != 1 or not new[0].complete or not all(value.complete for value in values):
            return [UNKNOWN]
        anchored = bool(simple and simple[1])
        return [
            value if anchored and not value.text.startswith(old) else Value(value.text.replace(old, new[0].text, 1))
            for value in values
        ]

    def _identifier(self, node: Node, depth: int) -> list[Value]:
        name = self._syntax.text(node)
        if not self._scopes.binding(node, name)[0]:
            return [Value(self._location[name])] if name == "location" else [UNKNOWN]
        declared = self._scopes.constant(node, name)
        return [UNKNOWN] if declared is None else self.evaluate(declared, depth + 1)


def _joined(left: list[Value], right: list[Value]) -> list[Value]:
    return [a + b for a in left for b in (right if a.complete else right[:1])][:4]


def _url_part(url: str, part: str) -> str:
    parts = urlsplit(url)
    return {
        "pathname": parts.path,
        "host": parts.netloc,
        "origin": f"{parts.scheme}://{parts.netloc}",
        "protocol": f"{parts.scheme}:",
    }[part]
