from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

import pytest

from toolkit.crawl import CrawlResult, Limits, crawl
from toolkit.fetch import HttpFetch, Response
from toolkit.judging import Problem, header_references, misread, unfit
from toolkit.places import PLATFORM_ORIGIN, PUBLIC_HOST
from toolkit.references.model import Kind

HOST = "http://127.0.0.1:4000"
PREFIX = "/custom_applications/abc123/"
START = HOST + PREFIX
TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css",
    "js": "text/javascript",
    "mjs": "text/javascript",
    "json": "application/json",
    "webmanifest": "application/manifest+json",
    "svg": "image/svg+xml",
    "png": "image/png",
    "woff2": "font/woff2",
    "wasm": "application/wasm",
}


class Site:
    """A site in memory: path below the prefix -> body, or (status, headers, body). Everything else answers 404."""

    def __init__(self, files: Mapping[str, object], *, fallback: str | None = None) -> None:
        self.files = dict(files)
        self.fallback = fallback
        self.asked: list[str] = []

    def __call__(self, url: str) -> Response:
        self.asked.append(url)
        assert url.startswith(START), f"asked outside the prefix: {url}"
        path = url.removeprefix(START).partition("?")[0]
        value = self.files.get(path)
        if value is None and self.fallback is not None:
            value = self.files[self.fallback]
            path = self.fallback
        if value is None:
            return Response(url, 404, {"content-type": "text/plain"}, b"nothing here")
        if isinstance(value, Response):
            return value
        if isinstance(value, tuple):
            status, headers, body = value
            return Response(url, status, headers, body.encode())
        mime = TYPES.get((path or "index.html").rpartition(".")[2], "text/html")
        return Response(url, 200, {"content-type": mime}, str(value).encode())


def result(files: Mapping[str, object], *, fallback: str | None = None, limits: Limits | None = None) -> CrawlResult:
    return crawl(Site(files, fallback=fallback), START, PREFIX, limits or Limits())


def page(head: str = "", body: str = "") -> str:
    return f"<!doctype html>\n<html>\n<head>{head}</head>\n<body>{body}</body>\n</html>\n"


def asked(crawled: CrawlResult) -> set[str]:
    return {answer.path for answer in crawled.answers}


def problems(crawled: CrawlResult) -> list[tuple[str, str]]:
    return [(finding.problem.value, finding.literal) for finding in crawled.findings]


def test_a_sound_site_has_no_findings_and_everything_is_served() -> None:
    files = {
        "": page(
            '<link rel=stylesheet href="./a.css"><script type=module src="js/m.js"></script>', "<img src=./i.png>"
        ),
        "a.css": '@import "b.css";\n@font-face { font-family: x; src: url(f.woff2) format("woff2") }',
        "b.css": "body { background: url('i.png') }",
        "js/m.js": 'import "./n.js"; const later = () => import("./lazy.js"); fetch("./api/items");',
        "js/n.js": 'export const u = new URL("../data.wasm", import.meta.url);',
        "js/lazy.js": 'new Worker(new URL("./w.js", import.meta.url)); fetch("./facts.json")',
        "js/w.js": "importScripts('n.js')",
        "data.wasm": "wasm",
        "facts.json": "{}",
        "f.woff2": "font",
        "i.png": "png",
    }
    crawled = result(files)
    assert problems(crawled) == []
    assert asked(crawled) == set(files)
    assert crawled.served == {path: hashlib.sha256(str(body).encode()).hexdigest() for path, body in files.items()}


