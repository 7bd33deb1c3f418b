"""File contents: kept under their digest, large ones on the disk while they come, nothing left of those not wanted."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.contract.local_platform import local_platform
from toolkit.emulator.blobs import IN_MEMORY, Draft, keep


@pytest.mark.parametrize("size", [0, 10, IN_MEMORY, IN_MEMORY + 1, 3 * IN_MEMORY])
def test_a_content_is_kept_under_its_digest(tmp_path: Path, size: int) -> None:
    content = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    draft = Draft(tmp_path)
    for start in range(0, size, 100_000):
        draft.write(content[start : start + 100_000])
    digest = draft.keep()
    assert (digest, draft.size) == (hashlib.sha256(content).hexdigest(), size)
    assert (tmp_path / digest).read_bytes() == content
    assert keep(tmp_path, content) == digest
    assert [path.name for path in tmp_path.iterdir()] == [digest]


def test_small_contents_touch_the_disk_only_when_they_are_kept(tmp_path: Path) -> None:
    small, large = Draft(tmp_path), Draft(tmp_path)
    small.write(b"x" * 1000)
    assert list(tmp_path.iterdir()) == []
    assert small.text() == "x" * 1000
    for _ in range(3):
        large.write(bytes(IN_MEMORY))
    (there,) = tmp_path.iterdir()
    assert there.stat().st_size >= 2 * IN_MEMORY
    with pytest.raises(ValueError, match="larger than 1 MB"):
        large.text()
    large.discard()
    small.discard()
    assert list(tmp_path.iterdir()) == []


def test_a_refused_upload_leaves_nothing(tmp_path: Path) -> None:
    with local_platform(tmp_path / "data") as platform, platform.client() as api:
        source = api.post("customApplicationSources/", json={"name": "s"}).json()["id"]
        files = [("file", ("../out", bytes(3 * IN_MEMORY))), ("file", ("good", bytes(3 * IN_MEMORY)))]
        assert api.post(f"customApplicationSources/{source}/versions/", files=files).status_code == 422
        assert list(platform.store.blobs.iterdir()) == []
        made = api.post(f"customApplicationSources/{source}/versions/", files=files[1:])
        assert made.status_code == 201
        assert [path.stat().st_size for path in platform.store.blobs.iterdir()] == [3 * IN_MEMORY]
