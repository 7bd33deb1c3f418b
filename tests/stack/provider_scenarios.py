"""The recorded scenarios: what was done to the files, the program and the server between the engine's steps."""

from __future__ import annotations

import json
import os
import subprocess
import time
import zipfile
from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from tests.stack import recordings
from tests.stack.recorder import Recorder

TOKEN = "recording-token"
CREDENTIAL_VALUES = ("first-credential-value", "second-credential-value")
APP_FILES = {
    "start-app.sh": "#!/bin/sh\nexec bun index.ts\n",
    "index.ts": "Bun.serve({ port: 8080, fetch: () => new Response('one') });\n",
    "package.json": '{"name": "demo"}\n',
    "public/index.html": "<h1>demo</h1>\n",
    "public/css/site.css": "h1 { color: teal }\n",
    ".env": "MODE=demo\n",
}
INDEX_CHANGED = "Bun.serve({ port: 8080, fetch: () => new Response('two') });\n"
UTIL = "export const x = 1;\n"
DOCKERFILE = "FROM oven/bun:1-debian\nWORKDIR /app\n"
DOCKERFILE_CHANGED = DOCKERFILE + "RUN echo two\n"
# the recorded archives hold another Dockerfile of the same length
RECORDED_ARCHIVES = {
    (DOCKERFILE, 1980): "ab6f694e315a683b564d9fb0cee4df2fb59877df7c75db1521e29e58b930e7c8",
    (DOCKERFILE, 2024): "bbc1e19877c69279465d55f1ce88e9faf61e3eff126afff2de5950fef86b76a4",
    (DOCKERFILE_CHANGED, 1980): "bd19afa8be99059a77a0df64f17ee177a5bf8ee06012a42f27d5587079aee24b",
}
BUNDLE = {
    "replicas": 1,
    "resource_label": "cpu.8xlarge",
    "service_web_requests_on_root_path": True,
    "session_affinity": True,
}
OUTPUTS = {
    "env": {
        "execution_environment_id": {"$": "env.id"},
        "execution_environment_version_id": {"$": "env.version_id"},
    },
    "app": {"app_id": {"$": "app.id"}, "app_url": {"$": "app.application_url"}},
}


class Driver:
    """The child process in the deploy environment; it serves one scenario after the other."""

    def __init__(self, python: Path, environ: Mapping[str, str]) -> None:
        script = Path(__file__).with_name("provider_program.py")
        self.log = Path(environ["TMPDIR"]) / "driver.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [str(python), str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=dict(environ)
            )

    def ask(self, command: Mapping[str, Any]) -> Any:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(command).encode() + b"\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(f"the driver ended: {self.log.read_text()[-3000:]}")
        return json.loads(line)

    def close(self) -> None:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(30)


