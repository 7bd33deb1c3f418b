"""Releases on the platform: what one machine has proved another one can go back to."""

from __future__ import annotations

import base64
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.local_platform import LocalPlatform, local_platform
from tests.unit.test_releases import keep
from toolkit import recovery, releases, retained
from toolkit.datarobot import Client

MARK = "0a1b2c3d"


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[LocalPlatform]:
    with local_platform(tmp_path / "platform") as running:
        yield running


@pytest.fixture
def client(platform: LocalPlatform) -> Iterator[Client]:
    with Client(f"{platform.url}/api/v2", platform.identity.full) as made:
        yield made


def names(client: Client) -> list[str]:
    return sorted(one["name"] for one in client.sources_marked(""))


def pull(client: Client, shelf: Path, mark: str = MARK) -> int:
    """Fetch on a machine where the history of the stack knows all that `keep` keeps."""
    with tempfile.TemporaryDirectory() as folder:
        deployed = {(kept.id, kept.seal) for kept in (keep(Path(folder), name) for name in "abcd")}
    return retained.pull(client, mark, shelf, deployed)


def test_what_one_machine_has_proved_another_one_gets_as_it_was(tmp_path: Path, client: Client) -> None:
    kept = keep(tmp_path, "a")
    assert retained.push(client, "shop-prod", MARK, kept)
    elsewhere = tmp_path / "elsewhere"
    assert pull(client, elsewhere) == 1
    (found,) = releases.kept(elsewhere)
    assert (found.digest, found.at, found.commit, dict(found.served)) == (kept.digest, kept.at, "c", {"": "a"})
    assert (found.source / "start-app.sh").read_text() == "#!/bin/sh\n# a\n"
    assert (found.source / "start-app.sh").stat().st_mode & 0o777 == 0o755
    assert found.archive.read_bytes() == b"zip"
    assert not (found.source / ".env").exists()
    assert pull(client, elsewhere) == 0
    assert not retained.push(client, "shop-prod", MARK, found)  # it is there already


def test_one_that_serves_again_is_the_newest_for_every_machine(tmp_path: Path, client: Client) -> None:
    elsewhere = tmp_path / "elsewhere"
    for name in "abc":
        retained.push(client, "shop-prod", MARK, keep(tmp_path, name))
    assert pull(client, elsewhere) == 3
    assert retained.push(client, "shop-prod", MARK, keep(tmp_path, "a"), again=True)
    assert pull(client, elsewhere) == 1
    assert [one.id for one in releases.kept(elsewhere)] == [name * 12 for name in "acb"]
    retained.push(client, "shop-prod", MARK, keep(tmp_path, "d"))
    assert names(client) == [f"shop-prod-release-{MARK}-{name * 12}" for name in "acd"]


def test_what_is_deployed_again_is_sent_again_when_others_have_deployed_since(tmp_path: Path, client: Client) -> None:
    """The last three stay: what a machine has sent once may be gone, or the first to go."""
    mine = keep(tmp_path / "mine", "a")
    assert retained.push(client, "shop-prod", MARK, mine)
    assert retained.push(client, "shop-prod", MARK, keep(tmp_path / "theirs", "b"))
    assert retained.push(client, "shop-prod", MARK, mine)
    for name in "cd":
        assert retained.push(client, "shop-prod", MARK, keep(tmp_path / "theirs", name))
    assert names(client) == [f"shop-prod-release-{MARK}-{name * 12}" for name in "acd"]
    assert retained.push(client, "shop-prod", MARK, keep(tmp_path / "theirs", "b"))
    assert names(client) == [f"shop-prod-release-{MARK}-{name * 12}" for name in "bcd"]
    assert retained.push(client, "shop-prod", MARK, mine)
    assert names(client) == [f"shop-prod-release-{MARK}-{name * 12}" for name in "abd"]


def test_what_was_sent_for_a_stack_that_is_gone_is_sent_for_the_new_one(tmp_path: Path, client: Client) -> None:
    mine = keep(tmp_path, "a")
    retained.push(client, "shop-prod", MARK, mine)
    assert retained.push(client, "shop-prod", "ffffffff", mine)
    assert pull(client, tmp_path / "shelf", "ffffffff") == 0
    assert [one.id for one in releases.kept(tmp_path / "shelf")] == ["a" * 12]


def test_a_release_is_there_once_also_when_the_app_has_another_name_now(tmp_path: Path, client: Client) -> None:
    kept = keep(tmp_path, "a")
    retained.push(client, "shop-prod", MARK, kept)
    retained.push(client, "store-prod", MARK, kept, again=True)
    assert names(client) == [f"store-prod-release-{MARK}-{'a' * 12}"]


def test_what_was_kept_for_a_stack_that_is_gone_goes(tmp_path: Path, client: Client) -> None:
    kept = keep(tmp_path, "a")
    retained.push(client, "shop-prod", MARK, kept)
    keep(tmp_path, "b")  # could not be sent
    assert pull(client, kept.folder.parent, "ffffffff") == 0
    assert [one.id for one in releases.kept(kept.folder.parent)] == ["b" * 12]


