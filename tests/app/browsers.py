"""The browser that looks at pages in tests: the one that a smoke test would take."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

from toolkit.browsing.finding import find_chromium
from toolkit.browsing.session import FLAGS


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start it; it is gone at the end."""
    program = find_chromium(os.environ)
    assert program is not None
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", *FLAGS])
        yield running
        running.close()