class Run:
    """One scenario under way."""

    def __init__(self, work: Path, recorder: Recorder, driver: Driver, environ: Mapping[str, str]) -> None:
        self.work, self.recorder, self.driver = work, recorder, driver
        self.steps: list[dict[str, Any]] = []
        self.texts = {str(work): "WORK", recorder.base: "BASE", TOKEN: "[token]"}
        self.texts |= {value: f"[credential value {n}]" for n, value in enumerate(CREDENTIAL_VALUES, 1)}
        self.environ = dict(environ) | {
            "DATAROBOT_API_TOKEN": TOKEN,
            "DATAROBOT_ENDPOINT": f"{recorder.base}/api/v2",
        }
        self.config: dict[str, tuple[str, bool]] = {}
        for path, text in APP_FILES.items():
            self.write(f"app/{path}", text)
        self.archive(DOCKERFILE)
        self.env: dict[str, Any] = {
            "name": "demo-env",
            "programming_language": "other",
            "use_cases": ["customApplication"],
            "docker_context_path": f"{work}/env/context.zip",
        }
        self.cred: dict[str, Any] | None = None
        self.source: dict[str, Any] | None = {
            "name": "demo-source",
            "base_environment_version_id": {"$": "env.version_id"},
            "files": self.files(*APP_FILES),
            "resources": dict(BUNDLE),
        }
        self.app: dict[str, Any] | None = {
            "name": "demo-app",
            "source_version_id": {"$": "source.version_id"},
            "allow_auto_stopping": True,
        }
        self.options: dict[str, dict[str, Any]] = {}
        self.program: tuple[list[dict[str, Any]], dict[str, Any]] | None = None
        self._before: list[Any] = []
        command = {
            "do": "open",
            "project": f"{work}/proj",
            "backend": f"{work}/backend",
            "home": self.environ["PULUMI_HOME"],
        }
        self.driver.ask(command | {"env": self.environ})

    # files

    def write(self, path: str, text: str) -> None:
        target = self.work / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def files(self, *paths: str) -> list[list[str]]:
        return [[f"{self.work}/app/{path}", path] for path in paths]

    def archive(self, dockerfile: str, path: str = "env/context.zip", year: int = 1980) -> None:
        target = self.work / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(target, "w") as archive:
            archive.writestr(zipfile.ZipInfo("Dockerfile", (year, 1, 1, 0, 0, 0)), dockerfile)
        digest = recordings.sha256(target.read_bytes())
        self.texts[digest] = RECORDED_ARCHIVES[dockerfile, year]

    def take_for_recorded(self, filename: str, size: int, digest: str) -> None:
        """The recorded folder is not known, and Go's zip is not Python's: only that the hash changes is compared."""
        part = next(
            part
            for request in reversed(self.recorder.requests)
            for part in request.get("parts", ())
            if part.get("filename") == filename
        )
        assert part["sha256"] not in self.texts
        self.texts[part["sha256"]] = digest
        part["size"] = size

    def change_index(self) -> None:
        self.write("app/index.ts", INDEX_CHANGED)

    def change_dockerfile(self) -> None:
        self.archive(DOCKERFILE_CHANGED)

    # the program

    def scoped(self) -> None:
        self.source_args["required_key_scope_level"] = "viewer"

    @property
    def source_args(self) -> dict[str, Any]:
        assert self.source is not None
        return self.source

    @property
    def app_args(self) -> dict[str, Any]:
        assert self.app is not None
        return self.app

    def credential(self, value: int, **arguments: Any) -> None:
        self.cred = {"api_token": CREDENTIAL_VALUES[value - 1], **arguments}
        self.parameters(("API_KEY", "credential", {"$": "cred.id"}))

    def parameters(self, *rows: tuple[str, str, Any]) -> None:
        values = [{"key": key, "type": kind, "value": value} for key, kind, value in rows]
        self.source_args["runtime_parameter_values"] = values

    def described(self) -> dict[str, Any]:
        if self.program:
            return {"resources": self.program[0], "outputs": self.program[1]}
        types = {
            "env": "ExecutionEnvironment",
            "cred": "ApiTokenCredential",
            "source": "ApplicationSource",
            "app": "CustomApplication",
        }
        resources = [
            {"name": name, "type": kind, "args": arguments, "options": self.options.get(name, {})}
            for name, kind in types.items()
            if (arguments := getattr(self, name)) is not None
        ]
        outputs = dict(OUTPUTS["env"])
        if self.app is not None:
            outputs |= OUTPUTS["app"]
        return {"resources": resources, "outputs": outputs}

    # the engine

    def up(self, *, refresh: bool = False) -> None:
        self._run("up", refresh=refresh)

    def preview(self) -> None:
        self._run("preview")

    def refresh(self) -> None:
        self._run("refresh")

    def destroy(self) -> None:
        self._run("destroy")

    def _run(self, step: str, *, refresh: bool = False) -> None:
        start = len(self.recorder.requests)
        calls = self.work / f"calls-{len(self.steps)}.jsonl"
        environ = self.environ | {"PULUMI_DEBUG_GRPC": str(calls)}
        command = {"do": step, "refresh": refresh, "env": environ, "config": self.config, **self.described()}
        answer = self.driver.ask(deepcopy(command))
        requests = self.recorder.requests[start:]
        self.steps.append(recordings.recorded_form(step, answer, requests, self._before))
        self._before = answer["state"]

    # the server

    def fault(self, method: str, path: str, **arguments: Any) -> None:
        self.recorder.fault(method=method, path=path, **arguments)

    def no_faults(self) -> None:
        self.recorder.faults.clear()

    @property
    def only_application(self) -> dict[str, Any]:
        (application,) = self.recorder.applications.values()
        return application

    @property
    def only_source(self) -> dict[str, Any]:
        (source,) = self.recorder.sources.values()
        return source

    def objects_on_server(self) -> tuple[str, str, str]:
        """What the program of 01 would make, made by somebody else."""
        environment = self.recorder.environment("demo-env")
        source = self.recorder.source("demo-source")
        version = self.recorder.post_source_version(
            source["id"],
            {
                "label": "v1",
                "baseEnvironmentVersionId": environment["versions"][-1]["id"],
                "requiredKeyScopeLevel": self.source_args.get("required_key_scope_level"),
                "resources": {
                    "replicas": 1,
                    "resourceLabel": "cpu.8xlarge",
                    "sessionAffinity": True,
                    "serviceWebRequestsOnRootPath": True,
                },
            },
        )
        for path in APP_FILES:
            item = {"id": self.recorder.new_id("ITEM"), "filePath": path, "fileSource": "local"}
            version["items"].append(item)
        application = self.recorder.application("demo-app", version["id"])
        application["status"] = "running"
        return environment["id"], source["id"], application["id"]


