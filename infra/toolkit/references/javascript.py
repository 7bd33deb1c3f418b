"""The URLs that a script names: imports, workers, assets, and what it fetches, opens or navigates to.

Read with tree-sitter. Only what the text itself settles counts: literals, and what is put together from literals,
constants and `location`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from itertools import islice
from urllib.parse import urljoin, urlsplit

import tree_sitter
import tree_sitter_javascript

from toolkit.references.model import Kind, Reference

_HTTP_METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"}
_METHODS = "get|post|put|patch|delete|head|getJSON|ajax"
_CLIENTS = re.compile(rf"(?:axios|ky|superagent|ofetch|\$fetch)(?:\.(?:{_METHODS}))?$|(?:jQuery|\$)\.(?:{_METHODS})$")
# Where something may be named. Most of a script is none of it, so only these places are looked at in the tree.
_CANDIDATE = re.compile(
    rb"(?<![\w$])(?:"
    rb"import\s*[\"'(]|import\b[^;\"'()]{0,4000}?\bfrom\s*[\"']|from\s*[\"']"
    rb"|(?:fetch|importScripts|sendBeacon|setAttribute|open|register|pushState|replaceState)\s*\("
    rb"|location\s*\??\.\s*(?:assign|replace)\s*\(|location(?:\.href)?\s*=(?!=)|(?:src|href)\s*=(?!=)"
    rb"|(?:axios|ky|superagent|ofetch|\$fetch|jQuery|\$)(?:\.\w+)?\s*\("
    rb"|_?(?:jsx|jsxs|jsxDEV|createElement|h)\)?\s*\(\s*[\"'`]"
    rb"|(?:URL|Worker|SharedWorker|EventSource|Request|WebSocket|Audio)\s*\("
    rb")"
)
_NAMING = {"import_statement", "export_statement", "call_expression", "new_expression", "assignment_expression"}
_WITHIN = {"identifier", "property_identifier", "member_expression", "sequence_expression", "parenthesized_expression"}
_WITHIN |= {"import", "from", "string", "import_clause", "new", "=", "(", "."}
_ELEMENT_FACTORIES = re.compile(r"(?:.*\.)?_?(?:jsx|jsxs|jsxDEV|createElement|h)\)?$")
_ELEMENT_ATTRIBUTES: dict[str, dict[str, Kind]] = {
    "a": {"href": Kind.LINK},
    "form": {"action": Kind.LINK},
    "iframe": {"src": Kind.FRAME},
    "img": {"src": Kind.IMAGE},
    "image": {"href": Kind.IMAGE},
    "use": {"href": Kind.IMAGE},
    "video": {"src": Kind.MEDIA, "poster": Kind.IMAGE},
    "audio": {"src": Kind.MEDIA},
    "source": {"src": Kind.MEDIA},
    "embed": {"src": Kind.ASSET},
    "script": {"src": Kind.SCRIPT},
    "link": {"href": Kind.ASSET},
}
_STATIC_FILE = re.compile(
    r"\.(?:json|csv|tsv|txt|md|xml|geojson|wasm|svg|png|jpe?g|gif|webp|avif|ico|css|m?js|html?|woff2?|ya?ml|parquet|arrow|bin)$",
    re.IGNORECASE,
)
_STREAMED = re.compile(r"WebAssembly\s*\.\s*(?:instantiate|compile)Streaming\s*$")
_GLOBALS = re.compile(r"^(?:(?:window|globalThis|self|document)\.)+")
_MODULE_URL = "import.meta.url"
MOST_CALLS = 200  # of one function that are looked at
MOST_WRAPPERS = 3  # functions around fetch() that hand on what they were given
_HANDED = {"string", "template_string", "ternary_expression", "parenthesized_expression", "identifier"}


@cache
def _language() -> tree_sitter.Language:
    return tree_sitter.Language(tree_sitter_javascript.language())


@dataclass(frozen=True)
class _Text:
    """What an expression evaluates to: a known beginning, and whether that is all of it."""

    text: str
    complete: bool = True

    def __add__(self, other: _Text) -> _Text:
        return _Text(self.text + other.text, other.complete) if self.complete else self


_UNKNOWN = _Text("", False)


def script_references(source: str, page_url: str, *, script_url: str = "") -> list[Reference]:
    """Give what a script names: imports, workers, asset URLs, and the URLs it fetches, opens or navigates to.

    `page_url` is what the script sees as `location`; `script_url` what it sees as `import.meta.url`.
    """
    return _Script(source, page_url, script_url or page_url).references()


class _Script:
    def __init__(self, source: str, page_url: str, script_url: str) -> None:
        self._bytes = source.encode("utf-8", "surrogatepass")
        self._page = page_url
        self._script_url = script_url
        self._found: list[Reference] = []
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
            _MODULE_URL: self._script_url,
        }

    def references(self) -> list[Reference]:
        places = [match.start() for match in _CANDIDATE.finditer(self._bytes)]
        if not places:
            return []
        root = tree_sitter.Parser(_language()).parse(self._bytes).root_node
        seen: set[tuple[int, int]] = set()
        for place in places:
            node = _naming(root, place)
            if node is None or (node.start_byte, node.end_byte) in seen:
                continue
            seen.add((node.start_byte, node.end_byte))
            if node.type in ("import_statement", "export_statement"):
                self._static_import(node)
            elif node.type == "call_expression":
                self._call(node)
            elif node.type == "new_expression":
                self._new(node)
            else:
                self._assignment(node)
        return sorted(set(self._found), key=lambda ref: (ref.line, ref.literal))

    # what is named

    def _add(
        self, node: tree_sitter.Node, kind: Kind, via: str, *, against: str = "document", wrappers: int = 0
    ) -> None:
        values = [value for value in self._evaluate(node) if value.text]
        if not values and kind in (Kind.CALL, Kind.SOCKET) and wrappers < MOST_WRAPPERS:
            for argument in self._handed_in(node):
                self._add(argument, kind, via, against=against, wrappers=wrappers + 1)
        if not values or self._dead(node):
            return
        literal = self._text(node)
        for value in values:
            self._found.append(
                Reference(
                    _unquoted(literal) if node.type == "string" else literal[:160],
                    kind,
                    node.start_point[0] + 1,
                    via,
                    target=value.text,
                    against=against,
                    complete=value.complete,
                    others=tuple(other.text for other in values if other != value),
                )
            )

    def _handed_in(self, node: tree_sitter.Node) -> list[tree_sitter.Node]:
        """When `node` is a parameter of a named function: what its calls hand in there, such as get("/api/items")."""
        if node.type != "identifier":
            return []
        function, position = self._parameter(node)
        name = self._function_name(function) if function is not None else ""
        if function is None or not name:
            return []
        found = []
        root = function
        while root.parent is not None:
            root = root.parent
        for match in islice(
            re.finditer(rb"(?<![\w$.])" + re.escape(name.encode()) + rb"\s*\(", self._bytes), MOST_CALLS
        ):
            call = root.descendant_for_byte_range(match.start(), match.start() + 1)
            call = call.parent if call is not None and call.type == "identifier" else None
            if call is None or call.type != "call_expression" or self._bound_function(call, name) != function:
                continue
            arguments = self._arguments(call)
            if len(arguments) > position and arguments[position].type in _HANDED:
                found.append(arguments[position])
        return found

    def _parameter(self, node: tree_sitter.Node) -> tuple[tree_sitter.Node | None, int]:
        """The function whose parameter an identifier is, and which one; no function when it is something else."""
        name, scope = self._text(node), node.parent
        while scope is not None:
            if scope.type in ("program", "statement_block") and self._declared(scope, name)[0]:
                return None, 0
            if scope.type in _FUNCTIONS:
                single = scope.child_by_field_name("parameter")
                parameters = scope.child_by_field_name("parameters")
                listed = [single] if single is not None else parameters.named_children if parameters is not None else []
                for position, parameter in enumerate(listed):
                    left = parameter.child_by_field_name("left") or parameter
                    if self._text(left) == name:
                        return scope, position
            scope = scope.parent
        return None, 0

    def _function_name(self, function: tree_sitter.Node) -> str:
        name = function.child_by_field_name("name") if function.type.endswith("declaration") else None
        if name is None and function.parent is not None and function.parent.type == "variable_declarator":
            name = function.parent.child_by_field_name("name")
        return self._text(name) if name is not None and name.type == "identifier" else ""

    def _bound_function(self, node: tree_sitter.Node, name: str) -> tree_sitter.Node | None:
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
            elif scope.type in _FUNCTIONS:
                parameters = scope.child_by_field_name("parameters") or scope.child_by_field_name("parameter")
                pattern = rf"(?<![\w$]){re.escape(name)}(?![\w$])"
                if parameters is not None and re.search(pattern, self._text(parameters)):
                    return None
            scope = scope.parent
        return None

    def _dead(self, node: tree_sitter.Node) -> bool:
        """Whether a condition such as `location.hostname === "localhost"` keeps the platform from getting there."""
        child, parent = node, node.parent
        while parent is not None:
            if parent.type in ("if_statement", "ternary_expression"):
                condition = parent.child_by_field_name("condition")
                if condition is not None and condition.id != child.id:
                    then = parent.child_by_field_name("consequence")
                    holds = self._holds(condition, 0)
                    if holds is not None and holds != (then is not None and then.id == child.id):
                        return True
            child, parent = parent, parent.parent
        return False

    def _static_import(self, statement: tree_sitter.Node) -> None:
        source = statement.child_by_field_name("source")
        if source is None:
            return
        attributes = self._text(statement)[source.end_byte - statement.start_byte :]
        self._add(source, _module_kind(attributes), "import", against="self")

    def _call(self, node: tree_sitter.Node) -> None:
        function = node.child_by_field_name("function")
        arguments = self._arguments(node)
        if function is None or not arguments:
            return
        if function.type == "import":
            attributes = self._text(arguments[1]) if len(arguments) > 1 else ""
            self._add(arguments[0], _module_kind(attributes), "import()", against="self")
            return
        if function.type not in ("identifier", "member_expression", "parenthesized_expression"):
            return
        if function.end_byte - function.start_byte > 120:
            return
        callee = self._text(function).replace("?.", ".")
        name = _GLOBALS.sub("", callee)
        if name == "fetch":
            self._fetch(node, arguments)
        elif name == "importScripts":
            for argument in arguments:
                self._add(argument, Kind.WORKER, "importScripts()", against="self")
        elif name.endswith("serviceWorker.register"):
            self._add(arguments[0], Kind.SERVICE_WORKER, "serviceWorker.register()")
            if len(arguments) > 1 and (scope := self._property(arguments[1], "scope")) is not None:
                self._add(scope, Kind.LINK, "scope of serviceWorker.register()")
        elif name.endswith(".sendBeacon"):
            self._add(arguments[0], Kind.CALL, "sendBeacon()")
        elif name.endswith(".open") and len(arguments) > 1 and self._known(arguments[0]).upper() in _HTTP_METHODS:
            self._add(arguments[1], Kind.CALL, "XMLHttpRequest.open()")
        elif name in ("location.assign", "location.replace") and not self._shadowed(node, callee):
            self._add(arguments[0], Kind.LINK, f"{name}()")
        elif name == "open" and callee != "open":
            self._add(arguments[0], Kind.LINK, f"{callee}()")
        elif name in ("history.pushState", "history.replaceState") and len(arguments) > 2:
            self._add(arguments[2], Kind.LINK, f"{name}()")
        elif _CLIENTS.match(name):
            self._add(arguments[0], Kind.CALL, f"{name}()")
        elif name.endswith(".setAttribute") and len(arguments) == 2:
            attribute = self._known(arguments[0]).lower()
            if attribute in ("src", "href", "action", "poster", "data"):
                self._add(arguments[1], Kind.LINK, f"setAttribute({attribute})")
        elif len(arguments) > 1 and _ELEMENT_FACTORIES.match(name):
            self._element(arguments[0], arguments[1])

    def _fetch(self, node: tree_sitter.Node, arguments: list[tree_sitter.Node]) -> None:
        path = urlsplit(self._known(arguments[0])).path
        plain = len(arguments) == 1 and _STATIC_FILE.search(path)
        kind = Kind.DATA_FILE if plain else Kind.CALL
        outer = node.parent.parent if node.parent is not None and node.parent.type == "arguments" else None
        if outer is not None and _STREAMED.search(self._text(outer)[:60].split("(")[0]):
            kind = Kind.WASM
        self._add(arguments[0], kind, "fetch()")

    def _property(self, node: tree_sitter.Node, name: str) -> tree_sitter.Node | None:
        """The value of a property of an object that is written out."""
        for pair in node.named_children if node.type == "object" else ():
            key = pair.child_by_field_name("key") if pair.type == "pair" else None
            if key is not None and _unquoted(self._text(key)) == name:
                return pair.child_by_field_name("value")
        return None

    def _element(self, tag: tree_sitter.Node, properties: tree_sitter.Node) -> None:
        if tag.type != "string" or properties.type != "object":
            return
        wanted = _ELEMENT_ATTRIBUTES.get(_unquoted(self._text(tag)))
        for pair in properties.named_children if wanted else ():
            key, value = pair.child_by_field_name("key"), pair.child_by_field_name("value")
            if pair.type == "pair" and key is not None and value is not None and wanted:
                name = _unquoted(self._text(key))
                if name in wanted:
                    self._add(value, wanted[name], f"<{_unquoted(self._text(tag))} {name}>")

    def _new(self, node: tree_sitter.Node) -> None:
        constructor = node.child_by_field_name("constructor")
        arguments = self._arguments(node)
        if constructor is None or not arguments or constructor.end_byte - constructor.start_byte > 60:
            return
        name = _GLOBALS.sub("", self._text(constructor))
        if name == "URL" and len(arguments) > 1:
            base = self._text(arguments[1])
            if base == _MODULE_URL:
                inside_worker = (
                    node.parent is not None
                    and node.parent.parent is not None
                    and (self._text(node.parent.parent)[:24].split("(")[0].split(".")[-1].endswith("Worker"))
                )
                if not inside_worker:
                    self._add(arguments[0], Kind.ASSET, "new URL(…, import.meta.url)", against="self")
            elif self._known(arguments[1]):
                self._add(node, Kind.LINK, "new URL()")
        elif name in ("Worker", "SharedWorker"):
            self._add(arguments[0], Kind.WORKER, f"new {name}()")
        elif name == "EventSource":
            self._add(arguments[0], Kind.CALL, "new EventSource()")
        elif name == "Request":
            self._add(arguments[0], Kind.CALL, "new Request()")
        elif name == "WebSocket":
            self._add(arguments[0], Kind.SOCKET, "new WebSocket()")
        elif name == "Audio":
            self._add(arguments[0], Kind.MEDIA, "new Audio()")

    def _assignment(self, node: tree_sitter.Node) -> None:
        left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
        if left is None or right is None or left.end_byte - left.start_byte > 120:
            return
        name = _GLOBALS.sub("", self._text(left))
        if name in ("location", "location.href"):
            if not self._shadowed(node, self._text(left)):
                self._add(right, Kind.LINK, f"{name} =")
        elif name.endswith((".src", ".href")):
            self._add(right, Kind.LINK, f".{name.rsplit('.', 1)[1]} =")

    # what an expression is

    def _text(self, node: tree_sitter.Node) -> str:
        return self._bytes[node.start_byte : node.end_byte].decode("utf-8", "replace")

    def _arguments(self, node: tree_sitter.Node) -> list[tree_sitter.Node]:
        arguments = node.child_by_field_name("arguments")
        if arguments is None or arguments.type != "arguments":
            return []
        return [child for child in arguments.named_children if child.type != "comment"]

    def _known(self, node: tree_sitter.Node) -> str:
        """The value of `node` when there is exactly one and all of it is known, else nothing."""
        values = self._evaluate(node)
        return values[0].text if len(values) == 1 and values[0].complete else ""

    def _evaluate(self, node: tree_sitter.Node, depth: int = 0) -> list[_Text]:
        if depth > 12:
            return [_UNKNOWN]
        if node.type == "string":
            return [_Text(_unescaped(_unquoted(self._text(node))))]
        if node.type == "template_string":
            return self._template(node, depth)
        if node.type == "parenthesized_expression" and node.named_child_count == 1:
            return self._evaluate(node.named_children[0], depth + 1)
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
        return [_UNKNOWN]

    def _template(self, node: tree_sitter.Node, depth: int) -> list[_Text]:
        values = [_Text("")]
        for child in node.named_children:
            if child.type == "template_substitution" and child.named_child_count:
                values = _joined(values, self._evaluate(child.named_children[0], depth + 1))
            elif child.type in ("string_fragment", "escape_sequence"):
                values = _joined(values, [_Text(_unescaped(self._text(child)))])
        return values

    def _binary(self, node: tree_sitter.Node, depth: int) -> list[_Text]:
        left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
        operator = node.child_by_field_name("operator")
        if left is None or right is None or operator is None:
            return [_UNKNOWN]
        if operator.type == "+":
            return _joined(self._evaluate(left, depth + 1), self._evaluate(right, depth + 1))
        if operator.type in ("||", "??"):
            values = self._evaluate(left, depth + 1)
            return values if all(value.complete and value.text for value in values) else [_UNKNOWN]
        return [_UNKNOWN]

    def _ternary(self, node: tree_sitter.Node, depth: int) -> list[_Text]:
        condition = node.child_by_field_name("condition")
        yes, no = node.child_by_field_name("consequence"), node.child_by_field_name("alternative")
        if condition is None or yes is None or no is None:
            return [_UNKNOWN]
        holds = self._holds(condition, depth)
        chosen = [yes] if holds is True else [no] if holds is False else [yes, no]
        return [value for branch in chosen for value in self._evaluate(branch, depth + 1)][:4]

    def _holds(self, node: tree_sitter.Node, depth: int) -> bool | None:
        """Whether a comparison of known texts holds; None when the text does not settle it."""
        while node.type == "parenthesized_expression" and node.named_child_count == 1:
            node = node.named_children[0]
        if node.type == "call_expression":
            function, arguments = node.child_by_field_name("function"), self._arguments(node)
            if function is not None and function.type == "member_expression" and arguments:
                owner, method = function.child_by_field_name("object"), function.child_by_field_name("property")
                if owner is not None and method is not None and self._text(method) in ("startsWith", "includes"):
                    whole, part = self._known(owner), self._known(arguments[0])
                    if whole and part:
                        return whole.startswith(part) if self._text(method) == "startsWith" else part in whole
            return None
        if node.type != "binary_expression":
            return None
        left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
        operator = node.child_by_field_name("operator")
        if left is None or right is None or operator is None:
            return None
        a, b = self._evaluate(left, depth + 1), self._evaluate(right, depth + 1)
        if len(a) == len(b) == 1 and a[0].complete and b[0].complete:
            if operator.type in ("===", "=="):
                return a[0].text == b[0].text
            if operator.type in ("!==", "!="):
                return a[0].text != b[0].text
        return None

    def _member(self, node: tree_sitter.Node, depth: int) -> list[_Text]:
        name = self._text(node)
        if len(name) > 200:
            return [_UNKNOWN]
        known = self._location.get(_GLOBALS.sub("", name))
        if known is not None:
            return [_UNKNOWN] if self._shadowed(node, name) else [_Text(known)]
        owner, prop = node.child_by_field_name("object"), node.child_by_field_name("property")
        if owner is not None and prop is not None and owner.type == "new_expression":
            values = self._new_url(owner, depth)
            if self._text(prop) == "href":
                return values
            if self._text(prop) in ("pathname", "host", "origin", "protocol") and all(v.complete for v in values):
                return [_Text(_url_part(value.text, self._text(prop))) for value in values]
        return [_UNKNOWN]

    def _shadowed(self, node: tree_sitter.Node, name: str) -> bool:
        """Whether `location.…` is a variable of the script (a router's, say) and not the browser's."""
        return name.startswith("location") and self._binding(node, "location")[0]

    def _new_url(self, node: tree_sitter.Node, depth: int) -> list[_Text]:
        constructor, arguments = node.child_by_field_name("constructor"), self._arguments(node)
        if constructor is None or _GLOBALS.sub("", self._text(constructor)[:40]) != "URL" or not arguments:
            return [_UNKNOWN]
        targets = self._evaluate(arguments[0], depth + 1)
        if len(arguments) == 1:
            return targets
        base = self._known(arguments[1])
        if not base:
            return [value if re.match(r"[a-z]+://", value.text) else _UNKNOWN for value in targets]
        return [_Text(urljoin(base, value.text), value.complete) if value.text else _UNKNOWN for value in targets]

    def _string_method(self, node: tree_sitter.Node, depth: int) -> list[_Text]:
        function, arguments = node.child_by_field_name("function"), self._arguments(node)
        if function is None or function.type != "member_expression":
            return [_UNKNOWN]
        owner, method = function.child_by_field_name("object"), function.child_by_field_name("property")
        if owner is None or method is None:
            return [_UNKNOWN]
        name = self._text(method)
        if name == "toString" and not arguments:
            return self._evaluate(owner, depth + 1)
        if name == "replace" and len(arguments) == 2:
            return self._replaced(owner, arguments, depth)
        return [_UNKNOWN]

    def _replaced(self, owner: tree_sitter.Node, arguments: list[tree_sitter.Node], depth: int) -> list[_Text]:
        values, new = self._evaluate(owner, depth + 1), self._evaluate(arguments[1], depth + 1)
        simple = re.fullmatch(r"/(\^?)([A-Za-z:]+)(\$?)/[a-z]*", self._text(arguments[0]))
        old = simple[2] if simple and not simple[3] else self._known(arguments[0])
        if not old or len(new) != 1 or not new[0].complete or not all(value.complete for value in values):
            return [_UNKNOWN]
        anchored = bool(simple and simple[1])
        return [
            value if anchored and not value.text.startswith(old) else _Text(value.text.replace(old, new[0].text, 1))
            for value in values
        ]

    def _identifier(self, node: tree_sitter.Node, depth: int) -> list[_Text]:
        name = self._text(node)
        bound, declared, scope = self._binding(node, name)
        if not bound:
            return [_Text(self._location[name])] if name == "location" else [_UNKNOWN]
        if declared is None or scope is None or (declared.type == "identifier" and self._text(declared) == name):
            return [_UNKNOWN]
        return self._evaluate(declared, depth + 1) if self._assigned(scope, name) == 1 else [_UNKNOWN]

    def _binding(
        self, node: tree_sitter.Node, name: str
    ) -> tuple[bool, tree_sitter.Node | None, tree_sitter.Node | None]:
        """Whether the script itself binds `name` where `node` is, and if so to which expression in which block."""
        scope = node.parent
        while scope is not None:
            if scope.type in ("program", "statement_block"):
                found, declared = self._declared(scope, name)
                if found:
                    return True, declared, scope
            elif scope.type in _FUNCTIONS:
                parameters = scope.child_by_field_name("parameters") or scope.child_by_field_name("parameter")
                pattern = rf"(?<![\w$]){re.escape(name)}(?![\w$])"
                if parameters is not None and re.search(pattern, self._text(parameters)):
                    return True, None, None
            scope = scope.parent
        return False, None, None

    def _declared(self, scope: tree_sitter.Node, name: str) -> tuple[bool, tree_sitter.Node | None]:
        for child in scope.named_children:
            statement = child.child_by_field_name("declaration") if child.type == "export_statement" else child
            if statement is None or statement.type not in ("lexical_declaration", "variable_declaration"):
                continue
            for declarator in statement.named_children:
                if declarator.type != "variable_declarator":
                    continue
                target, value = declarator.child_by_field_name("name"), declarator.child_by_field_name("value")
                if target is not None and self._text(target) == name:
                    return True, value
        return False, None

    def _assigned(self, scope: tree_sitter.Node, name: str) -> int:
        pattern = rf"(?<![\w$.]){re.escape(name)}\s*(?:[-+*/|&?]{{0,2}}=(?![=>])|\+\+)"
        return len(re.findall(pattern, self._text(scope)))


_FUNCTIONS = {
    "function_declaration",
    "function_expression",
    "arrow_function",
    "method_definition",
    "generator_function",
    "generator_function_declaration",
}


def _naming(root: tree_sitter.Node, place: int) -> tree_sitter.Node | None:
    """The statement, call or assignment that what stands at `place` belongs to; None when it is text or a comment."""
    node = root.descendant_for_byte_range(place, place + 1)
    while node is not None and node.type in _WITHIN:
        node = node.parent
    return node if node is not None and node.type in _NAMING else None


def _module_kind(attributes: str) -> Kind:
    kind = re.search(r"""type["']?\s*:\s*["'](css|json)["']""", attributes)
    if kind is None:
        return Kind.MODULE
    return Kind.STYLESHEET if kind[1] == "css" else Kind.JSON_MODULE


def _joined(left: list[_Text], right: list[_Text]) -> list[_Text]:
    return [a + b for a in left for b in (right if a.complete else right[:1])][:4]


def _url_part(url: str, part: str) -> str:
    parts = urlsplit(url)
    return {
        "pathname": parts.path,
        "host": parts.netloc,
        "origin": f"{parts.scheme}://{parts.netloc}",
        "protocol": f"{parts.scheme}:",
    }[part]


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] in "\"'`" and text[-1] == text[0] else text


_ESCAPE = re.compile(r"\\(?:u\{([0-9a-fA-F]+)\}|u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(\r\n|.|\n))", re.DOTALL)
_PLAIN_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v", "0": "\0", "\n": "", "\r\n": ""}


def _unescaped(text: str) -> str:
    if "\\" not in text:
        return text

    def one(match: re.Match[str]) -> str:
        code = match[1] or match[2] or match[3]
        return chr(min(int(code, 16), 0x10FFFF)) if code else _PLAIN_ESCAPES.get(match[4], match[4])

    return _ESCAPE.sub(one, text)
