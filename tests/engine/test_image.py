"""Images with a real engine: built as the platform would, named by content, without a secret in them."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import docker
import pytest

from toolkit import baseimage, bundles
from toolkit.baseimage import BaseImageOptions
from toolkit.bundles import Bundle
from toolkit.engine import OWNER_LABEL, RUN_LABEL, connect, machine
from toolkit.errors import ToolMissing
from toolkit.image.app import build_app
from toolkit.image.environment import build_environment
from toolkit.image.model import AppImage, BuildFailed, EnvironmentImage
from toolkit.image.step import BUILD_OWNER
from toolkit.image.tidying import remove_unused
from toolkit.source import SourceFile

pytestmark = pytest.mark.engine

SMALL = bundles.find("cpu.small")
TOKEN = "full-token-0123456789-abcdefghij"


@pytest.fixture(scope="module")
def engine() -> Iterator[docker.DockerClient]:
    client = docker.from_env()
    yield client
    client.close()


@pytest.fixture(scope="module")
def options() -> BaseImageOptions:
    return baseimage.options_from(os.environ)


@pytest.fixture(scope="module")
def environment(engine: docker.DockerClient, options: BaseImageOptions, root: Path) -> EnvironmentImage:
    return build_environment(engine, root / "custom_environment", base=options)


@pytest.fixture
def files() -> dict[str, str]:
    """An app that no run has built before."""
    return {
        "build-app.sh": "#!/bin/sh\ncat .env >seen.txt\npwd >>seen.txt\n",
        "start-app.sh": "#!/bin/sh\nexec sleep 60\n",
        ".env": f"DATAROBOT_API_TOKEN='{TOKEN}'\nDATAROBOT_ENDPOINT='https://host/api/v2'\n",
        "sub/data.txt": uuid.uuid4().hex,
    }


def staged(folder: Path, files: dict[str, str]) -> list[SourceFile]:
    found = []
    for name, content in files.items():
        path = folder / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        found.append(SourceFile(name, 0o644, path))
    return found


@pytest.fixture
def build(
    engine: docker.DockerClient, environment: EnvironmentImage, options: BaseImageOptions, tmp_path: Path
) -> Callable[..., AppImage]:
    """Builds files as an app, in a small bundle unless another is told."""

    def built(files: dict[str, str], bundle: Bundle = SMALL, **more: Any) -> AppImage:
        return build_app(engine, environment, staged(tmp_path, files), bundle=bundle, base=options, **more)

    return built


def test_the_environment_is_found_again_by_its_content(
    engine: docker.DockerClient, environment: EnvironmentImage, options: BaseImageOptions, root: Path
) -> None:
    again = build_environment(engine, root / "custom_environment", base=options)
    assert (again.tag, again.digest, again.built) == (environment.tag, environment.digest, False)
    assert environment.workdir == "/opt/code"
    config = engine.images.get(environment.tag).attrs["Config"]
    assert {"NODE_ENV=production", "PORT=8080"} <= set(config["Env"])
    assert "8080/tcp" in config["ExposedPorts"]


def test_a_stand_in_is_named_as_one(environment: EnvironmentImage) -> None:
    assert environment.base.name == "oven/bun:1-debian"
    assert (environment.base.origin == "stand-in") == environment.base.detail.startswith("stand-in")


def test_the_app_is_built_once_and_neither_token_nor_this_machine_is_in_its_image(
    engine: docker.DockerClient, build: Callable[..., AppImage], files: dict[str, str], tmp_path: Path
) -> None:
    built, again = build(files), build(files)
    assert (built.built, again.built, built.tag == again.tag, built.log == again.log) == (True, False, True, True)
    found = engine.images.get(built.tag)
    config = found.attrs["Config"]
    assert (config["Entrypoint"], config["Cmd"] or []) == (["./start-app.sh"], [])
    assert TOKEN not in json.dumps(found.attrs) + json.dumps(found.history())
    assert not any("CERT" in variable or "proxy" in variable.lower() for variable in config["Env"])
    seen = engine.containers.run(built.tag, entrypoint=["cat"], command=["seen.txt"], remove=True).decode()
    assert seen.splitlines() == [
        "DATAROBOT_API_TOKEN=placeholder-of-DATAROBOT_API_TOKEN",
        "DATAROBOT_ENDPOINT=https://host/api/v2",
        "/opt/code",
    ]
    assert TOKEN not in repr(built)
    for path in tmp_path.rglob(".env"):
        assert built.late_files == {".env": path.read_bytes()}


def test_what_the_build_needed_is_kept_with_the_image(build: Callable[..., AppImage], files: dict[str, str]) -> None:
    script = "const held = Buffer.alloc(120 * 2**20, 1); await Bun.sleep(1500); console.log(held.length)"
    files |= {"build-app.sh": "#!/bin/sh\necho built >/opt/outside.txt\nbun hold.ts\n", "hold.ts": script}
    for _ in range(2):
        built = build(files)
        assert built.build.seconds >= 1.5
        assert built.build.outside == ("/opt/outside.txt",)
        assert 120 * 2**20 <= built.build.memory <= SMALL.memory


def test_a_token_that_changes_needs_no_new_image(build: Callable[..., AppImage], files: dict[str, str]) -> None:
    first = build(files)
    files[".env"] = files[".env"].replace(TOKEN, "another-token-9876543210-zyxwvutsr")
    second = build(files)
    assert (second.tag, second.built) == (first.tag, False)
    assert second.late_files != first.late_files


def test_a_build_that_fails_shows_its_last_lines_and_leaves_nothing(
    engine: docker.DockerClient, build: Callable[..., AppImage], files: dict[str, str]
) -> None:
    files["build-app.sh"] = "#!/bin/sh\nfor n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22; do\n"
    files["build-app.sh"] += "echo line $n; done\nexit 3\n"
    lines: list[str] = []
    with pytest.raises(BuildFailed, match="exit code 3") as caught:
        build(files, on_line=lines.append)
    assert caught.value.details == tuple(f"line {number}" for number in range(3, 23))
    assert lines[0] == "line 1"
    builds = engine.containers.list(all=True, filters={"label": f"{OWNER_LABEL}={BUILD_OWNER}"}, ignore_removed=True)
    ours = f"{machine()}.{os.getpid()}."  # other tests may build at the same time, in a process of their own
    assert [one.name for one in builds if one.labels[RUN_LABEL].startswith(ours)] == []


def test_a_build_that_needs_more_memory_than_the_bundle_says_so(
    build: Callable[..., AppImage], files: dict[str, str]
) -> None:
    files["build-app.sh"] = "#!/bin/sh\nexec bun -e 'const all = []; for (;;) all.push(new Uint8Array(1e7).fill(1))'\n"
    nano = bundles.find("cpu.nano")
    with pytest.raises(BuildFailed, match="out of memory: the bundle cpu.nano gives it 128 MB") as caught:
        build(files, nano)
    assert "APP_BUNDLE" in caught.value.hint


def test_what_was_built_with_more_memory_is_no_proof_for_a_smaller_bundle(
    build: Callable[..., AppImage], files: dict[str, str]
) -> None:
    files["build-app.sh"] = "#!/bin/sh\nexec bun -e 'console.log(new Uint8Array(200 * 2**20).fill(1).length)'\n"
    assert build(files).built
    with pytest.raises(BuildFailed, match="out of memory: the bundle cpu.nano gives it 128 MB"):
        build(files, bundles.find("cpu.nano"))


def test_a_dockerfile_that_fails_names_the_step(
    engine: docker.DockerClient, options: BaseImageOptions, tmp_path: Path
) -> None:
    (tmp_path / "Dockerfile").write_text("FROM oven/bun:1-debian\nRUN echo about to fail && false\n")
    with pytest.raises(BuildFailed, match="environment image could not be built") as caught:
        build_environment(engine, tmp_path, base=options)
    assert "about to fail" in caught.value.details


def test_a_mirror_is_tried_for_bun_only(engine: docker.DockerClient) -> None:
    options = BaseImageOptions(mirror="mirror.invalid/bun:1", environ={"PATH": ""})
    with pytest.raises(ToolMissing, match=r"the mirror mirror\.invalid/bun:1") as caught:
        baseimage.ensure(engine, "oven/bun:9-debian", options)
    assert len(caught.value.details) == 2
    with pytest.raises(ToolMissing, match="registry.invalid/x:1 cannot be pulled"):
        baseimage.ensure(engine, "registry.invalid/x:1", options)


def test_a_program_that_keeps_logins_and_is_gone_stops_nothing(
    options: BaseImageOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a desktop leaves it behind that was removed."""
    (tmp_path / "environment").mkdir()
    (tmp_path / "environment" / "Dockerfile").write_text("FROM oven/bun:1-debian\nLABEL of=a-test\n")
    (tmp_path / "config.json").write_text('{"auths": {}, "credsStore": "gone"}')
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    for _ in range(2):  # the first request that needs a login may be either
        engine, _ = connect(os.environ, Path.home())
        with closing(engine):
            with pytest.raises(ToolMissing, match="registry.invalid/x:1 cannot be pulled") as caught:
                baseimage.ensure(engine, "registry.invalid/x:1", options)
            assert "redential" not in caught.value.message
    engine, _ = connect(os.environ, Path.home())
    with closing(engine):
        assert build_environment(engine, tmp_path / "environment", base=options, fresh=True).built


