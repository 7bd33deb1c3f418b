"""The edge of the local platform: who may see an application, and what is shown while it is not there (contract 4)."""

from __future__ import annotations

import hashlib
import html
import itertools
import re
import secrets
import time
from collections.abc import Callable
from urllib.parse import parse_qs, quote

from aiohttp import web

from toolkit.emulator.answers import bearer, body, error
from toolkit.emulator.express import Begun, Express, short_way
from toolkit.emulator.fields import Invalid, NotFound
from toolkit.emulator.identity import Identity, same
from toolkit.emulator.objects import Body
from toolkit.emulator.presence import Visits
from toolkit.emulator.recording import SIGN_IN, Requests
from toolkit.emulator.routes import Routes
from toolkit.emulator.serving import Runner
from toolkit.emulator.store import Store
from toolkit.front import forward, request_fields
from toolkit.upstream import Upstream

PREFIX = "/custom_applications/"
COOKIE = "local-datarobot-session"
LINK_SECONDS = 3600.0
REFRESH_SECONDS = 2
SHOWN_LINES = 20
LARGEST_FORM = 64 * 2**10
KEY_HEADER = "x-datarobot-api-key"
# The visitor's own credentials are for the platform, and what it says of a visitor cannot come from the visitor.
NOT_FOR_THE_APP = (b"authorization", b"cookie", KEY_HEADER.encode(), b"x-user-id", b"x-user-email")

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>{head}<link rel="icon" href="data:,">
<style>
:root {{ color-scheme: light dark }}
body {{ font: 16px/1.5 system-ui, sans-serif; margin: 0; display: grid; place-items: center; min-height: 100vh;
  background: light-dark(#f5f6f8, #15181d); color: light-dark(#1c2430, #e6e9ee) }}
main {{ max-width: 34rem; margin: 1rem; padding: 2rem 2.5rem; border-radius: 12px;
  background: light-dark(#fff, #1e232b); box-shadow: 0 1px 3px #0003 }}
h1 {{ font-size: 1.25rem; margin: 0 0 .5rem }} p {{ margin: .5rem 0 }} small {{ opacity: .7 }}
input, button {{ font: inherit; padding: .5rem .75rem; border-radius: 8px; border: 1px solid #8886; width: 100%;
  box-sizing: border-box; margin-top: .5rem }}
button {{ background: #2d5bd1; color: #fff; border: 0; cursor: pointer }}
form {{ margin-top: 1rem }} code {{ font: .9em ui-monospace, "DejaVu Sans Mono", monospace }}
.mark {{ width: 2.1rem; height: 2.1rem; border-radius: 9px; margin-bottom: 1rem;
  background: linear-gradient(135deg, #2d5bd1, #7c4ddb) }}
input:focus-visible, button:focus-visible, a:focus-visible {{ outline: 2px solid #2d5bd1; outline-offset: 1px }}
pre {{ overflow: auto; font-size: .8rem; background: #8882; padding: .75rem; border-radius: 8px }}
</style></head><body><main><div class="mark" aria-hidden="true"></div><h1>{title}</h1>{content}
<p><small>Local DataRobot (emulator)</small></p></main></body></html>
"""


class Edge:
    """Lets visitors in, and passes their requests on to the application's containers."""

    def __init__(
        self,
        store: Store,
        runner: Runner,
        identity: Identity,
        routes: Routes,
        upstream: Upstream,
        visits: Visits | None = None,
        requests: Requests | None = None,
        is_open: Callable[[], bool] = lambda: True,
    ) -> None:
        """Make the edge; its short way is there as long as it `is_open`."""
        self._store = store
        self._runner = runner
        self._identity = identity
        self._routes = routes
        self._upstream = upstream
        self._visits = visits or Visits()
        self._links: dict[str, float] = {}
        self._turns = itertools.count()
        self.express = Express(
            store,
            runner,
            upstream,
            self._visits,
            requests or Requests(lambda _entry: None),
            turn=lambda: next(self._turns),
            is_open=is_open,
        )

    def add_to(self, app: web.Application) -> None:
        """Register the edge's routes."""
        app.router.add_route("*", f"{PREFIX}{{id}}", self.with_slash)
        app.router.add_route("*", f"{PREFIX}{{id}}/{{rest:.*}}", self.visit, expect_handler=self.expect)
        app.router.add_route("*", "/apps/{id}", self.inside)
        app.router.add_route("*", "/apps/{id}/{rest:.*}", self.inside)
        app.router.add_get(SIGN_IN, self.sign_in_page, allow_head=False)
        app.router.add_post(SIGN_IN, self.sign_in)
        app.router.add_post("/__emulator__/sign-in-link", self.make_link)

    # --- Signing in ---------------------------------------------------------------------------------------------------

    def signed_in(self, request: web.BaseRequest) -> bool:
        """Whether a browser brings the cookie of a sign-in."""
        return same(request.cookies.get(self.cookie, ""), self._identity.session)

    @property
    def cookie(self) -> str:
        """The cookie's name: a browser sends cookies to all ports of a host, and there may be several platforms."""
        return f"{COOKIE}-{self._identity.instance.removeprefix('emulator-')}"

    async def make_link(self, request: web.Request) -> web.Response:
        """POST /__emulator__/sign-in-link {next}: a link that signs in once, for an hour; needs the full token."""
        level = self._routes.level(bearer(request))
        if level != "full":
            return error(403 if level else 401, "This needs the full API token of the local platform.")
        try:
            target = _local((await body(request)).get("next", "/"))
        except Invalid as problem:
            return error(422, problem.message)
        key = secrets.token_urlsafe(24)
        self._links = {old: until for old, until in self._links.items() if until > time.monotonic()}
        self._links[key] = time.monotonic() + LINK_SECONDS
        return web.json_response({"path": f"{SIGN_IN}?key={key}&next={quote(target, safe='/')}"})

    async def sign_in_page(self, request: web.Request) -> web.Response:
        """GET /sign-in: with a good key the visitor is in; otherwise a form asks for the token."""
        target = _local(request.query.get("next", "/"))
        until = self._links.pop(request.query.get("key", ""), 0.0)
        if until > time.monotonic():
            return self._welcome(target)
        used = "<p>That link has been used or is too old.</p>" if "key" in request.query else ""
        return page(
            "Sign in",
            f'{used}<form method="post"><label>API token of the local platform'
            '<input type="password" name="token" autocomplete="current-password" autofocus required></label>'
            f'<input type="hidden" name="next" value="{html.escape(target)}"><button>Sign in</button></form>'
            "<p><small><code>invoke open</code> comes in without it; "
            "<code>invoke emulator.start --json</code> shows it.</small></p>",
        )

    async def sign_in(self, request: web.Request) -> web.Response:
        """POST /sign-in: the token that the form asked for."""
        if (request.content_length or 0) > LARGEST_FORM:
            return page("Sign in", "<p>That is too much.</p>", 413)
        form = parse_qs((await request.read()).decode("utf-8", "replace"))
        if same(form.get("token", [""])[0].strip(), self._identity.full):
            return self._welcome(_local(form.get("next", ["/"])[0]))
        return page("Sign in", "<p>This token is not known here.</p><p><a href='/sign-in'>Try again</a></p>", 401)

    def _welcome(self, target: str) -> web.Response:
        response = web.Response(status=303, headers={"Location": target})
        session = self._identity.session.reveal()
        response.set_cookie(self.cookie, session, path="/", httponly=True, samesite="Lax", max_age=30 * 24 * 3600)
        return response

    # --- Visiting -----------------------------------------------------------------------------------------------------

    async def with_slash(self, request: web.Request) -> web.Response:
        """Send visitors without the last slash to the address with it."""
        query = request.raw_path.partition("?")[2]
        location = f"/custom_applications/{quote(request.match_info['id'], safe='')}/" + (f"?{query}" if query else "")
        return web.Response(status=302, headers={"Location": location})

    async def inside(self, request: web.Request) -> web.Response:
        """Say that /apps/<id>/ is what the app sees, and where it is visible: its links have to lead there (4)."""
        application = request.match_info["id"]
        there = f"/custom_applications/{quote(application, safe='')}/"
        text = f"/apps/{application}/ is the inside of the platform; visitors find the application at {there}"
        if "text/html" in request.headers.get("Accept", ""):
            shown = f'<p>{html.escape(text)}</p><p><a href="{html.escape(there)}">Go there</a></p>'
            return page("This address is not visible outside", shown, 404)
        return error(404, text)

    async def expect(self, request: web.Request) -> web.StreamResponse | None:
        """Ask for the body only when the visitor may come in (Expect: 100-continue)."""
        if request.headers.get("Expect", "").lower() != "100-continue":
            return error(417, "Of Expect only 100-continue is known.")
        if (refused := self._refuse(request)) is None and request.transport is not None:
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return refused

    def _refuse(self, request: web.BaseRequest) -> web.Response | None:
        """Tell somebody who may not come in; programs come with a token, browsers with the cookie."""
        token = bearer(request)
        if token:
            return None if self._routes.level(token) is not None else error(401, "Invalid API token.")
        if self.signed_in(request):
            return None
        if "text/html" in request.headers.get("Accept", ""):
            there = quote(_local(request.raw_path), safe="/")
            return web.Response(status=302, headers={"Location": f"{SIGN_IN}?next={there}"})
        return error(401, "Sign in, or send an API token.")

    def leads_to_an_app(self, request: web.BaseRequest) -> bool:
        """Whether `visit` is what answers a request, without asking the router; Expect needs the longer way."""
        place, slash, _ = request.raw_path.removeprefix(PREFIX).partition("/")
        return bool(place and slash) and request.raw_path.startswith(PREFIX) and "Expect" not in request.headers

    async def visit(self, request: web.BaseRequest) -> web.StreamResponse:
        """Let the visitor in and pass the request on."""
        writes = self._store.writes  # before anything is looked at
        if (refused := self._refuse(request)) is not None:
            return refused
        wants_page = "text/html" in request.headers.get("Accept", "")
        try:
            # Not with escapes, which the front does not know either.
            application = self._store.glance("application", request.raw_path.removeprefix(PREFIX).partition("/")[0])
        except NotFound:
            return _absent(wants_page)
        targets = self._runner.targets(application["id"])
        if not targets:
            return self._not_there(application, wants_page)
        way, page = short_way(request), wants_page and request.method == "GET"
        begun = way.take_begun() if way else None
        replica = self._replica(request, application) if len(targets) > 1 else 0
        if begun is None:
            begun = Begun(targets[(next(self._turns) if replica is None else replica) % len(targets)])
        added = self._visitor(request, application)
        fields = request_fields(request, begun.target, added=added, drop=NOT_FOR_THE_APP)
        if way:
            way.learn(request, fields, page=page, replica=replica, writes=writes)
        with self._visits.visit(application["id"], page=page, entered=begun.entered):
            return await forward(request, begun.target, self._upstream, fields, begun=begun.connection)

    def _visitor(self, request: web.BaseRequest, application: Body) -> dict[str, str]:
        """Give the headers that tell the app who comes, with their other cookies (contract 4)."""
        headers = {"x-user-id": self._identity.user_id, "x-user-email": self._identity.email}
        if level := application["requiredKeyScopeLevel"]:
            headers[KEY_HEADER] = self._identity.visitor_key(level).reveal()
        pairs = [pair.strip() for line in request.headers.getall("Cookie", ()) for pair in line.split(";")]
        if kept := [pair for pair in pairs if pair and pair.partition("=")[0].strip() != self.cookie]:
            headers["Cookie"] = "; ".join(kept)
        return headers

    def _replica(self, request: web.BaseRequest, application: Body) -> int | None:
        """With session affinity give the number of a visitor's replica, always the same; None for the next in turn."""
        if not self._store.application_resources(application)["sessionAffinity"]:
            return None
        who = request.headers.get("Authorization") or f"{request.remote} {request.headers.get('User-Agent', '')}"
        return int(hashlib.sha256(who.encode("utf-8", "replace")).hexdigest(), 16)

    def _not_there(self, application: Body, wants_page: bool) -> web.Response:
        status = application["status"]
        if status == "failed":
            built = [*application["_buildLog"].splitlines(), application["_buildError"]]
            tail = "\n".join((self._runner.logs(application["id"]) or built)[-SHOWN_LINES:])
            if wants_page:
                text = f"<p>Its last log lines:</p><pre>{html.escape(tail)}</pre>"
                return page("The application failed to start", text, 503)
            return error(503, f"The application failed to start. Its last log lines: {tail}")
        if status == "running":
            return _simulated(wants_page)
        if status == "stopped":
            text = f"It was stopped. It starts with POST /__emulator__/applications/{application['id']}/start."
            return page("The application is stopped", f"<p>{text}</p>", 503) if wants_page else error(503, text)
        if status == "paused":
            self._store.set_application(application["id"], status="initializing")
            self._runner.start_application(application["id"])
        if wants_page:
            head = f'<meta http-equiv="refresh" content="{REFRESH_SECONDS}">'
            return page("The application is starting", "<p>This page shows it as soon as it is ready.</p>", 503, head)
        refused = error(503, f"The application is not running yet: {status}.")
        refused.headers["Retry-After"] = str(REFRESH_SECONDS)
        return refused


def page(title: str, content: str, status: int = 200, head: str = "") -> web.Response:
    """Answer with a small page of the platform's own."""
    text = PAGE.format(title=html.escape(title), content=content, head=head)
    return web.Response(status=status, text=text, content_type="text/html", headers={"Cache-Control": "no-store"})


def _simulated(wants_page: bool) -> web.Response:
    text = "It counts as running, but nothing runs: the platform was told to go without the engine (switches)."
    return page("No application behind this", f"<p>{text}</p>", 501) if wants_page else error(501, text)


def _absent(wants_page: bool) -> web.Response:
    if wants_page:
        return page("There is no such application", "<p>It may have been removed.</p>", 404)
    return error(404, "There is no such application.")


def _local(target: object) -> str:
    """Keep redirects on this platform: only a path with its query, never another host."""
    if not isinstance(target, str) or not re.fullmatch(r"/(?!/)[^\\\x00-\x1f\x7f]*", target):
        return "/"
    return quote(target, safe="/%?&=:;,+$@!~*'()[]-._", errors="replace")
