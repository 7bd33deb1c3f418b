from __future__ import annotations

import pytest

from toolkit.references.css import css_references
from toolkit.references.html import html_document, srcset
from toolkit.references.javascript import script_references
from toolkit.references.manifest import manifest_references
from toolkit.references.model import ImportMap, Kind, integrity_matches

PAGE = "https://datarobot.test/custom_applications/abc/"


@pytest.mark.parametrize(
    ("value", "urls"),
    [
        ("a.png", ["a.png"]),
        ("a.png 1x, b.png 2x", ["a.png", "b.png"]),
        ("a.png 100w,b.png 200w", ["a.png", "b.png"]),
        ("a.png, b.png 2x", ["a.png", "b.png"]),
        ("data:image/png;base64,AAAA 1x, b.png 2x", ["data:image/png;base64,AAAA", "b.png"]),
        ("\n  a.png 1x,\n  b.png 2x\n", ["a.png", "b.png"]),
        ("a,b.png 1x", ["a,b.png"]),
        ("  ", []),
    ],
)
def test_srcset_is_split_as_browsers_do(value: str, urls: list[str]) -> None:
    assert srcset(value) == urls


def test_css_names_urls_in_every_form() -> None:
    text = """
@charset "utf-8";
@namespace svg url(http://www.w3.org/2000/svg);
@import "a.css";
@import url("b.css") screen;
@import url(c.css);
/* url(commented.png) */
@media print { .x { background: url( d.png ), URL('e.png'); } }
@font-face { src: local("x"), url("f.woff2") format("woff2"), url(g.woff) }
.y { background-image: -webkit-image-set("h.png" 1x, url(i.png) 2x); mask: url(#local) }
.z { content: "url(not.png)"; cursor: url(\\6a.png), auto; .nested & { background: url(k.png) } }
"""
    found = [(ref.literal, ref.kind.value, ref.line) for ref in css_references(text)]
    assert found == [
        ("a.css", "stylesheet", 4),
        ("b.css", "stylesheet", 5),
        ("c.css", "stylesheet", 6),
        ("d.png", "image", 8),
        ("e.png", "image", 8),
        ("f.woff2", "font", 9),
        ("g.woff", "link", 9),
        ("h.png", "image", 10),
        ("i.png", "image", 10),
        ("j.png", "image", 11),
        ("k.png", "image", 11),
    ]


def test_html_says_where_and_how_something_is_named() -> None:
    text = (
        "<!doctype html>\n<!-- <img src=commented.png> -->\n<noscript><img src=noscript.png></noscript>\n"
        "<template><img src=template.png></template>\n<script type='application/json'>{'src': '/x'}</script>\n"
        "<a href='a.html?x=1&amp;y=2'>a</a>\n<a href=#top>top</a>\n<link rel='alternate' href='/feed.xml'>\n"
        "<a href=file.zip download>zip</a>\n<script type='text/plain' src=plain.txt></script>\n"
    )
    document = html_document(text, PAGE, PAGE)
    assert [(ref.target, ref.kind, ref.line) for ref in document.references] == [
        ("a.html?x=1&y=2", Kind.PAGE, 6),
        ("#top", Kind.PAGE, 7),
        ("file.zip", Kind.LINK, 9),
    ]


def test_the_line_is_that_of_the_right_one_of_equal_values() -> None:
    document = html_document("<img src=a.png>\n<img src=b.png>\n<img src=a.png>\n", PAGE, PAGE)
    assert [ref.line for ref in document.references][:2] == [1, 2]


def targets(script: str) -> list[tuple[str, bool]]:
    return [(ref.target, ref.complete) for ref in script_references(script, PAGE, script_url=PAGE + "js/m.js")]


