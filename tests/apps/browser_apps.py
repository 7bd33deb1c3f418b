"""Apps whose faults show only when they are used: what is asked, opened or clicked is put together at run time.

Sound ones beside them do the same things rightly. Written like `tests.apps.bun_apps`, and run with a browser.
"""

from __future__ import annotations

from tests.apps.bun_apps import _ROUTE, BunApp, _first

_APP = "public/app.js"
_TAIL = '  document.querySelector("#items").append(item.name);\n}\n'
# What the text of a script does not settle.
_ROOT = 'const root = ["", "api"].join("/");\n'
_INDEX = "public/index.html"


def _more(code: str) -> tuple[str, str]:
    """Let the page's script end with `code`."""
    return 'document.querySelector("h1").onclick = () => import("./lazy.js");\n', code


def _click(code: str) -> tuple[str, str]:
    """Let the page have a button that does this."""
    return _more(
        'const more = document.createElement("button");\nmore.textContent = "More";\n'
        f"more.onclick = async () => {{ {code} }};\ndocument.body.append(more);\n"
    )


_FALLBACK = (
    'return new Response("not found", { status: 404 });',
    'if (!path.includes(".")) return new Response(Bun.file(root + "/index.html"));\n'
    '    return new Response("not found", { status: 404 });',
)
_BASED = (
    'const mount = request.headers.get("x-forwarded-prefix") ?? "";\n'
    '    const page = async () => new Response((await Bun.file(root + "/index.html").text())\n'
    '      .replace("<head>", `<head><base href="${mount}/">`), { headers: { "content-type": "text/html" } });\n'
    '    if (path === "/" || !path.includes(".") && !path.startsWith("/api")) return page();\n'
    "    " + _ROUTE
)
_SOCKET = (
    'const ws = new WebSocket(new URL("./ws", document.baseURI).href.replace(/^http/, "ws"));\n'
    "ws.onmessage = (event) => document.body.append(event.data);\n"
)
_SOCKET_SERVER = {
    "index.ts": (
        "async fetch(request) {",
        "websocket: { open(ws) { ws.send('hello'); }, message() {} },\n"
        "  async fetch(request, server) {\n"
        '    if (new URL(request.url).pathname === "/ws")\n'
        '      return server.upgrade(request) ? undefined : new Response("", '
        "{ status: 400 });",
    )
}
_EVENTS = (
    'if (path === "/events") return new Response(new ReadableStream({ start(c) { c.enqueue("data: tick\\n\\n"); } }), '
    '{ headers: { "content-type": "text/event-stream" } });'
)

_EMPTY = "<!doctype html><title>x</title><div id=root></div><script type=module src=./app.js></script>\n"

