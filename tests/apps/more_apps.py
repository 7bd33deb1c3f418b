# ruff: noqa: E501 - servers and pages in other languages
"""More apps for the smoke test: other kinds of sound ones, and the ways in which these break.

Written like tests/apps/bun_apps.py: a variant says what differs from its base, and what smoke has to say first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from tests.apps.bun_apps import BASE, PAGE, SERVER, BunApp

_ROUTE = 'if (path === "/api/items")'
_NOT_FOUND = 'return new Response("not found", { status: 404 });'
_FILE = "return new Response(file);"
_LOAD = "#!/bin/sh\nset -a\n. ./.env\nset +a\n"
_COPY = "#!/bin/sh\nset -e\nmkdir -p dist\ncp -r public/. dist/\n"
_WAY_OUT = {"environment.private": "A path that leads out of the served folder"}


def _server(*swaps: tuple[str, str], first: str = "", head: str = "") -> dict[str, str]:
    """The base's server with texts swapped, `head` before everything and `first` at the start of its handler."""
    text = SERVER
    for old, new in (*swaps, (_ROUTE, f"{first}\n    {_ROUTE}")):
        assert old in text, old
        text = text.replace(old, new)
    return {"index.ts": f"{head}\n{text}"}


def _page(body: str = "", head: str = "") -> dict[str, str]:
    """The base's page with more in its head and body."""
    return {"public/index.html": PAGE.replace("</head>", f"{head}\n  </head>").replace("</body>", f"{body}\n  </body>")}


def _script(text: str) -> dict[str, str]:
    return {"public/app.js": text}


def _typed(suffix: str, kind: str) -> tuple[str, str]:
    return (
        _FILE,
        f'return new Response(file, path.endsWith("{suffix}") ? {{headers: {{"content-type": "{kind}"}}}} : {{}});',
    )


# --- Sound ------------------------------------------------------------------------------------------------------------

