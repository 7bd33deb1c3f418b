"""A checkout in a folder of its own that commands run in, as a person would type them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from toolkit.emulator import control

SERVER = """
process.on("SIGTERM", () => process.exit(0));
Bun.serve({ port: 8080, hostname: "0.0.0.0", async fetch(request) {
  const { pathname } = new URL(request.url);
  if (pathname === "/") return new Response(Bun.file("index.html"));
  if (pathname === "/site.css") return new Response(Bun.file("site.css"));
  return new Response("not here", { status: 404 });
} });
"""
# Only the platform tells an app its own address, so smoke cannot see it; the platform's probe is no visitor.
FAILS_FOR_VISITORS = SERVER.replace(
    "const { pathname }",
    'if (process.env.DR_CUSTOM_APP_EXTERNAL_URL && request.headers.has("x-user-email"))\n'
    '    return new Response("no", { status: 500 });\n  const { pathname }',
)
APP = {
    "build-app.sh": "#!/bin/sh\nbun --version >version.txt\n",
    "start-app.sh": "#!/bin/sh\nset -a; . ./.env; set +a\nexec bun server.ts\n",
    "server.ts": SERVER,
    "index.html": "<!doctype html><title>App</title><link rel=stylesheet href=./site.css><p>first</p>\n",
    "site.css": "p { color: green }\n",
    "notes.txt": "a note\n",
}
DOCKERFILE = "FROM oven/bun:1-debian\nWORKDIR /opt/code\nENV NODE_ENV=production PORT=8080\nEXPOSE 8080\n"
COPIED = ("tasks.py", "noxfile.py", "infra", "requirements.txt", ".env.template")


@dataclass(frozen=True)
class Result:
    code: int
    stdout: str
    stderr: str

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stdout.splitlines() if line.startswith("{")]

    @property
    def last(self) -> dict[str, Any]:
        return self.events[-1]


@dataclass
class Checkout:
    root: Path
    env: dict[str, str] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)  # of the last deployment

    @classmethod
    def copy(cls, source: Path, target: Path, *, with_app: bool = False, bootstrap: bool = False) -> Checkout:
        """Copy the toolkit; `with_app` brings its own app along, otherwise a tiny one is put in its place.

        With `bootstrap` it is as Git leaves it: it has to make its environments by itself.
        """
        target.mkdir(parents=True)
        skip = shutil.ignore_patterns("__pycache__", "node_modules", "dist")
        for name in COPIED:
            path = source / name
            if path.is_dir():
                shutil.copytree(path, target / name, ignore=skip)
            elif path.exists():
                shutil.copy2(path, target / name)
        if bootstrap:
            shutil.copy2(source / "bootstrap", target)
        else:
            (target / ".nox").symlink_to(source / ".nox")
        made = cls(target)
        if with_app:
            for name in ("custom_application", "custom_environment"):
                shutil.copytree(source / name, target / name, ignore=skip)
            return made
        for name, content in APP.items():
            made.write(f"custom_application/{name}", content)
        made.write("custom_environment/Dockerfile", DOCKERFILE)
        return made

    def write(self, name: str, content: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        return path

    def invoke(self, *arguments: str, timeout: float = 300, **env: str) -> Result:
        """Run `invoke ARGUMENTS` here and wait for its end."""
        result = subprocess.run(
            [sys.executable, "-m", "invoke", *arguments],
            cwd=self.root,
            env=self.environ(**env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        return Result(result.returncode, result.stdout, result.stderr)

    def environ(self, **env: str) -> dict[str, str]:
        """The environment of commands here: nothing of the settings of whoever runs the tests."""
        kept = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("DATAROBOT_", "PULUMI_", "APP_")) and key not in ("RUNTIME_ENV", "ENVIRONMENT_DIR")
        }
        return {**kept, "SMOKE_BROWSER": "off", "SMOKE_SETTLE_SECONDS": "1", **self.env, **env}

    def deploy(self, *more: str, **env: str) -> dict[str, Any]:
        """Deploy to the local platform, with `more` options; give the result line."""
        result = self.invoke("deploy", "--stack", "local", "--yes", "--json", *more, **env)
        assert result.code == 0, result.stderr + result.stdout
        assert result.last["event"] == "result"
        self.events = result.events
        assert result.last["ok"] is True
        return result.last

    def platform(self) -> dict[str, Any]:
        result = self.invoke("emulator.status", "--json")
        assert result.code == 0, result.stderr
        return json.loads(result.stdout)

    def application_url(self) -> str:
        result = self.invoke("outputs", "--stack", "local", "--json")
        assert result.code == 0, result.stderr
        return str(json.loads(result.stdout)["outputs"]["app_url"])

    def sign_in_link(self) -> str:
        """An address that shows the deployed application to a browser that has not signed in yet."""
        return control.sign_in_link(self.root / ".toolkit" / "emulator", self.application_url())

    def close(self) -> None:
        self.invoke("emulator.stop")
