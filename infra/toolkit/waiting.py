"""Wait for an app to come up as the platform does: with its probe, patiently, and not when it never will."""

from __future__ import annotations

import time
from typing import Protocol
from urllib.parse import urlsplit

from toolkit.checks.context import PORT, Waited
from toolkit.container import ContainerState
from toolkit.fetch import HttpFetch, Response
from toolkit.processes import UNSEEN, Inside
from toolkit.speaking import spoken

PROBE_AGENT = "kube-probe/1.30"
PROBE_HOST = "10.0.0.17:8080"  # a probe names the address of the pod, which nobody knows before
POLL = 0.05
STATE_EVERY = 0.25
FIRST_LOOK, LOOK_EVERY = 3.0, 3.0
OTHER_PORT_PATIENCE = 20.0
NO_ANSWER_PATIENCE = 30.0
BAD_STATUS_PATIENCE = 5.0
NOT_YET = (502, 503, 504)  # who stands before the app says that it does not answer yet
LONGER, MORE = 3.0, 10.0  # a later start may take so many times as long as the first, and some seconds more


class App(Protocol):
    """A started app, as far as waiting for it goes."""

    def state(self) -> ContainerState:
        """Ask the engine for the state of its container."""
        ...

    def look_inside(self) -> Inside:
        """Give its processes and listening sockets."""
        ...


def wait(app: App, url: str, patience: float) -> Waited:
    """Ask `url` as the platform's probe does, until it is well, the app has exited, or it is clear that it never will.

    Gives up after `patience` seconds.
    """
    began = time.monotonic()
    looks: list[tuple[float, frozenset[tuple[str, int]]]] = []
    inside, language = UNSEEN, ""
    state = ContainerState("running", True, 0, False, "")
    answered_at: float | None = None
    accepted_at: float | None = None
    asked_state, next_look = 0.0, FIRST_LOOK
    response: Response | None = None
    with HttpFetch({"user-agent": PROBE_AGENT, "host": PROBE_HOST}, timeout=5.0, connections=1) as fetch:
        while True:
            got = fetch(url)
            now = time.monotonic() - began
            if got.status:
                response = got
                answered_at = now if answered_at is None else answered_at
                if 200 <= got.status < 400:
                    break
                if got.status not in NOT_YET and now - answered_at > BAD_STATUS_PATIENCE:
                    break
            elif got.error.startswith("no answer"):
                accepted_at = now if accepted_at is None else accepted_at
                if now - accepted_at > NO_ANSWER_PATIENCE:
                    break
            if now - asked_state > STATE_EVERY:
                asked_state = now
                state = app.state()
                if not state.running:
                    response = None
                    break
            if response is None and now > next_look:
                inside = app.look_inside()
                next_look = time.monotonic() - began + LOOK_EVERY
                looks.append((now, frozenset((one.address, one.port) for one in inside.listeners)))
                if hopeless(looks) or (language := _language(url, inside)):
                    break
            if now > patience:
                break
            time.sleep(POLL)
    seconds = time.monotonic() - began
    if response is None and state.running:
        latest = app.look_inside()
        inside = inside if latest == UNSEEN else latest
    return Waited(response, seconds, state, inside, accepted_at is not None, language)


def _language(url: str, inside: Inside) -> str:
    """What the app's own port speaks instead of HTTP, once somebody listens there for everybody."""
    parts = urlsplit(url)
    open_to_all = any(one.port == PORT and one.address in ("0.0.0.0", "::") for one in inside.listeners)
    return spoken(parts.hostname or "", parts.port or PORT) if open_to_all else ""


def hopeless(looks: list[tuple[float, frozenset[tuple[str, int]]]]) -> bool:
    """Whether the app has settled on listening where nobody will ask: seen twice the same, and it is no passing state.

    An address that only the container itself reaches is final at once; another port may belong to something that
    opens before the server, so that is given more time.
    """
    if len(looks) < 2 or looks[-1][1] != looks[-2][1] or not looks[-1][1]:
        return False
    seconds, listening = looks[-1]
    on_port = {address for address, port in listening if port == PORT}
    if on_port:
        return all(address.startswith("127.") or address == "::1" for address in on_port)
    return seconds >= OTHER_PORT_PATIENCE


def patience(first: float, most: float) -> float:
    """How long a later start may take (seconds) when the first took `first` seconds."""
    return min(most, LONGER * first + MORE)
