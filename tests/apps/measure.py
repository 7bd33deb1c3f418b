"""Measure the smoke test on the corpus: `python -m tests.apps.measure [--rounds N] [WORD ...]` (words of apps' names).

Without words it writes the table of docs/smoke-corpus.md, after each round.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import docker
from docker.errors import DockerException, ImageNotFound

from tests.apps import browser_apps, bun_apps, framework_apps, more_apps, stranger_apps, whole_apps
from tests.apps.bun_apps import BunApp
from toolkit import baseimage, bundles, smoke
from toolkit import engine as engines
from toolkit.browsing.finding import find_chromium
from toolkit.errors import ToolkitError
from toolkit.image.app import build_app
from toolkit.image.environment import build_environment
from toolkit.image.model import BuildFailed, EnvironmentImage
from toolkit.options import SmokeOptions
from toolkit.report import Check, failed
from toolkit.settings import Secret
from toolkit.source import SourceFile, StagedSource

USED = (*browser_apps.ALL, *whole_apps.SEEN, *stranger_apps.SEEN, *framework_apps.SEEN)
ASKED = (*more_apps.MORE, *whole_apps.PLAIN, *stranger_apps.PLAIN, *framework_apps.PLAIN)
CORPUS = (*bun_apps.ALL, *ASKED, *USED)
AT_ONCE = 3  # apps wait more than they work: this is what two cores bear
OUTCOMES = ("hit", "miss", "other cause", "false alarm", "not measured")
GRAVITY = {"pass": 0, "warn": 1, "fail": 2, "error": 3}
TABLE = Path(__file__).parents[2] / "docs" / "smoke-corpus.md"


@dataclass(frozen=True)
class Measured:
    """What smoke said of one app: `verdict` and `first` (its first failure or warning), in `seconds`."""

    app: BunApp
    verdict: str
    first: Check | None
    seconds: float

    @property
    def answer(self) -> tuple[str, str]:
        """What has to be the same in every round: the verdict and the check of the first line."""
        return self.verdict, self.first.id if self.first else ""

    @property
    def expected(self) -> str:
        return "fail" if self.app.fails else "warn" if self.app.warns else "pass"

    @property
    def outcome(self) -> str:
        """hit, miss (not said), other cause (said, but not why), false alarm (said of what is sound), not measured."""
        if self.verdict == "not measured":
            return self.verdict
        if GRAVITY[self.verdict] > GRAVITY[self.expected]:
            return "false alarm"
        if GRAVITY[self.verdict] < GRAVITY[self.expected]:
            return "miss"
        if self.first is None:
            return "hit"
        words = {**self.app.warns, **self.app.fails}.get(self.first.id)
        return "hit" if words is not None and words in self.first.title else "other cause"


def first_line(checks: Iterable[Check]) -> Check | None:
    """Give the first failure, or else the first warning."""
    checks = tuple(checks)
    return next((check for status in ("fail", "warn") for check in checks if check.status == status), None)


def measure_one(
    engine: docker.DockerClient,
    host: str,
    environment: EnvironmentImage,
    app: BunApp,
    *,
    settle: float = SmokeOptions.settle,
) -> Measured:
    """Build and smoke one app, and remove its image."""
    base = baseimage.options_from(os.environ)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = app.write(Path(name))
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        files = tuple(SourceFile(path.relative_to(folder).as_posix(), 0o644, path) for path in paths)
        staged = StagedSource(folder, files, (), "0" * 64, 0)
        before = smoke.before_build(staged)
        bundle = bundles.find(app.bundle)
        if before.verdict == "fail":
            return Measured(app, "fail", first_line(before.checks), time.monotonic() - began)
        try:
            built = build_app(engine, environment, files, bundle=bundle, base=base)
        except BuildFailed as problem:
            checks = smoke.before_build(staged, problem).checks
            return Measured(app, "fail", first_line(checks), time.monotonic() - began)
        stack.callback(_removed, engine, built.tag)
        token = Secret(bun_apps.FULL_TOKEN)
        options = SmokeOptions(
            mode=app.mode,
            bundle=bundle,
            health_path=app.health_path,
            full_token=token,
            patience=app.patience,
            settle=settle,
        )
        if app in USED:
            options = replace(options, browser=find_chromium(os.environ))
        report = smoke.run(engine, built, staged, options, host=host)
    return Measured(app, report.verdict, first_line(report.checks), time.monotonic() - began)


def _removed(engine: docker.DockerClient, tag: str) -> None:
    with suppress(ImageNotFound):
        engine.images.remove(tag, force=True)


def measure(
    apps: Iterable[BunApp], on_measured: Callable[[Measured], None] = lambda _one: None
) -> tuple[Measured, ...]:
    """Measure apps, several at once."""
    engine, address = engines.connect(os.environ, Path.home())
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "Dockerfile").write_text(bun_apps.DOCKERFILE)
        environment = build_environment(engine, Path(name), base=baseimage.options_from(os.environ))

    def one(app: BunApp) -> Measured:
        try:
            measured = measure_one(engine, address.host, environment, app)
        except (ToolkitError, DockerException) as problem:
            measured = Measured(app, "error", failed("smoke.error", str(problem), hint="Smoke has to answer."), 0.0)
        on_measured(measured)
        return measured

    try:
        with ThreadPoolExecutor(AT_ONCE, "corpus") as pool:
            return tuple(pool.map(one, apps))
    finally:
        engine.close()


def worst(rounds: Sequence[Sequence[Measured]]) -> tuple[Measured, ...]:
    """Give for each app what was worst in any round."""
    return tuple(max(of_one, key=lambda row: OUTCOMES.index(row.outcome)) for of_one in zip(*rounds, strict=True))


def unsteady(rounds: Sequence[Sequence[Measured]]) -> list[str]:
    """Give the names of the apps that were not told the same in every round."""
    return [of_one[0].app.name for of_one in zip(*rounds, strict=True) if len({row.answer for row in of_one}) > 1]


def table(rounds: Sequence[Sequence[Measured]], seconds: float) -> str:
    """Give the page of results."""
    rows, changed = worst(rounds), unsteady(rounds)
    times = "once" if len(rounds) == 1 else f"{len(rounds)} times"
    kinds = {word: sum(row.expected == word for row in rows) for word in ("pass", "warn", "fail")}
    counts = {word: sum(row.outcome == word for row in rows) for word in OUTCOMES}
    lines = [
        "# The corpus of the smoke test, and what smoke says of it",
        "",
        "Made by `PYTHONPATH=infra python -m tests.apps.measure`; the apps are in `tests/apps/`.",
        "Those whose name begins with `b_` are used in Chromium, all others are asked without a browser.",
        "",
        f"{len(rows)} apps: {kinds['pass']} sound, {kinds['warn']} doubtful, {kinds['fail']} broken.",
        f"Measured {times}, in {seconds / len(rounds):.0f} s a round, {AT_ONCE} at once, on "
        f"{datetime.now(UTC):%Y-%m-%d} ({os.cpu_count()} cores, {platform.system()}).",
        f"Told differently from one round to the next: {', '.join(changed) or 'none'}.",
        "Below stands the worst that was said of each app.",
        "The checks were made with these apps at hand: how well they do on others is another question.",
        "",
        *(f"- {word}: {count}" for word, count in counts.items()),
        "",
        "| App | Expected | Said | Outcome | First line | Seconds |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        first = f"{row.first.id}: {row.first.title}".replace("|", "\\|").replace("<", "&lt;") if row.first else ""
        lines.append(
            f"| {row.app.name} | {row.expected} | {row.verdict} | {row.outcome} | {first[:200]} | {row.seconds:.1f} |"
        )
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    """Measure, show what is no hit, and write the table when everything was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("words", nargs="*")
    options = parser.parse_args(arguments)
    words = options.words
    apps = [app for app in CORPUS if not words or any(word in app.name for word in words)]

    def show(row: Measured) -> None:
        first = f"{row.first.id}: {row.first.title}" if row.first else ""
        print(f"{row.outcome:12} {row.app.name:32} {row.verdict} {row.seconds:.1f}s {first[:170]}", flush=True)

    began = time.monotonic()
    rounds: list[tuple[Measured, ...]] = []
    while len(rounds) < options.rounds:
        rounds.append(measure(apps, show))
        if not words:
            TABLE.write_text(table(rounds, time.monotonic() - began), encoding="utf-8")
    return int(bool(unsteady(rounds)) or any(row.outcome != "hit" for rows in rounds for row in rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
