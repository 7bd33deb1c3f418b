# ruff: noqa: E501 - lines of JavaScript
"""Mutations of the server: a module that Bun loads first changes what Bun.serve is given."""

from __future__ import annotations

import re

from toolkit.mutations.model import Change, Files, Mutation

MODULE, SETTINGS = "smoke-prove-mutation.js", "bunfig.toml"
_SERVES = re.compile(r"\bBun\s*\.\s*serve\b|\bserve\b.*\bfrom\s*[\"']bun[\"']")
_WRAP = """\
const serve = Bun.serve.bind(Bun);
Bun.serve = (given) => {
  const options = { ...given };
  const inner = options.fetch;
  const answer = async (request, server, path) => await inner.call(server, request, server);
  {options}
  options.fetch = async (request, server) => {
    const path = new URL(request.url).pathname;
    const probe = (request.headers.get("user-agent") ?? "").startsWith("kube-probe");
    {fetch}
    const response = await answer(request, server, path);
    if (!response) return response;
    const kind = response.headers.get("content-type") ?? "";
    const headers = new Headers(response.headers);
    {answer}
    return response;
  };
  return serve(options);
};
"""


def _wrapped(*, options: str = "", fetch: str = "", answer: str = "", first: str = "") -> Change:
    module = _WRAP.replace("{options}", options).replace("{fetch}", fetch).replace("{answer}", answer)

    def change(files: Files) -> dict[str, str | None] | None:
        scripts = (text for path, text in files.items() if path.endswith((".ts", ".js", ".tsx", ".mjs")))
        if SETTINGS in files or not any(_SERVES.search(text) for text in scripts):
            return None
        return {MODULE: first + module, SETTINGS: f'preload = ["./{MODULE}"]\n'}

    return change


UNCHANGED = _wrapped()
"""Wraps the server and changes nothing: an app that this alone breaks says nothing about the mutations below."""

_LISTENS = frozenset({"start.listens"})
_ASSETS = frozenset({"front.assets"})
_PAGE = frozenset({"front.page", "front.prefix", "front.assets"})
_RETYPE = 'if (kind.includes("{}")) { headers.set("content-type", "text/plain"); return new Response(response.body, { status: response.status, headers }); }'
_HEADER = "return new Response(response.body, { status: response.status, headers });"

SERVER = (
    Mutation("the server listens on 127.0.0.1", _wrapped(options='options.hostname = "127.0.0.1";'), _LISTENS),
    Mutation("the server listens on localhost", _wrapped(options='options.hostname = "localhost";'), _LISTENS),
    Mutation("the server listens on port 3000", _wrapped(options="options.port = 3000;"), _LISTENS, 8),
    Mutation("the server listens on a random port", _wrapped(options="options.port = 0;"), _LISTENS, 8),
    Mutation("the server throws at its start", _wrapped(options='throw new Error("no database");'), _LISTENS),
    Mutation(
        "the server exits after a second",
        _wrapped(options="setTimeout(() => process.exit(3), 1000); return serve({...options, port: 3000});"),
        _LISTENS,
    ),
    Mutation("the server never answers", _wrapped(fetch="await new Promise(() => {});"), _LISTENS, 8),
    Mutation(
        "the probe gets 401",
        _wrapped(fetch='if (probe) return new Response("no", { status: 401 });'),
        frozenset({"start.probe"}),
    ),
    Mutation("the probe gets 500", _wrapped(fetch='if (probe) throw new Error("probe");'), frozenset({"start.probe"})),
    Mutation(
        "the server dies of the first asset",
        _wrapped(fetch="if (/\\.\\w+$/.test(path)) process.exit(9);"),
        frozenset({"start.stable"}),
    ),
    Mutation("style sheets are text/plain", _wrapped(answer=_RETYPE.replace("{}", "text/css")), _ASSETS),
    Mutation("scripts are text/plain", _wrapped(answer=_RETYPE.replace("{}", "javascript")), _ASSETS),
    Mutation("the page is text/plain", _wrapped(answer=_RETYPE.replace("{}", "text/html")), frozenset({"front.page"})),
    Mutation(
        "the page redirects to the root",
        _wrapped(fetch='if (path === "/") return new Response(null, { status: 302, headers: { location: "/home" } });'),
        _PAGE,
    ),
    Mutation(
        "the page redirects to itself",
        _wrapped(fetch='if (path === "/") return new Response(null, { status: 302, headers: { location: "./" } });'),
        frozenset({"front.page", "start.probe"}),
    ),
    Mutation(
        "scripts answer the page (fallback)",
        _wrapped(fetch='if (path.endsWith(".js")) return answer(new Request(new URL("/", request.url)), server, "/");'),
        _ASSETS,
    ),
    Mutation(
        "style sheets answer 404",
        _wrapped(fetch='if (path.endsWith(".css")) return new Response("", { status: 404 });'),
        _ASSETS,
    ),
    Mutation(
        "scripts claim to be gzip",
        _wrapped(
            answer='if (kind.includes("javascript")) { headers.set("content-encoding", "gzip"); headers.delete("content-length");'
            ' return new Response("let plain = 1;", { headers }); }'
        ),
        _ASSETS,
    ),
    Mutation(
        "scripts hang half-way",
        _wrapped(
            answer='if (kind.includes("javascript")) { headers.delete("content-length"); headers.delete("content-encoding");'
            ' return new Response(new ReadableStream({ start(c) { c.enqueue("let half"); } }), { headers }); }'
        ),
        _ASSETS,
    ),
    Mutation(
        "a header holds the token",
        _wrapped(answer=f'headers.set("x-debug", process.env.DATAROBOT_API_TOKEN ?? ""); {_HEADER}'),
        frozenset({"environment.leaks"}),
    ),
    Mutation(
        ".env can be downloaded",
        _wrapped(fetch='if (path.endsWith("/.env")) return new Response(Bun.file(".env"));'),
        frozenset({"environment.private"}),
    ),
    Mutation(
        "only one host name is answered",
        _wrapped(
            fetch='if (request.headers.get("host") !== "my.app") return new Response("Invalid Host", { status: 403 });'
        ),
        frozenset({"start.probe"}),
    ),
    Mutation(
        "SIGTERM is ignored",
        _wrapped(
            first='const on = process.on.bind(process);\nprocess.on = (name, ...rest) => (name === "SIGTERM" ? process : on(name, ...rest));\n'
        ),
        frozenset({"lifecycle.sigterm"}),
    ),
)