Scenario = Callable[[Run], None]
SCENARIOS: dict[str, Scenario] = {}


def scenario(name: str) -> Callable[[Scenario], Scenario]:
    def register(function: Scenario) -> Scenario:
        SCENARIOS[name] = function
        return function

    return register


@scenario("01-create")
def _(run: Run) -> None:
    run.up()


@scenario("02-noop")
def _(run: Run) -> None:
    run.up()
    run.up()


@scenario("03-preview")
def _(run: Run) -> None:
    run.preview()
    run.up()
    run.preview()
    run.change_index()
    run.preview()
    run.change_dockerfile()
    run.preview()


@scenario("04-file-changed")
def _(run: Run) -> None:
    run.up()
    run.change_index()
    run.up()


def add_and_remove_a_file(run: Run) -> None:
    run.up()
    (run.work / "app/public/css/site.css").unlink()
    run.write("app/lib/util.ts", UTIL)
    kept = [path for path in APP_FILES if path != "public/css/site.css"]
    run.source_args["files"] = run.files(*kept, "lib/util.ts")
    run.up()


@scenario("05-file-added-removed")
def _(run: Run) -> None:
    add_and_remove_a_file(run)


@scenario("05-file-added-removed-scoped")
def _(run: Run) -> None:
    run.scoped()
    add_and_remove_a_file(run)
    (run.work / "app/lib/util.ts").rename(run.work / "app/lib/helper.ts")
    run.source_args["files"] = run.source_args["files"][:-1] + run.files("lib/helper.ts")
    run.up()
    run.source_args["files"].reverse()
    run.up()


def change_the_context(run: Run) -> None:
    run.up()
    run.change_dockerfile()
    run.up()


@scenario("06-context-changed")
def _(run: Run) -> None:
    change_the_context(run)


@scenario("06-context-changed-autonamed")
def _(run: Run) -> None:
    del run.source_args["name"]
    change_the_context(run)


@scenario("06-context-changed-scoped")
def _(run: Run) -> None:
    run.scoped()
    change_the_context(run)


@scenario("07-context-rebuilt-scoped")
def _(run: Run) -> None:
    run.scoped()
    run.up()
    later = time.time() + 100
    os.utime(run.work / "env/context.zip", (later, later))
    run.up()
    run.archive(DOCKERFILE, "env2/context.zip")
    run.texts[f"{run.work}/env2/context.zip"] = "WORK/env2/context.zip"
    run.env["docker_context_path"] = f"{run.work}/env2/context.zip"
    run.up()
    run.archive(DOCKERFILE, "env2/context.zip", year=2024)
    run.up()


