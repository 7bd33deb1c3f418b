"""A local platform with the real engine, and what a test asks of it: environments, versions, applications."""

from __future__ import annotations

import io
import os
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import httpx

from toolkit import engine as engines
from toolkit.emulator import control, identity
from toolkit.emulator.control import EmulatorInfo

DOCKERFILE = "FROM oven/bun:1-debian\nWORKDIR /opt/code\nENV NODE_ENV=production\nEXPOSE 8080\n"
START = "#!/bin/sh\nexec bun index.ts\n"
SERVER = """\
import { readFileSync } from "fs";
const started = Date.now();
const read = (path: string) => { try { return readFileSync(path, "utf8").trim(); } catch { return ""; } };
Bun.serve({
  hostname: "0.0.0.0",
  port: 8080,
  async fetch(request) {
    const path = new URL(request.url).pathname;
    if (path.endsWith("/environment")) return Response.json(process.env);
    if (path.endsWith("/seen")) return Response.json({ path, headers: Object.fromEntries(request.headers) });
    if (path.endsWith("/status")) return new Response(read("/proc/self/status"));
    if (path.endsWith("/crash")) { setTimeout(() => process.exit(3), 20); return new Response("bye"); }
    if (path.endsWith("/slow")) { await Bun.sleep(1500); return new Response("slow VERSION"); }
    if (path.endsWith("/api")) {
      const answer = await fetch(process.env.DATAROBOT_ENDPOINT + "/" + new URL(request.url).searchParams.get("path"),
        { headers: { Authorization: "Bearer " + process.env.DATAROBOT_API_TOKEN } });
      return new Response(await answer.text(), { status: answer.status });
    }
    return Response.json({ version: "VERSION", host: read("/etc/hostname"), started });
  },
});
console.log("serving VERSION");
"""


def app_files(version: str, **changes: str) -> dict[str, str]:
    """Give the files of an app that tells its version; `changes` replace files by their name without a suffix."""
    files = {"index.ts": SERVER.replace("VERSION", version), "start-app.sh": START}
    names = {"start": "start-app.sh", "build": "build-app.sh", "index": "index.ts"}
    return {**files, **{names[name]: text for name, text in changes.items()}}


