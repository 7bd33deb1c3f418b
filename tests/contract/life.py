"""The whole life of an application as its owner's client sees it: each step asks the platform and judges the answer."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.contract.account import KINDS, Account, Mine, Refused

APPLICATIONS, SOURCES, ENVIRONMENTS = KINDS
DOCKERFILE = "FROM oven/bun:1-debian\nWORKDIR /opt/code\nENV NODE_ENV=production PORT=8080\nEXPOSE 8080\n"
START = "#!/bin/sh\nexec bun index.ts\n"
SERVER = """\
await Bun.sleep(SLOW);
Bun.serve({ hostname: "0.0.0.0", port: 8080, fetch: () => Response.json({ version: "VERSION" }) });
console.log("serving VERSION");
process.on("SIGTERM", () => process.exit(0));
"""
RECIPIENT = "contract@example.com"


def app(version: str, slow: float = 0) -> dict[str, bytes]:
    """Give the files of an app that tells its version, and needs so many seconds before it listens."""
    server = SERVER.replace("VERSION", version).replace("SLOW", str(int(slow * 1000)))
    return {"index.ts": server.encode(), "start-app.sh": START.encode()}


@dataclass
class Visits:
    """What visitors of an application got: status and version, one after the other."""

    api: httpx.Client
    url: str
    seen: list[tuple[int, str]] = field(default_factory=list)

    def ask(self, *, as_stranger: bool = False) -> None:
        """Visit the application once; a stranger comes without the token."""
        request = self.api.build_request("GET", self.url)
        if as_stranger:
            del request.headers["Authorization"]
        response = self.api.send(request, follow_redirects=False)
        told = response.is_success and response.headers.get("Content-Type", "").startswith("application/json")
        self.seen.append((response.status_code, str(response.json().get("version", "")) if told else ""))


class Life:
    """One application from its environment to its removal; the steps in the order in which they are taken."""

    def __init__(self, account: Account, mine: Mine) -> None:
        self._account, self._mine = account, mine
        self._environment = self._source = self._application = self._url = ""
        self._first = self._second = ""

    def live(self) -> None:
        """Take all steps. Raises Refused."""
        self.build_environment()
        self.upload()
        self.start()
        self.read_logs()
        self.publish()
        self.revert()
        self.rename()
        self.let_others_in()
        self.delete()

    def build_environment(self) -> None:
        """Make an environment from a context, and wait for its build."""
        made = self._mine.make("an execution environment", ENVIRONMENTS, "environment", programmingLanguage="other")
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr("Dockerfile", DOCKERFILE)
        path = f"{ENVIRONMENTS}{made['id']}/versions/"
        context = {"docker_context": ("context.zip", stream.getvalue(), "application/zip")}
        version = self._account.ask("upload the context of an environment", "POST", path, files=context)
        self._environment = version["id"]
        where = f"{path}{version['id']}/"
        built = self._account.wait(
            "the environment's version",
            where,
            self._account.patience.build,
            lambda found: found["buildStatus"] in ("success", "failed"),
        )
        if built["buildStatus"] == "failed":
            log = self._account.ask("read the log of the build", "GET", f"{where}buildLog/")
            raise Refused(f"The environment could not be built: {log['error']} {log['log'][-2000:]}")
        listed = self._account.ask("read an environment", "GET", f"{ENVIRONMENTS}{made['id']}/")
        assert listed["latestVersion"]["id"] == listed["latestSuccessfulVersion"]["id"] == self._environment

    def upload(self) -> None:
        """Make a source with two versions; the second one is slow to start."""
        self._source = self._mine.make("an application source", SOURCES, "source")["id"]
        self._first = self._version("v1", app("one"))
        self._second = self._version("v2", app("two", slow=3))

    def _version(self, label: str, files: Mapping[str, bytes]) -> str:
        path = f"{SOURCES}{self._source}/versions/"
        resources = {"serviceWebRequestsOnRootPath": True, "replicas": 1, "resourceLabel": "cpu.small"}
        body = {"label": label, "baseEnvironmentVersionId": self._environment, "resources": resources}
        made = self._account.ask("create a version of a source", "POST", path, json=body)
        parts: list[tuple[str, Any]] = [("file", (name, content)) for name, content in files.items()]
        parts += [("filePath", (None, name)) for name in files]
        changed = self._account.ask("upload files", "PATCH", f"{path}{made['id']}/", files=parts)
        assert {item["filePath"] for item in changed["items"]} == files.keys()
        return str(made["id"])

    def start(self) -> None:
        """Make the application, wait until it runs, and ask it at its address."""
        made = self._mine.make("an application", APPLICATIONS, "application", applicationSourceVersionId=self._first)
        self._application = made["id"]
        running = self._settle(self._first)
        self._url = running["applicationUrl"]
        assert made["id"] in self._url
        visits = self._visits()
        visits.ask()
        self._expect(visits, "one")
        visits.ask(as_stranger=True)
        assert visits.seen[1][0] in (302, 303, 307, 401, 403), f"strangers get {visits.seen[1][0]}"

    def read_logs(self) -> None:
        """Read what the application wrote, and the log of its build."""
        found = self._account.wait(
            "the log of the application",
            f"{APPLICATIONS}{self._application}/logs/",
            60,
            lambda found: any("serving one" in line for line in found["logs"]),
        )
        assert found.get("buildStatus") in (None, "success"), found["buildStatus"]

    def publish(self) -> None:
        """Publish the second version: the first one serves until the second one is ready, and nobody is turned away."""
        visits = self._visits()
        self._move_to("publish a version", self._second, visits)
        visits.ask()
        versions = [version for _, version in visits.seen]
        assert {status for status, _ in visits.seen} == {200}, visits.seen
        assert versions == sorted(versions), f"the versions came in no order: {versions}"
        assert versions[0] == "one", "the first version was gone before the second one was ready"
        assert versions[-1] == "two", versions

    def revert(self) -> None:
        """Go back to the version that the history names."""
        history = self._account.ask("read the history", "GET", f"{APPLICATIONS}{self._application}/history/")["data"]
        before = [one["sourceVersionId"] for one in history if one["sourceVersionId"] != self._second]
        assert before[:1] == [self._first], history
        self._move_to("revert to a version", before[0], self._visits())
        visits = self._visits()
        visits.ask()
        self._expect(visits, "one")

    def rename(self) -> None:
        """Give the application another name; the old one is free then."""
        old, new = f"{self._mine.mark} application", self._mine.name(APPLICATIONS, "renamed")
        assert (self._in_use(old), self._in_use(new)) == (True, False)
        self._change("rename an application", name=new)
        assert self._read()["name"] == new
        assert (self._in_use(old), self._in_use(new)) == (False, True)
        self._change("rename an application", name=old)

    def let_others_in(self) -> None:
        """Put somebody on the list of those who may come from outside, and take them off it again."""
        path = f"{APPLICATIONS}{self._application}/sharedRoles/"
        roles = self._account.ask("read who shares an application", "GET", path)["data"]
        assert "OWNER" in {one["role"] for one in roles}
        self._change("share with people outside", externalAccessEnabled=True, externalAccessRecipients=[RECIPIENT])
        found = self._read()
        assert (found["externalAccessEnabled"], found["externalAccessRecipients"]) == (True, [RECIPIENT])
        self._change("end sharing with people outside", externalAccessEnabled=False, externalAccessRecipients=[])
        found = self._read()
        assert (found["externalAccessEnabled"], found["externalAccessRecipients"]) == (False, [])

    def delete(self) -> None:
        """Remove the application: its record, its name and its address are gone."""
        path = f"{APPLICATIONS}{self._application}/"
        self._account.ask("delete an application", "DELETE", path)
        assert self._account.api.get(path).status_code == 404
        assert not self._in_use(f"{self._mine.mark} application")
        visits = self._visits()
        visits.ask()
        assert visits.seen[0][0] >= 400, "a removed application still answers"

    def _move_to(self, what: str, version: str, visits: Visits) -> None:
        self._change(what, customApplicationSourceVersionId=version)
        visits.ask()
        self._settle(version, visits)

    def _settle(self, version: str, visits: Visits | None = None) -> Any:
        """Wait until the application runs with a version. Raises Refused with its log where it failed."""
        found = self._account.wait(
            "the application",
            f"{APPLICATIONS}{self._application}/",
            self._account.patience.start,
            lambda found: found["status"] in ("running", "failed"),
            visits.ask if visits else int,
        )
        if found["status"] == "failed":
            logs = self._account.ask("read the log", "GET", f"{APPLICATIONS}{self._application}/logs/")
            raise Refused(f"The application failed: {logs}")
        assert found["customApplicationSourceVersionId"] == version
        return found

    def _read(self) -> Any:
        return self._account.ask("read an application", "GET", f"{APPLICATIONS}{self._application}/")

    def _change(self, what: str, **fields: Any) -> None:
        self._account.ask(what, "PATCH", f"{APPLICATIONS}{self._application}/", json=fields)

    def _in_use(self, name: str) -> bool:
        found = self._account.ask("check a name", "GET", f"{APPLICATIONS}nameCheck/", params={"name": name})
        return bool(found["inUse"])

    def _visits(self) -> Visits:
        return Visits(self._account.api, self._url)

    def _expect(self, visits: Visits, version: str) -> None:
        assert visits.seen == [(200, version)], f"{self._url} answers {visits.seen}"
