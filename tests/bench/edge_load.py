"""Measure the edge against the app itself: requests per second, added time, and memory during large bodies.

The app runs in its container on the real engine, and is asked through its published port and through the edge, in turn.
Requests per second are those of the page of the app that ships with this repository. They are counted by wrk, which
needs little of the processors that app, engine and edge share; it is the same on both ways.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import statistics
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = "FROM oven/bun:1-debian\nWORKDIR /opt/code\n"
CONNECTIONS = 16
LARGE = 200 * 2**20
CHUNK = 2**20

SERVER = """\
Bun.serve({
  hostname: "0.0.0.0",
  port: 8080,
  maxRequestBodySize: 2 ** 31,
  async fetch(request) {
    const path = new URL(request.url).pathname;
    if (path === "/large") {
      let left = Number(new URL(request.url).searchParams.get("size"));
      const chunk = new Uint8Array(65536);
      return new Response(new ReadableStream({ type: "direct", async pull(c) {
        while (left > 0) {
          c.write(left >= chunk.length ? chunk : chunk.subarray(0, left));
          left -= chunk.length;
          await c.flush();
        }
        c.close();
      } }));
    }
    if (request.method === "POST") {
      let size = 0;
      for await (const part of request.body) size += part.length;
      return new Response(String(size));
    }
    return Response.json({ hello: "world", items: [1, 2, 3] });
  },
});
process.on("SIGTERM", () => process.exit(0));
"""


@dataclass(frozen=True)
class Way:
    """A way to the app."""

    host: str
    port: int
    path: str
    token: str = ""

    def head(self, path: str = "", method: str = "GET", extra: str = "") -> bytes:
        authorization = f"Authorization: Bearer {self.token}\r\n" if self.token else ""
        return f"{method} {self.path}{path} HTTP/1.1\r\nHost: {self.host}\r\n{authorization}{extra}\r\n".encode()


async def _answer(reader: asyncio.StreamReader) -> int:
    """Read one answer; give the size of its body."""
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    lower = head.lower()
    if b"content-length: " in lower:
        size = int(lower.split(b"content-length: ")[1].split(b"\r\n")[0])
        left = size
        while left:
            left -= len(await reader.read(min(left, CHUNK)) or b"x" * left)
        return size
    total = 0
    while True:
        size = int(await reader.readline(), 16)
        left = size + 2
        while left:
            left -= len(await reader.read(min(left, CHUNK)))
        total += size
        if not size:
            return total


async def _ask(way: Way, seconds: float) -> float:
    """Give the median time of one request after the other (ms)."""
    times: list[float] = []
    reader, writer = await asyncio.open_connection(way.host, way.port)
    request, until = way.head(), time.perf_counter() + seconds
    while time.perf_counter() < until:
        began = time.perf_counter()
        writer.write(request)
        await _answer(reader)
        times.append(time.perf_counter() - began)
    writer.close()
    return statistics.median(times) * 1000


def one_by_one(way: Way, seconds: float) -> float:
    return asyncio.run(_ask(way, seconds))


def find_wrk() -> str:
    """Give the path of wrk. Raises SystemExit where it is not installed: nothing else can take its place."""
    if wrk := shutil.which("wrk"):
        return wrk
    raise SystemExit("The benchmark of the edge needs wrk, which is not installed. On Debian: apt-get install wrk")


def per_second(way: Way, seconds: int, connections: int = CONNECTIONS) -> float:
    """Give the requests per second that wrk gets answered over so many connections."""
    command = [find_wrk(), "-t1", f"-c{connections}", f"-d{seconds}s", "-H", f"Host: {way.host}"]
    command += ["-H", f"Authorization: Bearer {way.token}"] if way.token else []
    url = f"http://{way.host}:{way.port}{way.path}"
    said = subprocess.run([*command, url], check=True, capture_output=True, text=True).stdout
    found = re.search(r"Requests/sec: +([0-9.]+)", said)
    assert found is not None, said
    assert "Non-2xx" not in said, said
    assert "Socket errors" not in said, said
    return float(found[1])


async def _large(way: Way) -> tuple[float, float]:
    """Give the seconds that a large upload and a large download take."""
    reader, writer = await asyncio.open_connection(way.host, way.port)
    began = time.perf_counter()
    writer.write(way.head("upload", "POST", f"Content-Length: {LARGE}\r\n"))
    chunk = bytes(CHUNK)
    for _ in range(LARGE // CHUNK):
        writer.write(chunk)
        await writer.drain()
    await _answer(reader)
    up = time.perf_counter() - began
    began = time.perf_counter()
    writer.write(way.head(f"large?size={LARGE}"))
    assert await _answer(reader) == LARGE
    writer.close()
    return up, time.perf_counter() - began


def large(way: Way) -> tuple[float, float]:
    return asyncio.run(_large(way))


def used(pid: int) -> float:
    """Give the seconds of a processor that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(pid: int, what: str = "VmRSS") -> float:
    """Give the resident memory of a process in MB: now, or the most it had (VmHWM)."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith(what))


@dataclass(frozen=True)
class Figures:
    """What was measured, as medians of paired rounds."""

    direct_per_second: float
    edge_per_second: float
    times_slower: float
    edge_us: float  # of a processor, for each request
    direct_ms: float
    edge_ms: float
    added_ms: float
    memory_most: float
    upload_seconds: float
    download_seconds: float


def measure(platform: Any, rounds: int = 3, seconds: int = 3) -> Figures:
    """Measure in turn, A B A B; give medians."""
    direct, edge = ways(platform, shipped(platform))
    per_second(direct, 1), per_second(edge, 1)
    many, cost = [], []
    for _ in range(rounds):
        bare, before = per_second(direct, seconds), used(platform.info.pid)
        ours = per_second(edge, seconds)
        many.append((bare, ours))
        cost.append((used(platform.info.pid) - before) / (ours * seconds) * 1e6)
    one = [(one_by_one(direct, seconds / 2), one_by_one(edge, seconds / 2)) for _ in range(rounds)]
    up, down = large(ways(platform, application(platform))[1])
    return Figures(
        direct_per_second=statistics.median(a for a, _ in many),
        edge_per_second=statistics.median(b for _, b in many),
        times_slower=statistics.median(a / b for a, b in many),
        edge_us=statistics.median(cost),
        direct_ms=statistics.median(a for a, _ in one),
        edge_ms=statistics.median(b for _, b in one),
        added_ms=statistics.median(b - a for a, b in one),
        memory_most=resident(platform.info.pid, "VmHWM"),
        upload_seconds=up,
        download_seconds=down,
    )


def ways(platform: Any, application: str) -> tuple[Way, Way]:
    """Give the way to an app through its published port, and that through the edge."""
    (container,) = platform.containers(application)
    container.reload()
    published = container.attrs["NetworkSettings"]["Ports"]["8080/tcp"]
    port = next(int(one["HostPort"]) for one in published if one["HostIp"] == "127.0.0.1")
    there = int(platform.info.console.rsplit(":", 1)[1].rstrip("/"))
    path = f"/custom_applications/{application}/"
    return Way("127.0.0.1", port, "/"), Way("127.0.0.1", there, path, platform.info.token.reveal())


def shipped(platform: Any) -> str:
    """Deploy the app that ships with this repository; give its id."""
    app = ROOT / "custom_application"
    tracked = subprocess.run(["git", "ls-files"], cwd=app, check=True, capture_output=True, text=True).stdout.split()
    files = {name: (app / name).read_text() for name in tracked if not name.startswith("tests/")}
    return _deployed(platform, (ROOT / "custom_environment" / "Dockerfile").read_text(), files)


def application(platform: Any) -> str:
    """Deploy an app that takes and gives large bodies; give its id."""
    return _deployed(platform, DOCKERFILE, {"index.ts": SERVER, "start-app.sh": "#!/bin/sh\nexec bun index.ts\n"})


def _deployed(platform: Any, dockerfile: str, files: dict[str, str]) -> str:
    environment = platform.environment(dockerfile)
    assert platform.built(*environment)["buildStatus"] == "success"
    name = f"measured {len(platform.containers())}"
    made = platform.application(platform.version(platform.source(name), environment[1], files))
    assert platform.settled(made)["status"] == "running", platform.api.get(f"customApplications/{made}/logs/").text
    return str(made)
