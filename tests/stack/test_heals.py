"""docs/failures.md says which failures the next plain deployment gets over: each is played, and then deployed plainly.

What the platform refuses stays refused, and what is set wrongly stays wrong, until somebody changes it. What was only
its trouble of the moment is over. So a rule stays for the first kind, and goes for the second one.
"""

from __future__ import annotations

import dataclasses
import runpy
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.reliability.bed import ROOT, Bed, bed
from toolkit import beside, driving, explain, preflight, recovery
from toolkit.bench import Bench
from toolkit.child import Driver, Warm
from toolkit.settings import Settings
from toolkit.stack import StackResult

pytestmark = [pytest.mark.stack, pytest.mark.engine]

API = "/api/v2/"
# In the provider's User-Agent: what we ask ourselves is answered. It uploads under another name.
PROVIDER, UPLOADS = "Terraform", "Go-http-client"
ENVIRONMENTS, SOURCES = f"{API}executionEnvironments/", f"{API}customApplicationSources/"
APPS = f"{API}customApplications/"
USE_CASE = "6" * 24
PROGRAM = Path("infra") / "toolkit" / "program.py"
TAKEN = "{0} name must be unique, and name '{1}' is already in use"


@dataclass(frozen=True)
class Play:
    """How a failure comes about: by a rule of the platform, by settings, or by what is done to the run.

    What `stays` does so until somebody changes it.
    """

    rule: dict[str, Any] = field(default_factory=dict)
    stays: bool = True
    command: str = "deploy"
    settings: dict[str, str] = field(default_factory=dict)
    spoil: Callable[[pytest.MonkeyPatch, Bed], None] = lambda _patch, _bed: None


def refused(method: str, path: str, status: int, body: object, **more: Any) -> Play:
    agent = UPLOADS if method == "PATCH" and "/versions/" in path else PROVIDER
    rule = {"method": method, "path": path, "status": status, "body": body, "times": 0, "agent": agent}
    return Play(rule, **more)


def passing(method: str, path: str, **rule: Any) -> Play:
    return Play({"method": method, "path": path, "agent": PROVIDER, "times": 0, **rule}, stays=False)


def _with_environ(**told: str) -> Callable[[pytest.MonkeyPatch, Bed], None]:
    """Let Pulumi be told something else than the settings say: what is set wrongly, and what preflight has not seen."""

    def spoil(patch: pytest.MonkeyPatch, _bed: Bed) -> None:
        real = driving.driver

        def spoiled(settings: Settings, bench: Bench) -> Driver:
            drive = real(settings, bench)
            return dataclasses.replace(drive, environ={**drive.environ, **told})

        patch.setattr(beside, "driver", spoiled)

    return spoil


def _change_program(made: Bed, before: str, after: str) -> None:
    program = made.root / PROGRAM
    text = program.read_text()
    assert before in text
    program.write_text(text.replace(before, after))


def _with_odd_language(_patch: pytest.MonkeyPatch, made: Bed) -> None:
    """Let the program say something that the provider does not take."""
    _change_program(made, 'programming_language="other"', 'programming_language="bun"')


def _with_import(_patch: pytest.MonkeyPatch, made: Bed) -> None:
    """Let the program import a source that is there: the provider would have to replace it."""
    settings = preflight.with_local_platform(made.settings(), made.bench)
    with preflight.platform_client(settings) as client:
        there = client.put_source("made by hand", "a.txt", b"a")
    options = f'opts=pulumi.ResourceOptions(import_="{there}"),'
    _change_program(made, "runtime_parameter_values=parameters,", f"runtime_parameter_values=parameters, {options}")


def _app_vanishes(_patch: pytest.MonkeyPatch, made: Bed) -> None:
    """Remove the application by hand: what the platform lacks is a reason to read everything anew."""
    settings = preflight.with_local_platform(made.settings(), made.bench)
    with preflight.platform_client(settings) as client:
        client.delete("application", made.outputs()["app_id"])


def _archive_vanishes(patch: pytest.MonkeyPatch, made: Bed) -> None:
    """Somebody cleans up between the staging and the deployment."""
    real = recovery.run

    def run(*args: Any, warm: Warm, **options: Any) -> StackResult:
        warm.end()
        (made.toolkit / "stage" / "local" / "context.zip").unlink()
        return real(*args, **options)

    patch.setattr(recovery, "run", run)


