"""What earlier runs left is told from what others have made; the platform is the local one, in this process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.local_platform import LocalPlatform, local_platform
from toolkit import recovery, retained, stack, stackconfig
from toolkit.datarobot import Client, PlatformError
from toolkit.errors import DeploymentFailed, PermissionDenied
from toolkit.recovery import Found, Stray
from toolkit.stack import Action, StackResult
from toolkit.stackconfig import StackInputs

MARK = "0a1b2c3d"


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[LocalPlatform]:
    with local_platform(tmp_path) as running:
        running.runner.at_once = True
        yield running


@pytest.fixture
def client(platform: LocalPlatform) -> Iterator[Client]:
    with Client(f"{platform.url}/api/v2", platform.identity.full) as made:
        yield made


class Made:
    """An environment, a source with a version, and an application, as a deployment makes them."""

    def __init__(self, platform: LocalPlatform, mark: str, *, name: str = "shop-prod") -> None:
        inputs = StackInputs("shop", "prod", "", (), mark=mark)
        store = platform.store
        words = stackconfig.marking(mark)
        self.environment = store.create_environment(f"{name}-environment", words, "other", ["customApplication"])["id"]
        version = store.create_environment_version(self.environment, "", b"PK", "context.zip")
        store.set_build(version["id"], "success")
        self.source = store.create_source(f"{inputs.source_name}-{self.environment[-7:]}")["id"]
        fields = {"label": "v1", "baseEnvironmentVersionId": version["id"]}
        self.version = store.create_source_version(self.source, fields)["id"]
        self.application = store.create_application({"applicationSourceVersionId": self.version})["id"]

    def state(self, *kinds: str, mark: str = MARK, pending: int = 0) -> dict[str, Any]:
        """What a state holds that knows of these kinds."""
        every = {
            "ExecutionEnvironment": self.environment,
            "ApplicationSource": self.source,
            "CustomApplication": self.application,
        }
        resources = [{"type": kind, "id": every[kind], "name": ""} for kind in every if not kinds or kind in kinds]
        return {"resources": resources, "mark": mark, "pending": pending}


NOTHING: dict[str, Any] = {"resources": [], "mark": MARK, "pending": 0}


def ids(found: Found) -> list[tuple[str, str]]:
    return [(stray.kind, stray.id) for stray in found.strays]


def test_what_the_state_knows_is_no_stray(platform: LocalPlatform, client: Client) -> None:
    found = recovery.look(client, Made(platform, MARK).state())
    assert (found, found.is_clean) == (Found(), True)


def test_all_that_bears_the_mark_and_is_not_known_is_a_stray_in_order_of_removal(
    platform: LocalPlatform, client: Client
) -> None:
    made = Made(platform, MARK)
    expected = [("application", made.application), ("source", made.source), ("environment", made.environment)]
    assert ids(recovery.look(client, NOTHING)) == expected
    for stray in recovery.look(client, NOTHING).strays:
        client.delete(stray.kind, stray.id)
    assert recovery.look(client, NOTHING).is_clean


def test_a_credential_that_bears_the_mark_is_a_stray_too(platform: LocalPlatform, client: Client) -> None:
    """It holds the full token: one that a cut request has left behind must not stay."""
    names = [StackInputs("shop", "prod", "", (), mark=mark).credential_name for mark in (MARK, MARK, "ffffffff", "")]
    made = [
        platform.store.create_credential(
            {"name": f"{name}-{number:07x}", "credentialType": "api_token", "apiToken": "x"}
        )
        for number, name in enumerate(names)
    ]
    known = {"resources": [{"type": "ApiTokenCredential", "id": made[0]["id"], "name": ""}], "mark": MARK}
    found = recovery.look(client, known)
    assert ids(found) == [("credential", made[1]["id"])]
    client.delete("credential", made[1]["id"])
    assert recovery.look(client, known) == Found()


def test_look_alikes_are_nobodys_business(platform: LocalPlatform, client: Client) -> None:
    """The same names, made by hand, or by the same app and stack with a state elsewhere."""
    mine = Made(platform, MARK)
    Made(platform, "ffffffff")
    store = platform.store
    store.create_environment("shop-prod-environment", "", "other", ["customApplication"])
    store.create_environment("shop-prod-environment", f"not {MARK}", "other", ["customApplication"])
    store.create_source("shop-prod-source-abcdef0")
    store.create_source(f"copy of source {MARK}")
    assert recovery.look(client, mine.state()).is_clean


def test_a_second_application_of_a_known_source_is_a_stray_without_any_mark(
    platform: LocalPlatform, client: Client
) -> None:
    made = Made(platform, "")
    other = platform.store.create_application({"applicationSourceVersionId": made.version})["id"]
    assert ids(recovery.look(client, made.state(mark=""))) == [("application", other)]


def test_an_application_that_a_colleague_has_made_of_our_source_is_left_alone(
    platform: LocalPlatform, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Made(platform, MARK)
    theirs, ours = (platform.store.create_application({"applicationSourceVersionId": made.version}) for _ in range(2))
    real = client.applications_of

    def applications_of(source: str) -> list[dict[str, Any]]:
        return [{**one, **({"userId": "colleague"} if one["id"] == theirs["id"] else {})} for one in real(source)]

    monkeypatch.setattr(client, "applications_of", applications_of)
    found = recovery.look(client, made.state())
    assert ids(found) == [("application", ours["id"])]
    assert [other.id for other in found.others] == [theirs["id"]]
    said, heard = carried_out(monkeypatch, client, made.state())
    assert heard == ["deploy: stop", "tidy: go", "deploy: go"]
    assert said[-1].startswith(f"The application {theirs['name']} ({theirs['id']}) runs this stack's source too")
    assert client.has("application", theirs["id"])
    assert not client.has("application", ours["id"])


def test_what_the_platform_lacks_is_named(platform: LocalPlatform, client: Client) -> None:
    made = Made(platform, MARK)
    client.delete("application", made.application)
    found = recovery.look(client, made.state(pending=2))
    assert (found.missing, found.strays, found.pending) == ((f"application {made.application}",), (), 2)
    assert not found.is_clean


def test_many_sources_are_looked_through_page_by_page(platform: LocalPlatform, client: Client) -> None:
    made = Made(platform, MARK)
    for number in range(230):
        platform.store.create_source(f"another {number}")
    assert ("source", made.source) in ids(recovery.look(client, NOTHING))


def test_removing_what_is_gone_is_no_error_but_a_refusal_is(platform: LocalPlatform, client: Client) -> None:
    made = Made(platform, MARK)
    client.delete("application", "0" * 24)
    with pytest.raises(PlatformError):
        client.delete("environment", made.environment)  # an application runs on it


# --- the order of things ----------------------------------------------------------------------------------------------


class Pulumi:
    """Stands in for `stack.run`: tells the state, notes what is asked for, and what is answered."""

    def __init__(self, state: dict[str, Any]) -> None:
        self.state = state
        self.heard: list[str] = []

    def __call__(self, _driver: Any, action: str, *_rest: Any, answers: Any, **_options: Any) -> StackResult:
        answer = answers["held" if action == "tidy" else "state"](self.state)
        self.heard.append(f"{action}: {answer}")
        if action == "tidy" and answer != "go":
            raise DeploymentFailed("Pulumi could not carry out tidy.")
        self.state = {**self.state, "pending": 0} if action == "tidy" else self.state
        return StackResult({}, None, stopped=answer == "stop")


def carried_out(
    monkeypatch: pytest.MonkeyPatch, client: Client, state: dict[str, Any], action: Action = "deploy"
) -> tuple[list[str], list[str]]:
    pulumi = Pulumi(state)
    monkeypatch.setattr(stack, "run", pulumi)
    said: list[str] = []
    driver: Any = None
    try:
        recovery.run(driver, action, client=client, on_event=lambda event: said.append(event["text"]))
    finally:
        said.extend(["--", *pulumi.heard])
    return said[: said.index("--")], pulumi.heard


def test_where_all_is_in_order_nothing_more_is_done(
    platform: LocalPlatform, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert carried_out(monkeypatch, client, Made(platform, MARK).state()) == ([], ["deploy: go"])


def test_strays_go_under_the_lock_and_the_command_begins_again(
    platform: LocalPlatform, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Made(platform, MARK)
    said, heard = carried_out(monkeypatch, client, made.state("ExecutionEnvironment"))
    assert heard == ["deploy: stop", "tidy: go", "deploy: go"]
    assert [line.split(" (")[0] for line in said] == [
        f"Removed the application {platform_name(made)}",
        f"Removed the source shop-prod-source-{MARK}-{made.environment[-7:]}",
    ]


def test_releases_that_are_kept_go_with_the_stack_and_are_called_so(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = client.put_source(f"shop-prod{retained.words(MARK)}{'a' * 12}", retained.FILE, b"x")  # noqa: A001
    said, heard = carried_out(monkeypatch, client, NOTHING, "destroy")
    assert heard == ["destroy: stop", "tidy: go", "destroy: go"]
    assert said == [f"Removed the source shop-prod-release-{MARK}-{'a' * 12} ({id}), a release to go back to."]


def platform_name(made: Made) -> str:
    return f"Custom Application {made.application[-6:]}"


def test_operations_of_a_dead_run_are_ended_first(
    platform: LocalPlatform, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    said, heard = carried_out(monkeypatch, client, Made(platform, MARK).state(pending=1))
    assert heard == ["deploy: stop", "tidy: go", "deploy: go"]
    assert said == ["An earlier run has not ended what it began (1): the state is read anew."]


def test_what_the_platform_lacks_makes_the_state_be_read_anew(
    platform: LocalPlatform, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Made(platform, MARK)
    client.delete("application", made.application)
    said, heard = carried_out(monkeypatch, client, made.state())
    assert heard == ["deploy: go refresh"]
    assert made.application in said[0]


def test_a_stray_that_stays_is_named_with_the_reason(
    platform: LocalPlatform, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Made(platform, MARK)
    foreign = platform.store.create_source("of somebody else")["id"]
    version = platform.store.get("environment", made.environment)["latestVersion"]
    fields = {"label": "v1", "baseEnvironmentVersionId": version}
    other = platform.store.create_source_version(foreign, fields)["id"]
    platform.store.create_application({"applicationSourceVersionId": other})
    with pytest.raises(DeploymentFailed) as error:
        carried_out(monkeypatch, client, NOTHING)
    assert made.environment in "\n".join(error.value.details)
    assert "is used by the application" in "\n".join(error.value.details)


def test_a_platform_that_cannot_be_looked_at_stops_nobody(
    platform: LocalPlatform, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> Found:
        raise PlatformError("in trouble")

    monkeypatch.setattr(recovery, "look", fails)
    said, heard = carried_out(monkeypatch, client, NOTHING)
    assert (heard, "in trouble" in said[0]) == (["deploy: go"], True)


def test_a_stack_does_not_go_while_nobody_knows_what_it_has_left(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With it goes the mark, by which the next command would find that."""

    def fails(*_: object, **__: object) -> Found:
        raise PlatformError("in trouble")

    monkeypatch.setattr(recovery, "look", fails)
    with pytest.raises(PlatformError):
        carried_out(monkeypatch, client, NOTHING, "destroy")


def test_who_may_not_look_may_still_destroy(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> Found:
        raise PermissionDenied("not for you")

    monkeypatch.setattr(recovery, "look", fails)
    said, heard = carried_out(monkeypatch, client, NOTHING, "destroy")
    assert (heard, "not for you" in said[0]) == (["destroy: go"], True)


def test_a_stray_is_named_in_words() -> None:
    assert str(Stray("environment", "1", "shop")) == "the execution environment shop (1)"


def test_why_leftovers_are_not_imported(root: Path) -> None:
    """The provider builds an imported environment once more, and cannot import the others (docs/reliability.md)."""
    imports = {}
    for name in ("31-import", "31-import-scoped"):
        path = root / "tests" / "stack" / "data" / "recordings" / f"{name}.json"
        steps = json.loads(path.read_text())["steps"]
        imports[name] = next(step for step in steps if any(r["op"] == "import" for r in step.get("resources", ())))
        sent = [(one["method"], one["path"].rpartition("/EE1/")[2]) for one in imports[name]["requests"]]
        assert ("POST", "versions/") in sent, "a version of the environment, which is built"
    told = " ".join(one["message"] for one in imports["31-import"]["diagnostics"])
    assert "previously-imported resources that still specify an ID may not be replaced" in told
