"""Measure the tool against bare scripts that do the same: `nox -s bench`. Ratios of one run, medians of paired rounds.

Each command and its bare counterpart run in turn, A B A B, so that a machine that is busy for a while slows down both.
`--write` puts the table into docs/bench.md with date and machine.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "infra")]

from tests.bench import deploying, edge_load, emulator, staging  # noqa: E402
from tests.bench.deploying import timed  # noqa: E402
from tests.bench.emulator import Measure  # noqa: E402
from tests.stack.checkout import Checkout  # noqa: E402
from toolkit import engine as engines  # noqa: E402
from toolkit import tools  # noqa: E402

BARE_SMOKE = Path(__file__).parent / "bare_smoke.py"

NOTE = """\
A first deployment takes longer than its bounds by what the smoke test takes, above all the three seconds for which it
watches that a new app stays up. Where a machine deploys for the first time and has its base image to make or to fetch,
or where the platform takes its time, as DataRobot does, that is little of the whole; with the base image there and a
platform that builds at once it is a third. The three seconds are not shortened for it: an app that dies after two would
be let through."""


def paired(name: str, rounds: int, limit: float, ours: Callable[[], float], bare: Callable[[], float]) -> Measure:
    ours(), bare()
    pairs = [(ours(), bare()) for _ in range(rounds)]
    ratio = statistics.median(a / b for a, b in pairs)
    return Measure(
        name,
        statistics.median(a for a, _ in pairs),
        statistics.median(b for _, b in pairs),
        "ratio",
        ratio,
        limit,
    )


def invoke_list(rounds: int, folder: Path) -> Measure:
    empty = folder / "empty"
    empty.mkdir()
    (empty / "tasks.py").write_text("")
    command = [sys.executable, "-m", "invoke", "--list"]
    env = dict(os.environ)
    return paired(
        "invoke --list / the same with an empty tasks.py",
        rounds,
        1.25,
        lambda: timed(command, cwd=ROOT, env=env),
        lambda: _with_status(command, cwd=empty, env=env),
    )


def _with_status(command: list[str], *, cwd: Path, env: dict[str, str]) -> float:
    """Time a command whose exit code is not 0 (an empty tasks.py, for one, has nothing to list)."""
    started = time.monotonic()
    subprocess.run(command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return time.monotonic() - started


def smoke(rounds: int, checkout: Checkout) -> Measure:
    report = checkout.root / "report.json"
    ours = [sys.executable, "-m", "invoke", "smoke", "--browser", "off", "--json", str(report)]
    timed(ours, cwd=checkout.root, env=checkout.environ())
    found = json.loads(report.read_text())
    image = f"bun-to-datarobot/app:{found['release']['image'][:12]}"
    bare = [sys.executable, str(BARE_SMOKE), image, *found["served"]]
    return paired(
        "warm smoke / bare docker-py script",
        3 * rounds,  # a second each, and half of it is the engine's: few rounds say little
        2.0,
        lambda: timed(ours, cwd=checkout.root, env=checkout.environ()),
        lambda: timed(bare, cwd=checkout.root, env=checkout.environ()),
    )


def browser(rounds: int, checkout: Checkout) -> Measure:
    """What the browser adds to the time of a smoke test of our app, as the median difference of paired rounds."""
    command = [sys.executable, "-m", "invoke", "smoke", "--browser"]

    def seconds(mode: str) -> float:
        return timed([*command, mode], cwd=checkout.root, env=checkout.environ())

    seconds("on")
    pairs = [(seconds("on"), seconds("off")) for _ in range(rounds)]
    added = statistics.median(a - b for a, b in pairs)
    return Measure("what the browser adds to smoke", added, 0, "s", added, 4.0)


def death(rounds: int, folder: Path) -> Measure:
    """From the death of an app that exits at its start until the command has ended."""
    checkout = Checkout.copy(ROOT, folder / "death" / "toolkit")
    checkout.write("custom_application/start-app.sh", "#!/bin/sh\nsleep 0.3\necho no database >&2\nexit 3\n")
    command = [sys.executable, "-m", "invoke", "smoke", "--browser", "off"]
    engine, _ = engines.connect(os.environ, Path.home())
    times = []
    for _ in range(rounds + 1):
        began = int(time.time())
        result = subprocess.run(command, cwd=checkout.root, env=checkout.environ(), capture_output=True, text=True)
        ended = time.time()
        assert result.returncode == 4, result.stdout + result.stderr
        died = engine.events(since=began, until=int(ended) + 1, decode=True, filters={"event": "die"})
        times.append(ended - max(one["timeNano"] for one in died) / 1e9)
    engine.close()
    checkout.close()
    seconds = statistics.median(times[1:])  # the first one builds
    return Measure("an app that dies at its start: from its death to the end of smoke", seconds, 0, "s", seconds, 1.0)


def staging_rows(rounds: int, folder: Path) -> list[Measure]:
    app, notes = folder / "staging" / "app", folder / "staging" / "notes"
    staging.write(app)
    room = folder / "staging" / "room"
    again, first = staging.by_us(app, room, notes), staging.by_us(app, room, None)
    name = "choosing 20,000 files that have not changed / tar, sha256sum"
    gc.set_threshold(50_000)  # as in a command (tasks.py)
    gc.freeze()
    return [
        paired(name, 3 * rounds, 1.5, again, lambda: staging.by_tar(app)),
        paired("the same for the first time / tar, sha256sum", rounds, 8.0, first, lambda: staging.by_tar(app)),
    ]


def deploy(rounds: int, checkout: Checkout, deploy_python: Path) -> Measure:
    checkout.deploy()
    ours = [sys.executable, "-m", "invoke", "deploy", "--stack", "local", "--yes", "--json"]
    env = checkout.environ()
    command, bare_env = deploying.bare(checkout, deploy_python)
    return paired(
        "no-change deploy / bare Automation API up",
        rounds,
        1.25,
        lambda: timed(ours, cwd=checkout.root, env=env),
        lambda: timed(command, cwd=checkout.root / "infra", env=bare_env),
    )


def doctor(rounds: int, checkout: Checkout) -> list[Measure]:
    """Look at everything: all well, on a stack that is deployed; and with engine and platform never answering."""
    command = [sys.executable, "-m", "invoke", "doctor", "--stack"]
    well = [timed([*command, "local"], cwd=checkout.root, env=checkout.environ()) for _ in range(rounds)]
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        env = checkout.environ(
            DOCKER_HOST=f"tcp://{address}",
            DATAROBOT_ENDPOINT=f"http://{address}/api/v2",
            DATAROBOT_API_TOKEN="0123456789abcdef0123456789abcdef",
        )
        dead = [_with_status([*command, "dev"], cwd=checkout.root, env=env) for _ in range(rounds)]
    found = (
        ("invoke doctor, all well", statistics.median(well), 1.0),
        ("invoke doctor, engine and platform dead", statistics.median(dead), 4.0),
    )
    return [Measure(name, seconds, 0, "s", seconds, limit) for name, seconds, limit in found]


def crawls(rounds: int, folder: Path) -> list[Measure]:
    from tests.bench import crawl

    place = folder / "crawl"
    place.mkdir()
    with crawl.served(place) as port:
        rows = []
        if shutil.which("wget"):
            rows.append(
                paired(
                    "crawl of 1,000 assets through the front / wget --recursive",
                    rounds,
                    2.0,
                    lambda: crawl.by_us(port),
                    lambda: crawl.by_wget(port, place),
                )
            )
        if shutil.which("npm"):
            command = crawl.install_linkinator(place)
            name = "the same / linkinator"
            ours, theirs = (lambda: crawl.by_us(port)), (lambda: crawl.by_linkinator(port, command))
            rows.append(paired(name, rounds, 1.0, ours, theirs))
    return rows


def table(rows: list[Measure]) -> str:
    lines = ["| what | ours | bare | result | limit | holds |", "|---|---|---|---|---|---|"]
    for row in rows:
        unit = row.unit.removeprefix("ratio of ") if row.unit != "ratio" else "s"
        bare = f"{row.bare:.2f} {unit}" if row.bare else "-"
        ours = f"{row.ours:.2f} {unit}" if unit != "MB" else f"{row.ours:.0f} MB"
        result = f"{row.value:.2f}" + ("" if row.unit.startswith("ratio") else f" {unit}")
        lines.append(f"| {row.name} | {ours} | {bare} | {result} | {row.limit:g} | {'yes' if row.holds else 'NO'} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    edge_load.find_wrk()  # before half an hour has gone by
    home = Path.home()
    places = tools.Places(ROOT, home, tools.cache_folder(os.environ, home), ROOT / ".toolkit")
    deploy_python = tools.ensure_deploy_python(places, os.environ, on_line=print)
    tools.ensure_pulumi(places, os.environ, on_line=print)
    folder = Path(tempfile.mkdtemp(prefix="bun-to-datarobot-bench-"))
    checkout = Checkout.copy(ROOT, folder / "checkout" / "toolkit", with_app=True)
    checkout.env = {"DATAROBOT_PROVIDER": "stand-in"}
    try:
        rows = [
            invoke_list(options.rounds, folder),
            smoke(options.rounds, checkout),
            browser(options.rounds, checkout),
            death(3, folder),
            *staging_rows(options.rounds, folder),
            *crawls(options.rounds, folder),
            deploy(options.rounds, checkout, deploy_python),
            *doctor(options.rounds, checkout),
            deploying.first_deploy(options.rounds, folder / "bare", deploy_python, bare_machine=True)[0],
            deploying.first_deploy(1, folder / "slow", deploy_python, builds=deploying.BUILDS)[0],
            deploying.first_deploy(options.rounds, folder, deploy_python)[0],
            deploying.failure(options.rounds, folder),
            *emulator.measures(options.rounds, folder),
        ]
    finally:
        checkout.invoke("destroy", "--stack", "local", "--yes")
        checkout.close()
        shutil.rmtree(folder, ignore_errors=True)
    print(table(rows))
    if options.write:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
        where = f"{os.cpu_count()} cores, {memory:.0f} GB, {platform.system()}, Python {platform.python_version()}"
        text = (
            "# Measured\n\n"
            f"Made by `nox -s bench -- --write` on {datetime.now(UTC):%Y-%m-%d} ({where}); "
            f"medians of {options.rounds} paired rounds.\n\n{table(rows)}\n\n{NOTE}\n"
        )
        (ROOT / "docs" / "bench.md").write_text(text)
    return 0 if all(row.holds for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
