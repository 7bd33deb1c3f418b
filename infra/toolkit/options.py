"""How a release is to be run and judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from toolkit.bundles import BUNDLES, DEFAULT_BUNDLE, Bundle
from toolkit.settings import Secret


@dataclass(frozen=True)
class SmokeOptions:
    """How the release is to be run, and how long things may take (seconds).

    `mode`: "strip" when the app is configured for requests on the root path, else "keep" (it sees /apps/<id>/).
    `health_path` is what the platform probes (empty: where the page is). `full_token` is what the serving process has
    to hold; without it that check is skipped. No answer tells it, nor other `secrets`. `browser` is the Chromium that
    looks at the page (None: no browser does), `only` names families (none: all of them), `keep` is called with the
    app's URL when all has been asked, and the app stays up until it returns. `settle` is how long the app has to stay
    up after its first answer; a browser spends that time anyway. `writes` is false when it is known that the app writes
    nothing that its next start could meet. `meanwhile` is called in a thread of its own while the engine keeps the test
    waiting: time for what the caller has to prepare.
    """

    mode: Literal["strip", "keep"] = "strip"
    bundle: Bundle = BUNDLES[DEFAULT_BUNDLE]
    health_path: str = ""
    full_token: Secret | None = None
    secrets: tuple[Secret, ...] = ()
    endpoint: str = ""
    env: Mapping[str, str] | None = None
    patience: float = 120.0
    grace: float = 10.0
    settle: float = 3.0
    writes: bool = True
    browser: Path | None = None
    only: frozenset[str] = frozenset()
    keep: Callable[[str], None] | None = None
    meanwhile: Callable[[], None] | None = None

    def only_of(self, *families: str) -> bool:
        """Whether nothing but these families is asked."""
        return bool(self.only) and self.only <= set(families)