SOUND: tuple[BunApp, ...] = (
    BunApp("b_ok_button", {_APP: _click('document.body.append("clicked")')}),
    BunApp("b_ok_lazy_by_name", {_APP: _click("await import(`./${['la', 'zy'].join('')}.js`)")}),
    BunApp(
        "b_ok_hash_router",
        {
            _APP: _more(
                'const show = () => { document.querySelector("h1").textContent = location.hash || "Start"; };\n'
                'addEventListener("hashchange", show);\n'
                'document.body.insertAdjacentHTML("beforeend", "<a href=#one>One</a> <a href=#two>Two</a>");\n'
            )
        },
    ),
    BunApp(
        "b_ok_history_router",
        {
            "index.ts": (_ROUTE, _BASED),
            _APP: _more(
                "const here = new URL(document.baseURI).pathname;\n"
                'const link = document.createElement("a");\nlink.textContent = "Details";\n'
                'link.href = here + "details";\n'
                "link.onclick = (event) => { event.preventDefault(); history.pushState({}, '', link.href); "
                'document.querySelector("h1").textContent = "Details"; };\ndocument.body.append(link);\n'
            ),
        },
    ),
    BunApp("b_ok_web_socket", {_APP: _more(_SOCKET), **_SOCKET_SERVER}),
    BunApp(
        "b_ok_events",
        {
            "index.ts": _first(_EVENTS),
            _APP: _more('new EventSource("./events").onmessage = (e) => document.body.append(e.data);\n'),
        },
    ),
    BunApp(
        "b_ok_service_worker",
        {
            _APP: _more('navigator.serviceWorker.register("./sw.js");\n'),
            "public/sw.js": 'addEventListener("fetch", () => {});\n',
        },
    ),
    BunApp(
        "b_ok_api_needs_the_platform",
        {
            "index.ts": _first('if (path === "/api/items") return new Response("upstream", { status: 502 });'),
            _APP: (
                'const answer = await fetch("./api/items");\nfor (const item of await answer.json()) {\n' + _TAIL,
                'const answer = await fetch("./api/items");\n'
                'document.querySelector("#items").textContent = answer.ok ? "there" : "DataRobot does not answer";\n',
            ),
        },
    ),
    BunApp("b_ok_dialog", {_APP: _click('if (confirm("Really?")) document.body.append("yes")')}),
    BunApp("b_ok_no_icon", {_INDEX: ('<link rel="icon" href="./logo.svg">', "")}),
    BunApp("b_ok_never_idle", {_APP: _more("setInterval(() => fetch('./api/items'), 200);\n")}),
    BunApp("b_ok_json_page", {"index.ts": _first('if (path === "/") return Response.json({ items });')}),
    BunApp(
        "b_ok_cookie_in_its_folder",
        {_APP: _more('document.cookie = "seen=1";\n')},
    ),
    BunApp(
        "b_ok_policy",
        {
            "index.ts": (
                "if (await file.exists()) return new Response(file);",
                'if (await file.exists()) return new Response(file, { headers: { "content-security-policy": '
                "\"default-src 'self'\" } });",
            )
        },
    ),
    BunApp("b_ok_canvas_only", {_INDEX: '<!doctype html><title>c</title><canvas width="50" height="50"></canvas>\n'}),
)

