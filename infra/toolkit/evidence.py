"""What the platform itself says of a failure: fetched, and kept in full."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from toolkit.stackconfig import StackInputs

if TYPE_CHECKING:
    from toolkit.datarobot import Client


def platform_reason(client: Client, wanted: StackInputs) -> tuple[str, ...]:
    """Fetch what the platform itself logged of a failed build or start: the provider throws it away."""
    lines: list[str] = []
    for environment in client.environments(f"{wanted.base_name}-environment")[-1:]:
        latest = environment.get("latestVersion") or {}
        if latest.get("buildStatus") == "failed":
            log = client.build_log(str(environment["id"]), str(latest["id"]))
            lines += [
                "The platform's build log of the environment:",
                *_last(log.get("log")),
                *_last(log.get("error")),
            ]
    for application in client.applications(wanted.base_name)[-1:]:
        if application.get("status") == "failed":
            logs = client.application_logs(str(application["id"]))
            lines += ["The platform's log of the application:", *_last("\n".join(logs.get("logs") or ()))]
            lines += [*_last(logs.get("buildLog")), *_last(logs.get("buildError"))] if not logs.get("logs") else []
    return tuple(lines)


def _last(text: Any, count: int = 20) -> list[str]:
    return [f"  {line}" for line in str(text or "").splitlines() if line.strip()][-count:]