PLAYS: dict[str, Play] = {
    # The name that is taken was made by chance: the next source has another one.
    "source-name-taken": refused(
        "POST", SOURCES, 409, {"message": "Custom application source name 'demo-source' is already in use"}, stays=False
    ),
    "credential-name-taken": refused(
        "POST",
        f"{API}credentials/",
        409,
        {"message": TAKEN.format("Credential", "demo-key-2")},
        settings={"RUNTIME_ENV": "credential"},
    ),
    "attribute": Play(spoil=_with_odd_language),
    "key-scope-unknown": refused(
        "POST", f"{SOURCES}*/versions/", 201, {"id": USE_CASE, "requiredKeyScopeLevel": "owner"}
    ),
    "app-gone": dataclasses.replace(
        refused("PATCH", f"{APPS}*", 404, {"message": "Not Found"}), stays=False, command="update"
    ),
    "environment-version-gone": refused(
        "GET", f"{ENVIRONMENTS}*/versions/*", 404, {"message": "Not Found"}, command="update", spoil=_app_vanishes
    ),
    "environment-in-use": refused(
        "DELETE", f"{ENVIRONMENTS}*", 409, {"message": "Execution environment is in use"}, command="destroy"
    ),
    "build-failed": refused("GET", f"{ENVIRONMENTS}*/versions/*", 200, {"id": USE_CASE, "buildStatus": "failed"}),
    "app-failed": refused("GET", f"{APPS}*", 200, {"id": USE_CASE, "name": "x", "status": "failed"}),
    "app-name-taken": refused("PATCH", f"{APPS}*", 409, {"message": TAKEN.format("Application", "demo-app")}),
    "token-refused": refused("POST", ENVIRONMENTS, 401, {"message": "Invalid token"}),
    "not-permitted": refused("POST", APPS, 403, {"message": "You do not have permission to create applications"}),
    "bundle-unknown": refused(
        "POST",
        f"{SOURCES}*/versions/",
        422,
        {"message": "Invalid field data", "errors": {"resources": {"resourceLabel": "unknown bundle"}}},
    ),
    "file-too-large": refused(
        "PATCH",
        f"{SOURCES}*/versions/*",
        422,
        {"message": "Invalid field data", "errors": {"file": "too large"}},
    ),
    "refused-data": refused("POST", f"{SOURCES}*/versions/", 422, {"message": "Invalid field data"}),
    "platform-down": passing("POST", ENVIRONMENTS, status=503, body={"message": "Service unavailable"}),
    "too-many": passing("POST", f"{SOURCES}*/versions/", status=429, body={"message": "Too many requests"}),
    "cut": passing("PATCH", f"{SOURCES}*/versions/*", cut=True, agent=UPLOADS),
    "use-case-gone": refused(
        "POST", f"{API}useCases/*", 404, {"message": "Not Found"}, settings={"APP_USE_CASES": USE_CASE}
    ),
    "imported": Play(spoil=_with_import),
    "no-token": Play(spoil=_with_environ(DATAROBOT_API_TOKEN="")),
    "not-an-api": refused("POST", ENVIRONMENTS, 404, {"message": "Not Found"}),
    "no-address": Play(spoil=_with_environ(DATAROBOT_ENDPOINT="not-a-url")),
    "unreachable": Play(spoil=_with_environ(DATAROBOT_ENDPOINT="http://127.0.0.1:1/api/v2")),
    "file-gone": Play(stays=False, spoil=_archive_vanishes),
}
DOCUMENT = runpy.run_path(str(ROOT / "docs" / "failures.py"))
ROWS = DOCUMENT["rows"]()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, pulumi_cli: Path) -> Iterator[Bed]:
    del pulumi_cli
    with bed(tmp_path_factory.mktemp("heals") / "bed") as ready:
        ready.immediate()
        yield ready


@pytest.fixture(scope="module")
def found() -> dict[str, bool]:
    """What came out: recordings that failed for the same cause are one play."""
    return {}


@pytest.mark.parametrize(("recording", "cause"), ROWS, ids=[f"{name}-{cause.id}" for name, cause in ROWS])
def test_the_next_plain_deployment_heals_what_the_document_says(
    made: Bed, found: dict[str, bool], monkeypatch: pytest.MonkeyPatch, recording: str, cause: explain.Cause
) -> None:
    assert cause.id in PLAYS, f"{recording}: nobody plays {cause.id}"
    if cause.id not in found:
        found[cause.id] = _played(made, PLAYS[cause.id], cause.id, monkeypatch)
    assert cause.heals is found[cause.id]


def _played(made: Bed, play: Play, cause: str, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Let it fail for that cause, deploy plainly, and say whether that healed it."""
    made.more = dict(play.settings)
    made.prepare(play.command)
    with monkeypatch.context() as patch:
        play.spoil(patch, made)
        if play.rule:
            made.ask("POST", "faults", {"rules": [play.rule]})
        failed = made.run(play.command)
        assert failed.code != 0, failed
        assert cause in {one.id for one in explain.causes(failed.error.splitlines())}, failed.error
        if not play.stays:
            made.ask("DELETE", "faults")
            patch.undo()
        again = made.run("destroy" if play.command == "destroy" else "deploy")
    made.ask("DELETE", "faults")
    made.more = {}
    shutil.copyfile(ROOT / PROGRAM, made.root / PROGRAM)
    if again.code:
        return False
    assert made.trouble("deploy") == ""
    return True
