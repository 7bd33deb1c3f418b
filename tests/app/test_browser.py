"""What Chromium sees of small pages, and what the checks make of it: a sound page, and changes of it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from aiohttp import web

from tests.apps.contexts import context
from toolkit.browsing import finding, session
from toolkit.browsing.model import BrowserResult
from toolkit.checks.browser import CHECKS
from toolkit.report import Check

pytestmark = pytest.mark.browser

PREFIX = "/custom_applications/66aa00000000000000000001/"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Content = str | tuple[int, str, str] | Handler  # a body (its type follows from the path), or status, type, body
TYPES = {".js": "text/javascript", ".css": "text/css", ".json": "application/json", ".svg": "image/svg+xml"}

PAGE = """<!doctype html><meta charset=utf-8><title>Items</title><link rel=icon href=./logo.svg>
<link rel=stylesheet href=./style.css><h1>Items</h1><p id=out></p>{more}<script type=module src=./app.js></script>"""
SOUND: Mapping[str, Content] = {
    "": PAGE.format(more=""),
    "style.css": "h1 { color: teal }",
    "app.js": "out.textContent = 'ready'",
    "logo.svg": "<svg xmlns='http://www.w3.org/2000/svg' width='8' height='8'/>",
    "second.html": "<!doctype html><title>Second</title><p>Second",
}


@contextmanager
def served(app: Mapping[str, Content]) -> Iterator[str]:
    """Serve an app below the prefix, and 404 for the platform around it."""
    ready, loop, port = threading.Event(), asyncio.new_event_loop(), 0

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        path = request.path.removeprefix(PREFIX) if request.path.startswith(PREFIX) else "!"
        content = app.get(
            path, app.get("*", (404, "text/plain", "not found")) if path != "!" else (404, "text/html", "")
        )
        if callable(content):
            return await content(request)  # type: ignore[arg-type]
        if isinstance(content, str):
            content = (200, TYPES.get(Path(path).suffix, "text/html"), content)
        status, kind, body = content
        return web.Response(status=status, body=body.encode(), headers={"Content-Type": kind} if kind else {})

    async def serve() -> None:
        nonlocal port
        runner = web.ServerRunner(web.Server(answer), shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        ready.set()
        await over.wait()
        await runner.cleanup()

    over = asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    ready.wait()
    try:
        yield f"http://127.0.0.1:{port}{PREFIX}"
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
        loop.close()


def look(changes: Mapping[str, Content]) -> BrowserResult:
    chromium = finding.find_chromium(os.environ)
    assert chromium is not None
    with served({**SOUND, **changes}) as url:
        return session.explore(url, prefix=PREFIX, chromium=chromium)


def judged(folder: Path, seen: BrowserResult) -> dict[str, Check]:
    answers = [check(context(folder, browser=seen, prefix=PREFIX)) for check in CHECKS]
    return {answer.id: answer for answer in answers if answer.status in {"fail", "warn"}}


def page(more: str) -> str:
    return PAGE.format(more=more)


async def echo(request: web.Request) -> web.StreamResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        await socket.send_str(message.data)
    return socket


async def ticks(request: web.Request) -> web.StreamResponse:
    stream = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await stream.prepare(request)
    for number in range(100):
        await stream.write(f"data: {number}\n\n".encode())
        await asyncio.sleep(0.1)
    return stream


def cookie(text: str) -> Handler:
    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.Response(text=page(""), content_type="text/html", headers={"Set-Cookie": text})

    return answer


def policy(text: str, body: str) -> Handler:
    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.Response(text=body, content_type="text/html", headers={"Content-Security-Policy": text})

    return answer


ROUTER = """const go = (path) => { history.pushState({}, '', path); out.textContent = path };
out.textContent = location.pathname; document.querySelector('button').onclick = () => go('%s');"""
SOUND_APPS: Mapping[str, Mapping[str, Content]] = {
    "plain": {},
    "stylesheet of another host": {"": page("<link rel=stylesheet href=https://fonts.test/css2?family=Inter>")},
    "no icon": {"": page("").replace("<link rel=icon href=./logo.svg>", "")},
    "two pages": {"": page("<a href=second.html>Second</a>"), "second.html": "<p>Second <a href=./>back</a>"},
    "its API needs the platform": {
        "app.js": "const got = await fetch('./api/items'); if (!got.ok) { console.error('no'); throw Error('no') }",
        "api/items": (502, "application/json", "{}"),
    },
    "its API needs the platform, and says so in JSON": {
        "app.js": "const got = await (await fetch('./api/items')).json(); console.log(got.items[0].name)",
        "api/items": (502, "application/json", '{"error": "down"}'),
    },
    "WebSocket and events": {
        "app.js": "const s = new WebSocket(new URL('./ws', location.href).href.replace('http', 'ws'));"
        "s.onopen = () => s.send('hi'); s.onmessage = (e) => { out.textContent = e.data };"
        "new EventSource('./events').onmessage = (e) => { document.title = e.data }",
        "ws": echo,
        "events": ticks,
    },
    "router with a fallback": {
        "": page("<button>Second</button>").replace("./", PREFIX),
        "app.js": ROUTER % (PREFIX + "second"),
        "*": page("<button>Second</button>").replace("./", PREFIX),
    },
    "a form": {
        "": page("<form action=./items method=post><input name=q><button>Save</button></form><button>More</button>")
    },
    "dialogs, downloads and new windows": {
        "": page(
            "<button onclick='alert(1)'>A</button><button onclick='confirm(2)'>B</button>"
            "<button onclick=\"window.open('./second.html')\">C</button><a download href=./file.bin>D</a>"
            "<button onclick=\"location.href = './file.bin'\">E</button>"
        ),
        "file.bin": (200, "application/octet-stream", "bytes"),
    },
    "scripts of another host": {
        "": "<!doctype html><div id=root></div><script src=https://cdn.example/react.js></script>"
        "<script>React.render()</script>",
    },
    "a list of what HTTP answers": {"": page("<p>404 Not Found</p><p>" + "It is told in the body why. " * 25 + "</p>")},
    "a page that polls and never rests": {"app.js": "setInterval(() => fetch('./style.css?' + Math.random()), 20)"},
    "a script that is waiting for an answer": {
        "app.js": "fetch('./slow').then(() => { out.textContent = 'late' })",
        "slow": lambda _request: asyncio.sleep(30),  # type: ignore[dict-item, return-value]
    },
    "a service worker": {
        "app.js": "await navigator.serviceWorker.register('./sw.js'); out.textContent = 'ready'",
        "sw.js": "addEventListener('fetch', (e) => e.respondWith(fetch(e.request)))",
    },
    "a web component": {
        "": page("<x-more></x-more>"),
        "app.js": "customElements.define('x-more', class extends HTMLElement { connectedCallback() {"
        "this.attachShadow({mode: 'open'}).innerHTML = '<button>More</button>';"
        "this.shadowRoot.firstChild.onclick = () => import('./more.js') } })",
        "more.js": "out.textContent = 'more'",
    },
    "a library that tries eval under a policy": {
        "": policy("script-src 'self'", page("")),
        "app.js": "try { new Function('') } catch {}; out.textContent = 'ready'",
    },
    "a canvas": {"": "<!doctype html><title>x</title><canvas width=50 height=50></canvas>"},
    "JSON": {"": (200, "application/json", '{"ok": true}')},
}


@pytest.mark.parametrize("name", SOUND_APPS)
def test_nothing_is_said_of_a_sound_page(tmp_path: Path, name: str) -> None:
    seen = look(SOUND_APPS[name])
    assert seen.problem == ""
    found = judged(tmp_path, seen)
    assert "fail" not in {check.status for check in found.values()}, found
    if "API" not in name:
        assert found == {}
    assert seen.screenshot is not None
    assert seen.seconds < 20


BROKEN: Mapping[str, tuple[Mapping[str, Content], str, str]] = {
    "empty root": ({"": "<!doctype html><title>x</title><div id=root></div>"}, "browser.page", "#root has no content"),
    "server code in the browser": (
        {"app.js": "out.textContent = process.env.HOME"},
        "browser.errors",
        "process is not defined",
    ),
    "lazy chunk at the root": (
        {"": page("<button onclick=\"import('/lazy.js')\">More</button>")},
        "browser.prefix",
        "GET /lazy.js (script, click on “More”) leaves",
    ),
    "form at the root": (
        {"": page("<form action=/items method=post><button>Save</button></form>")},
        "browser.prefix",
        "POST /items (document, click on “Save”) leaves",
    ),
    "lazy chunk missing": (
        {"": page("<button onclick=\"import('./lazy.js')\">More</button>")},
        "browser.requests",
        "./lazy.js answers 404",
    ),
    "router without a base": (
        {"": page("<button>Second</button>"), "app.js": ROUTER % "/second"},
        "browser.prefix",
        "/second",
    ),
    "router without a fallback": (
        {"": page("<button>Second</button>"), "app.js": ROUTER % (PREFIX + "second")},
        "browser.deeplink",
        "./second was reached by clicks, but answers 404",
    ),
    "stylesheet of a wrong type": (
        {"style.css": (200, "text/plain", "h1 { color: red }")},
        "browser.styles",
        "./style.css takes no effect: it comes as text/plain",
    ),
    "fallback instead of data": (
        {"app.js": "await (await fetch('./api/items')).json()", "*": page("")},
        "browser.requests",
        "./api/items answers the start page instead of data",
    ),
    "WebSocket at the root": (
        {"app.js": "new WebSocket(`ws://${location.host}/ws`)"},
        "browser.prefix",
        "WebSocket /ws",
    ),
    "WebSocket that nobody answers": (
        {"app.js": "new WebSocket(new URL('./ws', location.href).href.replace('http', 'ws'))"},
        "browser.sockets",
        "The WebSocket ./ws does not connect",
    ),
    "event stream of a wrong type": (
        {"app.js": "new EventSource('./events')", "events": (200, "text/plain", "data: 1")},
        "browser.sockets",
        "text/plain instead of text/event-stream",
    ),
    "own machine": (
        {"app.js": "fetch('http://localhost:3000/api')"},
        "browser.hosts",
        "http://localhost:3000/api asks",
    ),
    "insecure script": (
        {"app.js": "out.append(Object.assign(document.createElement('script'), {src: 'http://cdn.example/x.js'}))"},
        "browser.hosts",
        "http://cdn.example/x.js is not https",
    ),
    "own policy blocks": (
        {"": policy("script-src 'none'", page(""))},
        "browser.blocked",
        "blocks ./app.js (script-src-elem)",
    ),
    "cookie for everybody": ({"": cookie("session=1; Path=/")}, "browser.cookies", "session leaves the app's prefix"),
    "cookie for nobody": ({"": cookie("session=1; Path=/api")}, "browser.cookies", "never sends it to the app"),
    "endless loop": (
        {"": page("<button onclick='for (;;);'>Go</button>")},
        "browser.page",
        "stops answering click on “Go”",
    ),
    "relative files below a deep link": (
        {
            "": page("<button>Second</button>"),
            "app.js": ROUTER % (PREFIX + "items/5"),
            "items/5": page("<button>Second</button>"),
        },
        "browser.requests",
        "Reloaded at ./items/5, the page looks for its files in the wrong folder: ./items/",
    ),
    "its own API is broken": (
        {"app.js": "fetch('./api/items')", "api/items": (500, "text/plain", "TypeError")},
        "browser.requests",
        "own call GET ./api/items is answered with 500",
    ),
    "fetch at the root": (
        {"app.js": "fetch('/api/items').catch(() => 0)"},
        "browser.prefix",
        "GET /api/items (fetch, on load)",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_the_cause_is_named(tmp_path: Path, name: str) -> None:
    changes, check, words = BROKEN[name]
    found = judged(tmp_path, look(changes))
    assert check in found, found
    assert words in found[check].title


def test_what_would_change_something_is_held_back(tmp_path: Path) -> None:
    changed: list[str] = []

    async def change(request: web.Request) -> web.StreamResponse:
        changed.append(request.method)
        return web.Response(text="done")

    seen = look(
        {
            "": page("<button onclick=\"fetch('./items', {method: 'POST'})\">Save</button><button>Delete all</button>"),
            "items": change,
        }
    )
    assert changed == []
    assert seen.untouched == ("Delete all",)
    assert [asked.held_back for asked in seen.asked if asked.method == "POST"] == [True]
    assert judged(tmp_path, seen) == {}


def test_no_other_host_is_asked_not_even_on_this_machine() -> None:
    asked: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        return web.Response(text="")

    with served({"": answer, "x.js": answer, "*": answer}) as other:
        seen = look({"app.js": f"fetch('{other}', {{mode: 'no-cors'}}); new Image().src = '{other}x.js'"})
    assert asked == []
    assert {one.where for one in seen.asked if one.url.startswith(other)} == {"elsewhere"}


def test_the_same_page_gives_the_same_result() -> None:
    controls = "".join(f"<button onclick=\"import('./{n}.js')\">{n}</button>" for n in range(5))
    app = {"": page(controls + "<a href=second.html>Second</a>"), "*": (200, "text/javascript", "")}
    runs = [look(app) for _ in range(3)]
    seen = [
        (run.steps, [(one.url.rpartition("/")[2], one.step) for one in run.asked if one.kind != "other"])
        for run in runs
    ]
    assert seen[0] == seen[1] == seen[2]
    assert len(runs[0].steps) >= 6


def test_a_browser_that_does_not_start_is_no_error_of_the_app(tmp_path: Path) -> None:
    seen = session.explore("http://127.0.0.1:9/x/", prefix="/x/", chromium=Path("/bin/false"))
    found = judged(tmp_path, seen)
    assert list(found) == ["browser.explored"]
    assert found["browser.explored"].status == "warn"


def children() -> set[str]:
    """The ids of this process's children."""
    command = ["ps", "-o", "pid=", "--ppid", str(os.getpid())]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as ps:
        return set(ps.communicate()[0].split()) - {str(ps.pid)}


