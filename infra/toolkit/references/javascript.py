"""The URLs that a script names: imports, workers, assets, and what it fetches, opens or navigates to.

Read with tree-sitter. Only what the text itself settles counts: literals, and what is put together from literals,
constants and `location`.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from tree_sitter import Node

from toolkit.references.conditions import Conditions
from toolkit.references.model import Kind, Reference, url_like
from toolkit.references.scopes import Scopes
from toolkit.references.syntax import Syntax, unquoted
from toolkit.references.values import GLOBALS, MODULE_URL, Values

_HTTP_METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"}
_METHODS = "get|post|put|patch|delete|head|getJSON|ajax"
_CLIENTS = re.compile(rf"(?:axios|ky|superagent|ofetch|\$fetch)(?:\.(?:{_METHODS}))?$|(?:jQuery|\$)\.(?:{_METHODS})$")
# What a script says to a client so that its URLs begin somewhere else.
_JQUERY = re.compile(rb"(?:jQuery|\$)\.ajax(?:Prefilter|Setup)\s*\(")
_REMADE: dict[str, re.Pattern[bytes] | None] = {
    "fetch": re.compile(rb"(?:window|globalThis|self)\.fetch\s*=(?!=)"),
    "axios": re.compile(rb"axios\.defaults\.baseURL\s*="),
    "ky": None,
    "ofetch": None,
    "$fetch": None,
    "jQuery": _JQUERY,
    "$": _JQUERY,
}
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
_FILE = re.compile(r"\.\w+$")
_TAKES_URL = {"fetch", "Request", "EventSource", "WebSocket"}  # these tell themselves what they are given
_STREAMED = re.compile(r"WebAssembly\s*\.\s*(?:instantiate|compile)Streaming\s*$")
MOST_WRAPPERS = 3  # functions around fetch() that hand on what they were given


def script_references(source: str, page_url: str, *, script_url: str = "") -> list[Reference]:
    """Give what a script names: imports, workers, asset URLs, and the URLs it fetches, opens or navigates to.

    `page_url` is what the script sees as `location`; `script_url` what it sees as `import.meta.url`.
    """
    return _Script(source, page_url, script_url or page_url).references()


class _Script:
    def __init__(self, source: str, page_url: str, script_url: str) -> None:
        self._syntax = Syntax(source)
        self._scopes = Scopes(self._syntax)
        self._values = Values(self._syntax, self._scopes, page_url, script_url)
        self._known = self._values.known
        self._conditions = Conditions(self._syntax, self._values)
        self._found: list[Reference] = []
        self._told: dict[str, bool] = {}  # whether the script says something to a client of this name

    def references(self) -> list[Reference]:
        places = [match.start() for match in _CANDIDATE.finditer(self._syntax.bytes)]
        if not places:
            return []
        seen: set[tuple[int, int]] = set()
        for place in places:
            node = _naming(self._syntax.root, place)
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

    def _add(self, node: Node, kind: Kind, via: str, *, against: str = "document", wrappers: int = 0) -> None:
        values = [value for value in self._values.evaluate(node) if value.text]
        if not values and kind in (Kind.CALL, Kind.SOCKET) and wrappers < MOST_WRAPPERS:
            for argument in self._scopes.handed_in(node):
                self._add(argument, kind, via, against=against, wrappers=wrappers + 1)
        if not values or self._conditions.dead(node):
            return
        literal = self._syntax.text(node)
        for value in values:
            self._found.append(
                Reference(
                    unquoted(literal) if node.type == "string" else literal[:160],
                    kind,
                    node.start_point[0] + 1,
                    via,
                    target=value.text,
                    against=against,
                    complete=value.complete,
                    others=tuple(other.text for other in values if other != value),
                )
            )

    def _static_import(self, statement: Node) -> None:
        source = statement.child_by_field_name("source")
        if source is None:
            return
        attributes = self._syntax.text(statement)[source.end_byte - statement.start_byte :]
        self._add(source, _module_kind(attributes), "import", against="self")

    def _call(self, node: Node) -> None:
        function = node.child_by_field_name("function")
        arguments = self._syntax.arguments(node)
        if function is None or not arguments:
            return
        if function.type == "import":
            attributes = self._syntax.text(arguments[1]) if len(arguments) > 1 else ""
            bare = (literal := self._known(arguments[0])) and url_like(literal, "") is None
            if bare and self._conditions.guarded(node):
                return  # meant for another place, or the script goes without
            self._add(arguments[0], _module_kind(attributes), "import()", against="self")
            return
        if function.type not in ("identifier", "member_expression", "parenthesized_expression"):
            return
        if function.end_byte - function.start_byte > 120:
            return
        callee = self._syntax.text(function).replace("?.", ".")
        name = GLOBALS.sub("", callee)
        if self._remade(node, name.split(".")[0]):
            return
        if name == "fetch":
            self._fetch(node, arguments)
        elif name == "importScripts":
            for argument in arguments:
                self._add(argument, Kind.WORKER, "importScripts()", against="self")
        elif name.endswith("serviceWorker.register"):
            self._add(arguments[0], Kind.SERVICE_WORKER, "serviceWorker.register()")
            if len(arguments) > 1 and (scope := self._syntax.property(arguments[1], "scope")) is not None:
                self._add(scope, Kind.LINK, "scope of serviceWorker.register()")
        elif name.endswith(".sendBeacon"):
            self._add(arguments[0], Kind.CALL, "sendBeacon()")
        elif name.endswith(".open") and len(arguments) > 1 and self._known(arguments[0]).upper() in _HTTP_METHODS:
            self._add(arguments[1], Kind.CALL, "XMLHttpRequest.open()")
        elif name in ("location.assign", "location.replace") and not self._values.shadowed(node, callee):
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

    def _remade(self, node: Node, client: str) -> bool:
        """Whether the script has made a client of this name itself, or told it where to begin: it may know its base."""
        if client not in _REMADE:
            return False
        if client not in self._told:
            told = _REMADE[client]
            self._told[client] = told is not None and told.search(self._syntax.bytes) is not None
        return self._told[client] or self._scopes.binds(node, client)

    def _fetch(self, node: Node, arguments: list[Node]) -> None:
        path = urlsplit(self._known(arguments[0])).path
        plain = len(arguments) == 1 and _STATIC_FILE.search(path)
        kind = Kind.DATA_FILE if plain else Kind.CALL
        outer = node.parent.parent if node.parent is not None and node.parent.type == "arguments" else None
        if outer is not None and _STREAMED.search(self._syntax.text(outer)[:60].split("(")[0]):
            kind = Kind.WASM
        self._add(arguments[0], kind, "fetch()")

    def _element(self, tag: Node, properties: Node) -> None:
        if tag.type != "string" or properties.type != "object":
            return
        wanted = _ELEMENT_ATTRIBUTES.get(unquoted(self._syntax.text(tag)))
        for pair in properties.named_children if wanted else ():
            key, value = pair.child_by_field_name("key"), pair.child_by_field_name("value")
            if pair.type == "pair" and key is not None and value is not None and wanted:
                name = unquoted(self._syntax.text(key))
                if name in wanted:
                    self._add(value, wanted[name], f"<{unquoted(self._syntax.text(tag))} {name}>")

    def _new(self, node: Node) -> None:
        constructor = node.child_by_field_name("constructor")
        arguments = self._syntax.arguments(node)
        if constructor is None or not arguments or constructor.end_byte - constructor.start_byte > 60:
            return
        name = GLOBALS.sub("", self._syntax.text(constructor))
        if name == "URL" and len(arguments) > 1:
            if self._syntax.text(arguments[1]) == MODULE_URL:
                self._beside_module(node, arguments[0])
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

    def _beside_module(self, node: Node, path: Node) -> None:
        """A URL that begins at the module's own: of a file when it looks like one, else of whatever is made of it."""
        outer = node.parent.parent if node.parent is not None and node.parent.type == "arguments" else None
        called = outer and (outer.child_by_field_name("function") or outer.child_by_field_name("constructor"))
        name = GLOBALS.sub("", self._syntax.text(called)) if called else ""
        told = name in _TAKES_URL or name.endswith("Worker") or _CLIENTS.match(name)
        if told and outer and not self._remade(outer, name.split(".")[0]):
            return
        known = self._known(path)
        if not known or _FILE.search(urlsplit(known).path):
            self._add(path, Kind.ASSET, "new URL(…, import.meta.url)", against="self")
        elif known.startswith("/"):
            self._add(path, Kind.LINK, "new URL(…, import.meta.url)", against="self")

    def _assignment(self, node: Node) -> None:
        left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
        if left is None or right is None or left.end_byte - left.start_byte > 120:
            return
        name = GLOBALS.sub("", self._syntax.text(left))
        if name in ("location", "location.href"):
            if not self._values.shadowed(node, self._syntax.text(left)):
                self._add(right, Kind.LINK, f"{name} =")
        elif name.endswith((".src", ".href")):
            self._add(right, Kind.LINK, f".{name.rsplit('.', 1)[1]} =")


def _naming(root: Node, place: int) -> Node | None:
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
