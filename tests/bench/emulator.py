"""Speed and memory of the local platform: start, reads against moto's server, many objects, the edge, large bodies.

By hand: `python tests/bench/emulator.py`. Everything is measured in one run, by the same client, in turn.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(ROOT / "infra")]

from tests.bench import edge_load  # noqa: E402
from tests.engine.emulated import emulated  # noqa: E402
from toolkit.emulator import control  # noqa: E402
from toolkit.emulator.control import EmulatorInfo  # noqa: E402
from toolkit.emulator.store import Store  # noqa: E402

MOTO = "moto[server]==5.2.5"
NO_ENGINE = "unix:///nowhere.sock"
MANY, PAGE = 10_000, 100
READS = 400
LARGE = 200 * 2**20


@dataclass(frozen=True)
class Measure:
    """One line of the table: ours against somebody else's where there is one, and the most that it may be."""

    name: str
    ours: float
    bare: float
    unit: str
    value: float
    limit: float

    @property
    def holds(self) -> bool:
        return self.value <= self.limit


def measures(rounds: int, folder: Path) -> Iterator[Measure]:
    """Measure everything, one after the other; `folder` is for data that goes with it."""
    yield from start(rounds, folder)
    yield from many(folder)
    yield reads(rounds, folder)
    yield upload(folder)
    yield from edge(rounds, folder)


# --- Start ------------------------------------------------------------------------------------------------------------


def start(rounds: int, folder: Path) -> list[Measure]:
    """From the call that starts it until it has answered; with a new data folder each time."""
    times, memory = [], []
    for number in range(rounds):
        began = time.monotonic()
        with _platform(folder / f"start-{number}") as info:
            times.append(time.monotonic() - began)
            memory.append(edge_load.resident(info.pid))
    ready, resident = statistics.median(times), statistics.median(memory)
    return [
        Measure("local platform: ready after its start", ready, 0, "s", ready, 0.7),
        Measure("local platform: resident memory when it is ready", resident, 0, "MB", resident, 120),
    ]


# --- Many objects -----------------------------------------------------------------------------------------------------


def many(folder: Path) -> list[Measure]:
    """Store 10,000 applications, and list them all, page by page."""
    data = folder / "many"
    _plant(data)
    with _platform(data) as info, _Client(info.endpoint, info.token.reveal()) as client:
        memory = []
        for _ in range(2):
            times = []
            for offset in range(0, MANY, PAGE):
                began = time.perf_counter()
                found = client.get(f"customApplications/?limit={PAGE}&offset={offset}")
                times.append(time.perf_counter() - began)
                assert (len(found["data"]), found["totalCount"]) == (PAGE, MANY)
            memory.append(edge_load.resident(info.pid))
        # Pages of the same size, so that what differs is how far back they lie.
        near, far = statistics.median(times[:20]), statistics.median(times[-20:])
        most = edge_load.resident(info.pid, "VmHWM")
    grown = memory[1] - memory[0]
    return [
        Measure("local platform: most memory, 10,000 applications stored and listed", most, 0, "MB", most, 120),
        Measure("local platform: what listing them once more adds", grown, 0, "MB", grown, 5),
        Measure("local platform: the last 20 pages of 100 pages / the first 20", far, near, "ratio", far / near, 1.5),
    ]


def _plant(data: Path) -> None:
    store = Store(data)
    environment = store.create_environment("bun", "", "other", [])
    built = store.create_environment_version(environment["id"], "", b"", "context.zip")
    store.set_build(built["id"], "success")
    source = store.create_source("shop")
    version = store.create_source_version(source["id"], {"baseEnvironmentVersionId": built["id"]})
    with store.transaction():
        for number in range(MANY):
            made = store.create_application({"applicationSourceVersionId": version["id"], "name": f"app {number}"})
            store.set_application(made["id"], status="stopped")
    store.close()


# --- Reads ------------------------------------------------------------------------------------------------------------


def reads(rounds: int, folder: Path) -> Measure:
    """Read one object by its id, against moto's server describing a table."""
    with (
        _platform(folder / "reads") as info,
        _Client(info.endpoint, info.token.reveal()) as ours,
        _moto(folder / "moto") as port,
        _Client(f"http://127.0.0.1:{port}", "") as theirs,
    ):
        source = ours.send("POST", "customApplicationSources/", {"name": "one"})["id"]
        _dynamodb(theirs, "CreateTable", TABLE)
        read: Callable[[], object] = lambda: ours.get(f"customApplicationSources/{source}/")  # noqa: E731
        describe: Callable[[], object] = lambda: _dynamodb(theirs, "DescribeTable", {"TableName": "one"})  # noqa: E731
        pairs = [(_median(read), _median(describe)) for _ in range(rounds + 1)][1:]
    return Measure(
        "local platform: a read by id / moto's server, DescribeTable",
        statistics.median(a for a, _ in pairs) * 1000,
        statistics.median(b for _, b in pairs) * 1000,
        "ratio of ms",
        statistics.median(a / b for a, b in pairs),
        0.33,
    )


TABLE = {
    "TableName": "one",
    "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
    "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
    "BillingMode": "PAY_PER_REQUEST",
}