def change_replicas(run: Run) -> None:
    run.up()
    run.source_args["resources"] = BUNDLE | {"replicas": 2}
    run.up()


def remove_resources(run: Run) -> None:
    del run.source_args["resources"]
    run.up()


@scenario("08-replicas")
def _(run: Run) -> None:
    change_replicas(run)
    run.options["source"] = {"delete_before_replace": True}
    run.up()


@scenario("08-replicas-autonamed")
def _(run: Run) -> None:
    del run.source_args["name"]
    change_replicas(run)
    remove_resources(run)


@scenario("08-replicas-scoped")
def _(run: Run) -> None:
    run.scoped()
    change_replicas(run)
    remove_resources(run)


@scenario("09-app-renamed")
def _(run: Run) -> None:
    run.up()
    run.app_args["name"] = "demo-app-2"
    run.up()


def rename_the_source(run: Run) -> None:
    run.up()
    run.source_args["name"] = "demo-source-2"
    run.up()


@scenario("10-source-renamed")
def _(run: Run) -> None:
    rename_the_source(run)


@scenario("10-source-renamed-scoped")
def _(run: Run) -> None:
    run.scoped()
    rename_the_source(run)
    run.env["name"] = "demo-env-2"
    run.up()
    run.env["description"] = "described"
    run.up()
    del run.env["description"]
    run.up()


@scenario("11-credential")
def _(run: Run) -> None:
    run.up()
    run.credential(1)
    run.up()


@scenario("11-credential-scoped")
def _(run: Run) -> None:
    run.scoped()
    run.up()
    run.credential(1)
    run.up()
    run.credential(2)
    run.up()
    run.refresh()
    run.cred = None
    del run.source_args["runtime_parameter_values"]
    run.up()


@scenario("11b-credential-named-scoped")
def _(run: Run) -> None:
    run.scoped()
    run.credential(1, name="demo-key", description="d")
    run.up()
    run.credential(1, name="demo-key", description="d2")
    run.up()
    run.credential(1, name="demo-key-2", description="d2")
    run.up()
    run.credential(2, name="demo-key-2", description="d2")
    run.up()
    run.options["cred"] = {"delete_before_replace": True}
    run.up()


@scenario("11c-parameters-scoped")
def _(run: Run) -> None:
    run.scoped()
    run.up()
    mode, limit, flag = ("MODE", "string", "a"), ("LIMIT", "numeric", "10"), ("FLAG", "boolean", "true")
    run.parameters(mode, limit, flag)
    run.up()
    mode = ("MODE", "string", "b")
    run.parameters(mode, limit, flag)
    run.up()
    run.change_index()
    run.up()
    run.parameters(flag, mode, limit)
    run.up()
    del run.source_args["runtime_parameter_values"]
    run.up()


@scenario("11d-parameter-errors-scoped")
def _(run: Run) -> None:
    run.scoped()
    run.up()
    run.parameters(("LIMIT", "numeric", "1000000"))
    run.up()
    run.up()
    run.refresh()
    run.up()
    run.parameters(("FLAG", "boolean", "True"))
    run.up()
    run.up()
    run.parameters(("MODE", "text", "b"))
    run.up()
    run.fault(
        "PATCH", "/versions/[0-9a-f]+/$", k=2, status=422, json={"message": "runtimeParameters is not allowed key"}
    )
    run.parameters(("MODE", "string", "b"))
    run.up()


@scenario("12-key-scope")
def _(run: Run) -> None:
    run.scoped()
    run.app_args["required_key_scope_level"] = "viewer"
    run.up()
    run.source_args["required_key_scope_level"] = "user"
    run.app_args["required_key_scope_level"] = "user"
    run.up()
    run.options = {"source": {"delete_before_replace": True}, "app": {"delete_before_replace": True}}
    run.up()


@scenario("12b-key-scope-added")
def _(run: Run) -> None:
    del run.source_args["name"]
    run.up()
    run.scoped()
    run.up()
    del run.source_args["required_key_scope_level"]
    run.up()
    run.source_args["required_key_scope_level"] = "owner"
    run.up()


