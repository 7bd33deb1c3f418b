# ruff: noqa: E501 - servers and pages in other languages
"""What frameworks build and how their servers run: the real output of bundlers (tests/apps/built), and servers of kinds.

PLAIN ones are asked without a browser, SEEN ones are used in it. Written like `tests.apps.whole_apps`.
"""

from __future__ import annotations

from pathlib import Path

from tests.apps.bun_apps import BunApp
from tests.apps.whole_apps import _DIST, START, _app, _html, _page, _sends, _server

_BUILT = Path(__file__).parent / "built"
_STATIC = _server(_DIST.replace('"dist"', '"www"'))
_HELLO = _server(_page("<h1>hello</h1>"))
_LOAD = START.removesuffix("exec bun server.ts\n")


def _built(name: str, folder: str, fails: dict[str, str] | None = None) -> BunApp:
    """An app that serves what a bundler has built."""
    files = {f"www/{path.name}": path.read_text(encoding="utf-8") for path in sorted((_BUILT / folder).iterdir())}
    return _app(name, {"server.ts": _STATIC, **files}, fails or {})


def _behind(first: str) -> dict[str, str]:
    """A proxy on port 8080, and the server behind it that `first` starts."""
    proxy = _server(
        'return fetch("http://127.0.0.1:3001" + path, { redirect: "manual" }).catch(() => new Response("", { status: 503 }));'
    )
    return {
        "server.ts": proxy,
        "api.ts": _HELLO.replace("8080", "3001").replace("0.0.0.0", "127.0.0.1"),
        "start-app.sh": first,
    }


_BY_ITSELF = 'Bun.spawn(["bun", "server.ts"], { stdio: ["ignore", "ignore", "ignore"], detached: true }).unref();\nawait Bun.sleep(1500);\nprocess.exit(0);\n'
_WORKERS = (
    'const workers = [1, 2].map(() => Bun.spawn(["bun", "worker.ts"], { stdout: "inherit", stderr: "inherit" }));\n'
    'process.on("SIGTERM", () => { for (const one of workers) one.kill(); process.exit(0); });\n'
    "await Promise.all(workers.map((one) => one.exited));\n"
)
_HTTP2 = (
    'import { createServer } from "node:http2";\n'
    'createServer((request, response) => response.end("<p>hi")).listen(8080, "0.0.0.0");\n'
    'process.on("SIGTERM", () => process.exit(0));\n'
)
_LINES = (
    'Bun.listen({ hostname: "0.0.0.0", port: 8080, socket: { data(s) { s.write("hello\\n"); s.end(); } } });\n'
    'process.on("SIGTERM", () => process.exit(0));\n'
)
_BASE_PATH = "const base = `/${process.env.BASE_PATH}`;"
_WORKSPACE = {
    "package.json": '{ "name": "root", "private": true, "workspaces": ["packages/*"] }\n',
    "packages/shared/package.json": '{ "name": "shared", "version": "1.0.0", "main": "index.ts" }\n',
    "packages/shared/index.ts": 'export const title = "shared";\n',
    "packages/web/package.json": '{ "name": "web", "dependencies": { "shared": "workspace:*" } }\n',
    "packages/web/server.ts": 'import { title } from "shared";\nconsole.log(title);\n' + _HELLO,
    "build-app.sh": "#!/bin/sh\nset -e\nbun install\n",
    "start-app.sh": f"{_LOAD}cd packages/web\nexec bun server.ts\n",
}

# Events behind a compressor, as middleware for it does it: `FLUSH` is what lets each of them through.
_EVENTS = """\
import { createServer } from "node:http";
import { constants, createGzip } from "node:zlib";
const page = `<!doctype html><meta charset=utf-8><title>t</title><h1>Live</h1><p id=n>waiting<script>
  new EventSource("./events").onmessage = (event) => { n.textContent = event.data; };</script>`;
createServer((request, response) => {
  response.statusCode = request.url === "/" || request.url === "/events" ? 200 : 404;
  response.setHeader("content-type", request.url === "/events" ? "text/event-stream" : "text/html");
  if (request.url !== "/events") return response.end(page);
  response.setHeader("content-encoding", "gzip");
  const gzip = createGzip();
  gzip.pipe(response);
  const timer = setInterval(() => { gzip.write("data: tick\\n\\n"); FLUSH }, 300);
  request.on("close", () => clearInterval(timer));
}).listen(8080, "0.0.0.0");
process.on("SIGTERM", () => process.exit(0));
"""

