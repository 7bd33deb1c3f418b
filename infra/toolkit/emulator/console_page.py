"""The page at the root of the local platform: what is there, how it fares, and what was asked of it. Read-only."""

from __future__ import annotations

import asyncio
import html
import ipaddress
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from aiohttp import web

from toolkit.bundles import BUNDLES
from toolkit.emulator.answers import error
from toolkit.emulator.fields import NotFound
from toolkit.emulator.objects import Body
from toolkit.emulator.presence import Visits
from toolkit.emulator.serving import Runner
from toolkit.emulator.steering import Steering
from toolkit.emulator.store import Store
from toolkit.emulator.switches import Switches

SHOWN, SHOWN_LINES, SHOWN_FILES, SHOWN_REQUESTS = 50, 60, 100, 80
MINUTES = 15
LOCAL_NAMES = ("127.0.0.1", "localhost", "::1")
SECURITY = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
ASSETS = {"console.css": "text/css", "console.js": "text/javascript"}


class ConsolePage:
    """Shows the platform to whoever sits at this machine, and to whoever has signed in."""

    def __init__(
        self,
        store: Store,
        runner: Runner,
        steering: Steering,
        requests: Iterable[Body],
        signed_in: Callable[[web.BaseRequest], bool],
        endpoint: Callable[[], str],
        visits: Visits | None = None,
    ) -> None:
        self._store = store
        self._runner = runner
        self._steering = steering
        self._requests = requests
        self._signed_in = signed_in
        self._endpoint = endpoint
        self._visits = visits or Visits()

    def add_to(self, app: web.Application) -> None:
        """Register the page, its live part and its assets."""
        app.router.add_get("/", self.page)
        app.router.add_get("/__emulator__/console", self.live)
        app.router.add_get("/__emulator__/console/{name:console[.](?:css|js)}", self.asset)

    async def page(self, request: web.Request) -> web.Response:
        """GET /: the whole page."""
        if not self._may_see(request):
            return web.Response(status=302, headers={"Location": f"/sign-in?next={quote('/')}"})
        who = "signed in as the administrator" if self._signed_in(request) else "read-only"
        return _answer(draw(self._endpoint(), who, await self._content()))

    async def live(self, request: web.Request) -> web.Response:
        """GET /__emulator__/console: what changes, to be put into the page again and again."""
        if not self._may_see(request):
            return error(401, "Sign in to see this.")
        return _answer(await self._content())

    async def asset(self, request: web.Request) -> web.Response:
        """GET the style and the script; they hold nothing of the platform."""
        name = request.match_info["name"]
        content = (Path(__file__).parent / name).read_text()
        headers = {**SECURITY, "Cache-Control": "max-age=60"}
        return web.Response(text=content, content_type=ASSETS[name], headers=headers)

    def _may_see(self, request: web.BaseRequest) -> bool:
        """Who asks from this machine, under a name of this machine: no container, no page of a stranger's name."""
        return self._signed_in(request) or is_local(request.remote, request.host)

    async def _content(self) -> str:
        # In a thread: it asks the engine for logs, and visitors of the applications do not wait for that.
        asked, faults = tuple(self._requests), self._steering.faults.listed()
        switches = self._steering.switches
        return await asyncio.to_thread(content, self._store, self._runner, asked, switches, faults, self._visits.count)


def is_local(peer: str | None, host: str) -> bool:
    """Whether a request comes from this machine and names it so: other names may be a trick on the browser."""
    try:
        near = ipaddress.ip_address(peer or "").is_loopback
        return near and (urlsplit(f"//{host}").hostname or "") in LOCAL_NAMES
    except ValueError:
        return False