_NODE = """\
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { extname, join } from "node:path";
const types: Record<string, string> = {
  ".html": "text/html; charset=utf-8", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml",
};
const server = createServer(async (req, res) => {
  const path = decodeURIComponent((req.url ?? "/").split("?")[0]);
  if (path === "/api/items") {
    res.setHeader("content-type", "application/json");
    return res.end('[{"name":"first"}]');
  }
  try {
    const body = await readFile(join(import.meta.dir, "dist", path === "/" ? "index.html" : path));
    res.setHeader("content-type", types[extname(path === "/" ? ".html" : path)] ?? types[".html"]);
    res.end(body);
  } catch {
    res.statusCode = 404;
    res.end("not found");
  }
});
server.listen(Number(process.env.PORT) || 8080, "0.0.0.0");
process.on("SIGTERM", () => process.exit(0));
"""
_ROUTES = """\
const dist = `${import.meta.dir}/dist`;
const send = (name: string) => () => new Response(Bun.file(`${dist}/${name}`));
Bun.serve({
  hostname: "0.0.0.0",
  port: process.env.PORT ?? 8080,
  routes: {
    "/": send("index.html"),
    "/api/items": { GET: () => Response.json([]) },
    "/:name": (request) => {
      const file = `${dist}/${request.params.name}`;
      return Bun.file(file).exists().then((is) => new Response(is ? Bun.file(file) : null, { status: is ? 200 : 404 }));
    },
  },
});
process.on("SIGTERM", () => process.exit(0));
"""
_ROUTER = """\
type Handler = (request: Request) => Response | Promise<Response>;
class App {
  table = new Map<string, Handler>();
  get(path: string, handler: Handler) { this.table.set(path, handler); return this; }
  fetch = async (request: Request) => {
    const { pathname } = new URL(request.url);
    const handler = this.table.get(pathname);
    if (handler) return handler(request);
    const file = Bun.file("./dist" + pathname);
    return (await file.exists()) ? new Response(file) : new Response("nothing here", { status: 404 });
  };
}
const app = new App()
  .get("/", () => new Response(Bun.file("./dist/index.html")))
  .get("/api/items", () => Response.json([{ name: "one" }]));
process.once("SIGTERM", () => process.exit(0));
export default { port: 8080, hostname: "0.0.0.0", fetch: app.fetch };
"""
_SSR = (
    'if (path === "/") {\n'
    "      const list = items.map((item) => `<li>${item.name}</li>`).join('');\n"
    '      return new Response(`<!doctype html><meta charset="utf-8"><title>SSR</title><link rel="stylesheet" '
    'href="style.css"><ul>${list}</ul>`, { headers: { "content-type": "text/html; charset=utf-8" } });\n    }'
)
_SPA = (
    _NOT_FOUND,
    'if (/\\.\\w+$/.test(path) || path.startsWith("/api/")) return new Response("not found", { status: 404 });\n'
    "    const up = '../'.repeat(path.split('/').length - 2) || './';\n"
    '    const page = await Bun.file(root + "/index.html").text();\n'
    '    return new Response(page.replaceAll("./", up), { headers: { "content-type": "text/html" } });',
)
_EVENTS = (
    'if (path === "/events") return new Response(new ReadableStream({ async start(c) { '
    "for (let n = 0; n < 3; n++) { c.enqueue(`data: ${n}\\n\\n`); await Bun.sleep(100); } c.close(); } }), "
    '{ headers: { "content-type": "text/event-stream", "cache-control": "no-cache" } });'
)
_ZIPPED = (
    'if (path === "/app.js") return new Response(Bun.gzipSync(await Bun.file(root + path).bytes()), '
    '{ headers: { "content-type": "text/javascript", "content-encoding": "gzip" } });'
)
_MANIFEST = (
    '{"name":"Items","start_url":".","scope":".","display":"standalone",'
    '"icons":[{"src":"logo.svg","sizes":"any","type":"image/svg+xml"}]}\n'
)
_PWA = {
    **_page(head='<link rel="manifest" href="./app.webmanifest">'),
    "public/app.webmanifest": _MANIFEST,
    "public/sw.js": 'self.addEventListener("fetch", () => {});\n',
    **_script('navigator.serviceWorker?.register("./sw.js", { scope: "./" });\n'),
}
_WASM = {
    **_script('WebAssembly.instantiateStreaming(fetch("./m.wasm")).then(() => {});\n'),
    "build-app.sh": _COPY + "printf '\\000asm\\001\\000\\000\\000' > dist/m.wasm\n",
}
_VITE = {
    "build-app.sh": _COPY,
    "public/index.html": (
        '<!doctype html><html lang="en"><head><meta charset="UTF-8" /><title>Vite</title>\n'
        '<script type="module" crossorigin src="./assets/index-B1x.js"></script>\n'
        '<link rel="modulepreload" crossorigin href="./assets/vendor-C2y.js">\n'
        '<link rel="stylesheet" crossorigin href="./assets/index-D3z.css"></head><body><div id="root"></div></body></html>'
    ),
    "public/assets/index-B1x.js": (
        'import{v}from"./vendor-C2y.js";const u=""+new URL("logo-E4.svg",import.meta.url).href;'
        'document.querySelector("#root").textContent=v+u;import("./Lazy-F5.js");\n'
    ),
    "public/assets/vendor-C2y.js": "export const v=1;\n",
    "public/assets/Lazy-F5.js": "export default 2;\n",
    "public/assets/index-D3z.css": "#root{background:url(./logo-E4.svg)}\n",
    "public/assets/logo-E4.svg": BASE["public/logo.svg"],
}