def test_a_mirror_gives_the_image_under_the_name_that_the_dockerfile_asks_for(
    engine: docker.DockerClient, environment: EnvironmentImage
) -> None:
    engine.images.get(environment.base.name).tag("mirror.invalid/bun", "1")
    try:
        found = baseimage.ensure(
            engine, "oven/bun:0-of-a-test", BaseImageOptions(mirror="mirror.invalid/bun:1", environ={})
        )
        assert (found.origin, found.name) == ("mirror", "oven/bun:0-of-a-test")
    finally:
        engine.images.remove("mirror.invalid/bun:1")
        engine.images.remove("oven/bun:0-of-a-test")


def test_without_debootstrap_the_error_says_what_is_lacking(engine: docker.DockerClient) -> None:
    with pytest.raises(ToolMissing, match="debootstrap, which a stand-in needs, is not installed") as caught:
        baseimage.ensure(engine, "oven/bun:9-debian", BaseImageOptions(environ={"PATH": "/nowhere"}))
    assert "BUN_IMAGE" in caught.value.hint


def test_only_images_that_nothing_uses_are_removed(engine: docker.DockerClient, environment: EnvironmentImage) -> None:
    label = f"bun-to-datarobot.test-{uuid.uuid4().hex}"
    names = [f"bun-to-datarobot/test-{uuid.uuid4().hex[:8]}:{which}" for which in ("used", "unused")]
    container = engine.containers.create(environment.tag, command=["sleep", "60"])
    for name in names:
        repository, _, tag = name.partition(":")
        container.commit(repository=repository, tag=tag, conf={"Labels": {label: name}})
    container.remove()
    user = engine.containers.create(names[0], command=["sleep", "60"])
    try:
        assert remove_unused(engine, label=label) == ([names[1]], [names[0]])
    finally:
        user.remove()
    assert remove_unused(engine, label=label) == ([names[0]], [])
    assert remove_unused(engine, label=label) == ([], [])


def test_a_runtime_env_of_comments_only_stays_out_of_the_image_too(
    engine: docker.DockerClient, build: Callable[..., AppImage], files: dict[str, str]
) -> None:
    files = {"build-app.sh": "#!/bin/sh\nwc -c <.env\n", ".env": f"# {TOKEN}\n", "data.txt": uuid.uuid4().hex}
    built = build(files)
    try:
        assert built.log[-1].strip() == "0"
    finally:
        engine.images.remove(built.tag, force=True)