BROKEN: tuple[BunApp, ...] = (
    BunApp(
        "b_fetch_at_the_root", {_APP: _more(_ROOT + "await fetch(root + '/items');\n")}, {"browser.prefix": "/api/"}
    ),
    BunApp(
        "b_fetch_at_the_root_on_click",
        {_APP: _click("await fetch(['', 'items'].join('/'))")},
        {"browser.prefix": "/items"},
    ),
    BunApp(
        "b_image_at_the_root",
        {_APP: _click("const i = new Image(); i.src = ['', 'logo.svg'].join('/'); document.body.append(i);")},
        {"browser.prefix": "/logo.svg"},
    ),
    BunApp(
        "b_chunk_missing_on_click",
        {_APP: _click("await import(`./${['chunk', 'x'].join('-')}.js`)")},
        {"browser.requests": "chunk-x.js"},
    ),
    BunApp(
        "b_chunk_one_level_too_deep",
        {
            _APP: _click("await import(`./${['chunks', 'app.js'].join('/')}`)"),
            "public/chunks/app.js": "await import(`./${['chunks', 'more.js'].join('/')}`);\n",
            "public/chunks/more.js": "export {};\n",
        },
        {"browser.requests": "more.js"},
    ),
    BunApp(
        "b_push_state_to_the_root",
        {"index.ts": _FALLBACK, _APP: _click("history.pushState({}, '', ['', 'details'].join('/'))")},
        {"browser.prefix": "/details"},
    ),
    BunApp(
        "b_location_at_the_root",
        {_APP: _click("location.href = ['', 'login'].join('/')")},
        {"browser.prefix": "/login"},
    ),
    BunApp(
        "b_rendered_link_at_the_root",
        {
            _APP: _more(
                "document.body.insertAdjacentHTML('beforeend', `<a href=\"${['', 'about.html'].join('/')}\">Go</a>`);\n"
            )
        },
        {"browser.prefix": "/about.html"},
    ),
    BunApp(
        "b_web_socket_at_the_root",
        {
            _APP: _more("new WebSocket(`wss://${location.host}${['', 'ws'].join('/')}`);\n"),
            **_SOCKET_SERVER,
        },
        {"browser.prefix": "/ws"},
    ),
    BunApp(
        "b_web_socket_refused",
        {_APP: _more(_SOCKET.replace("./ws", "./sockets"))},
        {"browser.sockets": "sockets"},
    ),
    BunApp(
        "b_events_of_the_wrong_type",
        {
            "index.ts": _first(_EVENTS.replace("text/event-stream", "text/plain")),
            _APP: _more('new EventSource("./events");\n'),
        },
        {"browser.sockets": "events"},
    ),
    BunApp(
        "b_policy_blocks_the_script",
        {
            "index.ts": (
                "if (await file.exists()) return new Response(file);",
                'if (await file.exists()) return new Response(file, { headers: { "content-security-policy": '
                "\"script-src 'none'\" } });",
            )
        },
        {"browser.blocked": "script"},
    ),
    BunApp(
        "b_stays_empty",
        {
            _INDEX: _EMPTY,
            _APP: 'const root = document.querySelector("#roto");\nroot.textContent = "hello";\n',
        },
        {"browser.page": "The page stays empty: TypeError: Cannot set properties of null"},
    ),
    BunApp(
        "b_script_is_no_javascript",
        {
            _INDEX: _EMPTY,
            _APP: "import React from;\n",
        },
        {"browser.page": "The page stays empty: SyntaxError"},
    ),
    BunApp(
        "b_style_of_the_wrong_type",
        {
            "index.ts": (
                "return new Response(file);",
                'return new Response(file, path.endsWith("late.css")'
                ' ? { headers: { "content-type": "text/plain" } } : {});',
            ),
            _APP: _more(
                "const l = document.createElement('link');\nl.rel = 'stylesheet';\n"
                "l.href = './' + ['late', 'css'].join('.');\ndocument.head.append(l);\n"
            ),
            "public/late.css": "h1 { color: red }\n",
        },
        {"browser.styles": "late.css"},
    ),
    BunApp(
        "b_deep_link_is_not_answered",
        {
            _APP: _click(
                "history.pushState({}, '', './details/7'); document.querySelector('h1').textContent = 'Details'"
            )
        },
        {"browser.deeplink": "details/7"},
    ),
    BunApp(
        "b_deep_link_loses_its_files",
        {
            "index.ts": _FALLBACK,
            _APP: _click(
                "history.pushState({}, '', './details/7'); document.querySelector('h1').textContent = 'Details'"
            ),
        },
        {"browser.requests": "wrong folder"},
    ),
    BunApp(
        "b_asks_this_machine",
        {_APP: _more("await fetch(['http://localhost', '3000'].join(':') + '/items').catch(() => {});\n")},
        {"browser.hosts": "localhost"},
    ),
    BunApp(
        "b_api_answers_the_page",
        {
            "index.ts": _FALLBACK,
            _APP: _more(
                "const more = await (await fetch(`./${'things'}`)).json();\ndocument.body.append(more.length);\n"
            ),
        },
        {"browser.requests": "things"},
    ),
    BunApp(
        "b_hangs",
        {_APP: _click("for (;;) {}")},
        {"browser.page": "stops answering"},
    ),
)

WARNED: tuple[BunApp, ...] = (
    BunApp(
        "b_cookie_for_the_whole_host",
        {_APP: _more('document.cookie = "seen=1; path=/";\n')},
        warns={"browser.cookies": "seen"},
    ),
    BunApp(
        "b_throws_on_click",
        {_APP: _click("null.length")},
        warns={"browser.errors": ""},
    ),
)

ALL = SOUND + BROKEN + WARNED