HTML_REFERENCES = [
    '<link rel="stylesheet" href="URL">',
    '<link rel="icon" href="URL">',
    '<link rel="shortcut icon" href="URL">',
    '<link rel="apple-touch-icon" href="URL">',
    '<link rel="manifest" href="URL">',
    '<link rel="modulepreload" href="URL">',
    '<link rel="preload" as="font" href="URL" crossorigin>',
    '<link rel="preload" as="image" imagesrcset="URL 1x" href="ok.png">',
    '<link rel="prefetch" href="URL">',
    '<script src="URL"></script>',
    '<script type="module" src="URL"></script>',
    '<script type="module">import "URL"</script>',
    '<script>fetch("URL")</script>',
    "<script>document.body.onclick = () => import('URL')</script>",
    '<style>@import "URL";</style>',
    "<style>body { background: image-set('URL' 1x) }</style>",
    '<img src="URL">',
    '<img srcset="ok.png 1x, URL 2x">',
    '<picture><source srcset="URL"><img src="ok.png"></picture>',
    '<video poster="URL"></video>',
    '<video><source src="URL"></video>',
    '<audio src="URL"></audio>',
    '<video><track src="URL"></video>',
    '<iframe src="URL"></iframe>',
    '<embed src="URL">',
    '<object data="URL"></object>',
    '<input type="image" src="URL">',
    '<body background="URL">',
    '<form action="URL"></form>',
    '<button formaction="URL">x</button>',
    '<a href="URL">x</a>',
    '<map><area href="URL"></map>',
    '<svg><use href="URL#icon"/></svg>',
    '<svg><use xlink:href="URL#icon"/></svg>',
    '<svg><image href="URL"/></svg>',
    '<div style="background: url(URL)"></div>',
    "<div style=\"background: url('URL')\"></div>",
    "<button onclick=\"location.href='URL'\">x</button>",
    '<meta http-equiv="refresh" content="5; url=URL">',
    '<script type="importmap">{"imports": {"lib": "URL"}}</script>',
]


@pytest.mark.parametrize("markup", HTML_REFERENCES)
def test_each_attribute_that_leaves_the_prefix_is_found_with_its_line(markup: str) -> None:
    text = "<!doctype html><html><head></head>\n<body>\n" + markup.replace("URL", "/gone/x.bin") + "\n</body></html>"
    crawled = result({"": text, "ok.png": "png"})
    outside = crawled.of(Problem.OUTSIDE)
    assert len(outside) == 1, problems(crawled)
    assert "/gone/x.bin" in outside[0].message
    assert outside[0].named_by == ("./:3",)


@pytest.mark.parametrize("markup", HTML_REFERENCES)
def test_each_attribute_may_stay_inside(markup: str) -> None:
    text = "<!doctype html><html><head></head>\n<body>\n" + markup.replace("URL", "./api/x") + "\n</body></html>"
    assert result({"": text}).of(Problem.OUTSIDE, Problem.LOOPBACK, Problem.SPECIFIER) == []


@pytest.mark.parametrize(
    "script",
    [
        'fetch("/api")',
        "fetch(`/api/${id}`)",
        'fetch("/api/" + id, { method: "POST" })',
        'const BASE = "/api"; fetch(BASE + "/items")',
        'const request = new XMLHttpRequest(); request.open("GET", "/api")',
        'new EventSource("/events")',
        'new WebSocket("/ws")',
        "new WebSocket(`wss://${location.host}/ws`)",
        'new WebSocket((location.protocol === "https:" ? "wss://" : "ws://") + location.host + "/ws")',
        'new WebSocket(location.origin.replace(/^http/, "ws") + "/ws")',
        'const p = location.protocol === "https:" ? "wss" : "ws"; new WebSocket(p + "://" + location.host + "/ws")',
        'fetch(new URL("/api", location.href))',
        'fetch(location.origin + "/api")',
        'new Worker("/w.js")',
        'navigator.serviceWorker.register("/sw.js")',
        'navigator.sendBeacon("/beacon", "x")',
        'axios.get("/api")',
        '$.getJSON("/api")',
        'location.href = "/login"',
        'location.assign("/login")',
        'window.open("/popup")',
        'history.pushState(null, "", "/about")',
        'jsx("img", { src: "/logo.png", alt: "" })',
        'React.createElement("a", { href: "/" }, "home")',
        'const image = document.createElement("img"); image.src = "/logo.png"',
        'script.setAttribute("src", "/x.js")',
        'import("/chunk.js")',
        'export { a } from "/chunk.js"',
        'fetch("../outside")',
        'const url = dark ? "/a.json" : "/b.json"; fetch(url)',
    ],
)
def test_scripts_that_leave_the_prefix_are_found(script: str) -> None:
    crawled = result({"": page('<script type=module src="./m.js"></script>'), "m.js": f"\n{script}\n"})
    outside = crawled.of(Problem.OUTSIDE)
    assert outside, problems(crawled)
    assert outside[0].named_by == ("./m.js:2",)


