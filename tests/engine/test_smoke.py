"""The smoke test on real containers: every app of the corpus, and that nothing is left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.errors import ImageNotFound

from tests.apps import bun_apps, measure
from tests.apps.bun_apps import BunApp
from toolkit import baseimage, bundles, container, smoke
from toolkit import engine as engines
from toolkit.accepted import Acceptance
from toolkit.image.app import build_app
from toolkit.image.environment import build_environment
from toolkit.image.model import AppImage, EnvironmentImage
from toolkit.options import SmokeOptions
from toolkit.report import SmokeReport
from toolkit.settings import Secret
from toolkit.source import SourceFile, StagedSource

pytestmark = [
    pytest.mark.engine,
    # docker-py leaves the sockets of its streams to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@dataclass
class Ground:
    """An engine with the environment image of the corpus."""

    engine: docker.DockerClient
    host: str
    environment: EnvironmentImage
    base: baseimage.BaseImageOptions
    built: dict[str, AppImage]

    def prepare(self, app: BunApp, folder: Path) -> tuple[AppImage, StagedSource, SmokeOptions]:
        written = app.write(folder)
        paths = sorted(path for path in written.rglob("*") if path.is_file())
        files = tuple(SourceFile(path.relative_to(written).as_posix(), 0o644, path) for path in paths)
        bundle = bundles.find(app.bundle)
        built = build_app(self.engine, self.environment, files, bundle=bundle, base=self.base)
        self.built[built.tag] = built
        options = SmokeOptions(
            mode=app.mode,
            bundle=bundle,
            health_path=app.health_path,
            full_token=Secret(bun_apps.FULL_TOKEN),
            patience=app.patience,
        )
        return built, StagedSource(written, files, (), built.digest, 0), options

    def smoke(
        self, app: BunApp, folder: Path, on_event: Callable[[dict[str, Any]], None] = lambda _event: None
    ) -> SmokeReport:
        built, staged, options = self.prepare(app, folder)
        return smoke.run(self.engine, built, staged, options, host=self.host, on_event=on_event)

    def containers(self, *pids: int) -> set[str]:
        """Give the containers of this process (or of `pids`); somebody else may run a smoke test meanwhile."""
        label = f"{engines.OWNER_LABEL}={smoke.OWNER}"
        found = self.engine.api.containers(all=True, filters={"label": label})
        runs = tuple(f"{engines.machine()}.{pid}." for pid in pids or (os.getpid(),))
        return {one["Id"] for one in found if one["Labels"][engines.RUN_LABEL].startswith(runs)}


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    engine, address = engines.connect(os.environ, Path.home())
    base = baseimage.options_from(os.environ)
    context = tmp_path_factory.mktemp("environment")
    (context / "Dockerfile").write_text(bun_apps.DOCKERFILE)
    ground = Ground(engine, address.host, build_environment(engine, context, base=base), base, {})
    yield ground
    for tag in ground.built:
        with suppress(ImageNotFound):
            engine.images.remove(tag, force=True)
    engine.close()


def told(report: SmokeReport, status: str) -> dict[str, str]:
    return {check.id: check.title for check in report.checks if check.status == status}


def expected(titles: Mapping[str, str], words: Mapping[str, str]) -> bool:
    return set(titles) == set(words) and all(words[check] in titles[check] for check in words)


@contextmanager
def at_once(
    number: int, ground: Ground, apps: Iterable[BunApp], folder: Path, **changed: Any
) -> Iterator[dict[str, Future[SmokeReport]]]:
    """Smoke apps, so many at once, which must not disturb each other; `changed` are options of all of them."""

    def smoked(app: BunApp) -> SmokeReport:
        built, staged, options = ground.prepare(app, folder / app.name)
        return smoke.run(ground.engine, built, staged, replace(options, **changed), host=ground.host)

    with ThreadPoolExecutor(number, "smoke") as pool:
        yield {app.name: pool.submit(smoked, app) for app in apps}
        pool.shutdown(cancel_futures=True)


@pytest.fixture(scope="module")
def reports(ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[SmokeReport]]]:
    with at_once(measure.AT_ONCE, ground, bun_apps.ALL, tmp_path_factory.mktemp("apps")) as reports:
        yield reports


@pytest.mark.parametrize("app", bun_apps.ALL, ids=lambda app: app.name)
def test_the_corpus_gets_the_verdicts_it_deserves(app: BunApp, reports: dict[str, Future[SmokeReport]]) -> None:
    report = reports[app.name].result()
    assert expected(told(report, "fail"), app.fails), (told(report, "fail"), told(report, "warn"))
    assert expected(told(report, "warn"), app.warns), told(report, "warn")
    assert report.verdict == ("fail" if app.fails else "warn" if app.warns else "pass")
    assert len({check.id for check in report.checks}) == len(report.checks)
    shown = repr(report)
    assert bun_apps.FULL_TOKEN[:8] not in shown
    assert all(check.hint for check in report.checks if check.status == "fail")


def test_nothing_is_left_of_them(ground: Ground, reports: dict[str, Future[SmokeReport]]) -> None:
    for report in reports.values():
        report.result()
    assert not ground.containers()


def test_a_sound_app_serves_what_verify_will_compare(ground: Ground, tmp_path: Path) -> None:
    report = ground.smoke(BunApp("served"), tmp_path)
    assert set(report.served) == {"", "about.html", "app.js", "lazy.js", "logo.svg", "style.css"}
    assert report.release["base"].startswith("oven/bun:1-debian (")


def test_what_fails_is_found_in_the_source_and_in_what_was_built(ground: Ground, tmp_path: Path) -> None:
    app = BunApp(
        "bundled",
        {
            "build-app.sh": "#!/bin/sh\nset -e\nbun build src/page.html --outdir dist --entry-naming index.[ext]\n",
            "src/page.html": "<!doctype html>\n<script type=module src=./page.ts></script>\n",
            "src/page.ts": 'export const items: string = "x";\nawait fetch(`/api/items/${items}`);\n',
        },
    )
    report = ground.smoke(app, tmp_path)
    (check,) = [check for check in report.checks if check.id == "front.prefix"]
    assert check.status == "fail"
    places = [line.split("  ")[0] for line in check.evidence]
    assert "src/page.ts:2" in places, places
    assert any(place.startswith("dist/") for place in places), places


def test_a_verdict_is_the_same_every_time(ground: Ground, tmp_path: Path) -> None:
    app = next(app for app in bun_apps.BROKEN if app.name == "absolute_urls")
    reports = [ground.smoke(app, tmp_path / str(n)) for n in range(3)]
    answers = [[(c.id, c.status, c.title, c.evidence) for c in report.checks] for report in reports]
    assert answers[0] == answers[1] == answers[2]


def test_two_smokes_at_once_do_not_disturb_each_other(ground: Ground, tmp_path: Path) -> None:
    apps = [BunApp("one"), next(app for app in bun_apps.BROKEN if app.name == "missing_asset")]
    reports: dict[str, SmokeReport] = {}
    runs = [
        threading.Thread(target=lambda app=app: reports.update({app.name: ground.smoke(app, tmp_path / app.name)}))
        for app in apps
    ]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert (reports["one"].verdict, reports["missing_asset"].verdict) == ("pass", "fail")
    assert not ground.containers()


@pytest.mark.parametrize("problem", [KeyboardInterrupt, RuntimeError])
def test_nothing_is_left_behind_when_it_is_broken_off(
    problem: type[BaseException], ground: Ground, tmp_path: Path
) -> None:
    def break_off(event: dict[str, Any]) -> None:
        assert ground.containers()
        if event["id"] == "start.listens":
            raise problem

    with pytest.raises(problem):
        ground.smoke(BunApp("broken_off"), tmp_path, break_off)
    assert not ground.containers()


def test_sigterm_is_taken_like_ctrl_c(ground: Ground, tmp_path: Path) -> None:
    def terminate(event: dict[str, Any]) -> None:
        if event["id"] == "start.listens":
            os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        ground.smoke(BunApp("terminated"), tmp_path, terminate)
    assert signal.getsignal(signal.SIGTERM) is before
    assert not ground.containers()


def test_the_next_run_removes_what_a_killed_one_left_and_nothing_else(ground: Ground, tmp_path: Path) -> None:
    built, staged, options = ground.prepare(BunApp("left"), tmp_path)
    here = engines.machine()
    apps = {}
    # It ends when its apps run: a smoke test beside this one may sweep, too.
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        for name, run_id in {"dead": f"{here}.{child.pid}.1", "alive": f"{here}.{os.getpid()}.1"}.items():
            spec = container.RunSpec(image=built, env={}, bundle=options.bundle, owner=smoke.OWNER, run_id=run_id)
            apps[name] = container.start(ground.engine, spec, host=ground.host)
        child.communicate(b"\n")
    try:
        assert smoke.run(ground.engine, built, staged, options, host=ground.host).verdict == "pass"
        assert ground.containers(os.getpid(), child.pid) == {apps["alive"].id}
    finally:
        for app in apps.values():
            app.remove()


def test_a_warm_smoke_takes_seconds_not_minutes(ground: Ground, tmp_path: Path) -> None:
    ground.smoke(BunApp("warm"), tmp_path / "first")
    # Other tests run beside this one: the best of a few tries is what the smoke test itself takes.
    assert any(ground.smoke(BunApp("warm"), tmp_path / str(number)).seconds < 5 for number in range(4))


WRITES = 'await Bun.write("app.lock", "1");\n'


def test_what_the_app_leaves_on_its_disk_is_told_and_not_looked_for_again(ground: Ground, tmp_path: Path) -> None:
    built, staged, options = ground.prepare(BunApp("tidy"), tmp_path / "tidy")
    assert not smoke.run(ground.engine, built, staged, options, host=ground.host).wrote
    app = BunApp("writes", {"index.ts": WRITES + bun_apps.SERVER})
    built, staged, options = ground.prepare(app, tmp_path / "writes")
    seen = smoke.run(ground.engine, built, staged, options, host=ground.host)
    assert seen.wrote
    assert "restart" in [moment.name for moment in seen.timeline]
    known = smoke.run(ground.engine, built, staged, replace(options, writes=False), host=ground.host)
    assert "restart" not in [moment.name for moment in known.timeline]


def test_the_caller_may_prepare_something_meanwhile(ground: Ground, tmp_path: Path) -> None:
    built, staged, options = ground.prepare(BunApp("slow_to_stop"), tmp_path)
    called = threading.Event()
    smoke.run(ground.engine, built, staged, replace(options, meanwhile=called.set), host=ground.host)
    assert called.wait(5)


def test_the_report_has_a_timeline_and_a_log_without_tokens(ground: Ground, tmp_path: Path) -> None:
    report = ground.smoke(BunApp("told"), tmp_path)
    assert [moment.name for moment in report.timeline] == ["sweep", "container", "start", "crawl", "settle", "stop"]
    assert all(moment.started + moment.seconds <= report.seconds for moment in report.timeline)
    assert bun_apps.FULL_TOKEN not in "\n".join(report.log)


def test_what_was_accepted_does_not_end_the_test_before_the_app_ends(ground: Ground, tmp_path: Path) -> None:
    dies = (
        'return new Response("not found"',
        'setTimeout(() => process.exit(9), 1000); return new Response("not found"',
    )
    app = BunApp("accepted", {"public/logo.svg": None, "index.ts": dies})
    built, staged, options = ground.prepare(app, tmp_path)
    accept = [Acceptance("front.assets", "drawn later", "logo")]
    report = smoke.run(ground.engine, built, staged, options, host=ground.host, accept=accept)
    assert [(check.id, check.title) for check in report.checks if check.status == "fail" and check.counts] == [
        ("start.stable", next(check.title for check in report.checks if check.id == "start.stable"))
    ]
    assert next(check for check in report.checks if check.id == "front.assets").accepted == "drawn later"


def test_a_token_that_the_app_prints_is_in_no_answer(ground: Ground, tmp_path: Path) -> None:
    prints = '#!/bin/sh\n. ./.env\necho "error: no access with $DATAROBOT_API_TOKEN, and with $CANARY" >&2\nexit 3\n'
    built, staged, options = ground.prepare(BunApp("prints", {"start-app.sh": prints}), tmp_path)
    options = replace(options, env={"CANARY": "canary-of-the-app"}, secrets=(Secret("canary-of-the-app"),))
    told: list[dict[str, Any]] = []
    report = smoke.run(ground.engine, built, staged, options, host=ground.host, on_event=told.append)
    failed = next(check for check in report.checks if check.id == "start.listens")
    assert "error: no access with ****, and with ****" in failed.title
    everything = json.dumps([report.to_json(), told])
    assert not [mark for mark in (bun_apps.FULL_TOKEN[:10], "canary-of") if mark in everything]