def test_a_damaged_one_does_not_take_the_place_of_a_whole_one(tmp_path: Path, client: Client) -> None:
    kept = keep(tmp_path, "a")
    retained.push(client, "shop-prod", MARK, kept)
    (source,) = client.sources_marked(retained.words(MARK))
    client.delete("source", source["id"])
    (kept.source / "start-app.sh").write_text("spoilt")
    client.put_source(source["name"], retained.FILE, base64.b64encode(retained._packed(kept.folder)))
    assert keep(tmp_path, "a").is_whole
    assert pull(client, kept.folder.parent) == 0
    assert all(one.is_whole for one in releases.kept(kept.folder.parent))


def test_what_the_stack_has_never_deployed_is_not_fetched(tmp_path: Path, client: Client) -> None:
    """A source of this name may be somebody else's: whose release it is, the history of the stack says."""
    kept = keep(tmp_path, "a")
    retained.push(client, "shop-prod", MARK, kept)
    foreign = keep(tmp_path / "foreign", "a")
    (foreign.source / "start-app.sh").write_text("#!/bin/sh\n# theirs\n")
    about = {
        **json.loads((foreign.folder / "release.json").read_text()),
        "seal": releases._seal_of(foreign.folder, "shop"),
    }
    (foreign.folder / "release.json").write_text(json.dumps(about))
    whole = releases.read(foreign.folder)
    assert whole is not None
    assert whole.is_whole
    retained.push(client, "shop-prod", MARK, whole, again=True)
    assert pull(client, kept.folder.parent) == 0
    assert pull(client, tmp_path / "elsewhere") == 0
    (there,) = releases.kept(kept.folder.parent)
    assert there.seal == kept.seal


@pytest.mark.parametrize(("member", "value"), [("app", "somebody-elses"), ("digest", "b" * 64)])
def test_what_is_said_of_a_release_is_as_the_history_knows_it(
    tmp_path: Path, client: Client, member: str, value: str
) -> None:
    kept = keep(tmp_path / "theirs", "a")
    about = kept.folder / "release.json"
    about.write_text(json.dumps({**json.loads(about.read_text()), member: value}))
    id = str(json.loads(about.read_text())["digest"])[:12]  # noqa: A001
    client.put_source(f"shop-prod-release-{MARK}-{id}", retained.FILE, base64.b64encode(retained._packed(kept.folder)))
    assert pull(client, tmp_path / "ours") == 0


def test_a_release_takes_the_place_of_its_twin(tmp_path: Path, client: Client) -> None:
    retained.push(client, "shop-prod", MARK, keep(tmp_path, "a"))
    twin = keep(tmp_path, "a", "b")
    retained.push(client, "shop-prod", MARK, twin, instead=["a" * 12])
    assert names(client) == [f"shop-prod-release-{MARK}-{'b' * 12}"]


def test_a_name_that_is_none_of_a_release_leads_nowhere(tmp_path: Path, client: Client) -> None:
    kept = keep(tmp_path, "a")
    content = base64.b64encode(retained._packed(kept.folder))
    for name in ("../../../any", "b" * 12):
        client.put_source(f"shop-prod-release-{MARK}-{name}", retained.FILE, content)
    assert pull(client, tmp_path / "far" / "away" / "elsewhere") == 0


def test_the_last_three_stay_and_those_of_others_are_let_alone(tmp_path: Path, client: Client) -> None:
    retained.push(client, "shop-prod", "ffffffff", keep(tmp_path / "other", "a"))
    for name in "abcde":
        retained.push(client, "shop-prod", MARK, keep(tmp_path, name))
    assert names(client) == [
        *(f"shop-prod-release-{MARK}-{name * 12}" for name in "cde"),
        f"shop-prod-release-ffffffff-{'a' * 12}",
    ]


def test_a_release_that_was_sent_by_half_is_sent_again_and_a_damaged_one_is_passed_over(
    tmp_path: Path, client: Client
) -> None:
    name = f"shop-prod-release-{MARK}-{'a' * 12}"
    client._send("POST", "customApplicationSources/", permission="", probes=False, json={"name": name})
    assert pull(client, tmp_path / "elsewhere") == 0
    versions = f"customApplicationSources/{client.sources_marked(name)[0]['id']}/versions/"
    client._send("POST", versions, permission="", probes=False, json={"label": "v1"})  # and then it broke off
    retained.push(client, "shop-prod", MARK, keep(tmp_path, "a"))
    assert names(client) == [name]
    client.put_source(f"shop-prod-release-{MARK}-{'b' * 12}", retained.FILE, b"no archive")
    assert pull(client, tmp_path / "elsewhere") == 1
    assert [one.id for one in releases.kept(tmp_path / "elsewhere")] == ["a" * 12]


def test_they_are_no_leftovers_until_the_stack_goes_for_good(tmp_path: Path, client: Client) -> None:
    retained.push(client, "shop-prod", MARK, keep(tmp_path, "a"))
    state = {"resources": [], "mark": MARK, "pending": 0}
    assert recovery.look(client, state).is_clean
    (stray,) = recovery.look(client, state, for_good=True).strays
    assert stray.kind == "source"
    assert recovery.look(client, {**state, "mark": "ffffffff"}, for_good=True).is_clean