@pytest.mark.parametrize(
    "script",
    [
        'fetch("./api")',
        'fetch("api/items?x=/y")',
        "fetch(`${base}/api`)",
        'fetch(base + "/api")',
        'function get(path) { return fetch(path) } get("./x"); other.get("/x")',
        'function get(path) { return fetch(base + path) } get("/x")',
        'let base = "/"; base = window.BASE; fetch(base + "/api")',
        "fetch(`/${prefix}/api`)",
        'new WebSocket((location.protocol === "http:" ? "ws:" : "wss:") + "//" + location.host + location.pathname)',
        'const u = new URL("ws", location.href); u.protocol = "wss:"; new WebSocket(u)',
        'new WebSocket(new URL("./ws", location.href).href.replace("http", "ws"))',
        'fetch(location.pathname + "api")',
        'fetch(location.hostname === "localhost" ? "http://localhost:3000/api" : "./api")',
        'if (location.hostname === "localhost") { fetch("http://localhost:3000/api") }',
        'const api = window.CONFIG ? "/api" : "./api"; fetch(api)',
        'map.open("/settings"); open("/dialog")',
        'const location = useLocation(); location.href = "/x"; fetch(location.pathname + "x")',
        'function go(location) { location.assign("/x") }',
        '$("/not/a/url"); jQuery("1px")',
        'const routes = ["/", "/about"]; router.push("/about")',
        'navigate("/about"); const s = "/not/a/url";',
        'jsx(Link, { to: "/about", href: "/about" })',
        'fetch("/custom_applications/abc123/api")',
        'fetch("data:text/plain,hello")',
        '// fetch("/commented")',
        "const text = 'fetch(\"/quoted\")'",
        'const p = /fetch\\("\\/x"\\)/',
    ],
)
def test_scripts_that_stay_inside_raise_no_alarm(script: str) -> None:
    crawled = result({"": page('<script type=module src="./m.js"></script>'), "m.js": script})
    assert problems(crawled) == []


def test_datarobot_s_own_paths_are_told_apart_from_the_app_s() -> None:
    crawled = result({"": page("<script>fetch('/account/profile')</script>")})
    assert problems(crawled) == [("platform", "/account/profile")]


def test_the_visitor_s_own_machine_and_plain_http_are_refused() -> None:
    script = (
        'fetch("http://localhost:3000/api"); new WebSocket("ws://" + location.host + "/ws"); fetch("http://api.test/x")'
    )
    crawled = result({"": page(f"<script>{script}</script>", "<a href='http://docs.test/'>docs</a>")})
    assert sorted(finding.problem for finding in crawled.findings) == ["insecure", "insecure", "loopback"]
    assert dict(crawled.hosts) == {"docs.test": "./:4"}


def test_other_hosts_are_listed_and_never_asked() -> None:
    crawled = result(
        {"": page('<script src="https://cdn.test/x.js"></script><link rel=preconnect href="//fonts.test">')}
    )
    assert set(crawled.hosts) == {"cdn.test", "fonts.test"}
    assert asked(crawled) == {""}


