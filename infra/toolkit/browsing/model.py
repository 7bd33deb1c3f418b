"""What the browser saw, in plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

CALLS = frozenset({"fetch", "xhr", "ping", "eventsource"})

Where = Literal["inside", "outside", "elsewhere"]


@dataclass(frozen=True)
class Ports:
    """The ports of 127.0.0.1 that stand for the http and the https port of the URL's host."""

    plain: int
    secure: int


@dataclass(frozen=True)
class Budget:
    """How far the exploration goes. Actions end it, seconds only guard it: the same app gives the same result."""

    actions: int = 20
    reloads: int = 3
    ready: float = 5.0  # seconds until the page has loaded
    seconds: float = 40.0  # altogether


@dataclass(frozen=True)
class Asked:
    """One request of the browser. `status` is 0 when there was no answer, `failure` says why then."""

    url: str
    method: str
    kind: str  # Playwright's resource type: document, script, stylesheet, image, font, fetch, xhr, eventsource, …
    where: Where
    step: str
    status: int = 0
    content_type: str = ""
    failure: str = ""
    is_frame: bool = False
    held_back: bool = False  # it would have changed something, so it was not let through
    like_page: bool = False  # its answer is the start page itself
    heeded: bool = False  # it failed, and the script looked whether it did
    compressed: bool = False  # an event stream that comes compressed, and that has told no event


@dataclass(frozen=True)
class Said:
    """An error that a script threw (`kind` is its name), or that was written to the console (`kind` "console")."""

    kind: str
    text: str
    place: str  # URL:line:column, as far as known
    step: str
    rejection: bool = False


@dataclass(frozen=True)
class Blocked:
    """What the page's own Content-Security-Policy kept out."""

    directive: str
    url: str
    place: str
    step: str


@dataclass(frozen=True)
class Sheet:
    """A stylesheet that is in the page and has no rules."""

    url: str
    content_type: str
    step: str


@dataclass(frozen=True)
class Socket:
    """A WebSocket: `status` of the handshake (0: none), `error` when it failed."""

    url: str
    where: Where
    step: str
    status: int = 0
    error: str = ""


@dataclass(frozen=True)
class Cookie:
    """A cookie that the app left in the browser."""

    name: str
    path: str


@dataclass(frozen=True)
class Visit:
    """A page that was seen: `how` it was reached, and whether it showed anything."""

    url: str
    how: str
    status: int  # of its document; 0 when the page was reached without loading one
    shown: bool
    root: str = ""  # the element that ought to hold the page and is empty
    complains: bool = False  # it tells the visitor of an error
    lost: str = ""  # the line by which it says that there is no such page


@dataclass(frozen=True)
class BrowserResult:
    """Everything that the browser saw, in the order in which it saw it."""

    start_url: str
    prefix: str
    version: str = ""
    problem: str = ""  # why the browser could not look at the page at all
    hangs: str = ""  # during which step the page stopped answering
    visits: tuple[Visit, ...] = ()
    asked: tuple[Asked, ...] = ()
    said: tuple[Said, ...] = ()
    blocked: tuple[Blocked, ...] = ()
    sheets: tuple[Sheet, ...] = ()
    sockets: tuple[Socket, ...] = ()
    cookies: tuple[Cookie, ...] = ()
    links: tuple[str, ...] = ()  # hrefs of the rendered pages that leave the prefix
    strayed: tuple[tuple[str, str], ...] = ()  # addresses outside the prefix that the page took on, and the step
    steps: tuple[str, ...] = ()
    untouched: tuple[str, ...] = ()  # controls that were not clicked on purpose
    dialogs: tuple[str, ...] = ()
    complete: bool = True
    screenshot: bytes | None = field(default=None, repr=False)
    bodies: Mapping[str, bytes] = field(
        default_factory=dict, repr=False
    )  # answers to scripts, by path below the prefix
    seconds: float = 0.0

    @property
    def origin(self) -> str:
        """Scheme and host of the front."""
        return self.start_url[: self.start_url.index("/", 8)]

    def short(self, url: str) -> str:
        """Give a URL as people know it: relative to the app's prefix, else to the host."""
        path = url.removeprefix(self.origin) if url.startswith(self.origin) else url
        return f"./{path[len(self.prefix) :]}" if path.startswith(self.prefix) else path