MORE_SOUND: tuple[BunApp, ...] = (
    BunApp("node_http", {"index.ts": _NODE}, warns=_WAY_OUT),
    BunApp("bun_routes", {"index.ts": _ROUTES}, warns=_WAY_OUT),
    BunApp("hand_written_router", {"index.ts": _ROUTER}),
    BunApp("port_by_bun_itself", {"index.ts": _ROUTER.replace("port: 8080, ", "")}),
    BunApp("server_rendered", _server(first=_SSR)),
    BunApp("spa_deep_links", _server(_SPA)),
    BunApp("hash_router", _page('<a href="#/items/1">one</a><a href="#about">about</a>')),
    BunApp("server_sent_events", {**_server(first=_EVENTS), **_script('new EventSource("./events");\n')}),
    BunApp("pwa", {**_PWA, **_server(_typed(".webmanifest", "application/manifest+json"))}),
    BunApp(
        "json_page_only",
        {
            "index.ts": (
                'const server = Bun.serve({ hostname: "0.0.0.0", port: 8080, fetch: () => Response.json({ ok: true }) });\n'
                'process.on("SIGTERM", () => process.exit(0));\n'
            )
        },
    ),
    BunApp(
        "importmap",
        {
            **_page(head='<script type="importmap">{"imports":{"tool":"./tool.js"}}</script>'),
            **_script('import { tool } from "tool";\ntool();\n'),
            "public/tool.js": "export const tool = () => 1;\n",
        },
    ),
    BunApp("gzip_sent", _server(first=_ZIPPED)),
    BunApp("wasm", _WASM),
    BunApp("vite_relative_base", _VITE),
    BunApp(
        "base_element_relative",
        {**_page(), "public/index.html": PAGE.replace("<meta", '<base href="./"><meta', 1)},
    ),
    BunApp("frames_and_forms", _page('<iframe src="./about.html"></iframe><form action="./api/items"></form>')),
    BunApp(
        "names_with_blanks",
        {
            **_page('<img src="./a%20pic%C3%BC.svg" alt="">'),
            **_server(("new URL(request.url).pathname", "decodeURIComponent(new URL(request.url).pathname)")),
            "public/a picü.svg": BASE["public/logo.svg"],
        },
        warns=_WAY_OUT,
    ),
    BunApp("source_set", _page('<img src="./logo.svg" srcset="./logo.svg 1x, ./logo.svg?2x 2x" alt="">')),
    BunApp(
        "css_imports",
        {"public/style.css": '@import "./more.css";\n', "public/more.css": "h1 { background: url('logo.svg'); }\n"},
    ),
    BunApp(
        "redirect_in_the_prefix",
        _server(
            first='if (path === "/") return new Response(null, { status: 302, headers: { location: "./index.html" } });'
        ),
    ),
    BunApp(
        "post_only_api",
        {
            **_server(
                first='if (path === "/api/save") return new Response(null, {status: request.method === "POST" ? 204 : 405});'
            ),
            **_script('document.querySelector("h1").onclick = () => fetch("./api/save", { method: "POST" });\n'),
        },
    ),
    BunApp(
        "no_head_requests", _server(first='if (request.method === "HEAD") return new Response(null, { status: 405 });')
    ),
    BunApp(
        "chunked",
        _server(
            first='if (path === "/app.js") return new Response(Bun.file(root + path).stream(), '
            '{ headers: { "content-type": "text/javascript" } });'
        ),
    ),
    BunApp(
        "bun_run_start",
        {
            "package.json": '{ "name": "items", "private": true, "scripts": { "start": "bun index.ts" } }\n',
            "start-app.sh": _LOAD + "exec bun run start\n",
        },
    ),
    BunApp("bash_hook", {"start-app.sh": "#!/bin/bash\nset -a\nsource .env\nset +a\nexec bun ./index.ts\n"}),
    BunApp(
        "reads_its_token_for_each_request",
        _server(
            first='if (path === "/api/who") return Response.json(process.env.DATAROBOT_API_TOKEN ? "set" : "unset");'
        ),
    ),
    BunApp(
        "child_process",
        _server(head='const child = Bun.spawn(["sleep", "1000"]);\nprocess.on("exit", () => child.kill());'),
    ),
    BunApp(
        "minified",
        {
            "build-app.sh": _COPY + "bun build index.ts --minify --target=bun --outfile=index.min.js\n"
            "mv index.min.js index.ts\n"
        },
    ),
    BunApp(
        "multi_page",
        _page('<a href="sub/">sub</a>')
        | {"public/sub/x.html": "<!doctype html><p>x"}
        | _server(first='if (path === "/sub/") return new Response(Bun.file(root + "/sub/x.html"));'),
    ),
    BunApp("starts_in_20_s", _server(("const items", "await Bun.sleep(20000);\nconst items")), patience=60),
)

# --- Broken -----------------------------------------------------------------------------------------------------------


def _broken(name: str, words: str, changes: Mapping[str, str | None], patience: float = 40, *, check: str) -> BunApp:
    """An app that fails `check` with these words."""
    return BunApp(name, changes, fails={check: words}, patience=patience)


_leaves = partial(_broken, check="front.prefix")  # something leads out of its prefix
_asset = partial(_broken, check="front.assets")
_listens = partial(_broken, check="start.listens")

