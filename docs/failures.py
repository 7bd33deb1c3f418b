"""Write docs/failures.md from the recordings of the real provider: `python docs/failures.py`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "infra"))

from toolkit import explain  # noqa: E402
from toolkit.explain import Cause  # noqa: E402

RECORDINGS = ROOT / "tests" / "stack" / "data" / "recordings"
HEAD = """# What failures look like

Every failure below was recorded with the real provider (0.10.43). "Recording" is its file in
`tests/stack/data/recordings`. The second column is what the provider says; the third is what you read, with the
platform's own log below it where there is one; the fourth is the next step. "Heals" says whether the next plain
`invoke deploy` gets over it without any other change (after a failed removal: the next `invoke destroy`). That was
tried: `tests/stack/test_heals.py` plays each of these failures, deploys plainly, and compares. What the platform
refuses, or what is set wrongly, stays so there; what was trouble of the moment is over. What no rule knows is quoted as
it is.

| Recording | The provider says | You read | Next step | Heals |
|---|---|---|---|---|
"""
MIDDLE = """
## Causes in logs

When a build or a start failed, the platform's log is read too. What is found there comes first, as it lies deeper.

| Cause | You read | Next step |
|---|---|---|
"""
LONGEST = 110


def failing(name: str) -> list[list[str]]:
    """Give the error texts of each step of a recording that failed."""
    steps = json.loads((RECORDINGS / f"{name}.json").read_text())["steps"]
    told = [
        [found["message"] for found in step.get("diagnostics", ()) if found.get("severity") == "error"]
        for step in steps
    ]
    return [texts for texts in told if any(text.strip() not in explain.SAYS_NOTHING for text in texts)]


def rows() -> list[tuple[str, Cause]]:
    """Give each cause of each recording, once; tests/stack/test_heals.py plays them all."""
    found: list[tuple[str, Cause]] = []
    for path in sorted(RECORDINGS.glob("*.json")):
        causes: dict[str, Cause] = {}
        for texts in failing(path.stem):
            for cause in explain.causes(texts):
                causes.setdefault(cause.id, cause)
        found += [(path.stem, cause) for cause in causes.values()]
    return found


def draw() -> str:
    """Give the whole document."""
    logs = [
        f"| `{rule.id}` | {_cell(rule.what.format('…', '…', '…'))} | {_cell(rule.hint.format('…', '…', '…'))} |"
        for rule in explain.LOGS
    ]
    return HEAD + "\n".join(_row(name, cause) for name, cause in rows()) + "\n" + MIDDLE + "\n".join(logs) + "\n"


def _row(name: str, cause: Cause) -> str:
    said = cause.quote if len(cause.quote) <= LONGEST else cause.quote[: LONGEST - 1] + "…"
    cells = (f"`{name}`", _cell(said), _cell(cause.what), _cell(cause.hint), "yes" if cause.heals else "no")
    return f"| {' | '.join(cells)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    (ROOT / "docs" / "failures.md").write_text(draw())