def test_a_wrong_base_is_one_finding_whatever_depends_on_it() -> None:
    links = "".join(f'<script src="a{i}.js"></script>' for i in range(10))
    files: dict[str, object] = {"": page('\n<base href="/">' + links)}
    files |= {f"a{i}.js": "1" for i in range(10)}
    crawled = result(files)
    assert problems(crawled) == [("outside", "/")]
    assert crawled.findings[0].named_by == ("./:4",)


def test_a_base_below_the_prefix_moves_relative_urls() -> None:
    files = {"": page(f'<base href="{PREFIX}v2/"><script src="a.js"></script>'), "v2/a.js": 'fetch("../api")'}
    crawled = result(files)
    assert problems(crawled) == []
    assert asked(crawled) == {"", "v2/a.js"}


def test_a_missing_file_is_blamed_on_the_documents_that_name_it() -> None:
    other = page('<img src="gone.png">')
    crawled = result({"": page('\n<img src="gone.png">', "<a href=b.html>b</a>"), "b.html": other})
    assert problems(crawled) == [("missing", "gone.png")]
    assert crawled.findings[0].message == "./gone.png answers 404"


def test_a_fallback_page_that_masks_a_missing_style_sheet_is_told() -> None:
    crawled = result({"": page('<link rel=stylesheet href="./gone.css">')}, fallback="")
    assert [f.problem for f in crawled.findings] == [Problem.FALLBACK]
    assert "the file is missing" in crawled.findings[0].message


def test_imports_need_an_import_map_for_bare_names() -> None:
    script = '<script type="module">import "react"</script>'
    assert problems(result({"": page(script)})) == [("specifier", "react")]
    mapped = '<script type="importmap">{"imports": {"react": "./vendor/react.js", "lib/": "./lib/"}}</script>'
    script = '<script type="module">import "react"; import("lib/a.js")</script>'
    crawled = result({"": page(mapped + script), "vendor/react.js": "1", "lib/a.js": "2"})
    assert problems(crawled) == []
    assert asked(crawled) == {"", "vendor/react.js", "lib/a.js"}


def test_a_lazy_chunk_is_relative_to_the_script_that_imports_it() -> None:
    crawled = result({"": page("<script type=module src=./js/m.js></script>"), "js/m.js": '\nimport("./js/lazy.js")'})
    assert [(f.problem, f.message, f.named_by) for f in crawled.findings] == [
        (Problem.MISSING, "./js/js/lazy.js answers 404", ("./js/m.js:2",))
    ]


def test_in_app_links_are_followed_and_log_out_is_not() -> None:
    files = {
        "": page("", "<a href=about>about</a> <a href=./logout>bye</a> <a href=#top>top</a> <a href=gone>gone</a>"),
        "about": page("", '<img src="./about.png">'),
    }
    crawled = result(files)
    assert asked(crawled) == {"", "about", "about.png", "gone"}
    assert problems(crawled) == [("dead-link", "gone"), ("missing", "./about.png")]


def test_redirects_are_followed_below_the_prefix_only() -> None:
    def moved(location: str) -> tuple[int, dict[str, str], str]:
        return (302, {"location": location}, "")

    files = {
        "": page("", "<a href=in>1</a><a href=out>2</a><a href=own>3</a><a href=loop>4</a><a href=far>5</a>"),
        "in": moved("./there"),
        "there": page(),
        "out": moved("/login"),
        "own": moved("http://localhost:8080/login"),
        "loop": moved("./loop"),
        "far": moved("https://idp.test/"),
    }
    crawled = result(files)
    assert [(f.problem, f.literal) for f in crawled.findings] == [
        (Problem.REDIRECT, "/login"),
        (Problem.REDIRECT, "http://localhost:8080/login"),
        (Problem.REDIRECT, "loop"),
    ]
    assert "there" in asked(crawled)


