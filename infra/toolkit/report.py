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
    `evidence` where (file:line, URL, log line), `hint` what to do next. `question` is what was asked, `accepted` the
    reason for which a person has accepted the answer. `about` holds the URLs that the answer is about, so that two
    answers about the same one can be told; it is in no report.
    """

    id: str
    status: Status
    title: str
    detail: str = ""
    evidence: tuple[str, ...] = ()
    hint: str = ""
    seconds: float = 0.0
    question: str = ""
    accepted: str = ""
    about: tuple[str, ...] = ()

    @property
    def counts(self) -> bool:
        """Whether the answer makes the verdict worse: it is no good one, and nobody has accepted it."""
        return self.status in {"warn", "fail"} and not self.accepted

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


def warned(
    id: str,  # noqa: A002
    title: str,
    detail: str = "",
    *,
    evidence: Iterable[str] = (),
    hint: str = "",
    about: Iterable[str] = (),
) -> Check:
    """Answer a check: the app runs, but this is doubtful."""
    return Check(id, "warn", title, detail, tuple(evidence), hint, about=tuple(about))


def failed(
    id: str,  # noqa: A002
    title: str,
    detail: str = "",
    *,
    evidence: Iterable[str] = (),
    hint: str = "",
    about: Iterable[str] = (),
) -> Check:
    """Answer a check: the app would not work on the platform."""
    return Check(id, "fail", title, detail, tuple(evidence), hint, about=tuple(about))


@dataclass(frozen=True)
class Moment:
    """One stretch of a smoke test: what was done, when it began (seconds after the start) and how long it took."""

    name: str
    started: float
    seconds: float


@dataclass(frozen=True)
class SmokeReport:
    """All checks of one release. `served` maps each path below the prefix to the SHA-256 of what it answered.

    `log` holds the last lines of the app's log, with secrets masked; `notes` what is to be said about the test itself.
    `wrote` tells whether the app wrote something that its next start could meet; it is true where nobody looked.
    `screenshot` is a PNG picture of the page; it is in no JSON document.
    """

    release: Mapping[str, str]
    seconds: float
    checks: tuple[Check, ...]
    served: Mapping[str, str] = field(default_factory=dict)
    report_version: int = REPORT_VERSION
    timeline: tuple[Moment, ...] = ()
    log: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    wrote: bool = True
    screenshot: bytes | None = field(default=None, repr=False)

    @property
    def verdict(self) -> Verdict:
        """The worst status; checks that were skipped or accepted do not count."""
        statuses = {check.status for check in self.checks if check.counts}
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
                    **{key: value for key, value in asdict(check).items() if key not in {"id", "about"}},
                    "evidence": list(check.evidence),
                    "seconds": round(check.seconds, 3),
                }
                for check in self.checks
            ],
            "served": dict(self.served),
            "timeline": [
                {"name": moment.name, "started": round(moment.started, 3), "seconds": round(moment.seconds, 3)}
                for moment in self.timeline
            ],
            "log": list(self.log),
            "notes": list(self.notes),
            "wrote": self.wrote,
        }

    def write(self, path: Path) -> None:
        """Write the document to `path`; whoever reads meanwhile sees the old one or the new one, never a part."""
        write_whole(path, json.dumps(self.to_json(), indent=2, ensure_ascii=False) + "\n")

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
                    str(check.get("question", "")),
                    str(check.get("accepted", "")),
                )
                for check in data["checks"]
            )
            timeline = tuple(
                Moment(str(moment["name"]), float(moment["started"]), float(moment["seconds"]))
                for moment in data.get("timeline", ())
            )
            return cls(
                data["release"],
                float(data["seconds"]),
                checks,
                data["served"],
                timeline=timeline,
                log=tuple(data.get("log", ())),
                notes=tuple(data.get("notes", ())),
                wrote=bool(data.get("wrote", True)),
            )
        except (KeyError, TypeError) as problem:
            raise ValueError(f"{path} is no complete smoke report: {problem}") from problem


def write_whole(path: Path, text: str) -> None:
    """Write a text file in one piece, for its owner alone: it is there as a whole or not at all. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as stream:
            stream.write(text)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
