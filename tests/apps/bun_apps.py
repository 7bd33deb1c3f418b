"""Small real Bun apps for the smoke test: one sound app, and variants of it with what smoke has to say about each.

A variant names only what differs from the base. `fails` and `warns` map the id of a check to words of its title; every
other check has to pass or be skipped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

FULL_TOKEN = "NjU0MzIxZnVsbDpmdWxsLXRva2VuLW9mLXRoZS1jb3JwdXMtb2YtYXBwcw=="

DOCKERFILE = """\
FROM oven/bun:1-debian
WORKDIR /opt/code
ENV NODE_ENV=production PORT=8080
EXPOSE 8080
"""

SERVER = """\
const root = import.meta.dir + "/dist";
const items = [{ name: "first" }, { name: "second" }];

const server = Bun.serve({
  hostname: "0.0.0.0",
  port: Number(process.env.PORT ?? 8080),
  async fetch(request) {
    const path = new URL(request.url).pathname;
    if (path === "/api/items") return Response.json(items);
    const file = Bun.file(root + (path === "/" ? "/index.html" : path));
    if (await file.exists()) return new Response(file);
    return new Response("not found", { status: 404 });
  },
});

process.on("SIGTERM", () => {
  server.stop(true);
  process.exit(0);
});
console.log(`listening on ${server.port}`);
"""

PAGE = """\
<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <title>Items</title>
    <link rel="icon" href="./logo.svg">
    <link rel="stylesheet" href="./style.css">
    <script type="module" src="./app.js"></script>
  </head>
  <body>
    <h1>Items</h1>
    <ul id="items"></ul>
    <a href="./about.html">About</a>
  </body>
