"""What a person reads when something is wrong: one message, the next step, the exit code, and nothing left over."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import docker
import pytest

from tests.stack.checkout import Checkout, Result

pytestmark = [pytest.mark.stack, pytest.mark.engine]

ACCOUNT = {
    "DATAROBOT_API_TOKEN": "NjU0-a-token-of-nobody-0123456789",
    "DATAROBOT_ENDPOINT": "http://platform.test/api/v2",
}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory, root: Path, pulumi_cli: Path) -> Iterator[Checkout]:
    made = Checkout.copy(root, tmp_path_factory.mktemp("bad") / "toolkit")
    made.env = {"DATAROBOT_PROVIDER": "stand-in"}
    yield made
    made.close()


@pytest.fixture
def app(checkout: Checkout, tmp_path: Path) -> Path:
    """A copy of the tiny app to break."""
    folder = tmp_path / "app"
    subprocess.run(["cp", "-r", str(checkout.root / "custom_application"), str(folder)], check=True)
    return folder


def failed(result: Result, code: int, *texts: str) -> None:
    shown = result.stderr + result.stdout
    assert result.code == code, shown
    assert "Traceback" not in shown
    assert "error:" in result.stderr
    for text in texts:
        assert text in shown, shown


class Platform(BaseHTTPRequestHandler):
    """A proxy that answers for the platform itself, in the way that the server's `answers` say."""

    def do_GET(self) -> None:
        status, content_type, body = self.server.answers  # type: ignore[attr-defined]
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        return


@pytest.fixture
def proxy() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Platform)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def deploy_through(checkout: Checkout, proxy: ThreadingHTTPServer, answers: tuple[int, str, bytes]) -> Result:
    proxy.answers = answers  # type: ignore[attr-defined]
    address = f"http://127.0.0.1:{proxy.server_port}"
    return checkout.invoke(
        "deploy", "--stack", "dev", "--yes", **ACCOUNT, HTTP_PROXY=address, http_proxy=address, NO_PROXY="", no_proxy=""
    )


def test_without_an_account_the_next_step_comes_at_once(checkout: Checkout) -> None:
    started = time.monotonic()
    result = checkout.invoke("deploy", "--stack", "dev")
    failed(result, 2, "DATAROBOT_API_TOKEN is not set", "DATAROBOT_ENDPOINT is not set", "--stack local")
    assert time.monotonic() - started < 5


def test_a_token_that_is_not_known(checkout: Checkout, proxy: ThreadingHTTPServer) -> None:
    result = deploy_through(checkout, proxy, (401, "application/json", b'{"message": "no"}'))
    failed(result, 3, "does not know this token (401)", "DATAROBOT_API_TOKEN")
    assert ACCOUNT["DATAROBOT_API_TOKEN"][:10] not in result.stderr + result.stdout


def test_a_token_that_may_not_read(checkout: Checkout, proxy: ThreadingHTTPServer) -> None:
    result = deploy_through(checkout, proxy, (403, "application/json", b"{}"))
    failed(result, 3, "(403)")


def test_an_endpoint_that_is_not_the_api(checkout: Checkout, proxy: ThreadingHTTPServer) -> None:
    result = deploy_through(checkout, proxy, (200, "text/html", b"<html>sign in</html>"))
    failed(result, 2, "DATAROBOT_ENDPOINT", "https://app.datarobot.com/api/v2")


def test_an_endpoint_that_is_no_address(checkout: Checkout) -> None:
    result = checkout.invoke(
        "deploy", "--stack", "dev", **{**ACCOUNT, "DATAROBOT_ENDPOINT": "app.datarobot.com/api/v3"}
    )
    failed(result, 2, "DATAROBOT_ENDPOINT: found 'app.datarobot.com/api/v3'")


def test_an_endpoint_that_cannot_be_reached(checkout: Checkout) -> None:
    result = checkout.invoke("deploy", "--stack", "dev", **ACCOUNT)
    failed(result, 2, "http://platform.test/api/v2 cannot be reached", "proxy, VPN")


def test_another_stack_never_talks_to_this_machine(checkout: Checkout) -> None:
    result = checkout.invoke("deploy", "--stack", "dev", **{**ACCOUNT, "DATAROBOT_ENDPOINT": "http://127.0.0.1:8085"})
    failed(result, 2, "an address of this machine", "stack local")


def test_an_odd_stack_name(checkout: Checkout) -> None:
    failed(checkout.invoke("deploy", "--stack", "../dev; rm"), 2, "cannot be the name of a stack", "--stack dev")


def test_an_unknown_stack(checkout: Checkout) -> None:
    for command in ("outputs", "status", "logs"):
        failed(
            checkout.invoke(command, "--stack", "local"), 2, "There is no stack 'local'", "invoke deploy --stack local"
        )


def test_no_engine(checkout: Checkout, tmp_path: Path) -> None:
    result = checkout.invoke("smoke", DOCKER_HOST=f"unix://{tmp_path}/none.sock")
    failed(result, 10, "No container engine answers", "the socket does not exist", "./bootstrap")


