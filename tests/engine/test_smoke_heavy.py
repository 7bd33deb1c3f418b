"""Apps that are much: smoke stays within bounded time and memory, and says what is too much for the platform."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.stack.checkout import SERVER, Checkout
from toolkit.browsing.finding import find_chromium

pytestmark = pytest.mark.engine
ROOT = Path(__file__).resolve().parents[2]
MOST_MEMORY = 260  # MB; measured: 110 to 150


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    yield Checkout.copy(ROOT, tmp_path / "toolkit")


# A process counts the memory of the one that started it as its own until it runs a program: so a small one starts it.
WATCHED = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def smoke(checkout: Checkout, *arguments: str) -> tuple[dict[str, Any], int]:
    """The report, and the memory (MB) that the command had at most; its engine's is not counted."""
    command = [sys.executable, "-m", "invoke", "smoke", "--json", "report.json", *arguments]
    watched = [sys.executable, "-c", WATCHED, *command]
    said = subprocess.run(watched, cwd=checkout.root, env=checkout.environ(), stdout=subprocess.PIPE, check=True)
    return json.loads((checkout.root / "report.json").read_text()), int(said.stdout) // 1024


def statuses(report: dict[str, Any]) -> dict[str, str]:
    return {check["id"]: check["title"] for check in report["checks"] if check["status"] in ("warn", "fail")}


def test_a_log_of_fifty_megabytes(checkout: Checkout) -> None:
    loud = 'const line = "x".repeat(1000);\nfor (let n = 0; n < 50_000; n++) console.log(n + line);\n'
    checkout.write("custom_application/server.ts", loud + SERVER)
    report, memory = smoke(checkout, "--browser", "off")
    assert statuses(report) == {"start.log": "The app wrote more than 20 MB to its log within seconds"}
    assert report["seconds"] < 60
    assert memory < MOST_MEMORY


def test_five_hundred_megabytes_that_ship(checkout: Checkout) -> None:
    for number in range(5):
        with (checkout.root / f"custom_application/data{number}.bin").open("wb") as file:
            file.truncate(100 * 2**20)
    report, memory = smoke(checkout, "--browser", "off")
    assert list(statuses(report)) == ["source.size"]
    assert "524.3 MB ship: much for an app" in statuses(report)["source.size"]
    assert report["seconds"] < 120
    assert memory < MOST_MEMORY


def test_twenty_thousand_files(checkout: Checkout) -> None:
    for number in range(20_000):
        folder = checkout.root / f"custom_application/data/{number % 100}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.txt").write_text(f"{number}\n")
    report, memory = smoke(checkout, "--browser", "off")
    assert list(statuses(report)) == ["source.size"]
    assert statuses(report)["source.size"].startswith("20007 files")
    assert report["seconds"] < 120
    assert memory < MOST_MEMORY


SOCKETS = """
const base = location.href.replace(/^http/, "ws");
for (let n = 0; n < 200; n++) {
  const socket = new WebSocket(base + "ws");
  socket.onmessage = () => socket.send("again");
}
document.body.append("many");
"""
SOCKET_SERVER = """
process.on("SIGTERM", () => process.exit(0));
Bun.serve({ port: 8080, hostname: "0.0.0.0",
  async fetch(request, server) {
    const { pathname } = new URL(request.url);
    if (pathname === "/ws" && server.upgrade(request)) return;
    if (pathname === "/") return new Response(Bun.file("index.html"));
    if (pathname === "/sockets.js") return new Response(Bun.file("sockets.js"));
    return new Response("not here", { status: 404 });
  },
  websocket: { open(ws) { ws.send("hello"); }, message(ws) { setTimeout(() => ws.send("more"), 100); } },
});
"""


def test_a_page_with_two_hundred_web_sockets(checkout: Checkout) -> None:
    assert find_chromium(os.environ), "Chromium is missing"
    checkout.write("custom_application/server.ts", SOCKET_SERVER)
    checkout.write("custom_application/sockets.js", SOCKETS)
    page = "<!doctype html><title>App</title><p>hello</p><script type=module src=./sockets.js></script>\n"
    checkout.write("custom_application/index.html", page)
    report, memory = smoke(checkout, "--browser", "on")
    assert statuses(report) == {}
    assert {check["id"]: check["status"] for check in report["checks"]}["browser.sockets"] == "pass"
    assert report["seconds"] < 60
    assert memory < 2 * MOST_MEMORY


def test_what_is_not_asked_is_not_done(checkout: Checkout) -> None:
    result = checkout.invoke("smoke", "--only", "source", DOCKER_HOST="unix:///nowhere.sock")
    assert result.code == 0, result.stderr
    report, _ = smoke(checkout, "--only", "source,build")
    assert {check["family"] for check in report["checks"]} == {"source", "build"}
    assert report["timeline"] == []
