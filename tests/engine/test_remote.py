"""An engine on another machine: a second daemon, reached over TLS at an address of its own, with its own images."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme

from tests.apps import bun_apps
from tests.apps.bun_apps import BunApp
from tests.engine.second_engine import answers, with_the_same_base
from tests.engine.test_smoke import Ground, told
from toolkit import engine as engines
from toolkit.errors import ToolMissing

ADDRESS = "127.0.0.2"  # as another machine, it is not where a local engine publishes its ports
BRIDGE, NETWORK = "btd-remote", "172.29.250.1/24"
pytestmark = [
    pytest.mark.engine,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """The variables that lead to the second daemon."""
    folder = tmp_path_factory.mktemp("remote")
    keys = _keys(folder / "keys")
    port = _free_port()
    with _bridge(), (folder / "dockerd.log").open("wb") as log:
        daemon = subprocess.Popen(
            ["dockerd", f"--data-root={folder / 'data'}", f"--exec-root={folder / 'exec'}", "--iptables=false",
             f"--pidfile={folder / 'pid'}", f"--bridge={BRIDGE}", f"--host=tcp://{ADDRESS}:{port}", "--tlsverify",
             f"--tlscacert={keys / 'ca.pem'}", f"--tlscert={keys / 'server.pem'}", f"--tlskey={keys / 'server.key'}"],
            stdout=log, stderr=log,
        )  # fmt: skip
        environ = {"DOCKER_HOST": f"tcp://{ADDRESS}:{port}", "DOCKER_CERT_PATH": str(keys), "DOCKER_TLS_VERIFY": "1"}
        try:
            answers(environ, folder / "dockerd.log", daemon)
            yield environ
        finally:
            daemon.terminate()
            daemon.wait(60)
    shutil.rmtree(folder / "data", ignore_errors=True)


def _keys(folder: Path) -> Path:
    folder.mkdir()
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    server, client = authority.issue_cert(ADDRESS), authority.issue_cert("client@test.invalid")
    for name, cert in (("server", server), ("cert", client)):
        cert.cert_chain_pems[0].write_to_path(folder / f"{name}.pem")
    server.private_key_pem.write_to_path(folder / "server.key")
    client.private_key_pem.write_to_path(folder / "key.pem")
    return folder


@contextmanager
def _bridge() -> Iterator[None]:
    subprocess.run(["ip", "link", "add", BRIDGE, "type", "bridge"], check=True)
    try:
        subprocess.run(["ip", "address", "add", NETWORK, "dev", BRIDGE], check=True)
        subprocess.run(["ip", "link", "set", BRIDGE, "up"], check=True)
        yield
    finally:
        subprocess.run(["ip", "link", "delete", BRIDGE], check=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def ground(remote: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """The remote engine, with the base image of the local one."""
    with with_the_same_base(remote, tmp_path_factory.mktemp("environment")) as ground:
        yield ground


def test_an_app_is_judged_on_an_engine_elsewhere(ground: Ground, tmp_path: Path) -> None:
    report = ground.smoke(BunApp("elsewhere"), tmp_path)
    assert report.verdict == "pass", (told(report, "fail"), told(report, "warn"))
    assert set(report.served) == {"", "about.html", "app.js", "lazy.js", "logo.svg", "style.css"}
    assert ground.engine.containers.list(all=True) == []


def test_what_is_wrong_is_found_there_too(ground: Ground, tmp_path: Path) -> None:
    report = ground.smoke(next(app for app in bun_apps.ALL if app.name == "absolute_lazy_chunk"), tmp_path)
    assert set(told(report, "fail")) == {"front.prefix"}


def test_a_stranger_gets_no_answer(remote: Mapping[str, str], tmp_path: Path) -> None:
    with pytest.raises(ToolMissing):
        engines.connect({"DOCKER_HOST": remote["DOCKER_HOST"]}, tmp_path)


def test_the_local_engine_knows_nothing_of_it(ground: Ground) -> None:
    local, _ = engines.connect(os.environ, Path.home())
    assert local.info()["DockerRootDir"] != ground.engine.info()["DockerRootDir"]
    assert not {one.id for one in ground.engine.containers.list()} & {one.id for one in local.containers.list()}
    local.close()