@pytest.mark.parametrize("hook", ["build-app.sh", "start-app.sh"])
def test_a_missing_hook(checkout: Checkout, app: Path, hook: str) -> None:
    (app / hook).unlink()
    smoked = checkout.invoke("smoke", "--app", str(app))
    assert smoked.code == 4, smoked.stderr
    assert f"{hook}: is missing" in smoked.stdout
    assert "source.hooks" in smoked.stdout
    assert "next: Correct that in the script" in smoked.stdout
    failed(checkout.invoke("stage", APP_DIR=str(app)), 2, hook, "missing")


def test_an_empty_folder(checkout: Checkout, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    failed(checkout.invoke("smoke", "--app", str(tmp_path / "empty")), 2, "start-app.sh")


def test_an_app_that_fails_to_build_shows_its_last_lines(checkout: Checkout, app: Path) -> None:
    (app / "build-app.sh").write_text("#!/bin/sh\nset -e\necho before it breaks\nno-such-program --build\n")
    result = checkout.invoke("smoke", "--app", str(app))
    assert result.code == 4, result.stderr
    for text in (
        "fail build-app.sh failed with exit code 127",
        "before it breaks",
        "no-such-program: not found",
        "next:",
    ):
        assert text in result.stdout
    deployed = checkout.invoke("deploy", "--stack", "local", "--yes", APP_DIR=str(app))
    failed(deployed, 4, "build-app.sh failed with exit code 127", "before it breaks", "no-such-program: not found")


def test_an_app_that_dies_at_start_shows_why(checkout: Checkout, app: Path) -> None:
    (app / "server.ts").write_text('console.error("the database is not there"); process.exit(7);\n')
    result = checkout.invoke("smoke", "--app", str(app))
    assert result.code == 4
    assert "The app exited with code 7" in result.stdout
    assert "the database is not there" in result.stdout


def test_a_dockerfile_that_cannot_be_had(checkout: Checkout, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM registry.invalid/no/image:1\n")
    result = checkout.invoke("smoke", "--environment", str(tmp_path))
    failed(result, 10, "registry.invalid/no/image:1 cannot be pulled", "docker load")


def test_a_port_that_is_taken(checkout: Checkout, tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        result = checkout.invoke("emulator.start", "--data", str(tmp_path / "data"), "--port", str(port))
    failed(result, 2, f"Port {port}", "EMULATOR_PORT")


def test_a_checkout_that_cannot_be_written_to(checkout: Checkout, tmp_path: Path) -> None:
    """Root may write anywhere, so the folder for local state is in the way as a file."""
    other = Checkout.copy(checkout.root, tmp_path / "toolkit")
    (other.root / ".toolkit").write_text("in the way\n")
    result = other.invoke("smoke")
    assert result.code == 2, result.stderr
    assert "Traceback" not in result.stderr
    assert ".toolkit" in result.stderr


def test_without_a_terminal_nothing_is_asked_and_nothing_done(checkout: Checkout) -> None:
    result = checkout.invoke("deploy", "--stack", "local")
    failed(result, 2, "There is no terminal to ask on", "--yes")


def _containers(pid: int) -> set[str]:
    """The containers, running or not, that a process with this id made for smoke tests and builds."""
    client = docker.from_env()
    try:
        found = client.containers.list(all=True, filters={"label": "bun-to-datarobot.run"}, ignore_removed=True)
        return {str(one.name) for one in found if f".{pid}." in one.labels["bun-to-datarobot.run"]}
    finally:
        client.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(("step", "until"), [("build", "    building"), ("smoke", "app image         ok")])
def test_ctrl_c_leaves_nothing_behind(
    checkout: Checkout, app: Path, number: signal.Signals, step: str, until: str
) -> None:
    seconds = 20 if step == "build" else 0
    (app / "build-app.sh").write_text(f"#!/bin/sh\necho building; sleep {seconds} # {uuid.uuid4()}\n")
    (app / "server.ts").write_text("await Bun.sleep(20000);\n")
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "invoke", "smoke", "--app", str(app)],
        cwd=checkout.root,
        env=checkout.environ(PYTHONUNBUFFERED="1"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    seen: list[str] = []
    for line in process.stdout:
        seen.append(line)
        if line.startswith(until):
            break
    assert seen[-1].startswith(until), "".join(seen)
    deadline = time.monotonic() + 20
    while not _containers(process.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(0.5)
    assert len(_containers(process.pid)) == 1
    process.send_signal(number)
    rest, stderr = process.communicate(timeout=30)
    assert process.returncode == 8, rest + stderr
    assert "Traceback" not in stderr
    assert "Cancelled" in stderr
    assert _containers(process.pid) == set()


def test_a_failed_deployment_says_why_the_platform_refused(checkout: Checkout, app: Path) -> None:
    """The app passes smoke and fails on the platform, where it is given its external URL and dies of it."""
    (app / "server.ts").write_text(
        'if (process.env.DR_CUSTOM_APP_EXTERNAL_URL) { console.error("cannot live here"); process.exit(9); }\n'
        + (app / "server.ts").read_text()
    )
    result = checkout.invoke("deploy", "--stack", "local", "--yes", "--json", APP_DIR=str(app), APP_NAME="dies-there")
    assert result.code == 5, result.stderr
    assert "cannot live here" in result.stderr
    last = json.loads(result.stdout.splitlines()[-1])
    assert (last["event"], last["ok"], last["exit_code"]) == ("result", False, 5)
    assert os.path.exists(checkout.root / ".toolkit" / "stage")
