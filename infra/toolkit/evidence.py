"""What the platform itself says of a failure: its logs are fetched, kept in full, and put into the error.

The provider throws them away ("review the logs for more details", platform-contract 5.4).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit import explain
from toolkit.errors import DeploymentFailed, ToolkitError
from toolkit.explain import Cause
from toolkit.settings import Secret, masked
from toolkit.stackconfig import StackInputs

if TYPE_CHECKING:
    from toolkit.datarobot import Client

KEPT = 30  # logs of failures that are kept for each stack


@dataclass(frozen=True)
class Log:
    """A log of the platform's: `about` says of what; the whole text lies at `path`."""

    about: str
    text: str
    path: Path | None = None


def gather(client: Client, wanted: StackInputs) -> tuple[Log, ...]:
    """Fetch the logs of what failed: the environment's build, the app's build, the app itself.

    One that cannot be had is left out: it is no second failure.
    """
    logs: list[Log] = []
    with suppress(ToolkitError):
        logs += _of_environment(client, f"{wanted.base_name}-environment")
    with suppress(ToolkitError):
        logs += _of_application(client, wanted.base_name)
    return tuple(log for log in logs if log.text.strip())


def _of_environment(client: Client, name: str) -> list[Log]:
    found: list[Log] = []
    for environment in client.environments(name)[-1:]:
        latest = environment.get("latestVersion") or {}
        if latest.get("buildStatus") == "failed":
            log = client.build_log(str(environment["id"]), str(latest["id"]))
            found.append(Log("The platform's build log of the environment", _joined(log.get("log"), log.get("error"))))
    return found


def _of_application(client: Client, name: str) -> list[Log]:
    found: list[Log] = []
    for application in client.applications(name)[-1:]:
        if application.get("status") == "failed":
            logs = client.application_logs(str(application["id"]))
            own = "\n".join(logs.get("logs") or ())
            if not own or logs.get("buildError") or logs.get("buildStatus") == "failed":
                build = _joined(logs.get("buildLog"), logs.get("buildError"))
                found.append(Log("The platform's log of the app's build", build))
            found.append(Log("The platform's log of the application", own))
    return found


def _joined(*parts: Any) -> str:
    return "\n".join(str(part) for part in parts if part)


def keep(
    logs: Sequence[Log], folder: Path, secrets: Sequence[Secret] = (), *, now: datetime | None = None
) -> list[Log]:
    """Write the logs in full below `folder`, without the secrets, and give them with their paths.

    A folder that cannot be written to costs the paths only. Of all logs there the last thirty stay.
    """
    stamp = (now or datetime.now(UTC)).strftime("%Y%m%d-%H%M%S")
    kept: list[Log] = []
    for log in logs:
        text = masked(log.text, secrets)
        path: Path | None = folder / f"{stamp}-{re.sub(r'[^a-z]+', '-', log.about.lower().partition(' of ')[2])}.log"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            assert path is not None
            path.touch(0o600)
            path.write_text(text + "\n")
        except OSError:
            path = None
        kept.append(Log(log.about, text, path))
    with suppress(OSError):
        for old in sorted(folder.glob("*.log"))[:-KEPT]:
            old.unlink(missing_ok=True)
    return kept


def causes(error: DeploymentFailed, logs: Sequence[Log]) -> tuple[Cause, ...]:
    """Give the causes of a failure, the deepest first."""
    return explain.causes(error.details, ["\n".join(explain.lines_that_matter(log.text)) for log in logs])


def explained(error: DeploymentFailed, logs: Sequence[Log]) -> DeploymentFailed:
    """Give the error with all that is known: what happened, the lines that matter, and the next step."""
    found = causes(error, logs)
    from_log = [cause for cause in found if cause.id in {rule.id for rule in explain.LOGS}]
    said = [line for line in error.details if line.strip() not in explain.SAYS_NOTHING]
    shown = [
        line
        for log in logs
        for line in (
            f"{log.about}{f' (all of it: {log.path})' if log.path else ''}:",
            *(f"  {line}" for line in explain.lines_that_matter(log.text)),
        )
    ]
    message = " ".join([error.message, *(cause.what for cause in from_log[:1])])
    return type(error)(message, hint=from_log[0].hint if from_log else error.hint, details=(*said, *shown))
