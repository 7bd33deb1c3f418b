"""Follow a container that builds: its output line by line, and the memory that it takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from threading import Event, Thread
from typing import Any

from docker.errors import DockerException

from toolkit.image.model import OnLine

LOOK_EVERY, LAST_WORDS = 1.0, 5.0  # seconds between looks at a build, and for its output to end after it


class Gauge:
    """Looks at the memory of a running container now and then, beside whoever waits for it."""

    EVERY = 0.5  # seconds

    def __init__(self, container: Any) -> None:
        self._container = container
        self._over = Event()
        self._thread = Thread(target=self._look, name="gauge", daemon=True)
        self.most = 0  # bytes

    def __enter__(self) -> Gauge:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._over.set()

    def _look(self) -> None:
        with suppress(DockerException, OSError):
            while not self._over.wait(self.EVERY):
                self.most = max(self.most, used(self._container.stats(stream=False, one_shot=True)))


def used(stats: Mapping[str, Any]) -> int:
    """Give the bytes of memory that the engine's `stats` say are in use, without the cache of files; pure."""
    memory = stats.get("memory_stats") or {}
    details = memory.get("stats") or {}
    cache = details.get("inactive_file", details.get("total_inactive_file", 0))
    return max(0, int(memory.get("usage", 0)) - int(cache))


def follow(container: Any, on_line: OnLine) -> int:
    """Pass the output of a started container on line by line, and give its exit code."""
    received, rest = 0, ""

    def take(chunk: bytes) -> None:
        nonlocal received, rest
        received += len(chunk)
        *lines, rest = (rest + chunk.decode("utf-8", "replace")).split("\n")
        for line in lines:
            on_line(line.rstrip("\r"))

    with closing(container.logs(stream=True, follow=True, stdout=True, stderr=True)) as stream:
        with _closed_at_the_end(container, stream) as closed:
            for chunk in stream:
                take(chunk)
        if closed.is_set():
            take(container.logs(stdout=True, stderr=True)[received:])
    if rest:
        on_line(rest)
    return int(container.wait()["StatusCode"])


@contextmanager
def _closed_at_the_end(container: Any, stream: Any) -> Iterator[Event]:
    """Close a stream that the engine leaves open when the container has ended (seen with Podman 4.3); say so."""
    over, closed = Event(), Event()

    def look() -> None:
        with suppress(DockerException, OSError):
            while not over.wait(LOOK_EVERY):
                if _has_ended(container) and not over.wait(LAST_WORDS):
                    closed.set()
                    stream.close()
                    return

    Thread(target=look, name="end", daemon=True).start()
    try:
        yield closed
    finally:
        over.set()


def _has_ended(container: Any) -> bool:
    return not container.client.api.inspect_container(container.id)["State"]["Running"]