</html>
"""

BASE: Mapping[str, str] = {
    "package.json": '{ "name": "items", "private": true }\n',
    "index.ts": SERVER,
    "build-app.sh": "#!/bin/sh\nset -e\nmkdir -p dist\ncp -r public/. dist/\n",
    "start-app.sh": "#!/bin/sh\nset -a\n. ./.env\nset +a\nexec bun index.ts\n",
    "public/index.html": PAGE,
    "public/about.html": "<!doctype html>\n<title>About</title>\n<p>About <a href='./'>items</a></p>\n",
    "public/style.css": "body { background: url(./logo.svg) no-repeat; }\n",
    "public/app.js": (
        'const answer = await fetch("./api/items");\n'
        "for (const item of await answer.json()) {\n"
        '  document.querySelector("#items").append(item.name);\n'
        "}\n"
        'document.querySelector("h1").onclick = () => import("./lazy.js");\n'
    ),
    "public/lazy.js": 'console.log("lazy");\n',
    "public/logo.svg": '<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"><path d="M0 0h8v8"/></svg>\n',
}


@dataclass(frozen=True)
class BunApp:
    """One app of the corpus. `changes` maps paths to new texts, or to (old, new) pairs to replace; None removes."""

    name: str
    changes: Mapping[str, str | tuple[str, str] | None] = field(default_factory=dict)
    fails: Mapping[str, str] = field(default_factory=dict)
    warns: Mapping[str, str] = field(default_factory=dict)
    mode: Literal["strip", "keep"] = "strip"
    bundle: str = "cpu.8xlarge"
    patience: float = 40.0
    health_path: str = ""

    @property
    def files(self) -> dict[str, str]:
        """Give the files of the app."""
        files = dict(BASE)
        for path, change in self.changes.items():
            if change is None:
                del files[path]
            elif isinstance(change, tuple):
                old, new = change
                assert old in files[path], f"{self.name}: {old!r} is not in {path}"
                files[path] = files[path].replace(old, new)
            else:
                files[path] = change
        return files

    def write(self, folder: Path) -> Path:
        """Write the app, with the runtime .env that staging would generate, into `folder`."""
        env = {".env": f"DATAROBOT_API_TOKEN='{FULL_TOKEN}'\nDATAROBOT_ENDPOINT='https://datarobot.test/api/v2'\n"}
        for path, text in {**self.files, **env}.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8", newline="")
        return folder


_ROUTE = 'if (path === "/api/items")'


def _first(code: str) -> tuple[str, str]:
    """Change the server so that its handler begins with `code`."""
    return _ROUTE, f"{code}\n    {_ROUTE}"


def _typed(condition: str) -> tuple[str, str]:
    """Change the server so that files for which `condition` holds are sent as text/plain."""
    plain = '{ headers: { "content-type": "text/plain" } }'
    return "return new Response(file);", f"return new Response(file, {condition} ? {plain} : {{}});"


def _start(line: str) -> dict[str, str]:
    return {"start-app.sh": f"#!/bin/sh\n{line}\n"}


_PREFIX_AWARE = (
    'if (path === "/") {\n'
    '      const prefix = request.headers.get("x-forwarded-prefix") ?? "";\n'
    '      const page = await Bun.file(root + "/index.html").text();\n'
    '      const based = page.replace("<meta", `<base href="${prefix}/"><meta`).replaceAll("./", `${prefix}/`);\n'
    '      return new Response(based, { headers: { "content-type": "text/html" } });\n'
    "    }"
)

SOUND = (
    BunApp("ok_static"),
    BunApp(
        "ok_bundled",
        {
            "build-app.sh": (
                "#!/bin/sh\nset -e\nbun build public/index.html --outdir dist --minify --splitting\n"
                "cp public/about.html dist\n"
            )
        },
    ),
    BunApp("slow_start", {"index.ts": ("const items", "await Bun.sleep(3000);\nconst items")}),
    BunApp(
        "loading_first",
        {"index.ts": _first('if (performance.now() < 2000) return new Response("loading", { status: 503 });')},
    ),
    BunApp(
        "probe_path_of_its_own",
        {
            "index.ts": _first(
                'if (path === "/healthz") return new Response("ok");\n'
                '    if (request.headers.get("user-agent")?.startsWith("kube-probe")) '
                "return new Response(null, { status: 401 });"
            )
        },
        health_path="/healthz",
    ),
    BunApp("prefix_aware", {"index.ts": _first(_PREFIX_AWARE)}),
    BunApp(
        "mounted_under_script_name",
        {
            "index.ts": (
                "new URL(request.url).pathname",
                'new URL(request.url).pathname.replace(process.env.SCRIPT_NAME, "")',
            )
        },
        mode="keep",
    ),
    BunApp(
        "spa_with_router",
        {
            "index.ts": (
                'return new Response("not found", { status: 404 });',
                'if (path.includes(".")) return new Response("not found", { status: 404 });\n'
                '    return new Response(Bun.file(root + "/index.html"));',
            )
        },
    ),
    BunApp(
        "web_socket",
        {
            "public/app.js": (
                'const scheme = location.protocol === "https:" ? "wss" : "ws";\n'
                "new WebSocket(`${scheme}://${location.host}${location.pathname}ws`);\n"
            )
        },
    ),
    BunApp(
        "noisy_log",
        {"index.ts": ("const items", 'for (let n = 0; n < 20000; n++) console.log("line " + n);\nconst items')},
    ),
    BunApp("ipv6_wildcard", {"index.ts": ('hostname: "0.0.0.0"', 'hostname: "::"')}),
    BunApp(
        "ignores_sigterm",
        {"index.ts": ("server.stop(true);\n  process.exit(0);", "")},
        warns={"lifecycle.sigterm": "ignores SIGTERM"},
    ),
    BunApp(
        "swallowed_build_error",
        {"build-app.sh": "#!/bin/sh\nnpm run nothing-like-this\nmkdir -p dist\ncp -r public/. dist/\n"},
        warns={"build.output": "printed errors"},
    ),
    BunApp(
        "loads_env_in_code",
        {
            **_start("exec bun index.ts"),
            "index.ts": (
                "const items",
                'for (const line of (await Bun.file(".env").text()).split("\\n")) {\n'
                '  const [key, value] = line.split("=", 2);\n  if (key) process.env[key] = value;\n}\nconst items',
            ),
        },
        warns={"environment.token": "cannot be seen from outside"},
    ),
    BunApp(
        "dead_link",
        {"public/index.html": ("./about.html", "./abuot.html")},
        warns={"crawl.links": "./abuot.html answers 404"},
    ),
)

_TOKEN = "environment.token"
_RESTRICTED = "runs with the platform's restricted token"

BROKEN = (
    BunApp(
        "crashes",
        {"index.ts": 'throw new Error("no database");\n'},
        fails={"start.listens": "exited with code 1"},
    ),
    BunApp("exits_at_once", _start("bun index.ts &"), fails={"start.listens": "runs in the background"}),
    BunApp(
        "ends_while_it_serves",
        _start("set -a; . ./.env; set +a\nbun index.ts &\nsleep 2"),
        fails={"start.stable": "runs in the background"},
    ),
    BunApp("command_missing", _start("exec bnu index.ts"), fails={"start.listens": "exited with code 127"}),
    BunApp(
        "crashes_later",
        {"index.ts": ("const items", "setTimeout(() => process.exit(3), 1500);\nawait Bun.sleep(5000);\nconst items")},
        fails={"start.listens": "exited with code 3"},
    ),
    BunApp(
        "out_of_memory",
        {"index.ts": ("const items", "const hog = [];\nfor (;;) hog.push(new Uint8Array(8e6).fill(7));\nconst items")},
        fails={"start.listens": "ran out of memory"},
        bundle="cpu.nano",
    ),
    BunApp(
        "never_listens", _start("exec sleep 1000"), fails={"start.listens": "does not listen on any port"}, patience=4
    ),
    BunApp(
        "localhost_only",
        {"index.ts": ('hostname: "0.0.0.0"', 'hostname: "127.0.0.1"')},
        fails={"start.listens": "listens on 127.0.0.1:8080 only"},
    ),
    BunApp(
        "other_port",
        {"index.ts": ("Number(process.env.PORT ?? 8080)", "3000")},
        fails={"start.listens": "listens on 0.0.0.0:3000 instead of port 8080"},
        patience=5,
    ),
    BunApp(
        "never_answers",
        {"index.ts": _first("await new Promise(() => {});")},
        fails={"start.listens": "accepts connections on port 8080 but does not answer"},
        patience=6,
    ),
    BunApp(
        "probe_needs_sign_in",
        {"index.ts": _first('return new Response("sign in", { status: 401 });')},
        fails={"start.probe": "answered with 401"},
    ),
    BunApp(
        "health_path_missing",
        health_path="/healthz",
        fails={"start.probe": "probe GET /healthz is answered with 404"},
    ),
    BunApp(
        "dies_on_request",
        {"index.ts": _first('if (path === "/app.js") process.exit(9);')},
        fails={"start.stable": "exited with code 9"},
    ),
    BunApp(
        "dies_a_second_after_a_request",
        {"index.ts": _first('if (path === "/app.js") setTimeout(() => process.exit(9), 1000);')},
        fails={"start.stable": "exited with code 9"},
    ),
    BunApp(
        "stops_answering",
        {"index.ts": _first('if (path === "/app.js") setTimeout(() => { for (;;); }, 1500);')},
        fails={"start.stable": "stopped answering: its probe GET / gets no answer any more"},
    ),
    BunApp(
        "no_start_hook",
        {"start-app.sh": "exec bun index.ts\n"},
        fails={"source.hooks": "does not begin with a line that names its interpreter"},
    ),
    BunApp(
        "interpreter_missing",
        {"start-app.sh": "#!/usr/bin/fish\nexec bun index.ts\n"},
        fails={"start.listens": "start-app.sh cannot be run: the image has no /usr/bin/fish"},
    ),
    BunApp(
        "hook_missing",
        {"start-app.sh": None},
        fails={"source.hooks": "There is no start-app.sh at the root of the app"},
    ),
    BunApp(
        "absolute_urls",
        {"public/index.html": ("./", "/")},
        fails={"front.prefix": "4 URLs leave the app's prefix, first <link rel=icon href> /logo.svg"},
    ),
    BunApp(
        "absolute_fetch",
        {"public/app.js": ("./api/items", "/api/items")},
        fails={"front.prefix": "fetch() /api/items goes to /api/items, outside the app's prefix"},
    ),
    BunApp(
        "absolute_lazy_chunk",
        {"public/app.js": ("./lazy.js", "/lazy.js")},
        fails={"front.prefix": "import() /lazy.js goes to /lazy.js"},
    ),
    BunApp(
        "absolute_in_css",
        {"public/style.css": ("./logo.svg", "/logo.svg")},
        fails={"front.prefix": "url() /logo.svg goes to /logo.svg"},
    ),
    BunApp(
        "web_socket_at_the_root",
        {"public/app.js": 'new WebSocket(location.origin.replace("http", "ws") + "/ws");\n'},
        fails={"front.prefix": "goes to /ws"},
    ),
    BunApp(
        "wrong_base",
        {"public/index.html": ("<title>", '<base href="/"><title>')},
        fails={"front.prefix": '<base href="/"> moves every relative URL'},
    ),
    BunApp(
        "redirects_to_the_root",
        {"index.ts": _first('if (path === "/") return Response.redirect("/index.html");')},
        fails={"front.page": "redirects to"},
    ),
    BunApp(
        "html_import",
        {
            "index.ts": (
                'import page from "./public/index.html";\n'
                'const server = Bun.serve({ hostname: "0.0.0.0", port: 8080, routes: { "/": page } });\n'
                'process.on("SIGTERM", () => process.exit(0));\n'
            ),
            "public/index.html": ('<a href="./about.html">About</a>', ""),
        },
        fails={"front.prefix": "URLs leave the app's prefix"},
    ),
    BunApp(
        "missing_asset",
        {"public/style.css": None},
        fails={"front.assets": "./style.css answers 404"},
    ),
    BunApp(
        "spa_fallback_masks_missing_css",
        {
            "public/style.css": None,
            "index.ts": ('new Response("not found", { status: 404 })', 'new Response(Bun.file(root + "/index.html"))'),
        },
        fails={"front.assets": "./style.css answers an HTML page where a style sheet is expected"},
    ),
    BunApp(
        "css_as_text",
        {"index.ts": _typed('path.endsWith(".css")')},
        fails={"front.assets": "./style.css is text/plain, but browsers only take text/css"},
    ),
    BunApp(
        "page_as_text",
        {"index.ts": _typed('path === "/"')},
        fails={"front.page": "not text/html"},
    ),
    BunApp(
        "bare_import",
        {"public/app.js": 'import { createRoot } from "react-dom/client";\n'},
        fails={"front.assets": 'Import "react-dom/client": browsers cannot resolve a bare name'},
    ),
    BunApp(
        "fetches_from_localhost",
        {"public/app.js": ("./api/items", "http://localhost:3000/api/items")},
        fails={"crawl.hosts": "points at the visitor's own machine"},
    ),
    BunApp("not_mounted_in_keep_mode", mode="keep", fails={"start.probe": "answered with 404"}),
    BunApp(
        "token_not_loaded",
        _start("exec bun index.ts"),
        fails={_TOKEN: f"{_RESTRICTED}: start-app.sh does not load .env"},
    ),
    BunApp(
        "token_by_env_file",
        _start("exec bun --env-file=.env index.ts"),
        fails={_TOKEN: "--env-file does not replace a variable that is set already"},
    ),
    BunApp(
        "token_in_subshell",
        _start("(set -a; . ./.env)\nexec bun index.ts"),
        fails={_TOKEN: "in a subshell"},
    ),
    BunApp(
        "token_by_source_in_sh",
        _start("set -a\nsource ./.env\nset +a\nexec bun index.ts"),
        fails={_TOKEN: "`source` does not exist in sh"},
    ),
    BunApp(
        "token_set_again",
        _start(
            'OLD=$DATAROBOT_API_TOKEN\nset -a\n. ./.env\nset +a\nexport DATAROBOT_API_TOKEN="$OLD"\nexec bun index.ts'
        ),
        fails={_TOKEN: "sets it again after it loaded .env"},
    ),
    BunApp(
        "token_emptied",
        _start("set -a\n. ./.env\nDATAROBOT_API_TOKEN=\nset +a\nexec bun index.ts"),
        fails={_TOKEN: "is empty in the serving process"},
    ),
    BunApp(
        "token_unset",
        _start("set -a\n. ./.env\nset +a\nunset DATAROBOT_API_TOKEN\nexec bun --no-env-file index.ts"),
        fails={_TOKEN: "has no DATAROBOT_API_TOKEN"},
    ),
    BunApp(
        "token_with_quotes",
        _start("export DATAROBOT_API_TOKEN=\"$(sed -n 's/^DATAROBOT_API_TOKEN=//p' .env)\"\nexec bun index.ts"),
        fails={_TOKEN: "has quotes or blanks around it"},
    ),
    BunApp(
        "logs_the_token",
        {
            "index.ts": (
                "console.log(`listening",
                "console.log(`token ${process.env.DATAROBOT_API_TOKEN.slice(0, 10)}… listening",
            )
        },
        fails={"environment.leaks": "in its log"},
    ),
    BunApp(
        "serves_the_token",
        {
            "index.ts": _first(
                'if (path === "/app.js") return new Response(`"${process.env.DATAROBOT_API_TOKEN}"`, '
                '{ headers: { "content-type": "text/javascript" } });'
            )
        },
        fails={"environment.leaks": "in what it serves"},
    ),
    BunApp(
        "inlines_the_environment",
        {
            "build-app.sh": (
                "#!/bin/sh\nset -e\nset -a\n. ./.env\nset +a\ncp -r public/. dist/\n"
                "bun build src/app.ts --outfile dist/app.js --env inline\n"
            ),
            "src/app.ts": "console.log(process.env.DATAROBOT_API_TOKEN);\n",
            "dist/.keep": "",
        },
        fails={"environment.leaks": "in what it serves"},
    ),
    BunApp(
        "serves_its_own_folder",
        {
            "index.ts": ('import.meta.dir + "/dist"', "import.meta.dir"),
            "build-app.sh": "#!/bin/sh\nset -e\ncp -r public/. .\n",
        },
        fails={"environment.private": "hands out .env"},
    ),
)

ALL = SOUND + BROKEN
