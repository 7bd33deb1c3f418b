"""A Pulumi that is killed while it writes leaves an empty side file, and no Pulumi reads the state any more."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolkit import sidecars

EMPTY = (
    "meta.yaml.attrs",
    "stacks/shop/dev.json.attrs",
    "stacks/shop/dev.json.bak.attrs",
    "history/shop/dev/dev-1.history.json.attrs",
    "locks/organization/shop/dev/0a.json.attrs",
)
OTHERS = ("stacks/shop/prod.json.attrs", "stacks/shop/dev.json", "history/shop/prod/prod-1.history.json.attrs")


def _made(state: Path, *names: str, text: str = "") -> None:
    for name in names:
        path = state / ".pulumi" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_empty_side_files_of_the_stack_go_and_nothing_else(tmp_path: Path) -> None:
    state = tmp_path / "a state"
    _made(state, *EMPTY, *OTHERS)
    _made(state, "stacks/shop/dev.json.gz.attrs", text="{}")
    assert sorted(sidecars.mend(state.as_uri(), "shop", "dev")) == sorted(Path(name).name for name in EMPTY)
    left = sorted(str(path.relative_to(state / ".pulumi")) for path in state.rglob("*") if path.is_file())
    assert left == sorted([*OTHERS, "stacks/shop/dev.json.gz.attrs"])
    assert sidecars.mend(state.as_uri(), "shop", "dev") == []


@pytest.mark.parametrize("address", ["", "s3://bucket/x", "https://api.pulumi.com", "file://~/x", "file:///nowhere"])
def test_where_there_is_no_folder_nothing_is_done(address: str) -> None:
    assert sidecars.mend(address, "shop", "dev") == []