@scenario("13-auto-stopping")
def _(run: Run) -> None:
    run.up()
    run.app_args["allow_auto_stopping"] = False
    run.up()
    run.app_args["allow_auto_stopping"] = True
    run.up()
    del run.app_args["allow_auto_stopping"]
    run.up()
    run.app_args.update(external_access_enabled=True, external_access_recipients=["a@example.com"])
    run.up()
    del run.app_args["external_access_enabled"]
    del run.app_args["external_access_recipients"]
    run.up()


@scenario("14-refresh")
def _(run: Run) -> None:
    run.up()
    run.refresh()
    run.up(refresh=True)


@scenario("15-app-deleted")
def _(run: Run) -> None:
    run.up()
    run.recorder.applications.clear()
    run.refresh()
    run.up()


@scenario("15b-app-deleted-no-refresh")
def _(run: Run) -> None:
    run.up()
    run.recorder.applications.clear()
    run.change_index()
    run.up()
    run.up(refresh=True)


@scenario("15c-source-and-env-deleted-scoped")
def _(run: Run) -> None:
    run.scoped()
    run.up()
    run.recorder.sources.clear()
    run.up(refresh=True)
    (environment,) = run.recorder.environments.values()
    environment["versions"].clear()
    run.refresh()
    run.recorder.environments.clear()
    run.refresh()
    run.up()


def foreign_version(run: Run) -> None:
    run.up()
    source = run.only_source
    document = {"label": "v2", "baseVersion": source["versions"][-1]["id"], "resources": {"replicas": 3}}
    run.recorder.post_source_version(source["id"], document)
    run.up()
    run.refresh()
    run.up()


@scenario("16-foreign-version")
def _(run: Run) -> None:
    foreign_version(run)


@scenario("16-foreign-version-scoped")
def _(run: Run) -> None:
    run.scoped()
    foreign_version(run)


@scenario("16b-drift")
def _(run: Run) -> None:
    run.up()
    (environment,) = run.recorder.environments.values()
    environment["name"] = "renamed-env"
    run.only_source["name"] = "renamed-source"
    run.only_application.update(name="renamed-app", allowAutoStopping=False)
    run.refresh()
    run.up()
    run.only_application["status"] = "failed"
    run.refresh()
    run.up()


@scenario("17-destroy")
def _(run: Run) -> None:
    run.credential(1)
    run.up()
    run.destroy()


@scenario("17b-destroy-trouble")
def _(run: Run) -> None:
    run.up()
    run.recorder.applications.clear()
    run.fault("DELETE", "/executionEnvironments/", status=409, json={"message": "Execution environment is in use"})
    run.destroy()
    run.destroy()


@scenario("18-build-fails-scoped")
def _(run: Run) -> None:
    run.scoped()
    run.recorder.builds_fail = True
    run.up()
    run.recorder.builds_fail = False
    run.up()
    run.recorder.builds_fail = True
    run.change_dockerfile()
    run.up()
    run.recorder.builds_fail = False
    run.up()
    run.refresh()


@scenario("19-app-fails")
def _(run: Run) -> None:
    run.recorder.applications_fail = True
    run.up()
    run.recorder.applications_fail = False
    run.up()
    run.up()


@scenario("19b-app-fails-on-update")
def _(run: Run) -> None:
    run.up()
    run.change_index()
    run.recorder.applications_fail = True
    run.up()
    run.recorder.applications_fail = False
    run.up()


@scenario("20-source-name-taken-scoped")
def _(run: Run) -> None:
    run.scoped()
    run.recorder.source("demo-source")
    run.up()
    run.up()
    run.recorder.sources.clear()
    run.up()
    run.recorder.source("taken")
    run.source_args["name"] = "taken"
    run.up()


@scenario("21-app-name-taken")
def _(run: Run) -> None:
    run.recorder.application("demo-app")
    run.up()
    run.up()
    run.recorder.applications.clear()
    run.up()
    run.recorder.application("taken")
    run.app_args["name"] = "taken"
    run.up()


