"""Podman behind its Docker-compatible socket: a service of its own, with its own images, judged by the same apps."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import docker
import pytest

from tests.apps import bun_apps
from tests.apps.bun_apps import BunApp
from tests.engine.second_engine import answers, with_the_same_base
from tests.engine.test_smoke import Ground, told
from toolkit import baseimage
from toolkit import engine as engines

# Podman asks for more open files than some machines allow, and its crun for cgroups that not all of them have.
CONTAINERS_CONF = """
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
"""
# Where Podman cannot say why a process was killed.
WORDS = {"out_of_memory": {"start.listens": "as when memory runs out"}}
pytestmark = [
    pytest.mark.engine,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def podman() -> Iterator[Mapping[str, str]]:
    """The variables that lead to Podman, whose storage is a folder of its own."""
    folder = Path(tempfile.mkdtemp(prefix="podman-"))
    settings = folder / "containers.conf"
    settings.write_text(CONTAINERS_CONF)
    address = f"unix://{folder / 'podman.sock'}"
    with (folder / "podman.log").open("wb") as log:
        service = subprocess.Popen(
            [
                "podman",
                f"--root={folder / 'root'}",
                f"--runroot={folder / 'run'}",
                "system",
                "service",
                "--time=0",
                address,
            ],
            env={**os.environ, "CONTAINERS_CONF": str(settings)},
            cwd=folder,  # it notes there that memory ran out
            stdout=log,
            stderr=log,
        )
        try:
            answers({"DOCKER_HOST": address}, folder / "podman.log", service)
            yield {"DOCKER_HOST": address}
        finally:
            service.terminate()
            service.wait(60)
    # Podman leaves its storage mounted, onto itself and more than once: so nobody could remove the folder.
    while mounts := [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines() if str(folder) in line]:
        subprocess.run(["umount", "--lazy", mounts[-1]], check=True)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def ground(podman: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """Podman, with the base image of the local engine."""
    with with_the_same_base(podman, tmp_path_factory.mktemp("environment")) as ground:
        yield ground


@pytest.mark.parametrize("name", ["ok_static", "absolute_lazy_chunk", "out_of_memory"])
def test_an_app_is_judged_as_by_docker(name: str, ground: Ground, tmp_path: Path) -> None:
    app: BunApp = next(app for app in bun_apps.ALL if app.name == name)
    report = ground.smoke(app, tmp_path)
    words = {**app.fails, **WORDS.get(name, {})}
    assert {one: words[one] in title for one, title in told(report, "fail").items()} == dict.fromkeys(words, True)
    assert told(report, "warn") == {}
    assert ground.engine.containers.list(all=True) == []


def test_a_stand_in_gets_the_name_that_the_dockerfile_asks_for(podman: Mapping[str, str], tmp_path: Path) -> None:
    engine, _ = engines.connect(podman, tmp_path)
    layer = tmp_path / "layer.tar"
    subprocess.run(["tar", "--create", f"--file={layer}", "--files-from=/dev/null"], check=True)
    baseimage.import_archive(engine, layer, "example/of-an-import:1-debian", ["ENV KIND=import"])
    found: docker.models.images.Image = engine.images.get("example/of-an-import:1-debian")
    assert "KIND=import" in found.attrs["Config"]["Env"]
    engine.images.remove(str(found.id), force=True)
    engine.close()