def draw(endpoint: str, who: str, live: str) -> str:
    """Draw the whole page around its live part."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Local DataRobot</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        '<link rel="stylesheet" href="/__emulator__/console/console.css">'
        '<script src="/__emulator__/console/console.js" defer></script></head><body>'
        '<header><div class="mark" aria-hidden="true"></div><div><h1>Local DataRobot</h1>'
        f"<p>An emulator on this machine, {_text(who)} &middot; API <code>{_text(endpoint)}</code></p></div>"
        '<p id="live" role="status">live</p></header>'
        f'<main id="content">{live}</main></body></html>'
    )


def content(
    store: Store,
    runner: Runner,
    requests: Iterable[Body],
    switches: Switches,
    faults: Sequence[Mapping[str, Any]],
    visits: Callable[[str], int] = lambda _id: 0,
) -> str:
    """Draw what changes: notices, figures, applications, environments, sources, the last requests."""
    applications, applications_total = store.find("application", newest_first=True, limit=SHOWN)
    environments, environments_total = store.find("environment", newest_first=True, limit=SHOWN)
    sources, sources_total = store.find("source", newest_first=True, limit=SHOWN)
    asked = _recent(requests)
    running = sum(one["status"] == "running" for one in applications)
    bad = sum(one["status"] >= 400 for one in asked)
    return "".join(
        [
            _notices(switches, faults),
            '<div class="figures">',
            _figure(applications_total, "applications", f"{running} running"),
            _figure(environments_total, "environments", _many(store.find("environmentVersion", limit=0)[1], "version")),
            _figure(sources_total, "sources", _many(store.find("sourceVersion", limit=0)[1], "version")),
            _figure(len(asked), f"requests in {MINUTES} min", f"{bad} with an error" if bad else "none with an error"),
            "</div>",
            _section(
                "Applications",
                applications_total,
                [_application(store, runner, one, visits(one["id"])) for one in applications],
                "Nothing is deployed yet. <code>invoke deploy --stack local</code> does it.",
            ),
            _section("Execution environments", environments_total, [_environment(store, one) for one in environments]),
            _section("Application sources", sources_total, [_source(store, one) for one in sources]),
            _asked(asked),
        ]
    )


def _recent(requests: Iterable[Body]) -> list[Body]:
    """Give the requests of the last minutes, newest first; the page's own are left out."""
    since = datetime.fromtimestamp(datetime.now(UTC).timestamp() - MINUTES * 60, UTC).isoformat(timespec="seconds")
    mine = [one for one in requests if one["at"] >= since[:19]]
    return [one for one in reversed(mine) if one["path"] != "/" and not one["path"].startswith("/__emulator__/")]


def _notices(switches: Switches, faults: Sequence[Mapping[str, Any]]) -> str:
    found = []
    if faults:
        which = ", ".join(f"{one['method']} {one['path']} ({one['fired']} so far)" for one in faults[:5])
        found.append(f"<strong>{len(faults)} fault{'s' * (len(faults) > 1)} asked for:</strong> {_text(which)}")
    if switches != Switches():
        plain = Switches().shown()
        set_anew = ", ".join(f"{key}: {value}" for key, value in switches.shown().items() if plain[key] != value)
        found.append(f"<strong>Switches:</strong> {_text(set_anew)}")
    return "".join(f'<p class="notice">{one}</p>' for one in found)


def _figure(number: int, what: str, more: str) -> str:
    return f"<div><b>{number}</b><span>{_text(what)}</span><small>{_text(more)}</small></div>"


def _section(title: str, total: int, rows: Sequence[str], none: str = "None yet.") -> str:
    more = f"<p class='none'>and {total - len(rows)} more</p>" if total > len(rows) else ""
    body = "".join(rows) + more if rows else f"<p class='none'>{none}</p>"
    return f"<section><h2>{title}</h2>{body}</section>"


def _row(key: str, name: str, state: str, facts: Sequence[str], when: str, inside: str) -> str:
    shown = "".join(f"<span>{fact}</span>" for fact in facts if fact)
    return (
        f'<details id="{_text(key)}"><summary><span class="name">{name}</span>{state}'
        f'<span class="facts">{shown}</span>{_when(when)}</summary><div class="inside">{inside}</div></details>'
    )


def _application(store: Store, runner: Runner, one: Body, visits: int) -> str:
    resources = store.application_resources(one)
    bundle = BUNDLES.get(resources["resourceLabel"])
    size = f"{bundle.cpus:g} CPU, {bundle.memory / 2**30:g} GB" if bundle else resources["resourceLabel"]
    replicas = resources["replicas"]
    version = _found(store, "sourceVersion", one["customApplicationSourceVersionId"])
    source = _found(store, "source", one["customApplicationSourceId"])
    label = f"{source['name']} {version['label']}" if source and version else ""
    asked = _many(visits, "request") if visits else ""
    facts = [_text(label), _text(f"{replicas} x {size}" if replicas > 1 else size), asked]
    path = f"/custom_applications/{_text(one['id'])}/"
    history = [
        (found["createdAt"], (_found(store, "sourceVersion", found["sourceVersionId"]) or {}).get("label", "removed"))
        for found in one["_history"][:10]
    ]
    inside = "".join(
        [
            f'<p><a href="{path}">Open it</a> <code>{_text(one["id"])}</code></p>',
            _log("Log", runner.logs(one["id"])),
            _log("Build log", [*one["_buildLog"].splitlines(), *one["_buildError"].splitlines()]),
            _list("Versions that ran", [f"{_when(at)} {_text(label)}" for at, label in history]),
        ]
    )
    return _row(one["id"], _text(one["name"]), _state(one["status"]), facts, one["updatedAt"], inside)