INVALID_TOKEN = {"message": "Invalid token"}


@scenario("22-unauthorized")
def _(run: Run) -> None:
    run.fault("POST", "/executionEnvironments/$", status=401, json=INVALID_TOKEN)
    run.up()
    run.no_faults()
    run.fault("POST", "/executionEnvironments/[^/]+/versions/$", status=401, json=INVALID_TOKEN)
    run.up()
    run.no_faults()
    run.up()
    run.fault("GET", "/executionEnvironments/", count=9, status=401, json=INVALID_TOKEN)
    run.refresh()


@scenario("23-forbidden")
def _(run: Run) -> None:
    denied = {"message": "You do not have permission to create applications"}
    run.fault("POST", "/customApplications/$", status=403, json=denied)
    run.up()
    run.no_faults()
    run.up()
    denied = {"message": "You do not have access"}
    run.fault("GET", "/customApplications/", status=403, json=denied)
    run.refresh()
    run.no_faults()
    run.fault("DELETE", "/customApplications/", status=403, json=denied)
    run.destroy()


@scenario("24-validation")
def _(run: Run) -> None:
    invalid: dict[str, Any] = {"message": "Invalid field data"}
    versions = "/customApplicationSources/[^/]+/versions/"
    wrong_bundle = {"errors": {"resources": {"resourceLabel": "unknown bundle"}}}
    run.fault("POST", versions + "$", status=422, json=invalid | wrong_bundle)
    run.up()
    run.no_faults()
    run.up()
    run.recorder.sources.clear()
    run.fault("PATCH", versions, status=422, json=invalid | {"errors": {"file": "too large"}})
    run.up()
    run.recorder.sources.clear()
    run.no_faults()
    run.up()
    run.fault("POST", versions + "$", status=422, json=invalid)
    run.change_index()
    run.up()
    run.no_faults()
    run.fault("PATCH", versions, k=2, status=422, json=invalid)
    run.up()
    run.no_faults()
    run.up()


@scenario("25-server-error-get")
def _(run: Run) -> None:
    run.fault("GET", "/executionEnvironments/[^/]+/versions/", status=500, json={"message": "boom"})
    run.up()
    run.no_faults()
    run.fault("GET", "/customApplications/", count=5, status=502, text="<html>Bad Gateway</html>")
    run.refresh()


@scenario("26-rate-limit")
def _(run: Run) -> None:
    busy = {"message": "Too many requests"}
    run.fault("GET", "/customApplications/", status=429, json=busy, headers={"Retry-After": "2"})
    run.up()
    run.no_faults()
    run.fault("POST", "/versions/$", status=429, json=busy, headers={"Retry-After": "1"})
    run.change_index()
    run.up()


@scenario("27-unavailable-post")
def _(run: Run) -> None:
    down = {"message": "Service unavailable"}
    run.fault("POST", "/executionEnvironments/$", status=503, json=down, headers={"Retry-After": "1"})
    run.up()
    run.no_faults()
    run.up()
    run.fault("PATCH", "/customApplications/", status=503, json=down)
    run.app_args["name"] = "demo-app-2"
    run.up()
    run.no_faults()
    run.up()


@scenario("28-dropped-post")
def _(run: Run) -> None:
    run.fault("POST", "/executionEnvironments/$", mode="drop-after")
    run.up()


@scenario("28b-dropped-source-post")
def _(run: Run) -> None:
    run.fault("POST", "/customApplicationSources/$", mode="drop-after")
    run.up()


@scenario("28c-dropped-app-post")
def _(run: Run) -> None:
    run.fault("POST", "/customApplications/$", mode="drop-after")
    run.up()
    run.no_faults()
    run.change_index()
    run.fault("PATCH", "/customApplicationSources/[^/]+/versions/", k=2, mode="drop")
    run.up()
    run.no_faults()
    run.up()


@scenario("28d-dropped-app-patch")
def _(run: Run) -> None:
    run.up()
    run.app_args["name"] = "demo-app-2"
    run.fault("PATCH", "/customApplications/", mode="drop-after")
    run.up()
    run.no_faults()
    run.fault("GET", "/customApplications/", count=99, mode="drop")
    run.refresh()


