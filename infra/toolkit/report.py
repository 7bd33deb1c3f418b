"""What the smoke test found: checks, and the report that holds them (a versioned JSON document)."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

REPORT_VERSION = 1
Status = Literal["pass", "warn", "fail", "skip"]
Verdict = Literal["pass", "warn", "fail"]


@dataclass(frozen=True)
class Check:
    """One question asked of a release, and its answer.

    `title` is one line: what holds, or the cause of what does not. `detail` says what was expected and found,
    `evidence` where (file:line, URL, log line), `hint` what to do next.
    """

    id: str
    status: Status
    title: str
    detail: str = ""
    evidence: tuple[str, ...] = ()
    hint: str = ""
    seconds: float = 0.0

    @property
    def family(self) -> str:
        """The part of the id before the dot."""
        return self.id.partition(".")[0]


def passed(id: str, title: str, detail: str = "", *, evidence: Iterable[str] = ()) -> Check:  # noqa: A002
    """Answer a check: it holds."""
    return Check(id, "pass", title, detail, tuple(evidence))


def skipped(id: str, reason: str) -> Check:  # noqa: A002
    """Answer a check: it could not be asked, for `reason`."""
    return Check(id, "skip", reason)


def warned(id: str, title: str, detail: str = "", *, evidence: Iterable[str] = (), hint: str = "") -> Check:  # noqa: A002
    """Answer a check: the app runs, but this is doubtful."""
    return Check(id, "warn", title, detail, tuple(evidence), hint)


def failed(id: str, title: str, detail: str = "", *, evidence: Iterable[str] = (), hint: str = "") -> Check:  # noqa: A002
    """Answer a check: the app would not work on the platform."""
    return Check(id, "fail", title, detail, tuple(evidence), hint)


@dataclass(frozen=True)
class SmokeReport:
    """All checks of one release. `served` maps each path below the prefix to the SHA-256 of what it answered."""

    release: Mapping[str, str]
    seconds: float
    checks: tuple[Check, ...]
    served: Mapping[str, str] = field(default_factory=dict)
    report_version: int = REPORT_VERSION

    @property
    def verdict(self) -> Verdict:
        """The worst status; skipped checks do not count."""
        statuses = {check.status for check in self.checks}
        return "fail" if "fail" in statuses else "warn" if "warn" in statuses else "pass"

    def to_json(self) -> dict[str, Any]:
        """Give the document as JSON-ready data."""
        return {
            "report_version": self.report_version,
            "verdict": self.verdict,
            "release": dict(self.release),
            "seconds": round(self.seconds, 3),
            "checks": [
                {
                    "id": check.id,
                    "family": check.family,
                    **{key: value for key, value in asdict(check).items() if key != "id"},
                    "evidence": list(check.evidence),
                    "seconds": round(check.seconds, 3),
                }
                for check in self.checks
            ],
            "served": dict(self.served),
        }

    def write(self, path: Path) -> None:
        """Write the document to `path`; whoever reads meanwhile sees the old one or the new one, never a part."""
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                json.dump(self.to_json(), stream, indent=2, ensure_ascii=False)
                stream.write("\n")
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    @classmethod
    def read(cls, path: Path) -> SmokeReport:
        """Read a document that `write` wrote. Raises OSError, or ValueError when it is none of this version."""
        data = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(data, dict) or data.get("report_version") != REPORT_VERSION:
            raise ValueError(f"{path} is no smoke report of version {REPORT_VERSION}")
        try:
            checks = tuple(
                Check(
                    str(check["id"]),
                    cast(Status, check["status"]),
                    str(check["title"]),
                    str(check["detail"]),
                    tuple(check["evidence"]),
                    str(check["hint"]),
                    float(check["seconds"]),
                )
                for check in data["checks"]
            )
            return cls(data["release"], float(data["seconds"]), checks, data["served"])
        except (KeyError, TypeError) as problem:
            raise ValueError(f"{path} is no complete smoke report: {problem}") from problem
