"""What the checks look at. It is filled as a smoke test goes on; a check reads, and asks the running app at most."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from toolkit.container import ContainerState, StopResult
from toolkit.fetch import Response
from toolkit.image.model import BuildFacts
from toolkit.processes import UNSEEN, Inside
from toolkit.settings import Secret
from toolkit.source import StagedSource

if TYPE_CHECKING:  # slow to load, and what is asked of the files alone does without
    from toolkit.browsing.model import BrowserResult
    from toolkit.crawl import CrawlResult

PORT = 8080
NEVER_BUILT = BuildFacts()


class App(Protocol):
    """What checks may ask of the container (`toolkit.container.RunningApp`)."""

    def exec(self, argv: list[str]) -> tuple[int, str]:
        """Run a command in the container."""
        ...


@dataclass(frozen=True)
class Waited:
    """How waiting for the first answer on port 8080 ended.

    `response` is the last answer to the probe (None: there was none), `state` and `inside` what was seen then.
    """

    response: Response | None
    seconds: float
    state: ContainerState
    inside: Inside = UNSEEN
    accepted: bool = False  # somebody took the connection, though no answer came
    spoken: str = ""  # what port 8080 speaks instead of HTTP/1.1, when that shows (toolkit.speaking)


@dataclass(frozen=True)
class Again:
    """How the release came up another time: whether and how it answered, and what it did not serve then."""

    waited: Waited
    missing: tuple[str, ...] = ()  # URLs below the prefix that the first one served
    logs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sources:
    """What ships: all that is known before something is built."""

    staged: StagedSource

    def text_of(self, path: str) -> str:
        """Give the text of a shipped file; nothing when it is not shipped."""
        for file in self.staged.files:
            if file.path == path:
                return file.local.read_bytes().decode("utf-8", "replace")
        return ""

    @property
    def paths(self) -> list[str]:
        """The names of all shipped files."""
        return [file.path for file in self.staged.files]


@dataclass(frozen=True)
class Built(Sources):
    """What ships, and what its build step did."""

    build_log: tuple[str, ...]
    build: BuildFacts = field(default=NEVER_BUILT, kw_only=True)


@dataclass(frozen=True)
class Context(Built):
    """A release under test: what is shipped, how it runs, and what was seen so far."""

    mode: str  # "strip" or "keep"
    prefix: str  # public path, with a slash at both ends
    probe_path: str
    patience: float
    memory: int
    full_token: Secret | None
    restricted_token: Secret
    ships_env: bool
    app: App
    waited: Waited
    inside: Inside = UNSEEN  # while it served
    written: tuple[str, ...] = ()  # what it wrote to its disk until then
    endpoint: str = ""  # what the platform calls itself
    parameter: str = ""  # the variable that holds the full token, when it comes as a runtime parameter
    crawled: CrawlResult | None = None
    browser: BrowserResult | None = None
    private: tuple[Response, ...] = ()  # the answers to requests for what is nobody's business
    logs: tuple[str, ...] = ()
    log_size: int = 0  # bytes; counted when there are many lines
    state: ContainerState | None = None  # after all requests, before the stop
    ran: float = 0.0  # seconds from its first answer until then
    still: Waited | None = None  # how it answered its probe then, if it was asked
    stopped: StopResult | None = None
    replica: Again | None = None  # a second container beside the first
    restarted: Again | None = None  # the first one, started again on its own disk
    left_behind: tuple[str, ...] = ()

    @property
    def environment(self) -> Mapping[str, str]:
        """The environment of the process that owns port 8080; empty when it is not known."""
        return self.inside.server.environment if self.inside.server else {}

    @property
    def down(self) -> str:
        """Why a running app cannot be asked; nothing when it can."""
        if self.waited.response is None:
            return "the app did not come up"
        if self.state is not None and not self.state.running:
            return "the app stopped while it was being used"
        return ""

    @property
    def running(self) -> bool:
        """Whether it came up, and its process is still there."""
        return self.waited.response is not None and self.state is not None and self.state.running

    @property
    def blocked(self) -> bool:
        """Whether it runs, has answered before, and does not answer any more."""
        return self.running and self.still is not None and self.still.response is None

    @property
    def unseen(self) -> str:
        """Why there is no page to judge; nothing when there is one."""
        if self.down or self.crawled is None:
            return self.down or "the app did not come up"
        if any(finding.of_start for finding in self.crawled.findings):
            return "the page did not come up"
        return ""