@pytest.mark.parametrize(
    ("script", "found"),
    [
        (r'fetch("\x2fapi\u002fitems")', [("/api/items", True)]),
        ("fetch(`/api/${id}/x`)", [("/api/", False)]),
        ("fetch(`${location.origin}/api`)", [("https://datarobot.test/api", True)]),
        ('fetch(window.location.pathname + "api")', [("/custom_applications/abc/api", True)]),
        ('fetch(new URL("./api", document.baseURI))', [(PAGE + "api", True), (PAGE + "api", True)]),
        ('fetch(new URL("./api", import.meta.url))', [(PAGE + "js/api", True)]),
        ('const a = "x", b = a + "/y"; fetch(b)', [("x/y", True)]),
        ('let a = "x"; a = "z"; fetch(a)', []),
        ('const a = "x"; function f(a) { fetch(a) }', []),
        ('const a = "x"; function f() { const a = "y"; fetch(a) }', [("y", True)]),
        ('fetch(flag ? "a" : "b")', [("a", True), ("b", True)]),
        ('fetch(location.protocol === "https:" ? "a" : "b")', [("a", True)]),
        ('fetch(location.hostname !== "localhost" ? "a" : "b")', [("a", True)]),
        ('fetch(location.protocol.replace("http", "ws") + "//x.test/")', [("wss://x.test/", True)]),
        ("fetch(url)", []),
        ("fetch()", []),
        ("fetch(" * 200, []),
        ("}}} not javascript (((", []),
        ("", []),
    ],
)
def test_expressions_are_evaluated_as_far_as_the_text_settles_them(script: str, found: list[tuple[str, bool]]) -> None:
    assert sorted(targets(script)) == sorted(found)


def test_modules_and_their_attributes() -> None:
    script = """
import a from "./a.js";
import "./b.js";
export * from "./c.js";
import data from "./d.json" with { type: "json" };
const sheet = import("./e.css", { with: { type: "css" } });
"""
    found = {ref.literal: ref.kind for ref in script_references(script, PAGE)}
    assert found == {
        "./a.js": Kind.MODULE,
        "./b.js": Kind.MODULE,
        "./c.js": Kind.MODULE,
        "./d.json": Kind.JSON_MODULE,
        "./e.css": Kind.STYLESHEET,
    }


def test_a_worker_is_named_once() -> None:
    found = script_references('new Worker(new URL("./w.js", import.meta.url), { type: "module" })', PAGE)
    assert [(ref.target, ref.kind) for ref in found] == [(PAGE + "w.js", Kind.WORKER)]


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ('const logo = new URL("./logo.svg", import.meta.url)', [("./logo.svg", Kind.ASSET)]),
        (
            'const data = new URL("../data/v1.2/table.bin?x", import.meta.url)',
            [("../data/v1.2/table.bin?x", Kind.ASSET)],
        ),
        ("const flag = new URL(`./flags/${code}.svg`, import.meta.url)", [("./flags/", Kind.ASSET)]),
        ('const api = new URL("/api", import.meta.url)', [("/api", Kind.LINK)]),
        ('const base = new URL(".", import.meta.url)', []),
        ('const base = new URL("../v1.2/", import.meta.url)', []),
        ('const api = new URL("api/items", import.meta.url)', []),
        ('await fetch(new URL("api/items", import.meta.url), { method: "POST" })', [(PAGE + "api/items", Kind.CALL)]),
        ('await window.fetch(new URL("api/items.cgi", import.meta.url), {})', [(PAGE + "api/items.cgi", Kind.CALL)]),
        ('new EventSource(new URL("events", import.meta.url))', [(PAGE + "events", Kind.CALL)]),
        ('new WebSocket(new URL("live", import.meta.url))', [(PAGE + "live", Kind.SOCKET)]),
        ('new Request(new URL("api/items", import.meta.url))', [(PAGE + "api/items", Kind.CALL)]),
        ('axios.get(new URL("api/items", import.meta.url))', [(PAGE + "api/items", Kind.CALL)]),
        ('axios.defaults.baseURL = "/x"; axios.get(new URL("./d.json", import.meta.url))', [("./d.json", Kind.ASSET)]),
    ],
)
def test_what_is_put_beside_a_module_is_a_file_when_it_looks_like_one(
    script: str, found: list[tuple[str, Kind]]
) -> None:
    assert [(ref.target, ref.kind) for ref in script_references(script, PAGE)] == found


@pytest.mark.parametrize(
    ("specifier", "url"),
    [
        ("./a.js", PAGE + "js/a.js"),
        ("react", PAGE + "vendor/react.js"),
        ("lib/x.js", PAGE + "lib/x.js"),
        ("other", None),
        ("https://cdn.test/x.js", "https://cdn.test/x.js"),
    ],
)
def test_import_maps_resolve_as_browsers_do(specifier: str, url: str | None) -> None:
    mapped = ImportMap({"react": PAGE + "vendor/react.js", "lib/": PAGE + "lib/"})
    assert mapped.resolve(specifier, PAGE + "js/m.js") == url


def test_an_image_that_the_page_can_do_without_is_not_missed() -> None:
    (image,) = html_document('<img src="a.png" onerror="this.remove()">', PAGE, PAGE).references
    assert image.kind is Kind.LINK