def test_a_manifest_is_read_with_its_icons() -> None:
    manifest = '{"start_url": ".",\n "icons": [{"src": "/icon.png"}, {"src": "ok.png"}]}'
    files = {"": page('<link rel=manifest href="./app.webmanifest">'), "app.webmanifest": manifest, "ok.png": "png"}
    crawled = result(files)
    assert [(f.literal, f.named_by) for f in crawled.findings] == [("/icon.png", ("./app.webmanifest:2",))]
    assert "ok.png" in asked(crawled)


def test_integrity_is_checked() -> None:
    good = "sha256-" + __import__("base64").b64encode(hashlib.sha256(b"1").digest()).decode()
    markup = '<script src="a.js" integrity="{}"></script>'
    assert problems(result({"": page(markup.format(good)), "a.js": "1"})) == []
    assert problems(result({"": page(markup.format(good)), "a.js": "2"})) == [("integrity", "a.js")]


@pytest.mark.parametrize(
    ("kind", "mime", "fine"),
    [
        (Kind.STYLESHEET, "text/css; charset=utf-8", True),
        (Kind.STYLESHEET, "text/plain", False),
        (Kind.STYLESHEET, "", True),
        (Kind.MODULE, "text/javascript", True),
        (Kind.MODULE, "application/javascript", True),
        (Kind.MODULE, "text/plain", False),
        (Kind.MODULE, "application/octet-stream", False),
        (Kind.SCRIPT, "text/plain", True),
        (Kind.SCRIPT, "image/png", False),
        (Kind.SCRIPT, "text/html", False),
        (Kind.IMAGE, "application/octet-stream", True),
        (Kind.IMAGE, "text/html", False),
        (Kind.FONT, "application/octet-stream", True),
        (Kind.MANIFEST, "application/json", True),
        (Kind.JSON_MODULE, "application/json", True),
        (Kind.JSON_MODULE, "text/javascript", False),
    ],
)
def test_content_types_are_judged_as_browsers_do(kind: Kind, mime: str, fine: bool) -> None:
    response = Response(START + "x", 200, {"content-type": mime} if mime else {}, b"body")
    assert (unfit(kind, response) is None) is fine


def test_bodies_that_change_or_name_the_mount_are_not_compared_later() -> None:
    class Changing(Site):
        def __call__(self, url: str) -> Response:
            response = super().__call__(url)
            if url.endswith("now.json"):
                return Response(url, 200, {"content-type": "application/json"}, str(len(self.asked)).encode())
            return response

    html = page("<script>fetch('./now.json'); fetch('./mount.json')</script>")
    site = Changing({"": html, "mount.json": f'"{PREFIX}"', "now.json": ""})
    assert set(crawl(site, START, PREFIX).served) == {""}


def test_a_crawl_is_bounded() -> None:
    class Endless(Site):
        def __call__(self, url: str) -> Response:
            self.asked.append(url)
            body = "".join(f'<img src="{len(self.asked)}-{i}.png">' for i in range(20))
            return Response(url, 200, {"content-type": "text/html"}, page("", body + "<a href=next/x>n</a>").encode())

    site = Endless({})
    crawled = crawl(site, START, PREFIX, Limits(urls=50, second_look=0))
    assert len(crawled.answers) == 50
    assert [f.message for f in crawled.of(Problem.LIMIT)] == ["More than 50 URLs; the rest was not asked."]


