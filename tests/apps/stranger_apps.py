"""Apps as people write them who have never heard of this test, and what was said wrongly of them at first.

PLAIN ones are asked without a browser, SEEN ones are used in it. Written like `tests.apps.bun_apps`.
"""

from __future__ import annotations

from tests.apps.browser_apps import _more
from tests.apps.bun_apps import BunApp, _first, _start

_APP = "public/app.js"
_INDEX = "public/index.html"
_HELLO = """\
Bun.serve({ port: 8080, fetch: () => new Response("Hello from Bun!") });
process.on("SIGTERM", () => process.exit(0));
"""
# Browsers look into what comes without a type, and take a style sheet without one.
_UNTYPED = """\
import { createServer } from "node:http";
const page = "<!doctype html><meta charset=utf-8><title>Hi</title><link rel=stylesheet href=s.css><p>Hi";
const files = { "/": page, "/s.css": "p { color: red }" };
createServer((request, response) => {
  const file = files[request.url];
  response.statusCode = file ? 200 : 404;
  response.end(file ?? "not found");
}).listen(8080);
process.on("SIGTERM", () => process.exit(0));
"""
_LOADS = "set -a; . ./.env; set +a"

_AS_NOBODY = "exec setpriv --reuid=65534 --regid=65534 --clear-groups bun index.ts"

PLAIN = (
    BunApp("serves_as_another_user", _start(f"{_LOADS}\n{_AS_NOBODY}")),
    BunApp(
        "restricted_as_another_user",
        _start(_AS_NOBODY),
        fails={"environment.token": "start-app.sh does not load .env"},
    ),
    BunApp(
        "needs_its_visitor",
        {
            "index.ts": _first(
                'if (path === "/healthz") return new Response("ok");\n'
                '    if (!request.headers.get("x-user-email")) return new Response(null, { status: 401 });'
            )
        },
        health_path="/healthz",
    ),
    BunApp(
        "links_need_the_platform",
        {
            _INDEX: ("<a href", "<a href='./use-cases'>Use cases</a><img src='./thumb/1' alt=''>\n    <a href"),
            "index.ts": _first(
                'if (/^.(use-cases|thumb)/.test(path)) return new Response("no platform", { status: 502 });'
            ),
        },
    ),
    BunApp(
        "fonts_with_old_alternatives",
        {
            "public/style.css": (
                "body {",
                "@font-face { font-family: f; src: url(f.eot);"
                ' src: url(f.woff2) format("woff2"), url(f.woff) format("woff") }\nbody {',
            ),
            "public/f.woff2": "wOF2",
        },
    ),
    BunApp(
        "font_missing",
        {"public/style.css": ("body {", "@font-face { font-family: f; src: url(f.woff2), url(f.woff) }\nbody {")},
        fails={"front.assets": "f.woff2 answers 404"},
    ),
    BunApp(
        "reloads_on_a_developers_machine",
        {_APP: _more('location.hostname === "localhost" && new EventSource("/esbuild");\n')},
    ),
    BunApp(
        "corrects_what_it_asks",
        {
            _APP: _more(
                'async function api(path) {\n  if (path.startsWith("/")) path = "." + path;\n'
                '  return (await fetch(path)).json();\n}\nawait api("/api/items");\n'
            )
        },
    ),
    BunApp(
        "includes_a_page",
        {
            _INDEX: (
                "<a href",
                '<object data="./about.html" type="text/html"></object>\n    <link rel="prefetch" href="./about.html">'
                "\n    <a href",
            )
        },
    ),
    BunApp("hello_as_text", {"index.ts": _HELLO}),
    BunApp("no_content_types", {"index.ts": _UNTYPED}),
    BunApp(
        "token_loaded_by_a_script_of_its_own",
        {"load.sh": "#!/bin/sh\nset -a\n. ./.env\n", **_start("sh ./load.sh\nexec bun index.ts")},
        fails={"environment.token": "load.sh loads .env in a process of its own"},
    ),
    BunApp(
        "fails_but_does_not_end",
        {"index.ts": 'throw new Error("no queue");\n', **_start(f"{_LOADS}\nexec bun --hot index.ts")},
        fails={"start.listens": "does not listen on any port: error: no queue"},
        patience=6.0,
    ),
    BunApp(
        "build_goes_on_without_its_page",
        {"build-app.sh": "#!/bin/sh\nbun build ./src/nowhere.html --outdir dist\nmkdir -p dist\n"},
        fails={"build.output": "the platform's probe GET / is answered with 404"},
    ),
    BunApp(
        "service_worker_for_the_whole_host",
        {
            _APP: _more('navigator.serviceWorker.register("./sw.js", { scope: "/" });\n'),
            "public/sw.js": 'addEventListener("fetch", () => {});\n',
        },
        fails={"front.prefix": "serviceWorker.register() / goes to /, outside"},
    ),
    BunApp(
        "says_utf8_and_is_latin1",
        {
            "index.ts": _first(
                'const text = Buffer.from("<!doctype html><p>gr\\xfc\\xdfe", "latin1");\n'
                '    const headers = { "content-type": "text/html; charset=utf-8" };\n'
                '    if (path === "/about.html") return new Response(text, { headers });'
            )
        },
        warns={"crawl.encoding": "is said to be utf-8, but is written in another encoding"},
    ),
)