def test_the_scope_of_a_service_worker_is_named() -> None:
    found = script_references('navigator.serviceWorker.register("./sw.js", { type: "module", scope: "/" })', PAGE)
    assert [(ref.literal, ref.kind) for ref in found] == [("./sw.js", Kind.SERVICE_WORKER), ("/", Kind.LINK)]


def test_a_scope_of_an_import_map_wins() -> None:
    mapped = ImportMap({"a": PAGE + "1.js"}, {PAGE + "old/": {"a": PAGE + "2.js"}})
    assert mapped.resolve("a", PAGE + "old/m.js") == PAGE + "2.js"
    assert mapped.resolve("a", PAGE + "m.js") == PAGE + "1.js"


def test_manifests_name_icons_and_pages() -> None:
    text = (
        '{"start_url": "./", "scope": "/", "icons": [{"src": "i.png"}, 3], '
        '"shortcuts": [{"url": "./x"}], "screenshots": 1}'
    )
    found = manifest_references(text)
    assert found is not None
    assert [(ref.literal, ref.kind) for ref in found] == [
        ("./", Kind.LINK),
        ("/", Kind.LINK),
        ("i.png", Kind.IMAGE),
        ("./x", Kind.LINK),
    ]
    assert manifest_references("<html>") is None
    assert manifest_references("[]") is None


def test_the_strongest_hash_of_an_integrity_attribute_decides() -> None:
    import base64
    import hashlib

    def hashed(algorithm: str, body: bytes) -> str:
        return f"{algorithm}-{base64.b64encode(hashlib.new(algorithm, body).digest()).decode()}"

    assert integrity_matches("", b"x")
    assert integrity_matches("md5-abc", b"x")
    assert integrity_matches(f"{hashed('sha256', b'x')} {hashed('sha256', b'y')}", b"x")
    assert not integrity_matches(f"{hashed('sha256', b'x')} {hashed('sha512', b'y')}", b"x")


def test_webassembly_that_is_compiled_while_it_arrives_is_a_kind_of_its_own() -> None:
    source = 'await WebAssembly.instantiateStreaming(fetch("./m.wasm"), {});\nconst b = await fetch("./n.wasm");\n'
    found = {one.target: one.kind for one in script_references(source, "https://host/p/")}
    assert found == {"./m.wasm": Kind.WASM, "./n.wasm": Kind.DATA_FILE}


@pytest.mark.parametrize(
    "source",
    [
        'const get = (u) => fetch(u);\nget("/api/items");\n',
        'async function get(u, o = {}) { const r = await fetch(u, o); return r; }\nawait get("/api/items", {});\n',
        'export const call = async (method, path) => fetch(path, { method });\ncall("POST", "/api/items");\n',
        'function open(path) { return new WebSocket(path); }\nopen("/api/items");\n',
        "function outer() { const get = u => fetch(u); return get(`/api/items`); }\nouter();\n",
        'const get = (u) => fetch(u);\nconst ask = (a, b) => get(a).then(b);\nask("/api/items", show);\n',
        'const get = (u) => fetch(u);\nconst load = (new_) => get(new_ ? "/api/items" : "/api/items");\n',
        'const ITEMS = "/api/items";\nconst get = (u) => fetch(u);\nget(ITEMS);\n',
    ],
)
def test_what_is_handed_to_a_function_that_fetches_it_counts(source: str) -> None:
    found = [one for one in script_references(source, "https://host/p/") if one.target == "/api/items"]
    assert [one.kind in (Kind.CALL, Kind.SOCKET) for one in found] == [True]


@pytest.mark.parametrize(
    "source",
    [
        'const get = (u) => fetch(u);\nconst other = (get) => get("/route");\n',
        'const get = (u) => fetch(u);\n{ const get = (route) => route; get("/route"); }\n',
        'const get = (u, label) => fetch(u);\nget("./api", "/label");\n',
        'const get = (u) => { const v = u.slice(1); return fetch(v); };\nget("/api");\n',
        'app.get("/route", () => fetch(url));\n',
        'const get = (u) => fetch("." + u);\nget("/api");\n',
        'const get = (u) => fetch("." + u);\nconst ask = (a) => get(a);\nask("/api");\n',
        'const again = (u) => (u ? fetch(u) : again(u));\nconst go = (path) => path;\ngo("/api");\n',
    ],
)
def test_what_only_looks_like_it_does_not_count(source: str) -> None:
    assert not [one for one in script_references(source, "https://host/p/") if one.target.startswith("/")]