def test_findings_of_one_literal_are_merged() -> None:
    files = {
        "": page("<script src=a.js></script><script src=b.js></script>"),
        "a.js": "fetch('/x')",
        "b.js": "fetch('/x')",
    }
    crawled = result(files)
    assert [(f.literal, f.named_by) for f in crawled.findings] == [("/x", ("./a.js:1", "./b.js:1"))]


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/short":
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"short")
            self.close_connection = True
        elif self.path == "/slow":
            self.server.released.wait(5)  # type: ignore[attr-defined]
            self.close_connection = True
        elif self.path in ("/bad-gzip", "/bad-br"):
            self.send_response(200)
            self.send_header("Content-Encoding", self.path.rpartition("-")[2])
            self.send_header("Content-Length", "23")
            self.end_headers()
            self.wfile.write(b"document.body.append(1)")
        elif self.path == "/redirect":
            self.send_response(302)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            body = self.headers.get("Authorization", "none").encode()
            if self.path == "/host":
                body = f"{self.headers['Host']} over {self.headers['X-Forwarded-Proto']}".encode()
            self.send_response(200)
            self.send_header("Content-Type", "Text/Plain; charset=latin-1")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    httpd.released = threading.Event()  # type: ignore[attr-defined]
    thread = threading.Thread(target=httpd.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_port}"
    httpd.released.set()  # type: ignore[attr-defined]
    httpd.shutdown()
    thread.join()
    httpd.server_close()


def test_http_fetch_answers_with_words_instead_of_exceptions(server: str) -> None:
    with HttpFetch({"Authorization": "Bearer x"}, timeout=0.3) as fetch:
        fine = fetch(server + "/")
        assert (fine.status, fine.content_type, fine.text(), fine.error) == (200, "text/plain", "Bearer x", "")
        assert fetch(server + "/redirect").headers["location"] == "/elsewhere"
        assert fetch(server + "/short").error == "the body ends before its announced length"
        assert fetch(server + "/bad-gzip").error == "the body does not match its Content-Encoding"
        assert fetch(server + "/bad-br").error == "the body does not match its Content-Encoding"
        assert fetch(server + "/slow").error == "no answer within 0.3 s"
        own = urlsplit(server)
        with HttpFetch({"Authorization": "x"}, through=("127.0.0.1", own.port or 0)) as passed_on:
            assert passed_on("https://host.invalid/redirect").headers["location"] == "/elsewhere"
            assert passed_on("https://host.invalid/host").text() == "host.invalid over https"
        assert fetch("http://127.0.0.1:9/").error == "connection refused"
        assert fetch("http://[bad/").error


@pytest.mark.parametrize(
    ("mime", "body", "fine"),
    [
        ("application/json", b'{"items": []}', True),
        ("application/problem+json", b"[]", True),
        ("application/json", b"<!doctype html>", False),
        ("text/plain", b"<!doctype html>", False),
        ("text/html", b"<p>", True),
    ],
)
def test_the_start_is_a_page_or_a_json_document(mime: str, body: bytes, fine: bool) -> None:
    response = Response("http://host/p/", 200, {"content-type": mime}, body)
    assert (unfit(Kind.PAGE, response, first=True) is None) is fine


def test_what_a_link_header_makes_the_browser_load_counts() -> None:
    value = "</style.css>; rel=preload; as=style, <./a.js>; rel=modulepreload, <https://cdn.test>; rel=preconnect"
    found = header_references({"link": value})
    assert [(one.target, one.kind) for one in found] == [("/style.css", Kind.STYLESHEET), ("./a.js", Kind.MODULE)]
    assert header_references({}) == header_references({"link": "odd;;"}) == []


@pytest.mark.parametrize(
    ("value", "urls"),
    [("1; url=/home", ["/home"]), ("0;URL='./next'", ["./next"]), ("5", []), ("", []), ("soon", [])],
)
def test_a_refresh_header_leads_somewhere(value: str, urls: list[str]) -> None:
    assert [(ref.target, ref.via) for ref in header_references({"refresh": value})] == [
        (url, "Refresh header") for url in urls
    ]


@pytest.mark.parametrize(("mime", "fine"), [("application/wasm", True), ("application/octet-stream", False)])
def test_streamed_webassembly_needs_its_own_type(mime: str, fine: bool) -> None:
    response = Response("http://host/p/m.wasm", 200, {"content-type": mime}, b"\0asm")
    assert (unfit(Kind.WASM, response) is None) is fine