def more_children_than(before: set[str]) -> bool:
    until = time.monotonic() + 30
    while children() == before and time.monotonic() < until:
        time.sleep(0.05)
    return children() > before


def test_a_browser_may_start_before_there_is_something_to_be_seen() -> None:
    chromium = finding.find_chromium(os.environ)
    assert chromium is not None
    before = children()
    with (
        served(SOUND) as url,
        session.Explorer(url, prefix=PREFIX, chromium=chromium) as explorer,
    ):
        explorer.open()
        assert more_children_than(before)
        seen = explorer.look()
    assert (seen.problem, seen.visits[0].shown) == ("", True)
    assert children() == before


def test_a_browser_that_is_not_wanted_any_more_goes() -> None:
    chromium = finding.find_chromium(os.environ)
    assert chromium is not None
    before = children()
    with session.Explorer("http://127.0.0.1:9/x/", prefix="/x/", chromium=chromium) as explorer:
        explorer.open()
        assert more_children_than(before)
        time.sleep(0.5)  # in the middle of its start, or after it: both have to do
    assert children() == before
    assert not [thread for thread in threading.enumerate() if thread.name == "browser"]


def test_what_scripts_are_answered_is_kept_for_a_search() -> None:
    seen = look({"app.js": "await (await fetch('./api/config')).json()", "api/config": '{"token": "x"}'})
    assert seen.bodies == {"api/config": b'{"token": "x"}'}
