from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from toolkit.image import following
from toolkit.image.step import TO_ITS_END, build_command, mask
from toolkit.image.tidying import superfluous


def test_the_build_step_sees_placeholders_instead_of_secrets() -> None:
    masked = mask(b"DATAROBOT_API_TOKEN='very $ecret'\nDATAROBOT_ENDPOINT=https://host/api/v2\nMY_PASSWORD=x\n")
    assert masked == (
        b"DATAROBOT_API_TOKEN=placeholder-of-DATAROBOT_API_TOKEN\n"
        b"DATAROBOT_ENDPOINT=https://host/api/v2\n"
        b"MY_PASSWORD=placeholder-of-MY_PASSWORD\n"
    )


def test_the_hook_is_sourced_by_sh_as_the_platform_does() -> None:
    shell, option, script = build_command(True, False, {})
    assert (shell, option) == ("/bin/sh", "-c")
    assert script.splitlines()[1] == ". ./build-app.sh"


@pytest.mark.parametrize(
    ("hook", "code", "to_its_end"),
    [
        ("set -eu\necho a\n", 0, True),
        ("false\n", 1, True),
        ("return 0\necho a\n", 0, True),
        ("exec >log 2>&1\necho a\n", 0, True),
        ("cd /\nset -- a b\nIFS=0\n", 0, True),
        ("exit 0\necho a\n", 0, False),
        ("set -e\nfalse\necho a\n", 1, False),
        ("exit 3\n", 3, False),
    ],
)
def test_the_build_step_ends_as_its_hook_does_and_says_whether_all_of_it_ran(
    tmp_path: Path, hook: str, code: int, to_its_end: bool
) -> None:
    (tmp_path / "build-app.sh").write_text(hook)
    done = subprocess.run(build_command(True, False, {}), cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.endswith(f"{TO_ITS_END}\n")) == (code, to_its_end)
    assert not any(TO_ITS_END in path.read_text() for path in tmp_path.iterdir())


def test_without_a_hook_the_build_step_does_nothing() -> None:
    assert build_command(False, False, {}) == ["/bin/sh", "-c", ":"]


def test_proxy_and_certificates_are_set_for_the_build_step_only_in_its_command() -> None:
    script = build_command(True, True, {"HTTPS_PROXY": "http://proxy:3128/a b"})[2]
    assert script.splitlines() == [
        "export HTTPS_PROXY='http://proxy:3128/a b'",
        "export NODE_EXTRA_CA_CERTS=/run/bun-to-datarobot/ca.crt",
        "export SSL_CERT_FILE=/run/bun-to-datarobot/ca.crt",
        "export CURL_CA_BUNDLE=/run/bun-to-datarobot/ca.crt",
        "exec 9>&1",
        ". ./build-app.sh",
        'set -- "$?"',
        f"echo {TO_ITS_END} >&9",
        'exit "$1"',
    ]


def test_old_images_of_apps_go_but_the_newest_and_the_young_stay() -> None:
    now = 1_000_000.0
    images = [{"Created": now - 60 * n, "RepoTags": [f"bun-to-datarobot/app:{n}"]} for n in range(100)]
    images.append({"Created": 0, "RepoTags": ["somebody/else:1"]})
    images.append({"Created": 0, "RepoTags": None})
    assert superfluous(images, now) == [f"bun-to-datarobot/app:{n}" for n in range(61, 100)]
    assert superfluous(images[80:100], now) == []  # never less than the newest twenty


class LeftOpen:
    """What a container says, by an engine that leaves the stream open after its end."""

    id = "c1"

    def __init__(self, streamed: bytes, whole: bytes) -> None:
        self._streamed, self._whole, self._closed = streamed, whole, threading.Event()
        inspected = {"State": {"Running": False}}
        self.client = SimpleNamespace(api=SimpleNamespace(inspect_container=lambda _id: inspected))

    def logs(self, *, stream: bool = False, **_how: bool) -> Any:
        return self if stream else self._whole

    def __iter__(self) -> Iterator[bytes]:
        yield self._streamed
        assert self._closed.wait(10)

    def close(self) -> None:
        self._closed.set()

    def wait(self) -> dict[str, int]:
        return {"StatusCode": 3}


def test_a_stream_that_is_left_open_is_closed_and_nothing_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "LOOK_EVERY", 0.01)
    monkeypatch.setattr(following, "LAST_WORDS", 0.05)
    lines: list[str] = []
    assert following.follow(LeftOpen(b"one\ntw", b"one\ntwo\r\nthree"), lines.append) == 3
    assert lines == ["one", "two", "three"]
