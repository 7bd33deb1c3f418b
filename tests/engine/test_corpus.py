"""The rest of the corpus on real containers: the first line that each app deserves, and the table of results."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.apps import bun_apps, measure
from tests.apps.bun_apps import BunApp
from tests.apps.measure import Measured
from toolkit import baseimage
from toolkit import engine as engines
from toolkit.image.environment import build_environment
from toolkit.options import SmokeOptions

APPS = measure.ASKED
SETTLE = 1.0  # seconds


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Measured]]]:
    """What smoke says of each app: several are smoked at once while the tests wait for theirs.

    Only what is expected not to stay up is watched as long as usual; `python -m tests.apps.measure` does so with all.
    """
    engine, address = engines.connect(os.environ, Path.home())
    context = tmp_path_factory.mktemp("environment")
    (context / "Dockerfile").write_text(bun_apps.DOCKERFILE)
    environment = build_environment(engine, context, base=baseimage.options_from(os.environ))
    with ThreadPoolExecutor(measure.AT_ONCE, "corpus") as pool:

        def measured(app: BunApp) -> Measured:
            usual = SmokeOptions.settle
            settle = usual if "start.stable" in app.fails else SETTLE
            return measure.measure_one(engine, address.host, environment, app, settle=settle)

        yield {app.name: pool.submit(measured, app) for app in APPS}
        pool.shutdown(cancel_futures=True)
    engine.close()


@pytest.mark.engine
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("app", APPS, ids=lambda app: app.name)
def test_an_app_gets_the_first_line_that_it_deserves(app: BunApp, measured: dict[str, Future[Measured]]) -> None:
    said = measured[app.name].result()
    assert said.outcome == "hit", (said.expected, said.verdict, said.first)


def test_the_corpus_is_large_and_its_names_are_unique() -> None:
    names = [app.name for app in measure.CORPUS]
    assert len(set(names)) == len(names) >= 115
    assert sum(not app.fails for app in measure.CORPUS) >= 25
    assert sum(bool(app.fails) for app in measure.CORPUS) >= 90


def test_the_table_in_the_docs_names_every_app() -> None:
    text = measure.TABLE.read_text(encoding="utf-8")
    assert re.findall(r"^\| (\w+) \| (?:pass|warn|fail) \|", text, re.MULTILINE) == [a.name for a in measure.CORPUS]