@scenario("29-cleanup")
def _(run: Run) -> None:
    run.recorder.applications_fail = True
    run.up()
    run.destroy()
    assert [run.recorder.names[identifier] for identifier in run.recorder.applications] == ["APP1"]


@scenario("30-use-cases")
def _(run: Run) -> None:
    one, two, three = (run.recorder.new_id("UC") for _ in range(3))
    run.recorder.use_cases = {one: set(), two: set(), three: set()}
    run.app_args["use_case_ids"] = [one, two]
    run.up()
    run.app_args["use_case_ids"] = [two, three]
    run.up()
    assert [use_case for use_case, linked in run.recorder.use_cases.items() if linked] == [three]
    del run.app_args["use_case_ids"]
    run.up()
    assert not any(run.recorder.use_cases.values())
    run.app_args["use_case_ids"] = ["660000000000000000000009"]
    run.up()


def import_everything(run: Run) -> None:
    environment, source, application = run.objects_on_server()
    run.options = {"env": {"import_": environment}, "source": {"import_": source}, "app": {"import_": application}}
    run.up()
    run.options = {}
    run.up()


@scenario("31-import-scoped")
def _(run: Run) -> None:
    run.scoped()
    import_everything(run)


@scenario("31-import")
def _(run: Run) -> None:
    import_everything(run)
    credential = run.recorder._post_credential({"name": "demo-key", "credentialType": "api_token"})
    source, app = run.source, run.app
    run.source = run.app = None
    run.cred = {"name": "demo-key", "api_token": CREDENTIAL_VALUES[0]}
    run.options = {"cred": {"import_": credential["credentialId"]}}
    run.up()
    run.source, run.app, run.cred = source, app, None
    run.options = {"app": {"import_": "66ffffffffffffffffffffff"}}
    run.up()


@scenario("31b-get")
def _(run: Run) -> None:
    environment, source, application = run.objects_on_server()
    run.program = (
        [
            {"name": "env", "type": "ExecutionEnvironment", "get": environment},
            {"name": "source", "type": "ApplicationSource", "get": source, "after": ["env"]},
            {"name": "app", "type": "CustomApplication", "get": application, "after": ["source"]},
        ],
        {"app_url": {"$": "app.application_url"}, "env_version_id": {"$": "env.version_id"}},
    )
    run.up()
    run.program = ([{"name": "app2", "type": "CustomApplication", "get": "66ffffffffffffffffffffff"}], {})
    run.up()
    found = {"name": "found", "type": "get_execution_environment", "invoke": True, "args": {"name": "demo-env"}}
    run.program = ([found], {"found_id": {"$": "found.id"}, "found_version": {"$": "found.version_id"}})
    run.up()


@scenario("32-config-errors")
def _(run: Run) -> None:
    endpoint = run.environ["DATAROBOT_ENDPOINT"]
    run.environ["DATAROBOT_API_TOKEN"] = ""
    run.preview()
    run.up()
    run.environ["DATAROBOT_API_TOKEN"] = TOKEN
    run.environ["DATAROBOT_ENDPOINT"] = run.recorder.base
    run.up()
    run.environ["DATAROBOT_ENDPOINT"] = "not-a-url"
    run.preview()
    run.up()
    run.environ["DATAROBOT_ENDPOINT"] = "http://127.0.0.1:1/api/v2"
    run.up()
    run.environ["DATAROBOT_ENDPOINT"] = f"{endpoint}/"
    run.source = run.app = None
    run.up()


@scenario("32b-stack-config")
def _(run: Run) -> None:
    endpoint = run.environ["DATAROBOT_ENDPOINT"]
    run.environ["DATAROBOT_API_TOKEN"] = run.environ["DATAROBOT_ENDPOINT"] = ""
    run.source = run.app = None
    run.config = {"datarobot:apikey": (TOKEN, True), "datarobot:endpoint": (endpoint, False)}
    run.up()
    run.config["datarobot:apikey"] = (f"{TOKEN}-new", True)
    run.up()
    run.config["datarobot:endpoint"] = (f"{endpoint}/", False)
    run.up()