def _optional(answered: str) -> str:
    """Ask for settings that there may not be; `answered` sees the answer as `r`."""
    return f'const r = await fetch("./settings.local.json");\nlet settings = {{}};\n{answered}\n'


def _says(text: str) -> str:
    return f'document.body.append("{text}");'


_FORM = '<form id="new"><input name="title" required><button>Save</button></form>\n    <a href'
_ROOT = 'const root = ["", "api"].join("/");\n'

# As routers of the client do that know their own paths only.
_ROUTER = """\
const routes = new Map([[START, "Welcome"]]);
document.body.innerHTML = `<h2>${routes.get(location.pathname) ?? "404 Not Found"}</h2>`;
"""

SEEN = (
    BunApp(
        "b_blank_without_its_platform",
        {
            _INDEX: "<!doctype html>\n<title>x</title>\n<div id=root></div><script src=./app.js type=module></script>",
            _APP: (
                'const data = await (await fetch("./api/cases")).json();\n'
                'document.querySelector("#root").innerHTML = data.items.map((one) => `<p>${one}</p>`).join("");\n'
            ),
            "index.ts": _first('if (path === "/api/cases") return Response.json({ message: "no" }, { status: 502 });'),
        },
        warns={"browser.page": "call GET ./api/cases is answered with 502"},
    ),
    BunApp(
        "b_fault_of_its_own_beside_another_host",
        {
            _INDEX: (
                '<script type="module"',
                '<script async src="https://cdn.example.com/tag.js"></script>\n    <script type="module"',
            ),
            _APP: "document.body.innerHTML = process.env.TITLE;\n",
        },
        fails={"browser.errors": "process is not defined"},
    ),
    BunApp("b_settings_are_optional", {_APP: _more(_optional("if (r.ok) settings = await r.json();"))}),
    BunApp(
        "b_settings_are_optional_otherwise",
        {_APP: _more(_optional("try { settings = await r.json(); } catch { settings = { title: 'Items' }; }"))},
    ),
    BunApp(
        "b_images_have_a_replacement",
        {
            _INDEX: ("<a href", '<img src="avatar.png" onerror="this.remove()" alt="">\n    <a href'),
            _APP: _more(
                'const photo = new Image();\nphoto.addEventListener("error", () => { photo.hidden = true; });\n'
                'photo.src = ["./pho", "to.png"].join("");\ndocument.body.append(photo);\n'
            ),
        },
    ),
    BunApp(
        "b_missing_data_is_told",
        {
            _APP: _more(
                'const r = await fetch("./itmes");\n'
                f"if (!r.ok) {{ {_says('Could not load the items')} }} else {{ {_says('all there')} }}\n"
            )
        },
        warns={"browser.requests": "GET ./itmes is answered with 404"},
    ),
    BunApp(
        "b_form_sends_relative",
        {
            _INDEX: ("<a href", _FORM),
            _APP: _more(
                'document.querySelector("#new").onsubmit = (event) => {\n  event.preventDefault();\n'
                '  fetch("./api/items", { method: "POST" }).catch(() => {});\n};\n'
            ),
        },
    ),
    BunApp(
        "b_form_sends_to_the_root",
        {
            _INDEX: ("<a href", _FORM),
            _APP: _more(
                _ROOT + 'document.querySelector("#new").onsubmit = (event) => {\n  event.preventDefault();\n'
                "  fetch(root, { method: 'POST' });\n};\n"
            ),
        },
        fails={"browser.prefix": "POST /api (fetch, click on “Save”)"},
    ),
    BunApp(
        "b_field_asks_the_root",
        {
            _INDEX: ("<a href", '<input type="search" placeholder="Find" id="find">\n    <a href'),
            _APP: _more(_ROOT + 'document.querySelector("#find").oninput = () => fetch(root).catch(() => {});\n'),
        },
        fails={"browser.prefix": "GET /api (fetch, entry in “Find”)"},
    ),
    BunApp(
        "b_link_to_nowhere_asks_for_what_is_missing",
        {
            _INDEX: ("<a href", '<a href="#" id="reports">Figures</a>\n    <a href'),
            _APP: _more(
                'document.querySelector("#reports").onclick = (event) => {\n  event.preventDefault();\n'
                '  const name = ["fig", "ures"].join("");\n'
                '  const script = document.createElement("script");\n'
                "  script.src = `./${name}.js`;\n  document.head.append(script);\n};\n"
            ),
        },
        fails={"browser.requests": "./figures.js answers 404"},
    ),
    BunApp(
        "b_router_without_its_base",
        {_APP: _more(_ROUTER.replace("START", '"/"'))},
        fails={"browser.page": "The page says “404 Not Found” of its own address"},
    ),
    BunApp(
        "b_router_with_its_base", {_APP: _more(_ROUTER.replace("START", 'new URL(".", document.baseURI).pathname'))}
    ),
    BunApp(
        "b_page_that_speaks_of_404",
        {_INDEX: ("<a href", "<p>404</p><p>Tickets that say 404 not found</p><p>Page not found: 3</p>\n    <a href")},
    ),
)
