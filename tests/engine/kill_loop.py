"""Kill the local platform with SIGKILL again and again, in the middle of writes, builds and deployments.

What it has acknowledged has to be there after the next start, and nothing may be left over. By hand:
`python -m tests.engine.kill_loop --rounds 100 --seed 1`; a few rounds run with the tests. `--write` puts what came of
it into docs/local-platform.md.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import textwrap
import threading
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

if __name__ == "__main__":
    ROOT = Path(__file__).resolve().parents[2]
    sys.path[:0] = [str(ROOT), str(ROOT / "infra")]

from tests.engine.emulated import DOCKERFILE, Emulated, emulated
from toolkit import engine as engines
from toolkit.emulator import control
from toolkit.image.step import BUILD_OWNER

MARK = f"bun-to-datarobot.kill-loop={uuid.uuid4().hex}"  # by which its images are found again
SERVER = """\
const server = Bun.serve({ hostname: "0.0.0.0", port: 8080, fetch: () => new Response("VERSION") });
process.on("SIGTERM", () => process.exit(0));
"""
MOST_APPLICATIONS = 3
BEGIN, END = "<!-- kill loop -->", "<!-- end of kill loop -->"
SETTLED = ("running", "failed")


@dataclass
class Figures:
    """What became of all rounds."""

    rounds: int = 0
    acknowledged: int = 0
    lost: int = 0
    came_back: int = 0
    strays: int = 0
    build_strays: int = 0
    stuck: int = 0
    killed_while_building: int = 0
    killed_while_starting: int = 0
    slowest_start: float = 0.0
    problems: list[str] = field(default_factory=list)

    def shown(self) -> dict[str, Any]:
        return {**self.__dict__, "slowest_start": round(self.slowest_start, 2)}

    @property
    def good(self) -> bool:
        return not (self.lost or self.came_back or self.strays or self.build_strays or self.stuck)


@dataclass
class Ledger:
    """What the platform has acknowledged: path -> fields that have to be there; paths that have to be gone.

    A write whose answer never came may have happened or not: what it was about is not asked for.
    """

    there: dict[str, dict[str, Any]] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    count: int = 0

    def doubt(self, path: str) -> None:
        self._drop(path)
        self.gone.discard(path)

    def _drop(self, path: str) -> None:
        """Nothing is known any more of an object, nor of what hangs below it."""
        for one in [one for one in list(self.there) if one.startswith(path)]:
            self.there.pop(one, None)

    def has(self, path: str, **fields: Any) -> None:
        self.there[path] = {**self.there.get(path, {}), **fields}
        self.count += 1

    def lacks(self, path: str) -> None:
        self._drop(path)
        self.gone.add(path)
        self.count += 1


class Writer(threading.Thread):
    """Writes without a pause until the platform does not answer any more."""

    def __init__(self, platform: Emulated, ledger: Ledger, dice: random.Random, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._ledger, self._dice, self._label = ledger, dice, name
        headers = {"Authorization": f"Bearer {platform.info.token.reveal()}"}
        self._api = httpx.Client(base_url=f"{platform.info.endpoint}/", headers=headers, timeout=30, trust_env=False)
        self._about = ""
        self._mine: list[str] = []

    def run(self) -> None:
        number = 0
        try:
            while True:
                number += 1
                self._write(number)
        except httpx.HTTPError:
            if self._about:
                self._ledger.doubt(self._about)
        finally:
            self._api.close()

    def _write(self, number: int) -> None:
        name = f"{self._label}-{number}"
        what = self._dice.randrange(6)
        self._about = ""
        if what <= 1 or not self._mine:
            made = self._ask("POST", "customApplicationSources/", json={"name": name}).json()
            path = f"customApplicationSources/{made['id']}/"
            self._mine.append(path)
            self._ledger.has(path, name=name)
        elif what == 2:
            self._about = self._dice.choice(self._mine)
            self._ask("PATCH", self._about, json={"name": name})
            self._ledger.has(self._about, name=name)
        elif what == 3:
            self._about = self._mine.pop(self._dice.randrange(len(self._mine)))
            self._ask("DELETE", self._about)
            self._ledger.lacks(self._about)
        elif what == 4:
            made = self._ask("POST", "useCases/", json={"name": name, "description": "x" * 100}).json()
            self._ledger.has(f"useCases/{made['id']}/", name=name)
        else:
            source = self._dice.choice(self._mine)
            made = self._ask("POST", f"{source}versions/", json={"label": name[:50]}).json()
            content = self._dice.randbytes(self._dice.choice((10, 10_000, 500_000)))
            parts: list[tuple[str, Any]] = [("file", ("a.bin", content)), ("filePath", (None, "a.bin"))]
            path = f"{source}versions/{made['id']}/"
            self._ledger.has(path, label=name[:50])
            self._about = path
            changed = self._ask("PATCH", path, files=parts).json()
            self._ledger.has(path, label=name[:50], files=[changed["items"][0]["storagePath"]])

    def _ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        response = self._api.request(method, path, **options)
        if response.status_code >= 300:
            raise AssertionError(f"{method} {path}: {response.status_code} {response.text}")
        return response


class Deployer(threading.Thread):
    """Builds environments, deploys, publishes and removes applications until the platform does not answer any more."""

    def __init__(
        self, platform: Emulated, ledger: Ledger, dice: random.Random, round_number: int, base: tuple[str, str]
    ) -> None:
        super().__init__(name="deployer", daemon=True)
        self._platform, self._ledger, self._dice = platform, ledger, dice
        self._round, self._base = round_number, base

    def run(self) -> None:
        try:
            for step in range(100):
                self._deploy(step)
        except (httpx.HTTPError, AssertionError, KeyError, ValueError):
            return

    def _deploy(self, step: int) -> None:
        platform, name = self._platform, f"{self._round}-{step}"
        environment, built = self._base
        if self._dice.random() < 0.4:
            slow = f"{DOCKERFILE}LABEL {MARK}\nRUN sleep 1 && echo {self._round % 5}.{step % 3}\n"
            made = platform.environment_version(environment, slow)
            self._ledger.has(f"executionEnvironments/{environment}/versions/{made}/")
        there = platform.api.get("customApplications/").json()["data"]
        files = {"index.ts": SERVER.replace("VERSION", name), "start-app.sh": "#!/bin/sh\nexec bun index.ts\n"}
        if self._dice.random() < 0.5:
            files["build-app.sh"] = f"sleep 1; echo {name}\n"
        if len(there) >= MOST_APPLICATIONS or (there and self._dice.random() < 0.2):
            gone = self._dice.choice(there)["id"]
            self._ledger.doubt(f"customApplications/{gone}/")
            platform.api.delete(f"customApplications/{gone}/").raise_for_status()
            self._ledger.lacks(f"customApplications/{gone}/")
            there = [one for one in there if one["id"] != gone]
        source = platform.source(f"deployed {name}")
        version = platform.version(source, built, files, resources={"replicas": self._dice.choice((1, 1, 2))})
        if there and self._dice.random() < 0.5:
            path = f"customApplications/{self._dice.choice(there)['id']}/"
            self._ledger.doubt(path)
            body = {"customApplicationSourceVersionId": version}
            platform.api.patch(path, json=body).raise_for_status()
            self._ledger.has(path, customApplicationSourceVersionId=version)
        else:
            made = platform.application(version, name=f"app {name}")
            self._ledger.has(f"customApplications/{made}/", name=f"app {name}")
        time.sleep(self._dice.random())


def run(data: Path, rounds: int, seed: int) -> Figures:
    """Kill a platform in `data` so many times; the same seed gives the same times and (nearly) the same writes."""
    dice, ledger, figures = random.Random(seed), Ledger(), Figures()
    with emulated(data) as platform:
        base = platform.environment(f"{DOCKERFILE}LABEL {MARK}\n", "base")
        assert platform.built(*base)["buildStatus"] == "success"
        try:
            for number in range(1, rounds + 1):
                writers = [
                    Writer(platform, ledger, random.Random(f"{seed}:{number}:{n}"), f"{number}.{n}") for n in (1, 2)
                ]
                deployer = Deployer(platform, ledger, random.Random(f"{seed}:{number}"), number, base)
                for one in (*writers, deployer):
                    one.start()
                time.sleep(0.1 + 2.5 * dice.random())
                _note_what_is_cut(platform, figures)
                os.kill(platform.info.pid, signal.SIGKILL)
                while control._alive(platform.info.pid):
                    time.sleep(0.01)
                for one in (*writers, deployer):
                    one.join(40)
                began = time.monotonic()
                platform.start()
                figures.slowest_start = max(figures.slowest_start, time.monotonic() - began)
                _check(platform, ledger, figures, number)
                figures.rounds = number
                if number % 10 == 0 or number == rounds:
                    sys.stderr.write(f"{json.dumps(figures.shown())}\n")
            figures.acknowledged = ledger.count
        finally:
            for application in platform.api.get("customApplications/?limit=100").json()["data"]:
                platform.api.delete(f"customApplications/{application['id']}/")
            control.stop(data)
            for image in platform.engine.images.list(filters={"label": MARK}):
                for tag in image.tags:
                    platform.engine.images.remove(tag, force=True)
    return figures


def _note_what_is_cut(platform: Emulated, figures: Figures) -> None:
    try:
        statuses = [one["status"] for one in platform.api.get("customApplications/").json()["data"]]
        builds = platform.engine.api.containers(all=True, filters={"label": f"{engines.OWNER_LABEL}={BUILD_OWNER}"})
    except httpx.HTTPError:
        return
    figures.killed_while_starting += "initializing" in statuses
    mine = f".{platform.info.pid}."
    figures.killed_while_building += any(mine in one["Labels"].get(engines.RUN_LABEL, "") for one in builds)


def _check(platform: Emulated, ledger: Ledger, figures: Figures, number: int) -> None:
    figures.acknowledged = ledger.count
    for path, fields in list(ledger.there.items()):
        response = platform.api.get(path)
        found = response.json() if response.status_code == 200 else {}
        if found.get("items"):
            found["files"] = [one["storagePath"] for one in found["items"]]
            for digest in found["files"]:
                if not (platform.data / "blobs" / digest).is_file():
                    figures.lost += 1
                    figures.problems.append(f"round {number}: the content of {path} is gone")
        if response.status_code != 200 or any(found.get(key) != value for key, value in fields.items()):
            figures.lost += 1
            figures.problems.append(f"round {number}: {path} {response.status_code}, {fields}")
            ledger.doubt(path)
    for path in ledger.gone:
        if platform.api.get(path).status_code != 404:
            figures.came_back += 1
            figures.problems.append(f"round {number}: {path} is back")
    _check_what_runs(platform, figures, number)
    # What was looked at a few times is not looked at for ever.
    for path in [one for one in ledger.there if "Sources/" in one or "useCases/" in one][:-300]:
        del ledger.there[path]
    ledger.gone = set(list(ledger.gone)[-300:])


def _check_what_runs(platform: Emulated, figures: Figures, number: int) -> None:
    """Wait until everything has settled; then every application has its containers, and there are no others."""
    deadline = time.monotonic() + 120
    why = "?"
    while time.monotonic() < deadline:
        applications = platform.api.get("customApplications/?limit=100").json()["data"]
        environments = platform.api.get("executionEnvironments/?limit=100").json()["data"]
        building = [
            version["id"]
            for one in environments
            for version in platform.api.get(f"executionEnvironments/{one['id']}/versions/?limit=100").json()["data"]
            if version["buildStatus"] not in ("success", "failed")
        ]
        unsettled = [one["id"] for one in applications if one["status"] not in SETTLED]
        wanted = {one["id"]: one["resources"]["replicas"] for one in applications if one["status"] == "running"}
        had: dict[str, int] = {}
        for one in platform.containers():
            had[one.labels["bun-to-datarobot.application"]] = had.get(one.labels["bun-to-datarobot.application"], 0) + 1
        failed = [one["id"] for one in applications if one["status"] == "failed"]
        if not building and not unsettled and had == wanted and not failed:
            break
        why = f"building {building}, unsettled {unsettled}, containers {had}, wanted {wanted}, failed {failed}"
        time.sleep(0.1)
    else:
        figures.problems.append(f"round {number}: {why}")
        figures.stuck += bool(building or unsettled or failed)
        figures.strays += sum(max(0, count - wanted.get(one, 0)) for one, count in had.items())
    left = platform.engine.api.containers(all=True, filters={"label": f"{engines.OWNER_LABEL}={BUILD_OWNER}"})
    dead = [one for one in left if not engines.is_alive(one["Labels"].get(engines.RUN_LABEL, ""))]
    figures.build_strays += len(dead)


def told(figures: Figures, seed: int, when: str, machine: str) -> str:
    """Tell in a sentence or two what came of the rounds."""
    left = figures.strays + figures.build_strays
    cut = f"{figures.killed_while_building} during a build and {figures.killed_while_starting} during a start"
    return (
        f"Last time ({when}, {machine}, seed {seed}) there were {figures.rounds} kills, {cut} of an application. "
        f"Of {figures.acknowledged:,} acknowledged writes {figures.lost} were lost; {figures.came_back} removed "
        f"objects came back; {left} containers were left over; {figures.stuck} builds or starts hung."
    )


def write(figures: Figures, seed: int) -> None:
    """Put what came of the rounds into the documents, in the place that is marked for it."""
    root = Path(__file__).resolve().parents[2]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    machine = f"{os.cpu_count()} cores, {memory:.0f} GB"
    page = root / "docs" / "local-platform.md"
    before, _, rest = page.read_text().partition(BEGIN)
    text = textwrap.fill(told(figures, seed, f"{datetime.now(UTC):%Y-%m-%d}", machine), 118)
    page.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="put the result into docs/local-platform.md")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))  # and clean up
    with tempfile.TemporaryDirectory(prefix="kill-loop-") as folder:
        figures = run(Path(folder) / "data", options.rounds, options.seed)
    print(json.dumps(figures.shown(), indent=2))
    if options.write:
        write(figures, options.seed)
    return 0 if figures.good else 1


if __name__ == "__main__":
    sys.exit(main())
