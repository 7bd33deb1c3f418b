"""Mutations of what was built: pages, style sheets and scripts that visitors get."""

from __future__ import annotations

import re
from collections.abc import Callable

from toolkit.mutations.model import Change, Files, Mutation

_PREFIX = frozenset({"front.prefix"})
_ASSETS = frozenset({"front.assets"})
_LEAVES = frozenset({"front.prefix", "front.assets", "front.page"})


def entry(files: Files) -> str | None:
    """Give the path of the page that the app opens with: the shallowest index.html, built before written."""
    pages = [path for path in files if path.rpartition("/")[2] == "index.html"]
    built = ("dist", "build", "out", "public", "static")
    return min(
        pages,
        key=lambda path: (
            path.split("/")[0] not in built,
            built.index(path.split("/")[0]) if path.split("/")[0] in built else 9,
            path.count("/"),
        ),
        default=None,
    )


def _page(pattern: str, replacement: str) -> Change:
    def change(files: Files) -> dict[str, str | None] | None:
        path = entry(files)
        if path is None:
            return None
        text = re.sub(pattern, replacement, files[path], count=1, flags=re.IGNORECASE)
        return {path: text} if text != files[path] else None

    return change


def _asset(suffix: str, how: Callable[[str], str | None]) -> Change:
    """Change the first file with this suffix that the page names."""

    def change(files: Files) -> dict[str, str | None] | None:
        page = entry(files)
        if page is None:
            return None
        folder = page.rpartition("/")[0]
        for name in re.findall(rf"""(?:src|href)=["']?\./([^"'\s>?#]+{re.escape(suffix)})""", files[page]):
            path = f"{folder}/{name}" if folder else name
            if path in files:
                return {path: how(files[path])}
        return None

    return change


def _added(markup: str) -> Change:
    return _page(r"(?=</head>|<body|<script|\Z)", markup.replace("\\", "\\\\"))


PAGES = (
    Mutation("the script is named from the root", _page(r"""(<script[^>]*\bsrc=["']?)\./""", r"\1/"), _PREFIX),
    Mutation(
        "the style sheet is named from the root",
        _page(r"""(<link[^>]*\bhref=["']?)\./(?=[^"'\s>]*\.css)""", r"\1/"),
        _PREFIX,
    ),
    Mutation(
        "the icon is named from the root", _page(r"""(<link[^>]*\bicon\b[^>]*\bhref=["']?)\./""", r"\1/"), _PREFIX
    ),
    Mutation("<base href=/> is in the page", _page(r"<head[^>]*>", r'\g<0><base href="/">'), _PREFIX),
    Mutation("a script is one folder too high", _page(r"""(<script[^>]*\bsrc=["']?)\./""", r"\1../"), _LEAVES),
    Mutation("a script has another case", _page(r"""(<script[^>]*\bsrc=["']?\./)(\w)""", r"\1X\2"), _ASSETS),
    Mutation("an image from the root", _added('<img src="/logo-of-prove.png">'), _PREFIX),
    Mutation("an image that is not there", _added('<img src="./logo-of-prove.png">'), _ASSETS),
    Mutation("a source set from the root", _added('<img srcset="/logo-of-prove.png 2x">'), _PREFIX),
    Mutation("an inline style from the root", _added('<p style="background:url(/prove.png)"></p>'), _PREFIX),
    Mutation("a form that posts to the root", _added('<form action="/api/prove" method="post"></form>'), _PREFIX),
    Mutation("a frame from the root", _added('<iframe src="/prove.html"></iframe>'), _PREFIX),
    Mutation("a manifest from the root", _added('<link rel="manifest" href="/prove.webmanifest">'), _PREFIX),
    Mutation("the script is missing", _asset(".js", lambda _text: None), _ASSETS),
    Mutation("the style sheet is missing", _asset(".css", lambda _text: None), _ASSETS),
    Mutation("the style sheet imports from the root", _asset(".css", lambda t: f'@import "/prove.css";{t}'), _PREFIX),
    Mutation(
        "a font from the root", _asset(".css", lambda t: t + "@font-face{font-family:p;src:url(/prove.woff2)}"), _PREFIX
    ),
    Mutation("fetch from the root", _asset(".js", lambda t: t + '\n;fetch("/api/prove");\n'), _PREFIX),
    Mutation("a lazy chunk from the root", _asset(".js", lambda t: t + '\n;import("/prove.js");\n'), _PREFIX),
    Mutation("a lazy chunk that is not there", _asset(".js", lambda t: t + '\n;import("./prove.js");\n'), _ASSETS),
    Mutation("a WebSocket at the root", _asset(".js", lambda t: t + '\n;new WebSocket("/prove");\n'), _PREFIX),
    Mutation("an event stream at the root", _asset(".js", lambda t: t + '\n;new EventSource("/prove");\n'), _PREFIX),
    Mutation("a worker from the root", _asset(".js", lambda t: t + '\n;new Worker("/prove.js");\n'), _PREFIX),
    Mutation(
        "a request to the visitor's own machine",
        _asset(".js", lambda t: t + '\n;fetch("http://localhost:3000/prove");\n'),
        frozenset({"crawl.hosts"}),
    ),
)
