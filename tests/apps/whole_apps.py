# ruff: noqa: E501 - servers and pages in other languages
"""Apps of all kinds, each written from nothing: what differs from the base app of the corpus is everything.

Those of `SEEN` show their fault, or that they have none, in a browser only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.apps.bun_apps import BASE, BunApp

START = "#!/bin/sh\nset -a\n. ./.env\nset +a\nexec bun server.ts\n"
NOTHING: Mapping[str, None] = {path: None for path in BASE if path.endswith((".html", ".css", ".js", ".svg", ".ts"))}
HTML = '{ headers: { "content-type": "text/html; charset=utf-8" } }'


def _app(
    name: str, files: Mapping[str, str], fails: Mapping[str, str] = {}, warns: Mapping[str, str] = {}, **more: Any
) -> BunApp:
    hooks = {"build-app.sh": "#!/bin/sh\ntrue\n", "start-app.sh": START}
    return BunApp(name, {**NOTHING, **hooks, **files}, fails, warns, **more)


def _server(handler: str, *, sockets: bool = False) -> str:
    """A server whose handler begins with `handler`; it knows `request`, `server` and `path`."""
    websocket = "\n  websocket: { message(socket, text) { socket.send(text); } }," if sockets else ""
    return (
        'process.on("SIGTERM", () => process.exit(0));\n'
        'Bun.serve({\n  port: 8080,\n  hostname: "0.0.0.0",\n  async fetch(request, server) {\n'
        "    const path = new URL(request.url).pathname;\n"
        f"    {handler}\n"
        f'    return new Response("not here", {{ status: 404 }});\n  }},{websocket}\n}});\n'
    )


def _html(text: str) -> str:
    return f"return new Response(`{text}`, {HTML});"


def _page(text: str) -> str:
    return f'if (path === "/") {_html("<!doctype html><title>t</title>" + text)}'


def _sends(path: str, kind: str, text: str) -> str:
    return f'if (path === "{path}") return new Response({text}, {{ headers: {{ "content-type": "{kind}" }} }});'


_DIST = 'const file = Bun.file("dist" + (path === "/" ? "/index.html" : path)); if (await file.exists()) return new Response(file);'
PLAIN = (
    _app(
        "redirects_http_to_https",
        {
            "server.ts": _server(
                'if ((request.headers.get("x-forwarded-proto") ?? "https") !== "https")'
                ' return Response.redirect("https://" + request.headers.get("host") + path, 301);\n    '
                + _page("<h1>hi</h1>")
            )
        },
    ),
    _app(
        "no_answer_to_head",
        {
            "server.ts": _server(
                'if (request.method === "HEAD") return new Response(null, { status: 405 });' + _page("<p>hi")
            )
        },
    ),
    _app(
        "redirect_to_a_folder",
        {
            "server.ts": _server(
                'if (path === "/") return new Response(null, { status: 302, headers: { location: "./app/" } });'
                'if (path === "/app/") '
                + _html("<!doctype html><h1>app</h1><a href=../app/two>two</a>")
                + ' if (path === "/app/two") '
                + _html("<p>two</p>")
            )
        },
    ),
    _app(
        "bash_and_allexport",
        {
            "start-app.sh": '#!/usr/bin/env bash\nset -euo pipefail\ncd "$(dirname "$0")"\nif [[ -f .env ]]; then set -o allexport; source .env; set +o allexport; fi\nexec bun run server.ts\n',
            "server.ts": _server(_page("<p>x")),
        },
    ),
    _app(
        "upgrades_insecure_requests",
        {
            "server.ts": _server(
                _sends("/x.js", "text/javascript", '"document.title = 1"')
                + 'if (path === "/") return new Response("<!doctype html><h1>h</h1><script src=x.js></script>", { headers: { "content-type": "text/html", "content-security-policy": "default-src \'self\'; upgrade-insecure-requests" } });'
            )
        },
    ),
    _app(
        "brotli_by_hand",
        {
            "server.ts": 'import { brotliCompressSync } from "node:zlib";\n'
            + _server(
                'if (path === "/x.js") return new Response(brotliCompressSync("import(\'./y.js\')"), { headers: { "content-type": "text/javascript", "content-encoding": "br" } });'
                + _sends("/y.js", "text/javascript", '"1"')
                + _page("<p>p</p><script src=x.js></script>")
            )
        },
    ),
    _app(
        "answers_only_localhost",
        {
            "server.ts": _server(
                'if (!["localhost", "127.0.0.1"].includes((request.headers.get("host") ?? "").split(":")[0])) return new Response("Blocked request. This host is not allowed.", { status: 403 });'
                + _page("<p>x")
            )
        },
        {"start.probe": "answered with 403"},
    ),
    _app(
        "absolute_http_urls",
        {
            "server.ts": _server(
                _sends("/s.css", "text/css", '"p{}"')
                + 'if (path === "/") return new Response(`<!doctype html><link rel=stylesheet href="http://${request.headers.get("host")}${request.headers.get("x-forwarded-prefix")}/s.css"><p>hi`, '
                + HTML
                + ");"
            )
        },
        {"crawl.hosts": "s.css is not https"},
    ),
    _app(
        "socket_without_tls",
        {
            "server.ts": _server(
                'if (path === "/ws" && server.upgrade(request)) return;'
                + _page('<p>x</p><script>new WebSocket("ws://" + location.host + location.pathname + "ws")</script>'),
                sockets=True,
            )
        },
        {"crawl.hosts": "is not https"},
    ),
    _app(
        "form_to_the_root",
        {
            "server.ts": _server(
                'if (path === "/submit") return new Response("ok");'
                + _page('<form action="/submit" method=post><button>Send</button></form>')
            )
        },
        {"front.prefix": "<form action> /submit"},
    ),
    _app(
        "image_by_script_at_the_root",
        {
            "server.ts": _server(
                _page(
                    '<p id=r>x</p><script>const i = document.createElement("img"); i.src = "/logo.png"; r.append(i)</script>'
                )
            )
        },
        {"front.prefix": "/logo.png"},
    ),
    _app(
        "events_at_the_root",
        {"server.ts": _server(_page('<p>.</p><script>new EventSource("/events")</script>'))},
        {"front.prefix": "New EventSource() /events"},
    ),
    _app(
        "redirect_with_the_request_url",
        {
            "server.ts": _server(
                'if (path === "/") return Response.redirect(new URL("/login", request.url)); if (path === "/login") '
                + _html("<p>login")
            )
        },
        {"front.page": "/login, which leaves the app's prefix"},
    ),
    _app(
        "refresh_to_the_root",
        {"server.ts": _server(_page("<meta http-equiv=refresh content='0;url=/home'><p>wait"))},
        {"front.prefix": "/home"},
    ),
    _app(
        "address_set_to_the_root",
        {"server.ts": _server(_page('<p>wait</p><script>location.href = "/dashboard"</script>'))},
        {"front.prefix": "/dashboard"},
    ),
    _app(
        "setting_missing",
        {
            "server.ts": 'if (!process.env.SESSION_SECRET) throw new Error("SESSION_SECRET is required");\n'
            + _server(_page("<p>x"))
        },
        {"start.listens": "SESSION_SECRET is required"},
    ),
    _app(
        "waits_for_an_answer",
        {
            "start-app.sh": "#!/bin/sh\nset -e\nprintf 'Continue? '\nread answer\nexec bun server.ts\n",
            "server.ts": _server(_page("<p>x")),
        },
        {"start.listens": "waits for input"},
    ),
    _app(
        "starts_over_and_over",
        {
            "start-app.sh": START.replace("exec bun server.ts", "while true; do bun server.ts; sleep 0.5; done"),
            "server.ts": 'throw new Error("cannot connect to database");\n',
        },
        {"start.listens": "The app starts over and over: error: cannot connect to database"},
        patience=8.0,
    ),
    _app(
        "build_ends_early",
        {
            "build-app.sh": '#!/bin/sh\nif [ -n "$NODE_ENV" ]; then exit 0; fi\nbun build server.ts --target=bun --outdir dist\n',
            "start-app.sh": START.replace("server.ts", "dist/server.js"),
            "server.ts": _server(_page("<p>x")),
        },
        {
            "build.output": "ended before its last line (build-app.sh:2  exit 0): the app exited with code 1: error: Module"
        },
    ),
    _app(
        "start_ends_early",
        {
            "start-app.sh": START.replace(
                "exec", '[ -n "$DATABASE_URL" ] || { echo "no database, nothing to do"; exit 0; }\nexec'
            ),
            "server.ts": _server(_page("<p>x")),
        },
        {"start.listens": "it seems by start-app.sh:5 (exit 0): no database"},
    ),
    _app(
        "build_returns_early",
        {
            "build-app.sh": "#!/bin/sh\ncommand -v npm >/dev/null || return 0\nbun build server.ts --target=bun --outdir dist\n",
            "start-app.sh": START.replace("server.ts", "dist/server.js"),
            "server.ts": _server(_page("<p>x")),
        },
        {"build.output": "(build-app.sh:2  return 0): the app exited with code 1"},
    ),
    _app(
        "build_ends_early_with_all_made",
        {
            "build-app.sh": "#!/bin/sh\n[ -f server.ts ] && exit 0\nbun build old.ts --target=bun --outdir dist\n",
            "server.ts": _server(_page("<p>x")),
        },
    ),
    _app(
        "prints_what_it_runs",
        {"start-app.sh": START.replace("set -a", "set -ax"), "server.ts": _server(_page("<p>x"))},
        {"environment.leaks": "in its log"},
    ),
    _app(
        "compressed_twice_over",
        {
            "server.ts": _server(
                'if (path === "/x.js") return new Response(Bun.gzipSync("1"), { headers: { "content-type": "text/javascript" } });'
                + _page("<p>p</p><script src=x.js></script>")
            )
        },
        {"front.assets": "is compressed, but has no Content-Encoding"},
    ),
    _app(
        "brotli_that_is_none",
        {
            "server.ts": _server(
                'if (path === "/x.js") return new Response("document.body.append(1)", { headers: { "content-type": "text/javascript", "content-encoding": "br" } });'
                + _page("<p>p</p><script src=x.js></script>")
            )
        },
        {"front.assets": "does not match its Content-Encoding"},
    ),
    _app(
        "hands_out_its_source",
        {
            "index.html": "<!doctype html><p>x",
            "server.ts": _server(
                'if (path.includes(".env")) return new Response("no", { status: 403 }); const file = Bun.file("." + (path === "/" ? "/index.html" : path)); if (await file.exists()) return new Response(file);'
            ),
        },
        {},
        {"environment.private": "hands out its own source: start-app.sh"},
    ),
    _app(
        "a_way_out_of_the_folder",
        {
            "dist/index.html": "<!doctype html><p>x",
            "server.ts": _server(
                'const file = Bun.file("dist/" + decodeURIComponent(path === "/" ? "/index.html" : path)); if (await file.exists()) return new Response(file);'
            ),
        },
        {},
        {"environment.private": "A path that leads out of the served folder"},
    ),
    _app(
        "locks_its_folder",
        {
            "server.ts": 'import fs from "node:fs";\nfs.writeFileSync("app.lock", "1", { flag: "wx" });\n'
            + _server(_page("<p>x"))
        },
        {},
        {"lifecycle.restart": "EEXIST"},
    ),
    _app(
        "new_names_at_each_start",
        {
            "start-app.sh": START.replace(
                "exec",
                'name=c-$(date +%s%N).js\nmkdir -p dist\ncp client.js "dist/$name"\necho "<!doctype html><p>hi</p><script src=./$name></script>" > dist/index.html\nexec',
            ),
            "client.js": "document.title = 1;\n",
            "server.ts": _server(_DIST),
        },
        {},
        {"lifecycle.replica": "is not there at a second replica"},
    ),
    _app(
        "development_mode",
        {
            "start-app.sh": START.replace("exec bun", "export NODE_ENV=development\nexec bun"),
            "server.ts": _server(_page("<p>x")),
        },
        {},
        {"environment.settings": "NODE_ENV=development"},
    ),
    _app(
        "endpoint_emptied",
        {
            "start-app.sh": START.replace("exec bun", "export DATAROBOT_ENDPOINT=\nexec bun"),
            "server.ts": _server(_page("<p>x")),
        },
        {},
        {"environment.settings": "DATAROBOT_ENDPOINT is empty"},
    ),
    _app(
        "token_in_a_source_map",
        {
            "start-app.sh": START.replace(
                "exec",
                'mkdir -p dist\ncp a.js page.html dist\nprintf \'{"sourcesContent":["%s"]}\' "$DATAROBOT_API_TOKEN" > dist/a.js.map\nexec',
            ),
            "a.js": "console.log(1);\n//# sourceMappingURL=a.js.map\n",
            "page.html": "<!doctype html><p>x</p><script src=a.js></script>",
            "server.ts": _server(_DIST.replace("/index.html", "/page.html")),
        },
        {"environment.leaks": "in what it serves"},
    ),
    _app(
        "no_word_of_its_encoding",
        {
            "server.ts": _server(
                'if (path === "/") return new Response("<!doctype html><p>Grüße", { headers: { "content-type": "text/html" } });'
            )
        },
        {},
        {"crawl.encoding": "says nothing of its encoding"},
    ),
    _app(
        "worker_beside_the_server",
        {
            "start-app.sh": START.replace("exec", "bun worker.ts &\nexec"),
            "worker.ts": "setInterval(() => {}, 1000);\n",
            "server.ts": _server(_page("<p>x")),
        },
    ),
    _app(
        "signal_passed_on_by_a_trap",
        {
            "start-app.sh": START.replace(
                "exec bun server.ts", "bun server.ts &\npid=$!\ntrap 'kill -TERM $pid' TERM\nwait $pid\nwait $pid"
            ),
            "server.ts": _server(_page("<p>x")),
        },
    ),
    _app(
        "folder_without_its_slash",
        {
            "dist/index.html": "<!doctype html><a href=docs>docs</a>",
            "dist/docs/index.html": "<!doctype html><link rel=stylesheet href=style.css><p>d",
            "dist/docs/style.css": "p {}",
            "server.ts": _server(
                'const name = path === "/docs" ? "/docs/index.html" : path === "/" ? "/index.html" : path; const file = Bun.file("dist" + name); if (await file.exists()) return new Response(file);'
            ),
        },
        {"front.assets": "./style.css answers 404"},
    ),
    _app(
        "prefix_twice",
        {
            "server.ts": _server(
                _sends("/a.css", "text/css", '"p{}"')
                + 'if (path === "/") return new Response(`<!doctype html><link rel=stylesheet href="${(request.headers.get("x-forwarded-prefix") ?? "").slice(1)}/a.css"><p>hi`, '
                + HTML
                + ");"
            )
        },
        {"front.assets": "/a.css answers 404"},
    ),
    _app(
        "development_server",
        {
            "page.html": "<!doctype html><h1>x</h1>",
            "server.ts": 'import page from "./page.html";\nprocess.on("SIGTERM", () => process.exit(0));\nBun.serve({ port: 8080, hostname: "0.0.0.0", development: true, routes: { "/": page } });\n',
        },
        {"front.page": "./ answers 403"},
    ),
)

SEEN = (
    _app(
        "b_secure_cookie",
        {
            "server.ts": _server(
                'if (path === "/api/me") return new Response("", { status: (request.headers.get("cookie") ?? "").includes("__Secure-sid=1") ? 200 : 401 });\n    '
                "if (path === \"/\") return new Response(\"<!doctype html><title>t</title><p>x</p><script>fetch('./api/me').then((r) => { if (!r.ok) throw new TypeError('no session') })</script>\", "
                '{ headers: { "content-type": "text/html", "set-cookie": `__Secure-sid=1; Path=${request.headers.get("x-forwarded-prefix")}/; Secure; HttpOnly; SameSite=Lax` } });'
            )
        },
    ),
    _app(
        "b_other_hosts",
        {
            "server.ts": _server(
                _page(
                    '<link rel=stylesheet href="https://fonts.example/css2?family=Inter"><script src=https://cdn.example/x.js></script><h1>hi</h1>'
                )
            )
        },
    ),
    _app(
        "b_service_worker",
        {
            "server.ts": _server(
                _sends("/sw.js", "text/javascript", "\"addEventListener('fetch', () => {})\"")
                + _page('<h1>pwa</h1><script>navigator.serviceWorker.register("./sw.js", { scope: "./" })</script>')
            )
        },
    ),
    _app(
        "b_client_with_a_base",
        {
            "build-app.sh": "#!/bin/sh\nset -e\nbun build ./client.ts --outdir=dist --minify\n",
            "client.ts": "class Client { constructor(private base = '/api') {} get(path: string) { return fetch(this.base + path) } }\nnew Client().get('/items').then(() => document.body.append('x'));\n",
            "server.ts": _server(
                _sends("/m.js", "text/javascript", 'Bun.file("dist/client.js")')
                + _page("<h1>x</h1><script type=module src=m.js></script>")
            ),
        },
        {"browser.prefix": "GET /api/items"},
    ),
    _app(
        "b_base_from_a_file",
        {
            "server.ts": _server(
                _sends("/config.json", "application/json", '\'{"base": "/api"}\'')
                + _page(
                    '<p>x</p><script>fetch("config.json").then((r) => r.json()).then((c) => fetch(c.base + "/items"))</script>'
                )
            )
        },
        {"browser.prefix": "GET /api/items"},
    ),
    _app(
        "b_dies_after_a_request",
        {
            "server.ts": _server(
                'setTimeout(() => { console.error("fatal: lost the database"); process.exit(3); }, 200);'
                + _page("<p>x")
            )
        },
        {"start.stable": "fatal: lost the database"},
    ),
    _app(
        "b_server_in_the_background",
        {
            "start-app.sh": START.replace("exec bun server.ts", "bun server.ts & sleep 1.5"),
            "server.ts": _server(_page("<p>x")),
        },
        {"start.stable": "runs in the background"},
    ),
    _app(
        "b_insecure_socket",
        {
            "server.ts": _server(
                _page("<p>x</p><script>new WebSocket(['ws:', '', location.host, 'ws'].join('/'))</script>")
            )
        },
        {"browser.blocked": "The browser blocks ws://"},
    ),
    _app(
        "b_frame_that_refuses",
        {
            "server.ts": _server(
                _page("<p>a</p><iframe src=./inner></iframe>")
                + 'if (path === "/inner") return new Response("<p>in", { headers: { "content-type": "text/html", "x-frame-options": "DENY" } });'
            )
        },
        {"browser.requests": "./inner"},
    ),
    _app(
        "b_token_for_scripts",
        {
            "server.ts": _server(
                'if (path === "/api/config") return Response.json({ token: process.env.DATAROBOT_API_TOKEN });'
                + _page('<p>x</p><script>fetch("./api/config").then((r) => r.json())</script>')
            )
        },
        {"environment.leaks": "in what it serves"},
    ),
    _app(
        "b_posts_relative",
        {
            "server.ts": _server(
                'if (path === "/graphql" && request.method === "POST") return Response.json({ ok: 1 });'
                + _page(
                    '<p id=o>x</p><script>fetch("graphql", { method: "POST", body: "{}" }).then((r) => r.json()).then((j) => { o.textContent = j.ok })</script>'
                )
            )
        },
    ),
    _app(
        "b_public_path_of_webpack",
        {
            "dist/index.html": '<!doctype html><script defer src="./main.js"></script><p>x<button onclick="load()">More</button>',
            "dist/main.js": 'const r = { p: "/", u: (e) => e + ".chunk.js" };\nwindow.load = () => { const s = document.createElement("script"); s.src = r.p + r.u("123"); document.head.append(s); };\n',
            "dist/123.chunk.js": "document.title = 1;\n",
            "server.ts": _server(_DIST),
        },
        {"browser.prefix": "GET /123.chunk.js"},
    ),
)