def _environment(store: Store, one: Body) -> str:
    versions, total = store.find("environmentVersion", parent=one["id"], newest_first=True, limit=10)
    state = _state(versions[0]["buildStatus"]) if versions else _state("no version")
    facts = [_many(total, "version"), _text(one["programmingLanguage"])]
    inside = [f"<p><code>{_text(one['id'])}</code> {_text(one['description'])}</p>"]
    for found in versions[:3]:
        title = f"Build of {found['created'][:19].replace('T', ' ')}: {found['buildStatus']}"
        inside.append(_log(title, [*found["_log"].splitlines(), *found["_error"].splitlines()]))
    return _row(one["id"], _text(one["name"]), state, facts, one["created"], "".join(inside))


def _source(store: Store, one: Body) -> str:
    versions, total = store.find("sourceVersion", parent=one["id"], newest_first=True, limit=10)
    latest = versions[0] if versions else None
    files = sorted(item["filePath"] for item in latest["items"]) if latest else []
    facts = [
        _text(f"latest {latest['label']}") if latest else "no version",
        _many(len(files), "file") if latest else "",
        _many(total, "version"),
    ]
    shown = [_text(path) for path in files[:SHOWN_FILES]]
    if len(files) > SHOWN_FILES:
        shown.append(f"and {len(files) - SHOWN_FILES} more")
    labels = [f"{_when(found['createdAt'])} {_text(found['label'])}" for found in versions]
    inside = f"<p><code>{_text(one['id'])}</code></p>{_list('Files', shown)}{_list('Versions', labels)}"
    return _row(one["id"], _text(one["name"]), "", facts, one["updatedAt"], inside)


def _asked(asked: Sequence[Body]) -> str:
    if not asked:
        return f"<section><h2>Requests</h2><p class='none'>None in the last {MINUTES} minutes.</p></section>"
    lines = []
    for one in asked[:SHOWN_REQUESTS]:
        query = f"?{one['query']}" if one["query"] else ""
        fault = f' <span class="state fault">fault {_text(one["fault"])}</span>' if "fault" in one else ""
        lines.append(
            f"<tr><td>{_text(one['at'][11:19])}</td><td>{_text(one['method'])}</td>"
            f"<td class='path'><code>{_text(one['path'])}{_text(query)}</code>{fault}</td>"
            f"<td class='s{_text(str(one['status'])[:1])}'>{_text(one['status'])}</td>"
            f"<td class='ms'>{_text(one['ms'])} ms</td></tr>"
        )
    head = "".join(f"<th scope='col'>{name}</th>" for name in ("time (UTC)", "method", "path", "status", "took"))
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
    return f"<section><h2>Requests</h2><div class='wide'>{table}</div></section>"


def _log(title: str, lines: Sequence[str]) -> str:
    if not lines:
        return ""
    return f"<h3>{_text(title)}</h3><pre>{_text(chr(10).join(lines[-SHOWN_LINES:]))}</pre>"


def _list(title: str, entries: Sequence[str]) -> str:
    return f"<h3>{title}</h3><ul>{''.join(f'<li>{entry}</li>' for entry in entries)}</ul>" if entries else ""


def _when(at: str) -> str:
    return f'<time datetime="{_text(at)}">{_text(at[:19].replace("T", " "))}</time>'


def _found(store: Store, kind: str, id: str | None) -> Body | None:  # noqa: A002
    try:
        return store.get(kind, id or "")
    except NotFound:
        return None


def _answer(text: str) -> web.Response:
    return web.Response(text=text, content_type="text/html", headers=SECURITY)


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"


def _text(value: Any) -> str:
    return html.escape(str(value))


def _state(value: str) -> str:
    return f'<span class="state {_text(value.replace(" ", "-"))}">{_text(value)}</span>'
