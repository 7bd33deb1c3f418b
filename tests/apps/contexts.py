"""Contexts for unit tests of the checks: a sound app, of which a test changes what it is about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.apps.bun_apps import BASE
from toolkit.checks.context import Context, Waited
from toolkit.container import ContainerState, StopResult
from toolkit.crawl import CrawlResult, Finding
from toolkit.fetch import Response
from toolkit.judging import Problem
from toolkit.processes import Inside, Listener, Process
from toolkit.references.model import Kind
from toolkit.settings import Secret
from toolkit.source import SourceFile, StagedSource

FULL = "Zk9xQ2vT7mLw4RbN8sYd1HcJ5gPa3EuF"
RESTRICTED = "b6VnX0rMqK2tWj8DzL5yCf9GhS4aUe7P"
PREFIX = "/custom_applications/abc123/"
START = "http://127.0.0.1:4000" + PREFIX
RUNNING = ContainerState("running", True, 0, False, "")
ENDPOINT = "https://app.datarobot.com/api/v2"
OK = Response("http://127.0.0.1:8080/", 200, {"content-type": "text/html"}, b"<p>")


class QuietApp:
    """A container in which every command prints `output`."""

    def __init__(self, output: str = "") -> None:
        self.output = output

    def exec(self, argv: list[str]) -> tuple[int, str]:
        return 0, self.output


def exited(code: int, *, oom: bool = False) -> ContainerState:
    return ContainerState("exited", False, code, oom, "")


def serving(environment: Mapping[str, str], *others: Process) -> Inside:
    """One process that listens on port 8080, with this environment."""
    server = Process(1, 0, "bun index.ts", handles_sigterm=True)
    return Inside((server, *others), (Listener("0.0.0.0", 8080, 1, server.command, environment),))


def finding(problem: Problem, literal: str, message: str = "", **changes: Any) -> Finding:
    text = message or f"{literal} is wrong"
    return replace(Finding(problem, literal, text, ("./:3",), Kind.SCRIPT, START + literal, literal), **changes)


def crawled(*findings: Finding, bodies: Mapping[str, bytes] | None = None, **changes: Any) -> CrawlResult:
    return replace(CrawlResult(START, PREFIX, (), findings, {}, {}, bodies or {}), **changes)


def context(folder: Path, files: Mapping[str, str] | None = None, **changes: Any) -> Context:
    """Give the context of a sound app whose files are `files` on top of the base, with the fields of `changes`."""
    staged = []
    for path, text in {**BASE, **(files or {})}.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8", newline="")
        staged.append(SourceFile(path, 0o644, target))
    sound = Context(
        staged=StagedSource(folder, tuple(staged), (), "0" * 64, 0),
        build_log=(),
        mode="strip",
        prefix=PREFIX,
        probe_path="/",
        patience=120.0,
        memory=128 * 2**20,
        full_token=Secret(FULL),
        restricted_token=Secret(RESTRICTED),
        ships_env=True,
        app=QuietApp(),
        waited=Waited(OK, 0.4, RUNNING),
        inside=serving({"DATAROBOT_API_TOKEN": FULL, "DATAROBOT_ENDPOINT": ENDPOINT}),
        endpoint=ENDPOINT,
        crawled=crawled(),
        private=(Response(START + ".env", 404, {}, b""),),
        logs=("listening",),
        state=RUNNING,
        stopped=StopResult(0.1, 0, False),
    )
    return replace(sound, **changes)
