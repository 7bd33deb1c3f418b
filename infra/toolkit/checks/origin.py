"""Where in the app's files does a literal come from? A search, in what is shipped and in what the build made of it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from toolkit.checks.context import App, Context
from toolkit.crawl import Finding
from toolkit.places import PLATFORM_ORIGIN

_TEXT: tuple[str, ...] = (
    ".html",
    ".htm",
    ".ts",
    ".tsx",
    ".js",
    ".jsx",
    ".mjs",
    ".cjs",
    ".css",
    ".json",
    ".svg",
    ".webmanifest",
    ".vue",
)
_TEXT += (".svelte", ".astro", ".md", ".mdx", ".sh", ".py", ".txt", ".ejs", ".hbs", ".scss", ".less", ".mts")
_MOST = 4
_END = "end of the search"
_LARGEST = 2 * 2**20


def places(context: Context, finding: Finding) -> list[str]:
    """Give `file:line` of a few places where the literal of `finding` is written.

    Files that are called like the document that names it come first (server code may hold the same text as a route),
    and what is shipped before what the build made of it.
    """
    needles = _needles(finding)
    document = PurePosixPath(finding.named_by[0].rpartition(":")[0]).stem if finding.named_by else ""
    found: list[str] = []
    for file in sorted(context.staged.files, key=lambda file: PurePosixPath(file.path).stem != (document or "index")):
        if file.path.endswith(_TEXT) and len(found) < _MOST:
            found.extend(f"{file.path}:{line}" for line in lines_with(file.local, needles)[:2])
    shipped = {file.path for file in context.staged.files}
    found.extend(place for place in _built(context.app, needles) if place.rsplit(":", 1)[0] not in shipped)
    return found[: _MOST + 2]


def _needles(finding: Finding) -> list[str]:
    """How the literal may be written: quoted, or as the beginning of something quoted."""
    texts = [finding.literal.strip("`\"'")]
    if finding.known and finding.known not in texts and PLATFORM_ORIGIN not in finding.known:
        texts.append(finding.known)
    needles = []
    for text in texts:
        if len(text) >= 8 and "\n" not in text:
            needles.append(text)
        else:
            closers = ("", "") if len(text) > 3 else None
            for quote in "\"'`":
                needles.append(f"{quote}{text}" if closers else f"{quote}{text}{quote}")
            needles.append(f"({text}" if closers else f"({text})")
    return needles


def lines_with(path: Path, needles: Iterable[str]) -> list[int]:
    """Give the numbers of the lines of a file that hold one of `needles`."""
    if path.stat().st_size > _LARGEST:
        return []
    text = path.read_text(encoding="utf-8", errors="replace")
    wanted = [needle for needle in needles if needle in text]
    if not wanted:
        return []
    return [n for n, line in enumerate(text.split("\n"), 1) if any(needle in line for needle in wanted)]


def _built(app: App, needles: Iterable[str]) -> list[str]:
    """Search the container's working directory, without what was installed."""
    patterns = [part for needle in needles for part in ("-e", needle)]
    script = (
        'grep -rnIF -m 2 --exclude-dir=node_modules --exclude-dir=.git "$@" . 2>/dev/null '
        "| cut -c1-300 | sort -t: -k1,1 -k2,2n | head -n 20; "
        f"echo {_END}"
    )
    output = ""
    for _ in range(3):  # engines have been seen to lose the output of a short command
        _, output = app.exec(["/bin/sh", "-c", script, "sh", *patterns])
        if output.rstrip().endswith(_END):
            break
    found = []
    for line in output.splitlines():
        path, _, rest = line.partition(":")
        number = rest.partition(":")[0]
        if number.isdigit():
            found.append(f"{path.removeprefix('./')}:{number}")
    return found