_OUT = (
    _leaves("out_script", "/app.js", {"public/index.html": PAGE.replace('src="./app.js', 'src="/app.js')}),
    _leaves("out_style", "/style.css", {"public/index.html": PAGE.replace("./style.css", "/style.css")}),
    _leaves("out_icon", "/logo.svg", {"public/index.html": PAGE.replace("./logo.svg", "/logo.svg")}),
    _leaves("out_link", "/about.html", {"public/index.html": PAGE.replace("./about.html", "/about.html")}),
    _leaves("out_image", "/logo.svg", _page('<img src="/logo.svg" alt="">')),
    _leaves("out_source_set", "/logo.svg", _page('<img src="./logo.svg" srcset="/logo.svg 2x" alt="">')),
    _leaves("out_inline_style", "/logo.svg", _page('<p style="background: url(/logo.svg)">x</p>')),
    _leaves("out_form", "/api/items", _page('<form action="/api/items" method="post"></form>')),
    _leaves("out_frame", "/about.html", _page('<iframe src="/about.html"></iframe>')),
    _leaves("out_refresh", "/about.html", _page(head='<meta http-equiv="refresh" content="3; url=/about.html">')),
    _leaves("out_svg_use", "/logo.svg", _page('<svg><use href="/logo.svg#a"/></svg>')),
    _leaves("out_preload", "/lazy.js", _page(head='<link rel="modulepreload" href="/lazy.js">')),
    _leaves(
        "out_manifest", "/app.webmanifest", {**_PWA, **_page(head='<link rel="manifest" href="/app.webmanifest">')}
    ),
    _leaves("out_manifest_icon", "/logo.svg", {**_PWA, "public/app.webmanifest": _MANIFEST.replace('"logo', '"/logo')}),
    _leaves(
        "out_start_url",
        "/",
        {**_PWA, "public/app.webmanifest": _MANIFEST.replace('"start_url":"."', '"start_url":"/"')},
    ),
    _leaves("out_service_worker", "/sw.js", {**_PWA, **_script('navigator.serviceWorker.register("/sw.js");\n')}),
    _leaves(
        "out_xhr", "/api/items", _script('const x = new XMLHttpRequest();\nx.open("GET", "/api/items");\nx.send();\n')
    ),
    _leaves("out_event_source", "/events", _script('new EventSource("/events");\n')),
    _leaves("out_worker", "/lazy.js", _script('new Worker("/lazy.js");\n')),
    _leaves("out_static_import", "/lazy.js", _script('import "/lazy.js";\n')),
    _leaves(
        "out_import_map",
        "/lazy.js",
        {
            **_page(head='<script type="importmap">{"imports":{"tool":"/lazy.js"}}</script>'),
            **_script('import "tool";\n'),
        },
    ),
    _leaves("out_css_import", "/more.css", {"public/style.css": '@import "/more.css";\n', "public/more.css": "p{}"}),
    _leaves("out_font", "/f.woff2", {"public/style.css": "@font-face { font-family: f; src: url(/f.woff2) }\n"}),
    _leaves("out_template_literal", "/api/items", _script("const id = 1;\nfetch(`/api/items/${id}`);\n")),
    _leaves("out_by_constant", "/api", _script('const base = "/api";\nfetch(base + "/items");\n')),
    _leaves("out_axios_like", "/api/items", _script('const get = (u) => fetch(u);\nget("/api/items");\n')),
    _leaves(
        "out_location",
        "/about.html",
        _script('document.querySelector("h1").onclick = () => { location.href = "/about.html"; };\n'),
    ),
    _leaves("out_history", "/items", _script('history.pushState({}, "", "/items/1");\n')),
    _leaves("out_vite", "/assets", {k: v.replace('"./assets/', '"/assets/') for k, v in _VITE.items()}),
    _leaves("out_one_level_up", "../", {"public/index.html": PAGE.replace("./app.js", "../app.js")}),
    _leaves("out_server_rendered", "/style.css", _server(first=_SSR.replace("style.css", "/style.css"))),
    _leaves(
        "out_link_header",
        "/style.css",
        _server((_FILE, 'return new Response(file, { headers: { link: "</style.css>; rel=preload; as=style" } });')),
    ),
)