@pytest.mark.parametrize(("kind", "fine"), [(Kind.SCRIPT, False), (Kind.PAGE, False), (Kind.MEDIA, True)])
def test_what_is_compressed_has_to_say_so(kind: Kind, fine: bool) -> None:
    response = Response("http://host/p/x", 200, {"content-type": "text/javascript"}, b"\x1f\x8b\x08\0")
    assert (unfit(kind, response) is None) is fine


def test_urls_with_the_apps_own_host_have_to_be_https_where_browsers_insist() -> None:
    start = f"{PLATFORM_ORIGIN}/p/"
    body = (
        f"<link rel=stylesheet href=http://{PUBLIC_HOST}/p/s.css><script src=https://{PUBLIC_HOST}/p/a.js></script>"
        f"<a href=http://{PUBLIC_HOST}/p/next>next</a><script>new WebSocket('ws://' + location.host + '/p/ws')</script>"
    )
    asked: list[str] = []

    def fetch(url: str) -> Response:
        asked.append(url)
        kind = "text/html" if url.endswith(("/p/", "next")) else "text/javascript"
        return Response(url, 200, {"content-type": kind}, body.encode() if url == start else b"")

    crawled = crawl(fetch, start, "/p/")
    assert [finding.problem for finding in crawled.findings] == [Problem.INSECURE, Problem.INSECURE]
    assert set(asked) == {start, f"{start}a.js", f"{start}next"}


@pytest.mark.parametrize(
    ("mime", "body", "words"),
    [
        ("text/html", "<title>Grüße</title>", "says nothing of its encoding"),
        ("text/html", "<meta charset=utf-8><title>Grüße</title>", ""),
        ("text/html", "\ufeff<title>Grüße</title>", ""),
        ("text/html; charset=UTF-8", "<title>Grüße</title>", ""),
        ("text/html", "<title>plain</title>", ""),
        ("text/javascript", "'Grüße'", ""),  # as the page that loads it
        ("text/javascript; charset=iso-8859-1", "'Grüße'", "is written in UTF-8, but sent as iso-8859-1"),
        ("image/svg+xml", "<svg>ü</svg>", ""),
    ],
)
def test_texts_are_sent_in_the_encoding_that_they_are_written_in(mime: str, body: str, words: str) -> None:
    said = misread(Response("http://host/p/", 200, {"content-type": mime}, body.encode()))
    assert said.startswith(words) and bool(said) == bool(words)


@pytest.mark.parametrize(
    ("mime", "start", "wrong"),
    [
        ("text/html; charset=utf-8", "", True),
        ("text/html", "<meta charset=utf-8>", True),
        ("text/html", '<meta http-equiv="Content-Type" content="text/html; charset=UTF-8">', True),
        ("text/html; charset=iso-8859-1", "", False),
        ("text/html", "", False),
    ],
)
def test_what_is_said_to_be_utf8_and_is_not_comes_out_wrong(mime: str, start: str, wrong: bool) -> None:
    body = f"{start}<p>grün".encode("latin-1")
    said = misread(Response("http://host/p/", 200, {"content-type": mime}, body))
    assert said.endswith("but is written in another encoding") is wrong
    assert bool(said) is wrong


@pytest.mark.parametrize(
    ("headers", "body", "fine"),
    [
        ({"content-type": "text/plain;charset=utf-8"}, b"Hello from Bun!", True),
        ({"content-type": "text/plain"}, b"<!doctype html><p>Hello", False),
        ({"content-type": "application/octet-stream"}, b"Hello", False),
        ({}, b"<!doctype html><p>Hello", True),
        ({}, b" <html><p>Hello", True),
        ({"x-content-type-options": "nosniff"}, b"<!doctype html><p>Hello", False),
        ({}, b"\0\1\2", False),
    ],
)
def test_the_start_page_is_judged_as_browsers_show_it(headers: dict[str, str], body: bytes, fine: bool) -> None:
    assert (unfit(Kind.PAGE, Response(START, 200, headers, body), first=True) is None) is fine


