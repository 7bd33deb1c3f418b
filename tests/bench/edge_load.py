"""Measure the edge against the app itself: requests per second, added time, and memory during large bodies.

The app runs in its container on the real engine; both ways are asked by the same client, in turn.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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


async def _ask(way: Way, until: float, times: list[float]) -> None:
    reader, writer = await asyncio.open_connection(way.host, way.port)
    request = way.head()
    while time.perf_counter() < until:
        began = time.perf_counter()
        writer.write(request)
        await _answer(reader)
        times.append(time.perf_counter() - began)
    writer.close()


async def _load(way: Way, seconds: float, connections: int) -> tuple[float, float]:
    """Give requests per second and the median time of one (ms)."""
    times: list[float] = []
    began = time.perf_counter()
    await asyncio.gather(*(_ask(way, began + seconds, times) for _ in range(connections)))
    return len(times) / (time.perf_counter() - began), statistics.median(times) * 1000


def load(way: Way, seconds: float, connections: int = CONNECTIONS) -> tuple[float, float]:
    return asyncio.run(_load(way, seconds, connections))


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
    direct_ms: float
    edge_ms: float
    added_ms: float
    memory_most: float
    upload_seconds: float
    download_seconds: float


def measure(platform: Any, application: str, rounds: int = 3, seconds: float = 3.0) -> Figures:
    """Measure in turn, A B A B; give medians."""
    (container,) = platform.containers(application)
    container.reload()
    port = int(container.attrs["NetworkSettings"]["Ports"]["8080/tcp"][0]["HostPort"])
    direct = Way("127.0.0.1", port, "/")
    there = int(platform.info.console.rsplit(":", 1)[1].rstrip("/"))
    edge = Way("127.0.0.1", there, f"/custom_applications/{application}/", platform.info.token.reveal())
    load(direct, 1), load(edge, 1)
    many = [(load(direct, seconds)[0], load(edge, seconds)[0]) for _ in range(rounds)]
    one = [(load(direct, seconds / 2, 1)[1], load(edge, seconds / 2, 1)[1]) for _ in range(rounds)]
    up, down = large(edge)
    return Figures(
        direct_per_second=statistics.median(a for a, _ in many),
        edge_per_second=statistics.median(b for _, b in many),
        times_slower=statistics.median(a / b for a, b in many),
        direct_ms=statistics.median(a for a, _ in one),
        edge_ms=statistics.median(b for _, b in one),
        added_ms=statistics.median(b - a for a, b in one),
        memory_most=resident(platform.info.pid, "VmHWM"),
        upload_seconds=up,
        download_seconds=down,
    )


def application(platform: Any) -> str:
    """Deploy the app that is measured; give its id."""
    environment = platform.environment()
    assert platform.built(*environment)["buildStatus"] == "success"
    files = {"index.ts": SERVER, "start-app.sh": "#!/bin/sh\nexec bun index.ts\n"}
    made = platform.application(platform.version(platform.source("measured"), environment[1], files))
    assert platform.settled(made)["status"] == "running"
    return str(made)
