"""Deployments against their own bounds: the first one of our app, and how soon a failure is told."""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
from docker.errors import ImageNotFound

from tests.bench.emulator import Measure
from tests.stack.checkout import SERVER, Checkout
from toolkit import baseimage, gate, staging, tools
from toolkit import engine as engines
from toolkit import settings as configuration
from toolkit.bench import Bench
from toolkit.emulator import control
from toolkit.settings import Secret

ROOT = Path(__file__).resolve().parents[2]
BARE_UP = Path(__file__).parent / "bare_up.py"
BASE = "oven/bun"
DEPLOY = ("-m", "invoke", "deploy", "--stack", "local", "--yes")
REASON = "this app cannot live here"
DIES_THERE = f'if (process.env.DR_CUSTOM_APP_EXTERNAL_URL) {{ console.error("{REASON}"); process.exit(9); }}\n'
LOOK_EVERY = 0.02  # seconds
BUILDS = 15.0  # seconds of each build on a platform that is no toy; DataRobot takes minutes (platform-contract 2.5)


def timed(command: list[str], *, cwd: Path, env: Mapping[str, str]) -> float:
    """Give the seconds that a command takes; the benchmark ends when it fails."""
    started = time.monotonic()
    result = subprocess.run(command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    seconds = time.monotonic() - started
    if result.returncode != 0:
        raise SystemExit(f"{command} failed:\n{result.stdout[-2000:]}\n{result.stderr[-2000:]}")
    return seconds


def bare(checkout: Checkout, deploy_python: Path) -> tuple[list[str], dict[str, str]]:
    """Give the command, and its environment, that runs the program of a staged checkout with a bare `up`."""
    platform, state, home = checkout.platform(), checkout.root / ".toolkit", Path.home()
    places = tools.Places(ROOT, home, tools.cache_folder(os.environ, home), state)
    pulumi = tools.find_pulumi(places, os.environ)
    assert pulumi is not None
    env = checkout.environ()
    told = {
        **env,
        "DATAROBOT_ENDPOINT": platform["endpoint"],
        "DATAROBOT_API_TOKEN": platform["token"],
        "PULUMI_BACKEND_URL": (state / "state").resolve().as_uri(),
        "PULUMI_CONFIG_PASSPHRASE_FILE": str(state / "passphrase"),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PATH": f"{state / 'stand-in-provider'}:{pulumi.path.parent}:{env['PATH']}",
        "PYTHONPATH": str(checkout.root / "infra"),
    }
    return [str(deploy_python), str(BARE_UP), str(checkout.root), str(pulumi.path.parent.parent)], told


def first_deploy(
    rounds: int, folder: Path, deploy_python: Path, *, bare_machine: bool = False, builds: float = 0.0
) -> tuple[Measure, list[dict[str, float]]]:
    """Deploy our app for the first time; give also the phases of each round.

    The bound of each round is measured right after it, for an app and an environment of which no image is there
    either: both images built as the platform builds them, and a bare `up` that creates the same three resources.
    On a `bare_machine` the base image is not there either, as on every machine that deploys for the first time. With
    `builds` the platform takes at least so many seconds for each of its two builds.
    """
    pairs: list[tuple[float, float]] = []
    phases: list[dict[str, float]] = []
    for number in range(rounds):
        one, other = f"ours-{number}", f"bound-{number}"
        ours, told = _ours(_checkout(folder / one / "toolkit", one, bare_machine), builds)
        pairs.append((ours, _bound(_checkout(folder / other / "toolkit", other, bare_machine), deploy_python, builds)))
        phases.append(told)
    ratio = statistics.median(ours / bound for ours, bound in pairs)
    name = "first deploy of our app, no image there yet / its image builds + a bare Automation API create"
    if not bare_machine:
        pace = f"takes {builds:g} s for each build" if builds else "builds at once"
        name = f"the same with the base image there already, where the platform {pace}"
    ours, bound = (statistics.median(column) for column in zip(*pairs, strict=True))
    return Measure(name, ours, bound, "ratio", ratio, 1.15), phases


def _checkout(folder: Path, word: str, bare_machine: bool) -> Checkout:
    """Make a checkout with our app of which no image can be there already; on a `bare_machine` not its base either."""
    made = Checkout.copy(ROOT, folder, with_app=True)
    made.env = {"DATAROBOT_PROVIDER": "stand-in", "SMOKE_SETTLE_SECONDS": "3"}
    dockerfile = made.root / "custom_environment" / "Dockerfile"
    text = f"{dockerfile.read_text()}\nENV MEASURED={word}-{time.time_ns()}\n"
    if bare_machine:
        text, changed = re.subn(r"(?m)^FROM \S+", f"FROM {BASE}:{word}-{time.time_ns()}", text)
        assert changed == 1
    dockerfile.write_text(text)
    return made


def _close(made: Checkout) -> None:
    """Undo what was deployed, and let the base image go that was made for it alone."""
    made.invoke("destroy", "--stack", "local", "--yes")
    made.close()
    engine, _ = engines.connect(os.environ, Path.home())
    try:
        for name in baseimage.names_in((made.root / "custom_environment" / "Dockerfile").read_text()):
            if name.startswith((f"{BASE}:ours-", f"{BASE}:bound-")):
                with suppress(ImageNotFound):
                    engine.images.remove(name, noprune=True)
    finally:
        engine.close()


def _slow(made: Checkout, builds: float) -> None:
    """Let the local platform of a checkout take its time."""
    if builds:
        made.invoke("emulator.start")
        control.ask(made.root / ".toolkit" / "emulator", "PUT", "settings", {"builds": {"seconds": builds}})


def _ours(made: Checkout, builds: float) -> tuple[float, dict[str, float]]:
    try:
        _slow(made, builds)
        started = time.monotonic()
        done = made.invoke(*DEPLOY[2:], "--json")
        seconds = time.monotonic() - started
        if done.code != 0:
            raise SystemExit(done.stdout[-2000:] + done.stderr[-2000:])
        ends = [one for one in done.events if one["event"] == "phase" and one["status"] == "ok"]
        return seconds, {one["name"]: one["seconds"] for one in ends}
    finally:
        _close(made)


def _bound(made: Checkout, deploy_python: Path, builds: float) -> float:
    try:
        _slow(made, builds)
        staged = made.invoke("preview", "--stack", "local")  # starts the platform, and writes what the program is told
        assert staged.code == 0, staged.stderr
        built = _built(made)
        command, env = bare(made, deploy_python)
        return built + timed(command, cwd=made.root / "infra", env=env)
    finally:
        _close(made)


def _built(made: Checkout) -> float:
    """Build both images as the platform does; give the seconds that the builds themselves take."""
    seconds: list[float] = []

    def on_event(event: Mapping[str, Any]) -> None:
        if event["event"] == "phase" and event["status"] == "ok" and "image" in event["name"]:
            seconds.append(event["seconds"])

    home = Path.home()
    places = tools.Places(made.root, home, tools.cache_folder(os.environ, home), made.root / ".toolkit")
    bench = Bench(places, dict(os.environ), on_event)
    settings = configuration.load({}, None, stack="local", root=made.root)
    engine, _ = engines.connect(os.environ, home)
    try:
        with staging.workroom(settings) as room:
            token = Secret("0123456789abcdef0123456789abcdef")
            release = staging.stage(settings, bench, full_token=token, folder=room)
            app = gate.build(engine, settings, release, bench)
    finally:
        engine.close()
    assert app.built
    assert app.environment.built
    return sum(seconds)


def failure(rounds: int, folder: Path) -> Measure:
    """From the moment at which the platform notes that the app failed, until its reason is on the screen."""
    made = Checkout.copy(ROOT, folder / "failing" / "toolkit")
    made.env = {"DATAROBOT_PROVIDER": "stand-in"}
    try:
        made.deploy()
        times = []
        for number in range(rounds):
            made.write("custom_application/server.ts", f"// {number}\n{DIES_THERE}{SERVER}")
            times.append(_told_after(made))
    finally:
        made.invoke("destroy", "--stack", "local", "--yes")
        made.close()
    seconds = statistics.median(times)
    name = "an app that fails there: from the platform's word to the reason on the screen"
    return Measure(name, seconds, 0, "s", seconds, 2.0)


def _told_after(made: Checkout) -> float:
    failed: list[float] = []
    over = threading.Event()
    watcher = threading.Thread(target=_watch, args=(made.platform(), failed, over))
    watcher.start()
    command = [sys.executable, *DEPLOY, "--skip-smoke", "--no-rollback"]
    env = {**made.environ(), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, cwd=made.root, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as child:
        assert child.stdout is not None
        told = [time.time() for line in child.stdout if REASON in line]
    over.set()
    watcher.join()
    assert child.returncode == 5, child.returncode
    assert failed
    assert told
    return max(0.0, told[0] - failed[0])  # its log may have told before


def _watch(platform: Mapping[str, str], failed: list[float], over: threading.Event) -> None:
    """Look when the platform notes the failure; what counts is the last look that did not show it yet.

    What has failed before has to come up anew first.
    """
    headers = {"Authorization": f"Bearer {platform['token']}"}
    with httpx.Client(headers=headers, trust_env=False) as client:
        before = 0.0
        while not over.wait(LOOK_EVERY):
            began = time.time()
            answer = client.get(f"{platform['endpoint']}/customApplications/")
            if not any(one["status"] == "failed" for one in answer.json().get("data", ())):
                before = began
            elif before:
                failed.append(before)
                return


def describe(phases: list[dict[str, float]]) -> str:
    """Put the phases of first deployments into one line of JSON: medians in seconds."""
    names = dict.fromkeys(name for one in phases for name in one)
    return json.dumps({name: round(statistics.median(one[name] for one in phases if name in one), 2) for name in names})


def main() -> int:
    """Measure these rows alone: `python -m tests.bench.deploying`."""
    import argparse
    import shutil
    import tempfile

    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    home = Path.home()
    places = tools.Places(ROOT, home, tools.cache_folder(os.environ, home), ROOT / ".toolkit")
    deploy_python = tools.ensure_deploy_python(places, os.environ, on_line=print)
    tools.ensure_pulumi(places, os.environ, on_line=print)
    folder = Path(tempfile.mkdtemp(prefix="bun-to-datarobot-bench-"))
    try:
        first, _ = first_deploy(options.rounds, folder / "bare", deploy_python, bare_machine=True)
        slow, _ = first_deploy(1, folder / "slow", deploy_python, builds=BUILDS)
        at_once, phases = first_deploy(options.rounds, folder, deploy_python)
        rows = [first, slow, at_once, failure(options.rounds, folder)]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for one in rows:
        print(f"{one.name}: ours {one.ours:.2f}, bound {one.bare:.2f}, {one.value:.2f} <= {one.limit:g}: {one.holds}")
    print(describe(phases))
    return 0 if all(one.holds for one in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
