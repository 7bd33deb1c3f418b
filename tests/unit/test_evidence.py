"""What the platform logged of a failure gets into the error, and is kept in full without secrets."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from toolkit import evidence
from toolkit.errors import DeploymentFailed, PermissionDenied
from toolkit.evidence import Log
from toolkit.settings import Secret
from toolkit.stackconfig import StackInputs

WANTED = StackInputs("demo", "dev", "context.zip", ())
TOLD = (
    "Custom Application is not ready: application failed to create, review the logs for more details",
    "update failed",
)


class Platform:
    """Stands for the client: one environment and one application, in the states that it is told."""

    def __init__(self, *, built: str = "success", status: str = "running", logs: dict[str, Any] | None = None) -> None:
        self.built, self.status, self.logs = built, status, logs or {}

    def environments(self, name: str) -> list[dict[str, Any]]:
        assert name == "demo-dev-environment"
        return [{"id": "e1", "latestVersion": {"id": "v1", "buildStatus": self.built}}]

    def build_log(self, environment_id: str, version_id: str) -> dict[str, Any]:
        assert (environment_id, version_id) == ("e1", "v1")
        return {"log": "Step 1/2\nE: Unable to locate package nosuch", "error": "the build ended with 100"}

    def applications(self, name: str) -> list[dict[str, Any]]:
        assert name == "demo-dev"
        return [{"id": "a1", "status": self.status}]

    def application_logs(self, application_id: str) -> dict[str, Any]:
        if self.logs.get("refused"):
            raise PermissionDenied("no")
        assert application_id == "a1"
        return self.logs


def _gather(platform: Platform) -> list[str]:
    return [log.about for log in evidence.gather(platform, WANTED)]  # type: ignore[arg-type]


def test_only_what_failed_is_asked_for_its_log() -> None:
    assert _gather(Platform()) == []
    assert _gather(Platform(built="failed")) == ["The platform's build log of the environment"]
    assert _gather(Platform(status="failed", logs={"logs": ["up", "down"]})) == [
        "The platform's log of the application"
    ]
    assert _gather(Platform(status="failed", logs={"logs": [], "buildLog": "x"})) == [
        "The platform's log of the app's build"
    ]


def test_a_log_that_cannot_be_had_is_no_second_failure() -> None:
    assert _gather(Platform(built="failed", status="failed", logs={"refused": True})) == [
        "The platform's build log of the environment"
    ]


def test_logs_are_kept_in_full_without_secrets_and_not_for_ever(tmp_path: Path) -> None:
    long = "\n".join(f"line {number}" for number in range(1000)) + "\ntoken abcd-efgh-0123 ends"
    for second in range(40):
        now = datetime(2026, 1, 2, 3, 4, second, tzinfo=UTC)
        (kept,) = evidence.keep(
            [Log("The platform's log of the application", long)], tmp_path, [Secret("abcd-efgh-0123")], now=now
        )
    assert kept.path == tmp_path / "20260102-030439-the-application.log"
    assert kept.path.stat().st_mode & 0o777 == 0o600
    assert "line 500" in kept.path.read_text()
    assert "abcd-efgh" not in kept.path.read_text() + kept.text
    assert len(list(tmp_path.iterdir())) == evidence.KEPT


def test_what_is_as_short_as_a_word_is_not_taken_for_a_secret(tmp_path: Path) -> None:
    log = Log("The platform's log of the application", "connection lost, exit code 137")
    (kept,) = evidence.keep([log], tmp_path, [Secret("on"), Secret("1")])
    assert kept.text == log.text


def test_a_folder_that_cannot_be_written_to_costs_the_path_only(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("in the way")
    (kept,) = evidence.keep([Log("The platform's log of the application", "text")], tmp_path / "logs")
    assert (kept.text, kept.path) == ("text", None)


def test_the_error_has_the_cause_the_lines_that_matter_and_the_next_step(tmp_path: Path) -> None:
    log = Log("The platform's log of the application", "error: Cannot find module './x.ts'", tmp_path / "a.log")
    error = evidence.explained(DeploymentFailed("It did not come up.", hint="Try.", details=TOLD), [log])
    assert error.message == "It did not come up. The module ./x.ts is missing."
    assert "package.json" in error.hint
    assert error.details == (
        TOLD[0],
        f"The platform's log of the application (all of it: {tmp_path / 'a.log'}):",
        "  error: Cannot find module './x.ts'",
    )


@pytest.mark.parametrize("logs", [[], [Log("The platform's log of the application", "all is purple")]])
def test_without_a_known_cause_nothing_is_guessed(logs: list[Log]) -> None:
    error = evidence.explained(DeploymentFailed("It failed.", hint="See above.", details=("purple", "up")), logs)
    assert (error.message, error.hint) == ("It failed.", "See above.")
    assert error.details[:2] == ("purple", "up")