def test_what_htmx_asks_for_is_named_by_the_attributes_of_any_element() -> None:
    text = (
        '<button hx-get="/items">a</button>\n<div data-hx-delete="items/1" hx-target="/x">b</div>\n'
        '<p hx-ext="sse" sse-connect="/events">c</p>\n<p ws-connect="ws">d</p>\n<p hx-post="/{{ id }}">e</p>\n'
    )
    found = [(ref.literal, ref.kind.value, ref.line, ref.via) for ref in html_document(text, PAGE, PAGE).references]
    assert found == [
        ("/items", "call", 1, "<button hx-get>"),
        ("items/1", "call", 2, "<div data-hx-delete>"),
        ("/events", "call", 3, "<p sse-connect>"),
        ("ws", "WebSocket", 4, "<p ws-connect>"),
    ]


ON_LOCALHOST = 'location.hostname === "localhost"'


@pytest.mark.parametrize(
    "script",
    [
        f'{ON_LOCALHOST} && new EventSource("/esbuild");',
        f'const dev = {ON_LOCALHOST}; if (dev) new WebSocket("ws://localhost:35729/livereload");',
        f'if ({ON_LOCALHOST} || location.hostname === "127.0.0.1") new WebSocket("ws://localhost:35729");',
        f'function live() {{ if (!({ON_LOCALHOST})) return; new EventSource("/esbuild"); }}',
        f'function live() {{ if (!({ON_LOCALHOST})) {{ return; }} new EventSource("/esbuild"); }}',
        'const dev = ["localhost", "127.0.0.1"].includes(location.hostname); if (dev) fetch("http://localhost:4000/x");',
        'location.hostname !== "localhost" || fetch("/debug");',
        'if (false) fetch("/debug");',
    ],
)
def test_what_only_a_developers_machine_gets_to_does_not_count(script: str) -> None:
    assert script_references(script, PAGE) == []


@pytest.mark.parametrize(
    "script",
    [
        f'{ON_LOCALHOST} || fetch("/api");',
        f'let dev = {ON_LOCALHOST}; dev = true; if (dev) fetch("/api");',
        f'if (!({ON_LOCALHOST})) fetch("/api");',
        f'function live() {{ if ({ON_LOCALHOST}) return; fetch("/api"); }}',
        'function live() { if (x) return; fetch("/api"); }',
        f'if ({ON_LOCALHOST} && x || y) fetch("/api");',
    ],
)
def test_what_others_may_get_to_counts(script: str) -> None:
    assert [one.target for one in script_references(script, PAGE)] == ["/api"]


@pytest.mark.parametrize(
    "script",
    [
        'async function api(url) { if (url.startsWith("/")) url = "." + url; return fetch(url); } api("/api/items");',
        'const api = (path) => { path = `./api${path}`; return fetch(path); }; api("/items");',
        'let base = ""; async function go() { ({ base } = await load()); return fetch(base + "/api/items"); }',
        'axios.defaults.baseURL = "./"; axios.get("/api/items");',
        'const $fetch = ofetch.create({ baseURL: "./api" }); $fetch("/items");',
        'const fetch = createFetch("./api"); fetch("/items");',
        'function fetch(path) { return get("." + path); } fetch("/items");',
        'const real = window.fetch; window.fetch = (u, o) => real("." + u, o); fetch("/api/items");',
        '$.ajaxPrefilter(o => { o.url = "." + o.url; }); $.getJSON("/api/items", show);',
    ],
)
def test_what_a_script_corrects_before_it_asks_is_not_held_against_it(script: str) -> None:
    assert [one.target for one in script_references(script, PAGE) if one.target.startswith("/")] == []


@pytest.mark.parametrize(
    ("script", "named"),
    [
        ('if (isNode) { const { createRequire } = await import("module"); }', []),
        ('try { charts = await import("charts-pro"); } catch { charts = null; }', []),
        ('import("charts-pro").catch(() => null);', []),
        ('const x = wanted && (await import("charts-pro"));', []),
        ('try { await import("./lazy.js"); } catch {}', ["./lazy.js"]),
        ('const { x } = await import("react");', ["react"]),
        ('import x from "react";', ["react"]),
    ],
)
def test_an_import_that_the_script_can_do_without_is_not_missed(script: str, named: list[str]) -> None:
    assert [one.target for one in script_references(script, PAGE)] == named