_HTML_404 = (_NOT_FOUND, 'return new Response(Bun.file(root + "/index.html"));')
_ASSETS = (
    _asset("module_as_text", "app.js is text/plain", _server(_typed(".js", "text/plain"))),
    _asset("wasm_as_bytes", "m.wasm", {**_WASM, **_server(_typed(".wasm", "application/octet-stream"))}),
    _asset(
        "fallback_masks_script",
        "app.js answers an HTML page",
        {**_server(_HTML_404), "public/index.html": PAGE, "build-app.sh": _COPY + "rm dist/app.js\n"},
    ),
    _asset("fallback_masks_lazy_chunk", "lazy.js", {**_server(_HTML_404), "build-app.sh": _COPY + "rm dist/lazy.js\n"}),
    _asset(
        "case_differs",
        "style.css answers 404; the file is called public/Style.css",
        {"public/style.css": None, "public/Style.css": "p{}\n"},
    ),
    _asset("image_missing", "nothing.png answers 404", _page('<img src="./nothing.png" alt="">')),
    _asset(
        "css_image_missing", "nothing.png answers 404", {"public/style.css": "p { background: url(./nothing.png) }\n"}
    ),
    _asset(
        "chunk_one_level_too_deep",
        "chunks/chunks/lazy.js",
        {
            **_script('import("./chunks/first.js");\n'),
            "public/chunks/first.js": 'import("./chunks/lazy.js");\n',
            "public/chunks/lazy.js": "export default 1;\n",
        },
    ),
    _asset("server_error", "app.js answers 500", _server(first='if (path === "/app.js") throw new Error("boom");')),
    _asset("says_gzip_and_is_not", "app.js", _server(first=_ZIPPED.replace("Bun.gzipSync(", "("))),
    _asset(
        "body_breaks_off",
        "app.js",
        _server(
            first='if (path === "/app.js") return new Response(new ReadableStream({ pull(c) { c.enqueue("let a = "); '
            'c.error(new Error("cut")); } }), { headers: { "content-type": "text/javascript" } });'
        ),
    ),
    _asset(
        "body_hangs",
        "app.js",
        _server(
            first='if (path === "/app.js") return new Response(new ReadableStream({ start(c) { c.enqueue("let a;"); } }), '
            '{ headers: { "content-type": "text/javascript" } });'
        ),
    ),
    _asset("dist_is_empty", "answered with 404", {"build-app.sh": "#!/bin/sh\nmkdir -p dist\n"}, check="start.probe"),
    _asset(
        "redirect_loop",
        "redirect",
        _server(first='if (path === "/") return new Response(null, { status: 302, headers: { location: "./" } });'),
        check="front.page",
    ),
    _asset(
        "redirect_to_own_host",
        "redirects to",
        _server(
            first='if (path === "/") return Response.redirect("http://" + request.headers.get("host") + "/index.html");'
        ),
        check="front.page",
    ),
    _asset(
        "login_redirect",
        "redirects to",
        _server(first='if (path === "/") return new Response(null, { status: 302, headers: { location: "/login" } });'),
        check="front.page",
    ),
    _asset(
        "host_check",
        "answered with 403",
        _server(
            first='if (!request.headers.get("host")?.startsWith("myapp.")) return new Response("Invalid Host", { status: 403 });'
        ),
        check="start.probe",
    ),
)


def _hook(line: str) -> dict[str, str]:
    return {"start-app.sh": _LOAD + line + "\n"}