def test_a_page_without_a_type_is_read_like_any_other() -> None:
    crawled = result({"": (200, {}, "<!doctype html><meta charset=utf-8><script src=/a.js></script>")})
    assert [(found.problem, found.literal) for found in crawled.findings] == [(Problem.OUTSIDE, "/a.js")]


def test_source_maps_are_looked_at_but_not_missed() -> None:
    site = {
        "": page("<script src=a.js></script><script src=b.js></script>"),
        "a.js": "1\n//# sourceMappingURL=a.js.map",
        "b.js": "1\n//# sourceMappingURL=none.js.map",
        "a.js.map": '{"sources": []}',
    }
    crawled = result(site)
    assert crawled.bodies["a.js.map"] == b'{"sources": []}'
    assert crawled.findings == ()


@pytest.mark.parametrize(("status", "body"), [(204, b""), (200, b""), (200, b" \n")])
def test_a_start_page_without_a_body_is_none(status: int, body: bytes) -> None:
    response = Response(START, status, {"content-type": "text/html"}, body)
    assert unfit(Kind.PAGE, response, first=True) == (
        Problem.BROKEN,
        f"answers {status} without a page: its body is empty",
    )
    assert unfit(Kind.FRAME, response) is None


LARGE = "larger than 20 MB, not read to its end"


@pytest.mark.parametrize(
    ("body", "name", "cut", "found"),
    [
        ('<a href="./data.zip">all</a>', "data.zip", LARGE, []),
        ('<video src="./film.mp4"></video>', "film.mp4", LARGE, []),
        ('<a href="./events">live</a>', "events", "still sending after 30 s", []),
        ('<script src="./big.js"></script>', "big.js", LARGE, [("broken", "./big.js")]),
    ],
)
def test_what_is_very_large_or_does_not_end_is_no_damage(body: str, name: str, cut: str, found: list[object]) -> None:
    kind = {"big.js": "text/javascript"}.get(name, "application/octet-stream")
    crawled = result({"": page(body=body), name: Response(START + name, 200, {"content-type": kind}, b"x", cut=cut)})
    assert problems(crawled) == found
    assert name not in crawled.served


def test_a_linked_page_that_takes_its_time_is_a_dead_link_at_most() -> None:
    slow = Response(f"{START}report", 0, {}, b"", "no answer within 10 s")
    crawled = result({"": page(body='<a href="./report">report</a>'), "report": slow})
    assert problems(crawled) == [("dead-link", "./report")]


@pytest.mark.parametrize(
    ("head", "body"),
    [
        ('<link rel="prefetch" href="./about">', ""),
        ("", '<object data="./about" type="text/html"></object>'),
        ("", '<object data="./about"></object>'),
        ("", '<embed src="./about">'),
    ],
)
def test_a_page_is_fine_where_a_page_may_be_meant(head: str, body: str) -> None:
    assert problems(result({"": page(head, body), "about": page()})) == []
    assert problems(result({"": page(head, body)})) != []


def test_a_picture_that_the_app_gets_from_the_platform_is_not_missed() -> None:
    gateway = (502, {"content-type": "text/plain"}, "no platform")
    crawled = result({"": page(body='<img src="./thumb/1"><img src="./gone.png">'), "thumb/1": gateway})
    assert problems(crawled) == [("dead-link", "./thumb/1"), ("missing", "./gone.png")]


def test_of_a_font_only_the_file_is_missed_that_browsers_ask_for() -> None:
    style = '@font-face { src: url(f.eot); src: url(f.woff2) format("woff2"), url(f.woff) format("woff") }'
    files = {"": page("<link rel=stylesheet href=./a.css>"), "a.css": style}
    assert problems(result({**files, "f.woff2": "x"})) == []
    assert problems(result(files)) == [("missing", "f.woff2")]