@scenario("33-many-files")
def _(run: Run) -> None:
    paths = [f"data/f{number:03d}.txt" for number in range(129)]
    for number, path in enumerate(paths):
        run.write(f"app/{path}", f"{number}\n")
    run.source_args["files"] = run.files("start-app.sh", *paths)
    run.up()
    run.write("app/data/f007.txt", "changed\n")
    run.up()


@scenario("34-folder-path-scoped")
def _(run: Run) -> None:
    run.scoped()
    del run.source_args["files"]
    run.source_args["folder_path"] = f"{run.work}/app"
    run.up()
    run.up()
    run.change_index()
    run.up()
    (run.work / "app/public/index.html").rename(run.work / "app/public/z.html")
    run.up()
    (run.work / "app/start-app.sh").rename(run.work / "app/start-app2.sh")
    run.up()
    del run.source_args["folder_path"]
    listed = ("index.ts", "package.json", "public/css/site.css", ".env", "public/z.html", "start-app2.sh")
    run.source_args["files"] = run.files(*listed)
    run.up()


@scenario("34b-folder-relative")
def _(run: Run) -> None:
    del run.source_args["files"]
    run.source_args["folder_path"] = "../app"
    run.up()
    run.write("proj/sub/start-app.sh", APP_FILES["start-app.sh"])
    run.write("proj/sub/.env", APP_FILES[".env"])
    run.source_args.update(folder_path="./sub", name="demo-source-2")
    run.up()
    run.write("proj/.env", APP_FILES[".env"])
    run.source_args.update(folder_path=".", name="demo-source-3")
    run.up()


@scenario("35-auto-names")
def _(run: Run) -> None:
    for arguments in (run.env, run.source_args, run.app_args):
        del arguments["name"]
    run.up()
    run.up()
    run.env["name"] = "demo-env"
    run.preview()
    run.up()


@scenario("36-context-folder")
def _(run: Run) -> None:
    run.write("envdir/Dockerfile", DOCKERFILE)
    run.write("envdir/files/note.txt", "note\n")
    run.env["docker_context_path"] = f"{run.work}/envdir"
    run.source = run.app = None
    run.up()
    run.take_for_recorded("envdir.zip", 428, "ce307270ebf94cedef31fe22044a33a84fda0ef3b5e430689093e668cdc08e6f")
    run.up()
    later = time.time() + 100
    os.utime(run.work / "envdir/Dockerfile", (later, later))
    run.up()
    run.take_for_recorded("envdir.zip", 428, "ec1efaf7fd7782d1b57fce2cbba90cfb5d605a2fa185c3095abe85b764536f52")
    del run.env["docker_context_path"]
    run.env["docker_image_uri"] = "registry.example.com/demo:1"
    run.up()


@scenario("37-bad-inputs")
def _(run: Run) -> None:
    run.env["programming_language"] = "bun"
    run.preview()
    run.env |= {"programming_language": "other", "use_cases": ["customApplications"]}
    run.preview()
    archive = run.env["docker_context_path"]
    run.env |= {"use_cases": ["customApplication"], "docker_context_path": f"{run.work}/missing.zip"}
    run.preview()
    run.up()
    run.env["docker_context_path"] = archive
    (run.work / "app/index.ts").unlink()
    run.preview()
    run.up()
    run.write("app/index.ts", APP_FILES["index.ts"])
    run.app_args["resources"] = {"replicas": 1, "resource_label": "cpu.8xlarge"}
    run.preview()
    run.recorder.sources.clear()
    run.app_args["resources"] = {"replicas": 1, "resource_label": "cpu.small"}
    run.up()


def change_the_language(run: Run) -> None:
    run.up()
    run.env["programming_language"] = "python"
    run.up()


@scenario("38-language-change")
def _(run: Run) -> None:
    change_the_language(run)


@scenario("38-language-change-scoped")
def _(run: Run) -> None:
    run.scoped()
    change_the_language(run)