_HOST = 'hostname: "0.0.0.0"'
_PORT = "Number(process.env.PORT ?? 8080)"
_STARTS = (
    _listens("localhost_name", "127.0.0.1:8080 only", _server((_HOST, 'hostname: "localhost"'))),
    _listens("random_port", "instead of port 8080", _server((_PORT, "0")), 8),
    _listens(
        "other_variable",
        "0.0.0.0:3000 instead of port 8080",
        _server((_PORT, "Number(process.env.APP_PORT ?? 3000)")),
        8,
    ),
    _listens("node_localhost", "127.0.0.1:8080 only", {"index.ts": _NODE.replace('"0.0.0.0"', '"127.0.0.1"')}),
    _listens(
        "unix_socket",
        "listens on the Unix socket /tmp/s instead of port 8080",
        {"index.ts": 'Bun.serve({ unix: "/tmp/s", fetch: () => new Response() });\n'},
        8,
    ),
    _listens("module_missing", "exited with code 1", {"index.ts": 'import "./server/none";\n'}),
    _listens("package_not_installed", "hono", {"index.ts": 'import { Hono } from "hono";\nnew Hono();\n'}),
    _listens("entry_missing", "exited with code 1", _hook("exec bun dist/server.js")),
    _listens("syntax_error", "exited with code 1", {"index.ts": "const = ;\n"}),
    _listens(
        "throws_later",
        "exited with code 1",
        _server(("const items", 'await Bun.sleep(900); throw new Error("late");\nconst items')),
    ),
    _listens(
        "needs_a_variable",
        "DATABASE_URL",
        _server(head='if (!process.env.DATABASE_URL) throw new Error("DATABASE_URL is not set");'),
    ),
    _listens("kills_itself", "by SIGKILL", _hook("exit 137")),
    _listens("bash_in_dash", "exited with code 2", _hook("args=(bun index.ts)\nexec ${args[@]}")),
    _listens("double_brackets", "exited", _hook("[[ -f index.ts ]] || exit 1\nexec bun index.ts")),
    _listens("dollar_zero_folder", "exited", {"start-app.sh": "#!/bin/sh\ncd /app || exit 1\nexec bun index.ts\n"}),
    _listens("npm_start", "exited with code 127", _hook("exec npm start")),
    _listens("waits_for_stdin", "exited", {"index.ts": "for await (const line of console) console.log(line);\n"}),
    BunApp(
        "windows_line_endings",
        {"start-app.sh": "#!/bin/sh\r\nexec bun index.ts\r\n"},
        fails={"source.hooks": "Windows line endings"},
    ),
    BunApp(
        "dies_after_the_first_requests",
        _server(first='if (path === "/style.css") setTimeout(() => process.exit(4), 20);'),
        fails={"start.stable": "exited with code 4"},
    ),
    BunApp(
        "source_folder_served",
        _server(('import.meta.dir + "/dist"', "import.meta.dir")) | {"build-app.sh": "#!/bin/sh\ncp -r public/. .\n"},
        fails={"environment.private": ".env"},
    ),
    BunApp(
        "token_in_a_header",
        _server(
            (_FILE, 'return new Response(file, { headers: { "x-debug": process.env.DATAROBOT_API_TOKEN ?? "" } });')
        ),
        fails={"environment.leaks": "serves"},
    ),
    BunApp(
        "token_in_the_page",
        _server(
            first='if (path === "/") return new Response((await Bun.file(root + "/index.html").text()).replace("Items", '
            'process.env.DATAROBOT_API_TOKEN ?? ""), { headers: { "content-type": "text/html" } });'
        ),
        fails={"environment.leaks": "serves"},
    ),
    BunApp(
        "token_not_exported",
        {"start-app.sh": "#!/bin/sh\n. ./.env\nexec env -u X bun --no-env-file index.ts\n"},
        fails={},
    ),
    BunApp(
        "token_loaded_too_late",
        {"start-app.sh": "#!/bin/sh\nbun index.ts &\nset -a\n. ./.env\nset +a\nwait\n"},
        fails={"environment.token": "restricted token"},
        warns={"lifecycle.sigterm": "SIGTERM"},
    ),
    BunApp(
        "token_by_dot_without_slash",
        {"start-app.sh": "#!/bin/sh\nset -a\n. .env || true\nset +a\nexec bun index.ts\n"},
        fails={"start.listens": "exited"},
    ),
    BunApp(
        "file_dependency",
        {"package.json": '{ "name": "x", "dependencies": { "lib": "file:../lib" } }\n'},
        fails={"source.package": "lib is file:../lib"},
    ),
)

# A plain variable that was in the environment before stays exported when it is set again: that one is sound.
MORE_SOUND = (
    *MORE_SOUND,
    *(replace(app, name="sets_what_is_exported") for app in _STARTS if app.name == "token_not_exported"),
)
MORE_BROKEN = (*_OUT, *_ASSETS, *(app for app in _STARTS if app.fails))
MORE = MORE_SOUND + MORE_BROKEN
