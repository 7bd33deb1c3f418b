from __future__ import annotations

import tracemalloc

import pytest

from toolkit import bundles, container
from toolkit.baseimage import BaseImage
from toolkit.container import RunSpec
from toolkit.image.model import AppImage, EnvironmentImage

ENVIRONMENT = EnvironmentImage("env:1", "e", BaseImage("b", "id", "local", ""), "/opt/code", False, 0.0)
APP = AppImage("app:1", "a", ENVIRONMENT, {".env": b"TOKEN=x"}, False, 0.0, ())


def test_a_container_runs_with_the_options_of_the_platform() -> None:
    spec = RunSpec(APP, {"A": "1"}, bundles.find("CPU_8XL"), "smoke", "run-1", name="n", extra_hosts={"h": "1.2.3.4"})
    assert container.run_options(spec, cpus=8) == {
        "image": "app:1",
        "name": "n",
        "entrypoint": ["./start-app.sh"],
        "command": [],
        "environment": {"A": "1"},
        "labels": {"bun-to-datarobot.run": "run-1", "bun-to-datarobot.owner": "smoke"},
        "ports": {"8080/tcp": [("127.0.0.1", None)]},
        "extra_hosts": {"h": "1.2.3.4"},
        "mem_limit": 14336 * 1024 * 1024,
        "memswap_limit": 14336 * 1024 * 1024,
        "nano_cpus": 2_000_000_000,
        "pids_limit": 4096,
        "cap_drop": ["ALL"],
        "cap_add": ["CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "NET_BIND_SERVICE", "SETGID", "SETUID"],
        "security_opt": ["no-new-privileges"],
        "stdin_open": False,
        "tty": False,
        "init": False,
    }


def test_no_more_cpus_are_asked_for_than_the_engine_has() -> None:
    spec = RunSpec(APP, {}, bundles.find("cpu.8xlarge"), "smoke", "run-1")
    assert container.run_options(spec, cpus=1)["nano_cpus"] == 1_000_000_000


@pytest.mark.parametrize(
    ("chunks", "lines"),
    [
        ((b"a\nb", b"c\n\n", b"d"), ["a", "bc", "", "d"]),
        ((b"one\r\ntwo\n",), ["one", "two"]),
        ((), []),
        ((b"x" * 5000 + b"\n",), ["x" * 4096 + " … (904 more bytes)"]),
        ((b"x" * 4000, b"x" * 4000, b"x\ny\n"), ["x" * 4096 + " … (3905 more bytes)", "y"]),
    ],
)
def test_the_log_is_cut_into_lines_of_bounded_length(chunks: tuple[bytes, ...], lines: list[str]) -> None:
    assert container.last_lines(chunks, 10) == lines


def test_a_log_without_end_takes_bounded_memory() -> None:
    tracemalloc.start()
    found = container.last_lines((b"x" * 2**16 for _ in range(3000)), 100)
    assert container.last_lines((b"line of a log\n" * 4000 for _ in range(300)), 100) == ["line of a log"] * 100
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found) == 1
    assert peak < 8 * 2**20