def _dynamodb(client: _Client, operation: str, given: Mapping[str, object]) -> object:
    headers = {
        "X-Amz-Target": f"DynamoDB_20120810.{operation}",
        "Content-Type": "application/x-amz-json-1.0",
        "Authorization": "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/dynamodb/aws4_request, "
        "SignedHeaders=host, Signature=x",
    }
    return client.send("POST", "", given, headers)


def _median(ask: Callable[[], object]) -> float:
    times = []
    for _ in range(READS):
        began = time.perf_counter()
        ask()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


@contextmanager
def _moto(folder: Path) -> Iterator[int]:
    """Run moto's server from an environment of its own; give its port."""
    python = folder / "bin" / "python"
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "-q", "--python", sys.executable, str(folder)], check=True)
    subprocess.run([*uv, "pip", "install", "-q", "--python", str(python), MOTO], check=True)
    port = _free_port()
    process = subprocess.Popen(
        [str(python), "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 60
        while not _listens(port):
            assert process.poll() is None, "moto's server has ended"
            assert time.monotonic() < deadline, "moto's server does not listen"
            time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        process.wait()


# --- Large bodies and the edge ----------------------------------------------------------------------------------------


def upload(folder: Path) -> Measure:
    """Upload 200 MB as the context of an environment, and download it again: through the API, not the edge."""
    with _platform(folder / "upload") as info, _Client(info.endpoint, info.token.reveal()) as client:
        control.ask(folder / "upload", "PUT", "settings", {"builds": "immediate"})
        environment = client.send("POST", "executionEnvironments/", {"name": "large"})["id"]
        path = f"executionEnvironments/{environment}/versions/"
        made = client.multipart(path, "docker_context", LARGE)
        assert client.size(f"{path}{made['id']}/download/") == LARGE
        most = edge_load.resident(info.pid, "VmHWM")
    return Measure("local platform: most memory, 200 MB uploaded and downloaded (API)", most, 0, "MB", most, 200)


def edge(rounds: int, folder: Path) -> list[Measure]:
    """Ask an app that runs on the engine directly and through the edge."""
    with emulated(folder / "edge") as platform:
        found = edge_load.measure(platform, rounds)
    return [
        Measure(
            "edge: 1,000 requests over 16 connections / to the app's published port",
            1000 / found.edge_per_second,
            1000 / found.direct_per_second,
            "ratio",
            found.times_slower,
            2.5,
        ),
        Measure("edge: processor time for one request", found.edge_us / 1000, 0, "ms", found.edge_us / 1000, 0.1),
        Measure("edge: what it adds to one request", found.edge_ms, found.direct_ms, "ms", found.added_ms, 3),
        Measure(
            "edge: most memory, 200 MB uploaded and downloaded", found.memory_most, 0, "MB", found.memory_most, 200
        ),
    ]


# --- The client -------------------------------------------------------------------------------------------------------


class _Client:
    """A plain client that keeps its connection where the server does so."""

    def __init__(self, base: str, token: str) -> None:
        parts = urllib.parse.urlsplit(base)
        self._path = parts.path.rstrip("/") + "/"
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=120)

    def __enter__(self) -> _Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def get(self, path: str) -> dict[str, object]:
        return self.send("GET", path)

    def send(self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None) -> dict:
        content = None if body is None else json.dumps(body)
        sent = {**self._headers, **({"Content-Type": "application/json"} if content else {}), **(headers or {})}
        self._connection.request(method, self._path + path, content, sent)
        response = self._connection.getresponse()
        text = response.read()
        assert response.status < 300, f"{method} {path}: {response.status} {text[:500]!r}"
        return dict(json.loads(text))

    def multipart(self, path: str, name: str, size: int) -> dict:
        """Send one file of so many bytes, a piece at a time."""
        boundary = "8d1f0f0e"
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="c.zip"\r\n'
            "Content-Type: application/zip\r\n\r\n"
        ).encode()
        tail = f"\r\n--{boundary}--\r\n".encode()
        self._connection.putrequest("POST", self._path + path)
        for header in {
            **self._headers,
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            "Content-Length": str(len(head) + size + len(tail)),
        }.items():
            self._connection.putheader(*header)
        self._connection.endheaders(head)
        piece = bytes(2**20)
        for _ in range(size // len(piece)):
            self._connection.send(piece)
        self._connection.send(tail)
        response = self._connection.getresponse()
        text = response.read()
        assert response.status < 300, f"{path}: {response.status} {text[:500]!r}"
        return dict(json.loads(text))

    def size(self, path: str) -> int:
        """Download something, and give how large it was."""
        self._connection.request("GET", self._path + path, headers=self._headers)
        response, total = self._connection.getresponse(), 0
        while piece := response.read(2**20):
            total += len(piece)
        return total


@contextmanager
def _platform(data: Path) -> Iterator[EmulatorInfo]:
    """Run a local platform without an engine."""
    info = control.start(data, _free_port(), engine_address=NO_ENGINE, environ=os.environ)
    try:
        yield info
    finally:
        control.stop(data)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    edge_load.find_wrk()
    with tempfile.TemporaryDirectory(prefix="bun-to-datarobot-bench-") as folder:
        holds = []
        for one in measures(options.rounds, Path(folder)):
            verdict = "holds" if one.holds else "NO   "
            print(f"{verdict} {one.name}: {one.value:.2f} {one.unit} (limit {one.limit:g})", flush=True)
            holds.append(one.holds)
    return 0 if all(holds) else 1


if __name__ == "__main__":
    sys.exit(main())
