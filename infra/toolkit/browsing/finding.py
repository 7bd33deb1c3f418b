"""Find a Chromium on this machine."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

# Shells come first: they draw nothing for a screen, and start in half of the time.
SHELLS = ("chromium-headless-shell", "chrome-headless-shell")
NAMES = (*SHELLS, "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge")
PATTERNS = (
    "chromium_headless_shell-*/chrome-*/headless_shell",
    "chromium_headless_shell-*/chrome-headless-shell-*/chrome-headless-shell",
    "chromium-*/chrome-linux*/chrome",
    "chromium-*/chrome-mac*/Chromium.app/Contents/MacOS/Chromium",
)
VARIABLES = ("CHROMIUM", "CHROME_PATH")


def find_chromium(environ: Mapping[str, str]) -> Path | None:
    """Find a Chromium: the one named by CHROMIUM or CHROME_PATH, one on PATH, or one that Playwright has installed.

    None when there is none; what is named and is not there is not replaced by another one.
    """
    for variable in VARIABLES:
        if named := environ.get(variable, ""):
            found = shutil.which(named, path=environ.get("PATH", ""))
            return Path(found) if found else None
    for name in NAMES:
        if found := shutil.which(name, path=environ.get("PATH", "")):
            return Path(found)
    home = Path(environ.get("HOME", "/nonexistent"))
    stores = [
        Path(environ.get("PLAYWRIGHT_BROWSERS_PATH") or home / ".cache" / "ms-playwright"),
        home / "Library" / "Caches" / "ms-playwright",
    ]
    for pattern in PATTERNS:
        if installed := [path for store in stores for path in sorted(store.glob(pattern))]:
            return installed[-1]
    mac = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")
    return mac if mac.is_file() else None
