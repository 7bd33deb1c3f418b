"""A loopback server that answers as the recorder did with which the real provider was recorded, and logs every request.

Builds and applications are ready on the second look. Faults are injected answers: the k-th match of a method
and a path.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

RESOURCE_DEFAULTS = {
    "replicas": 1,
    "resourceLabel": "cpu.small",
    "sessionAffinity": False,
    "serviceWebRequestsOnRootPath": False,
}
NOW = "2026-01-01T00:00:00Z"


class Refusal(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class Fault:
    method: str
    path: str
    k: int = 1
    count: int = 1
    mode: str = "status"
    status: int = 500
    json: Any = None
    text: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    seen: int = 0

    def strikes(self, method: str, path: str) -> bool:
        if method != self.method or not re.search(self.path, path):
            return False
        self.seen += 1
        return self.k <= self.seen < self.k + self.count


@dataclass
class Answer:
    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


class Recorder:
    """The platform's objects, the log of requests, and the names of ids in order of creation (EE1, SRC1, ...)."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.faults: list[Fault] = []
        self.names: dict[str, str] = {}
        self.environments: dict[str, dict[str, Any]] = {}
        self.sources: dict[str, dict[str, Any]] = {}
        self.applications: dict[str, dict[str, Any]] = {}
        self.credentials: dict[str, dict[str, Any]] = {}
        self.use_cases: dict[str, set[str]] = {}
        self.builds_fail = False
        self.applications_fail = False
        self._counts: dict[str, int] = {}
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Recorder:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def new_id(self, kind: str) -> str:
        self._counts[kind] = self._counts.get(kind, 0) + 1
        name = f"{kind}{self._counts[kind]}"
        identifier = hashlib.sha256(name.encode()).hexdigest()[:24]
        self.names[identifier] = name
        return identifier

    def fault(self, **arguments: Any) -> None:
        self.faults.append(Fault(**arguments))

    # what the tests do on the server

    def environment(self, name: str, files_size: int = 1) -> dict[str, Any]:
        environment = self._post_environment(
            {"name": name, "programmingLanguage": "other", "useCases": ["customApplication"]}
        )
        found = self.environments[environment["id"]]
        version = self._environment_version(found, files_size)
        version["buildStatus"] = "success"
        return found

    def source(self, name: str) -> dict[str, Any]:
        return self.sources[self._post_source({"name": name})["id"]]

    def application(self, name: str, version: str | None = None) -> dict[str, Any]:
        identifier = self.new_id("APP")
        self.applications[identifier] = self._application(identifier, name, version)
        return self.applications[identifier]

    # HTTP

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                with recorder._lock:
                    answer = recorder._serve(self.command, self.path, dict(self.headers.items()), body)
                if answer is None:
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                content = answer.body if isinstance(answer.body, bytes) else b""
                kind = "application/json"
                if isinstance(answer.body, str):
                    content, kind = answer.body.encode(), "text/html"
                elif answer.body is not None and not isinstance(answer.body, bytes):
                    content = json.dumps(answer.body).encode()
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Type", kind)
                if answer.status != 204:
                    self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if answer.status != 204:
                    self.wfile.write(content)

            do_GET = do_POST = do_PATCH = do_DELETE = answer  # noqa: N815

            def log_message(self, *_arguments: Any) -> None:
                pass

            def finish(self) -> None:
                with contextlib.suppress(OSError):
                    super().finish()

        return Handler

    def _serve(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer | None:
        path, _, query = target.partition("?")
        entry: dict[str, Any] = {"method": method, "path": path, "headers": profile(headers)}
        if query:
            entry["query"] = query
        parts: list[dict[str, Any]] = []
        document: Any = None
        if headers.get("Content-Type", "").startswith("multipart/form-data"):
            parts = list(multipart(headers["Content-Type"], body))
            entry["parts"] = [{key: value for key, value in part.items() if key != "content"} for part in parts]
        elif body and body != b"null":
            document = json.loads(body)
            entry["json"] = document
        self.requests.append(entry)
        fault = next((fault for fault in self.faults if fault.strikes(method, path)), None)
        if fault and fault.mode == "drop":
            entry["response"] = {"dropped": True}
            return None
        if fault and fault.mode == "status":
            answer = Answer(fault.status, fault.text if fault.text is not None else fault.json, fault.headers)
        else:
            answer = self._route(method, path, document, parts)
        if fault and fault.mode == "drop-after":
            entry["response"] = {"dropped": True}
            return None
        entry["response"] = {"status": answer.status}
        return answer

    def _route(self, method: str, path: str, document: Any, parts: list[dict[str, Any]]) -> Answer:
        if not path.startswith("/api/v2/"):
            return Answer(404, "<html>Not Found</html>")
        segments = path.removeprefix("/api/v2/").strip("/").split("/")
        for pattern, handle in self._routes():
            wanted, *names = pattern.split(" ")
            shape = names[0].split("/")
            if wanted == method and len(shape) == len(segments):
                arguments = [segment for part, segment in zip(shape, segments, strict=True) if part == "*"]
                if all(part in ("*", segment) for part, segment in zip(shape, segments, strict=True)):
                    try:
                        return handle(*arguments, document=document, parts=parts)
                    except Refusal as refusal:
                        return Answer(refusal.status, {"message": str(refusal)})
                    except KeyError:
                        return Answer(404, {"message": "Not Found"})
        return Answer(404, {"message": "Not Found"})

    def _routes(self) -> Iterator[tuple[str, Callable[..., Answer]]]:
        def simple(status: int, function: Callable[..., Any]) -> Callable[..., Answer]:
            return lambda *arguments, document, parts: Answer(status, function(*arguments, document))

        yield "POST executionEnvironments", simple(201, self._post_environment)
        yield "GET executionEnvironments", simple(200, lambda _d: self._page(map(self._shown, self.environments)))
        yield "GET executionEnvironments/*", simple(200, lambda i, _d: self._shown(i))
        yield "PATCH executionEnvironments/*", simple(200, self._patch_environment)
        yield "DELETE executionEnvironments/*", simple(204, lambda i, _d: self.environments.pop(i) and None)
        yield "POST executionEnvironments/*/versions", self._post_environment_version
        yield "GET executionEnvironments/*/versions/*", simple(200, self._get_environment_version)
        yield "POST customApplicationSources", simple(201, self._post_source)
        yield "GET customApplicationSources/*", simple(200, lambda i, _d: self._shown_source(i))
        yield "PATCH customApplicationSources/*", simple(200, self._patch_source)
        yield "DELETE customApplicationSources/*", simple(204, lambda i, _d: self.sources.pop(i) and None)
        yield "POST customApplicationSources/*/versions", simple(201, self.post_source_version)
        yield "PATCH customApplicationSources/*/versions/*", self._patch_source_version
        yield "POST customApplications", self._post_application
        yield "GET customApplications/*", simple(200, self._get_application)
        yield "PATCH customApplications/*", simple(200, self._patch_application)
        yield "DELETE customApplications/*", simple(204, lambda i, _d: self.applications.pop(i) and None)
        yield "POST credentials", simple(201, self._post_credential)
        yield "GET credentials/*", simple(200, lambda i, _d: self.credentials[i])
        yield "PATCH credentials/*", simple(200, self._patch_credential)
        yield "DELETE credentials/*", simple(204, lambda i, _d: self.credentials.pop(i) and None)
        yield "POST useCases/*/customApplications/*", simple(201, self._link)
        yield "DELETE useCases/*/customApplications/*", simple(204, self._unlink)

    # environments

    def _post_environment(self, document: Any) -> Any:
        identifier = self.new_id("EE")
        self.environments[identifier] = {
            "id": identifier,
            "name": document["name"],
            "description": document.get("description", ""),
            "programmingLanguage": document.get("programmingLanguage", "other"),
            "useCases": document["useCases"],
            "isPublic": False,
            "created": NOW,
            "versions": [],
        }
        return self._shown(identifier)

    def _shown(self, identifier: str) -> Any:
        environment = self.environments[identifier]
        versions = environment["versions"]
        good = [version for version in versions if version["buildStatus"] == "success"]
        shown = {key: value for key, value in environment.items() if key != "versions"}
        shown["latestVersion"] = self._public(versions[-1]) if versions else None
        shown["latestSuccessfulVersion"] = self._public(good[-1]) if good else None
        return shown

    def _patch_environment(self, identifier: str, document: Any) -> Any:
        self.environments[identifier].update(document)
        return self._shown(identifier)

    def _environment_version(self, environment: dict[str, Any], size: int) -> dict[str, Any]:
        identifier = self.new_id("EEV")
        version = {
            "id": identifier,
            "environmentId": environment["id"],
            "label": None,
            "description": "",
            "buildStatus": "submitted",
            "imageId": self.new_id("IMG"),
            "dockerContextSize": size,
            "created": NOW,
            "looks": 0,
        }
        environment["versions"].append(version)
        return version

    def _post_environment_version(self, identifier: str, document: Any, parts: list[dict[str, Any]]) -> Answer:
        environment = self.environments[identifier]
        context = next((part for part in parts if part["name"] == "docker_context"), {})
        version = self._environment_version(environment, context.get("size", 0))
        for part in parts:
            if part["name"] == "dockerImageUri":
                version["sourceDockerImageUri"] = part["text"]
        return Answer(202, {"id": version["id"]})

    def _get_environment_version(self, environment: str, identifier: str, _document: Any) -> Any:
        versions = {version["id"]: version for version in self.environments[environment]["versions"]}
        version = versions[identifier]
        if version["buildStatus"] in ("submitted", "processing"):
            version["looks"] += 1
            done = "failed" if self.builds_fail else "success"
            version["buildStatus"] = done if version["looks"] > 1 else "processing"
        return self._public(version)

    @staticmethod
    def _public(thing: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in thing.items() if key != "looks"}

    # sources

    def _free(self, things: dict[str, dict[str, Any]], name: str, kind: str, own: str = "") -> None:
        if any(thing["name"] == name for identifier, thing in things.items() if identifier != own):
            raise Refusal(409, f"{kind} name '{name}' is already in use")

    def _post_source(self, document: Any) -> Any:
        name = document.get("name", "CustomApplicationSource")
        self._free(self.sources, name, "Custom application source")
        identifier = self.new_id("SRC")
        self.sources[identifier] = {"id": identifier, "name": name, "versions": []}
        return self._shown_source(identifier)

    def _shown_source(self, identifier: str) -> Any:
        source = self.sources[identifier]
        latest = source["versions"][-1] if source["versions"] else None
        return {"id": source["id"], "name": source["name"], "latestVersion": latest}

    def _patch_source(self, identifier: str, document: Any) -> Any:
        source = self.sources[identifier]
        self._free(self.sources, document["name"], "Custom application source", identifier)
        source["name"] = document["name"]
        return self._shown_source(identifier)

    def post_source_version(self, identifier: str, document: Any) -> Any:
        source = self.sources[identifier]
        base = next((v for v in source["versions"] if v["id"] == document.get("baseVersion")), None)
        version: dict[str, Any] = {
            "id": self.new_id("SRCV"),
            "label": document["label"],
            "isFrozen": False,
            "createdAt": NOW,
            "updatedAt": NOW,
        }
        copied = ("baseEnvironmentId", "baseEnvironmentVersionId", "requiredKeyScopeLevel")
        version |= {name: base[name] if base else None for name in copied}
        version["resources"] = dict(base["resources"]) if base else dict(RESOURCE_DEFAULTS)
        version["runtimeParameters"] = [dict(row) for row in base["runtimeParameters"]] if base else []
        version["items"] = [item | {"id": self.new_id("ITEM")} for item in base["items"]] if base else []
        source["versions"].append(version)
        return self._apply(version, document)

    def _apply(self, version: dict[str, Any], document: Any) -> dict[str, Any]:
        if document.get("requiredKeyScopeLevel"):
            version["requiredKeyScopeLevel"] = document["requiredKeyScopeLevel"]
        version["resources"] |= document.get("resources", {})
        if document.get("baseEnvironmentVersionId"):
            version["baseEnvironmentVersionId"] = document["baseEnvironmentVersionId"]
            version["baseEnvironmentId"] = next(
                environment["id"]
                for environment in self.environments.values()
                for built in environment["versions"]
                if built["id"] == document["baseEnvironmentVersionId"]
            )
        gone = set(document.get("filesToDelete", ()))
        version["items"] = [item for item in version["items"] if item["id"] not in gone]
        if "runtimeParameters" in document:
            version["runtimeParameters"] = [
                parameter(row["fieldName"], row["type"], row["currentValue"])
                for row in json.loads(document["runtimeParameters"])
            ]
        if "runtimeParameterValues" in document:
            new = [
                parameter(row["fieldName"], row["type"], row["value"])
                for row in json.loads(document["runtimeParameterValues"])
            ]
            version["runtimeParameters"] = new
        return version

    def _patch_source_version(self, source: str, identifier: str, document: Any, parts: list[dict[str, Any]]) -> Answer:
        versions = {version["id"]: version for version in self.sources[source]["versions"]}
        version = versions[identifier]
        if document is not None:
            return Answer(200, self._apply(version, document))
        paths = [part["text"] for part in parts if part["name"] == "filePath"]
        for path in paths:
            version["items"] = [item for item in version["items"] if item["filePath"] != path]
            item = {"id": self.new_id("ITEM"), "filePath": path, "fileSource": "local", "created": NOW}
            version["items"].append(item | {"fileName": path.rpartition("/")[2]})
        return Answer(200, version)

    def _source_of(self, version: str) -> tuple[dict[str, Any], dict[str, Any]]:
        for source in self.sources.values():
            for found in source["versions"]:
                if found["id"] == version:
                    return source, found
        raise KeyError(version)

    # applications

    def _application(self, identifier: str, name: str, version: str | None) -> dict[str, Any]:
        application = {
            "id": identifier,
            "name": name,
            "lrsId": self.new_id("LRS"),
            "status": "created",
            "applicationUrl": f"{self.base}/custom_applications/{identifier}/",
            "externalAccessEnabled": False,
            "allowAutoStopping": True,
            "externalAccessRecipients": [],
            "requiredKeyScopeLevel": None,
            "resources": dict(RESOURCE_DEFAULTS),
            "looks": 0,
        }
        self._move(application, version)
        return application

    def _move(self, application: dict[str, Any], version: str | None) -> None:
        source: dict[str, Any] | None = None
        found: dict[str, Any] | None = None
        if version:
            source, found = self._source_of(version)
            application["resources"] = dict(found["resources"])
        application["customApplicationSourceId"] = source["id"] if source else None
        application["customApplicationSourceVersionId"] = version
        application["envVersionId"] = found["baseEnvironmentVersionId"] if found else None

    def _post_application(self, document: Any, parts: list[dict[str, Any]]) -> Answer:
        identifier = self.new_id("APP")
        version = document["applicationSourceVersionId"]
        application = self._application(identifier, f"app-{identifier[:6]}", version)
        application["requiredKeyScopeLevel"] = document.get("requiredKeyScopeLevel")
        application["resources"] |= document.get("resources", {})
        self.applications[identifier] = application
        location = f"{self.base}/api/v2/status/{self.new_id('STATUS')}/"
        return Answer(202, self._public(application), {"Location": location})

    def _get_application(self, identifier: str, _document: Any) -> Any:
        application = self.applications[identifier]
        if application["status"] in ("created", "initializing"):
            application["looks"] += 1
            done = "failed" if self.applications_fail else "running"
            application["status"] = done if application["looks"] > 1 else "initializing"
        return self._public(application)

    def _patch_application(self, identifier: str, document: Any) -> Any:
        application = self.applications[identifier]
        if "name" in document:
            self._free(self.applications, document["name"], "Application", identifier)
        version = document.get("customApplicationSourceVersionId")
        if version and version != application["customApplicationSourceVersionId"]:
            self._move(application, version)
            application |= {"status": "initializing", "looks": 0}
        for name in ("name", "allowAutoStopping", "externalAccessEnabled", "externalAccessRecipients"):
            if name in document:
                application[name] = document[name]
        return self._public(application)

    # credentials and use cases

    def _post_credential(self, document: Any) -> Any:
        self._free(self.credentials, document["name"], "Credential")
        identifier = self.new_id("CRED")
        self.credentials[identifier] = {
            "credentialId": identifier,
            "name": document["name"],
            "description": document.get("description", ""),
            "credentialType": document["credentialType"],
            "creationDate": NOW,
        }
        return self.credentials[identifier]

    def _patch_credential(self, identifier: str, document: Any) -> Any:
        self.credentials[identifier].update(document)
        return self.credentials[identifier]

    def _link(self, use_case: str, application: str, _document: Any) -> Any:
        if application in self.use_cases[use_case]:
            raise Refusal(422, "Entity is already linked to this Use Case")
        self.use_cases[use_case].add(application)
        return {"id": application, "useCaseId": use_case, "entityId": application, "entityType": "customApplication"}

    def _unlink(self, use_case: str, application: str, _document: Any) -> None:
        self.use_cases[use_case].remove(application)

    @staticmethod
    def _page(rows: Any) -> Any:
        data = list(rows)
        return {"count": len(data), "data": data, "next": None, "previous": None, "totalCount": len(data)}


def parameter(name: str, kind: str, value: Any) -> dict[str, Any]:
    return {
        "fieldName": name,
        "type": kind,
        "defaultValue": None,
        "credentialType": "api_token" if kind == "credential" else None,
        "allowEmpty": True,
        "description": None,
        "overrideValue": value,
        "currentValue": value,
    }


def profile(headers: dict[str, str]) -> str:
    """The name of the client that sent these headers, else the headers themselves."""
    expected: dict[str, dict[str, str | None]] = {
        "api-client": {
            "Content-Type": "application/json",
            "User-Agent": "DataRobotTerraformClient/0.10.43 Terraform-pulumi-terraform-bridge",
            "X-DataRobot-Api-Consumer-Trace": "",
        },
        "upload-client": {"User-Agent": "Go-http-client/1.1", "X-DataRobot-Api-Consumer-Trace": None},
    }
    name = "upload-client" if headers.get("Content-Type", "").startswith("multipart/form-data") else "api-client"
    common = headers.get("Authorization", "").startswith("Bearer ") and "Content-Length" in headers
    right = all(headers.get(key) == value for key, value in expected[name].items())
    accepted = headers.get("Accept") == "application/json" and "Transfer-Encoding" not in headers
    return name if common and right and accepted else json.dumps({**headers, "Authorization": "..."})


def multipart(content_type: str, body: bytes) -> Iterator[dict[str, Any]]:
    boundary = content_type.partition("boundary=")[2].encode()
    for piece in body.split(b"--" + boundary)[1:-1]:
        head, _, content = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        content = content.removesuffix(b"\r\n")
        text = head.decode()
        name = re.search(r'[; ]name="([^"]*)"', text)
        filename = re.search(r'filename="([^"]*)"', text)
        kind = re.search(r"Content-Type: (\S+)", text)
        part: dict[str, Any] = {"name": name.group(1) if name else ""}
        if filename:
            part |= {"filename": filename.group(1), "contentType": kind.group(1) if kind else None}
            part |= {"size": len(content), "sha256": hashlib.sha256(content).hexdigest(), "content": content}
        else:
            part["text"] = content.decode()
        yield part