PLAIN = (
    _built("parcel_output", "parcel", {"front.prefix": "4 URLs leave the app's prefix"}),
    _built("parcel_output_with_a_relative_public_url", "parcel-relative"),
    _built("webpack_output", "webpack", {"front.prefix": "<script src> /main."}),
    _built("angular_output", "angular", {"front.prefix": '<base href="/"> moves every relative URL'}),
    _app("htmx_relative", {"server.ts": _server(_page('<button hx-get="items">Load</button>'))}),
    _app(
        "htmx_at_the_root",
        {"server.ts": _server(_page('<button hx-delete="/items/1" hx-confirm="Sure?">Delete</button>'))},
        {"front.prefix": "<button hx-delete> /items/1 goes to /items/1"},
    ),
    _app("proxy_in_front", _behind(f"{_LOAD}bun api.ts &\nexec bun server.ts\n")),
    _app(
        "proxy_in_front_of_a_server_without_the_token",
        _behind(f"#!/bin/sh\nbun api.ts &\n{_LOAD.removeprefix('#!/bin/sh')}exec bun server.ts\n"),
        warns={
            "environment.token": "Behind the serving process, bun api.ts (port 3001) runs with the platform's restricted"
        },
    ),
    _app(
        "workers_that_share_the_port",
        {"worker.ts": _HELLO.replace("port: 8080", "reusePort: true, port: 8080"), "server.ts": _WORKERS},
    ),
    _app(
        "starts_its_server_and_ends",
        {"server.ts": _HELLO, "start.ts": _BY_ITSELF, "start-app.sh": f"{_LOAD}bun start.ts\n"},
        {"start.stable": "exited with code 0"},
    ),
    _app("http2_only", {"server.ts": _HTTP2}, {"start.listens": "speaks HTTP/2 only on port 8080"}),
    _app("no_http_at_all", {"server.ts": _LINES}, {"start.listens": "speaks something that is not HTTP on port 8080"}),
    _app(
        "answers_without_a_page",
        {"server.ts": _server("return new Response(null, { status: 204 });")},
        {"front.page": "204 without a page"},
    ),
    _app(
        "writes_the_base_path_into_its_urls",
        {
            "server.ts": _server(
                _BASE_PATH
                + _sends("/a.css", "text/css", '"p{}"')
                + 'if (path === "/") '
                + _html(
                    "<!doctype html><title>t</title><link rel=stylesheet href=${base}/a.css><p>hi <a href=${base}/>home</a>"
                )
            )
        },
    ),
    _app(
        "mounts_itself_under_the_base_path",
        {"server.ts": _server(_BASE_PATH + 'if (path === base + "/") ' + _html("<p>hi"))},
        {"start.probe": "answered with 404"},
    ),
    _app("workspace", _WORKSPACE),
)

SEEN = (
    _built("b_webpack_output_with_an_automatic_public_path", "webpack-auto"),
    _app(
        "b_classic_script_of_an_odd_type",
        {
            "server.ts": _server(
                _sends("/a.js", "application/octet-stream", '"document.title = 1"')
                + _page("<p>hi<script src=a.js></script>")
            )
        },
    ),
    _app(
        "b_refresh_header_to_the_root",
        {
            "server.ts": _server(
                'if (path === "/") return new Response("<!doctype html><title>t</title><p>wait", { headers: { "content-type": "text/html", refresh: "1; url=/home" } });'
            )
        },
        {"front.prefix": "Refresh header /home goes to /home, outside the app's prefix"},
    ),
    _app(
        "b_events_that_a_compressor_holds_back",
        {"server.ts": _EVENTS.replace("FLUSH", "")},
        warns={"browser.sockets": "Nothing arrives of the event stream ./events: it is compressed"},
    ),
    _app(
        "b_events_that_are_compressed_and_flushed",
        {"server.ts": _EVENTS.replace("FLUSH", "gzip.flush(constants.Z_SYNC_FLUSH);")},
    ),
)