@dataclass
class Emulated:
    """A running local platform and a client of its API with the full token."""

    data: Path
    info: EmulatorInfo
    api: httpx.Client
    engine: docker.DockerClient

    @property
    def instance(self) -> str:
        """What marks the containers of this platform."""
        return identity.load(self.data).instance

    def environment(self, dockerfile: str = DOCKERFILE, name: str = "env") -> tuple[str, str]:
        """Create an environment with a version; give both ids. It may still be built."""
        made = self.api.post("executionEnvironments/", json={"name": name}).json()["id"]
        return made, self.environment_version(made, dockerfile)

    def environment_version(self, environment: str, dockerfile: str) -> str:
        """Add a version to an environment; give its id."""
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr("Dockerfile", dockerfile)
        path = f"executionEnvironments/{environment}/versions/"
        return str(self.api.post(path, files={"docker_context": ("c.zip", stream.getvalue())}).json()["id"])

    def built(self, environment: str, version: str, patience: float = 120) -> dict[str, Any]:
        """Wait for the end of a build."""
        return self.wait(
            f"executionEnvironments/{environment}/versions/{version}/",
            lambda found: found["buildStatus"] in ("success", "failed"),
            patience,
        )

    def source(self, name: str) -> str:
        """Create a source."""
        response = self.api.post("customApplicationSources/", json={"name": name})
        assert response.status_code == 201, response.text
        return str(response.json()["id"])

    def version(self, source: str, environment_version: str, files: Mapping[str, str], **fields: Any) -> str:
        """Add a version with files to a source."""
        resources = {"serviceWebRequestsOnRootPath": True, **fields.pop("resources", {})}
        path = f"customApplicationSources/{source}/versions/"
        body = {"label": "v", "baseEnvironmentVersionId": environment_version, "resources": resources, **fields}
        made = self.api.post(path, json=body)
        assert made.status_code == 201, made.text
        version = str(made.json()["id"])
        parts: list[tuple[str, Any]] = [("file", (name, text.encode())) for name, text in files.items()]
        parts += [("filePath", (None, name)) for name in files]
        changed = self.api.patch(f"{path}{version}/", files=parts)
        assert changed.status_code == 200, changed.text
        return version

    def application(self, version: str, **fields: Any) -> str:
        """Create an application."""
        made = self.api.post("customApplications/", json={"applicationSourceVersionId": version, **fields})
        assert made.status_code == 202, made.text
        return str(made.json()["id"])

    def settled(self, application: str, patience: float = 120) -> dict[str, Any]:
        """Wait until an application runs or has failed."""
        return self.becomes(application, "running", "failed", patience=patience)

    def becomes(self, application: str, *statuses: str, patience: float = 120) -> dict[str, Any]:
        """Wait until an application has one of these states."""
        return self.wait(f"customApplications/{application}/", lambda found: found["status"] in statuses, patience)

    def wait(self, path: str, done: Callable[[dict[str, Any]], bool], patience: float) -> dict[str, Any]:
        """Read an object again and again until `done`."""
        deadline = time.monotonic() + patience
        while True:
            response = self.api.get(path)
            assert response.status_code == 200, f"{path}: {response.text}"
            found: dict[str, Any] = response.json()
            if done(found):
                return found
            assert time.monotonic() < deadline, f"{path} is still {found}"
            time.sleep(0.05)

    def visit(self, application: str, path: str = "", **options: Any) -> httpx.Response:
        """Ask an application for something, as a program with the full token."""
        return self.api.get(f"{self.info.console}custom_applications/{application}/{path}", **options)

    def control(self, method: str, path: str, body: Any = None) -> httpx.Response:
        """Ask the control API."""
        return self.api.request(method, f"{self.info.console}__emulator__/{path}", json=body)

    def containers(self, application: str = "") -> list[Any]:
        """Give the containers of this platform, or of one application."""
        labels = [f"{engines.RUN_LABEL}={self.instance}"]
        if application:
            labels.append(f"bun-to-datarobot.application={application}")
        return self.engine.containers.list(all=True, filters={"label": labels}, ignore_removed=True)

    def has_containers(self, application: str, count: int, patience: float = 30) -> bool:
        """Wait until an application has so many containers: those that are not needed end in their own time."""
        deadline = time.monotonic() + patience
        while len(self.containers(application)) != count and time.monotonic() < deadline:
            time.sleep(0.1)
        return len(self.containers(application)) == count

    def restart(self) -> None:
        """Stop the platform and start it again."""
        control.stop(self.data)
        self.start()

    def start(self) -> None:
        """Start the platform of this folder, or find the one that runs."""
        self.info, self.api = _start(self.data, self.api)


def _start(data: Path, before: httpx.Client | None = None) -> tuple[EmulatorInfo, httpx.Client]:
    if before is not None:
        before.close()
    _, address = engines.connect(os.environ, Path.home())
    port = _free_port() if before is None else 0
    info = control.start(data, port, engine_address=address.address, environ=os.environ)
    headers = {"Authorization": f"Bearer {info.token.reveal()}"}
    return info, httpx.Client(base_url=f"{info.endpoint}/", headers=headers, timeout=30, trust_env=False)


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def emulated(data: Path) -> Iterator[Emulated]:
    """Run a local platform with the real engine in the folder `data`; nothing of it is left at the end."""
    engine, _ = engines.connect(os.environ, Path.home())
    info, api = _start(data)
    platform = Emulated(data, info, api, engine)
    try:
        yield platform
    finally:
        control.stop(data)
        platform.has_containers("", 0, patience=5)
        left = platform.containers()
        for container in left:
            container.remove(force=True, v=True)
        platform.api.close()
        engine.close()
    assert not left, f"containers were left behind: {[one.name for one in left]}"
