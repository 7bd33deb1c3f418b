"""Where the releases to go back to are kept: where the state is, as far as that is a folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.unit.test_deploy import release
from toolkit import preflight, retained, shelf, stack, statefiles
from toolkit import settings as configuration
from toolkit.bench import Bench
from toolkit.datarobot import PlatformError
from toolkit.releases import Kept
from toolkit.stack import StackResult
from toolkit.tools import Places


@pytest.mark.parametrize(
    ("backend", "place", "shared"),
    [
        ("", "checkout/.toolkit/releases/prod", True),
        ("file://{home}/team", "home/team/bun-to-datarobot-releases/prod", True),
        ("file://{home}/a%20team", "home/a team/bun-to-datarobot-releases/prod", True),
        ("file://~/team", "checkout/.toolkit/releases/prod", False),
        ("s3://bucket/states", "checkout/.toolkit/releases/prod", False),
        ("https://api.pulumi.com", "checkout/.toolkit/releases/prod", False),
    ],
)
def test_where_releases_are_kept(tmp_path: Path, backend: str, place: str, shared: bool) -> None:
    root, home = tmp_path / "checkout", tmp_path / "home"
    root.mkdir()
    environ = {"PULUMI_BACKEND_URL": backend.format(home=home), "PULUMI_CONFIG_PASSPHRASE": "of the team"}
    settings = configuration.load(environ, root / ".env", stack="prod", root=root, defaults={})
    assert statefiles.shelf(settings, home) == (tmp_path / place, shared)


def test_a_state_in_the_cloud_leaves_them_in_this_checkout(tmp_path: Path) -> None:
    environ = {"PULUMI_ACCESS_TOKEN": "pul-0123456789"}
    settings = configuration.load(environ, tmp_path / ".env", stack="prod", root=tmp_path, defaults={})
    assert statefiles.shelf(settings, tmp_path) == (tmp_path / ".toolkit" / "releases" / "prod", False)


@pytest.mark.parametrize("login", ["file://{home}/team", "s3://bucket/states"])
def test_a_login_to_a_place_of_ones_own_is_no_cloud(tmp_path: Path, login: str) -> None:
    """Pulumi wants a passphrase there, and everything else is as with PULUMI_BACKEND_URL."""
    address = login.format(home=tmp_path)
    (tmp_path / "credentials.json").write_text(json.dumps({"current": address}))
    settings = configuration.load({}, tmp_path / ".env", stack="prod", root=tmp_path, defaults={})
    told = statefiles.state_backend(settings, tmp_path)
    assert told["PULUMI_BACKEND_URL"] == address
    assert Path(told["PULUMI_CONFIG_PASSPHRASE_FILE"]).exists()
    assert statefiles.describe_backend(settings, tmp_path).address in address
    set_so = configuration.load({"PULUMI_BACKEND_URL": address}, None, stack="prod", root=tmp_path, defaults={})
    assert statefiles.shelf(settings, tmp_path) == statefiles.shelf(set_so, tmp_path)
    assert statefiles.dead_runs(settings, tmp_path) is not None
    local = configuration.load({}, tmp_path / ".env", stack="local", root=tmp_path, defaults={})
    assert statefiles.shelf(local, tmp_path) == (tmp_path / ".toolkit" / "releases" / "local", True)


def test_releases_that_cannot_be_fetched_are_no_reason_to_take_an_older_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = {"PULUMI_ACCESS_TOKEN": "pul-0123456789"}
    settings = configuration.load(environ, None, stack="prod", root=tmp_path, defaults={})

    @contextmanager
    def platform_client(_settings: Any) -> Iterator[Any]:
        raise PlatformError("in trouble")
        yield

    monkeypatch.setattr(preflight, "platform_client", platform_client)
    monkeypatch.setattr(stack, "run", lambda *_arguments: StackResult({}, None, mark="0a1b2c3d"))
    bench = Bench(Places(tmp_path, tmp_path, tmp_path, tmp_path), {}, lambda _event: None)
    drive: Any = None
    with pytest.raises(PlatformError):
        shelf.there(settings, drive, bench, [])


@pytest.mark.parametrize(("changed", "asked"), [(True, 2), (False, 1)])
def test_a_deployment_that_changes_nothing_asks_for_no_release_that_was_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: bool, asked: int
) -> None:
    environ = {"PULUMI_ACCESS_TOKEN": "pul-0123456789", "APP_NAME": "shop"}
    settings = configuration.load(environ, None, stack="prod", root=tmp_path, defaults={})
    pushed: list[str] = []

    @contextmanager
    def platform_client(_settings: Any) -> Iterator[Any]:
        yield None

    def push(_client: Any, _name: str, mark: str, kept: Kept, **_options: Any) -> None:
        pushed.append(kept.id)
        (kept.folder / retained.SENT).write_text(f"{mark} id")

    monkeypatch.setattr(preflight, "platform_client", platform_client)
    monkeypatch.setattr(stack, "run", lambda *_arguments: StackResult({}, None, mark="0a1b2c3d"))
    monkeypatch.setattr(retained, "push", push)
    bench = Bench(Places(tmp_path, tmp_path, tmp_path, tmp_path), {}, lambda _event: None)
    drive: Any = None
    for _ in range(2):
        shelf.keep(settings, drive, release(tmp_path, "a"), {"": "a"}, bench, changed=changed)
    assert len(pushed) == asked


def test_what_is_forgotten_is_no_release_to_go_back_to(tmp_path: Path) -> None:
    settings = configuration.load({}, None, stack="local", root=tmp_path, defaults={})
    stacks = tmp_path / ".toolkit" / "state" / ".pulumi" / "stacks" / "bun-to-datarobot"
    shelf, _ = statefiles.shelf(settings, tmp_path)
    for folder, name in ((stacks, "local.json"), (stacks, "dev.json"), (shelf / "0a", "release.json")):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    statefiles.forget(settings)
    assert [path.name for path in stacks.iterdir()] == ["dev.json"]
    assert not shelf.exists()


def test_a_folder_without_its_place_is_below_the_checkout(tmp_path: Path) -> None:
    """Pulumi would take it from the folder in which it works, and `invoke clean` removes that."""
    for address, folder in (("file://.", ""), ("file://./team/a%20state", "team/a state"), ("file://state", "state")):
        settings = configuration.load({"PULUMI_BACKEND_URL": address}, None, stack="prod", root=tmp_path, defaults={})
        told = statefiles.state_backend(settings, tmp_path)["PULUMI_BACKEND_URL"]
        assert told == (tmp_path / folder).resolve().as_uri()


def test_the_login_is_where_pulumi_keeps_it(tmp_path: Path) -> None:
    places = Places(tmp_path, tmp_path / "home", tmp_path, tmp_path)
    assert Bench(places, {}, lambda _event: None).pulumi_home == tmp_path / "home" / ".pulumi"
    assert Bench(places, {"PULUMI_HOME": "/opt/pulumi"}, lambda _event: None).pulumi_home == Path("/opt/pulumi")


def test_a_login_to_pulumi_cloud_needs_no_passphrase(tmp_path: Path) -> None:
    (tmp_path / "credentials.json").write_text(json.dumps({"current": "https://api.pulumi.com"}))
    settings = configuration.load({}, tmp_path / ".env", stack="prod", root=tmp_path, defaults={})
    assert statefiles.state_backend(settings, tmp_path) == {}
    assert statefiles.describe_backend(settings, tmp_path).address == "Pulumi Cloud"


def test_a_token_of_pulumi_cloud_leads_there_whatever_the_login_is(tmp_path: Path) -> None:
    """The CLI itself goes by the login, and would put the state into that bucket."""
    (tmp_path / "credentials.json").write_text(json.dumps({"current": "s3://of-another-project"}))
    environ = {"PULUMI_ACCESS_TOKEN": "pul-0123456789"}
    settings = configuration.load(environ, tmp_path / ".env", stack="prod", root=tmp_path, defaults={})
    told = {"PULUMI_BACKEND_URL": "https://api.pulumi.com", "PULUMI_ACCESS_TOKEN": "pul-0123456789"}
    assert statefiles.state_backend(settings, tmp_path) == told
