"""How the parts of the local platform are put together: who gets a request, and in which order."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Middleware

from toolkit.emulator.console_page import ConsolePage
from toolkit.emulator.edge import Edge
from toolkit.emulator.faults import Faults
from toolkit.emulator.identity import Identity
from toolkit.emulator.listening import Listener, Shortcut
from toolkit.emulator.mishaps import mishaps
from toolkit.emulator.objects import Body
from toolkit.emulator.presence import Reads, Visits
from toolkit.emulator.recording import Requests, recorded
from toolkit.emulator.routes import Routes
from toolkit.emulator.routes_catalogue import API
from toolkit.emulator.steering import Steered, Steering
from toolkit.emulator.store import Store
from toolkit.upstream import Upstream

LARGEST_BODY = 2 * 2**30


@dataclass(frozen=True)
class Parts:
    """What a platform is made of. `base` gives its own address, `plant` fills an empty store, `log` takes failures."""

    data: Path
    store: Store
    runner: Steered
    identity: Identity
    requests: deque[Body]
    visits: Visits
    reads: Reads
    base: Callable[[], str]
    plant: Callable[[], None]
    log: Callable[[str], None]


def wired(parts: Parts, upstream: Upstream, shutdown_timeout: float = 2.0) -> tuple[Listener, Steering]:
    """Put the parts together; what is under way when the listener closes has `shutdown_timeout` seconds to end."""
    store, runner, visits = parts.store, parts.runner, parts.visits
    routes = Routes(store, runner, parts.identity, parts.base, visits)
    steering = Steering(store, lambda: runner, routes, parts.data, plant=parts.plant, requests=parts.requests)
    faults, requests = steering.faults, Requests(parts.requests.append, parts.reads)
    record = recorded(requests, parts.log)
    app = web.Application(client_max_size=LARGEST_BODY, middlewares=[record, mishaps(faults)])
    routes.add_to(app)
    edge = Edge(store, runner, parts.identity, routes, upstream, visits, requests, is_open=lambda: not faults.there)
    edge.add_to(app)
    endpoint = lambda: parts.base() + API  # noqa: E731
    ConsolePage(store, runner, steering, parts.requests, edge.signed_in, endpoint, visits).add_to(app)
    steering.add_to(app)  # last: it answers for everything below /__emulator__/ that nobody else has
    shortcut = straight(edge, record, faults)
    return Listener(app, shutdown_timeout=shutdown_timeout, shortcut=shortcut, express=edge.express), steering


def straight(edge: Edge, record: Middleware, faults: Faults) -> Shortcut:
    """Give the shortcut for requests that lead to an application, as long as no faults are asked for."""

    def shortcut(request: web.BaseRequest) -> Awaitable[web.StreamResponse] | None:
        if faults.there or not isinstance(request, web.Request) or not edge.leads_to_an_app(request):
            return None
        return record(request, edge.visit)

    return shortcut
