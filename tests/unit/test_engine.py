from __future__ import annotations

import hashlib
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from toolkit import engine
from toolkit.errors import ToolMissing


def _context(config: Path, name: str, host: str) -> None:
    folder = config / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest()
    folder.mkdir(parents=True)
    (folder / "meta.json").write_text(json.dumps({"Name": name, "Endpoints": {"docker": {"Host": host}}}))


def test_docker_host_wins_and_ends_the_list(tmp_path: Path) -> None:
    found = list(engine.candidates({"DOCKER_HOST": "tcp://10.0.0.9:2375", "DOCKER_CONTEXT": "other"}, tmp_path))
    assert [(one.address, one.reason) for one in found] == [("tcp://10.0.0.9:2375", "DOCKER_HOST is set")]
    assert found[0].host == "10.0.0.9"


def test_the_current_context_is_read_from_the_docker_configuration(tmp_path: Path) -> None:
    config = tmp_path / ".docker"
    _context(config, "colima", "unix:///colima.sock")
    (config / "config.json").write_text('{"currentContext": "colima"}')
    (found,) = engine.candidates({}, tmp_path)
    assert found.address == "unix:///colima.sock"
    assert "docker context 'colima'" in found.reason
    assert found.host == "127.0.0.1"


def test_docker_context_variable_beats_the_current_context(tmp_path: Path) -> None:
    config = tmp_path / ".docker"
    _context(config, "one", "unix:///one.sock")
    _context(config, "two", "ssh://me@build:22")
    (config / "config.json").write_text('{"currentContext": "one"}')
    (found,) = engine.candidates({"DOCKER_CONTEXT": "two"}, tmp_path)
    assert (found.address, found.host) == ("ssh://me@build:22", "build")


def test_a_context_that_cannot_be_read_is_an_error_with_a_next_step(tmp_path: Path) -> None:
    with pytest.raises(ToolMissing, match="docker context 'gone'") as caught:
        list(engine.candidates({"DOCKER_CONTEXT": "gone"}, tmp_path))
    assert "docker context use default" in caught.value.hint


def test_sockets_that_exist_are_candidates(tmp_path: Path) -> None:
    path = tmp_path / "podman" / "podman.sock"
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        found = list(engine.candidates({"XDG_RUNTIME_DIR": str(tmp_path)}, tmp_path))
    assert (f"unix://{path}", "the socket of rootless Podman") in [(one.address, one.reason) for one in found]


def test_an_engine_that_does_not_answer_is_named_with_its_address_and_reason(tmp_path: Path) -> None:
    with pytest.raises(ToolMissing) as caught:
        engine.connect({"DOCKER_HOST": f"unix://{tmp_path}/none.sock"}, tmp_path)
    assert caught.value.exit_code == 10
    assert caught.value.details == (f"unix://{tmp_path}/none.sock (DOCKER_HOST is set): the socket does not exist",)
    assert "./bootstrap" in caught.value.hint


def test_only_dead_runs_of_this_machine_are_swept() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert engine.is_alive(engine.new_run())
    here = engine.machine()
    assert engine.is_alive(f"{here}.{os.getpid()}.ab12")
    assert not engine.is_alive(f"{here}.{child.pid}.ab12")
    assert engine.is_alive(f"another-machine.{child.pid}.ab12")
    assert engine.is_alive("of another kind")


def test_a_container_with_the_name_of_its_host_sweeps_nothing_of_the_host() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    name, _, namespace = engine.machine().rpartition("-")
    assert name == socket.gethostname()
    assert namespace == re.sub(r"\D", "", os.readlink("/proc/self/ns/pid"))
    assert engine.is_alive(f"{name}-{int(namespace) + 1}.{child.pid}.ab12")
    assert engine.is_alive(f"{name}.{child.pid}.ab12")


@pytest.mark.parametrize(
    ("address", "host", "published"),
    [
        ("unix:///var/run/docker.sock", "127.0.0.1", "127.0.0.1"),
        ("tcp://localhost:2375", "localhost", "127.0.0.1"),
        ("tcp://10.1.2.3:2376", "10.1.2.3", "10.1.2.3"),
        ("ssh://ann@builder", "builder", "0.0.0.0"),
    ],
)
def test_ports_are_published_where_they_can_be_reached(address: str, host: str, published: str) -> None:
    found = engine.EngineAddress(address, "a test")
    assert (found.host, engine.published_on(found.host)) == (host, published)


def test_an_engine_over_ssh_says_which_package_it_needs(tmp_path: Path) -> None:
    with pytest.raises(ToolMissing, match="paramiko") as error:
        engine.connect({"DOCKER_HOST": "ssh://ann@builder"}, tmp_path)
    assert "pip install paramiko" in error.value.hint
