"""The state in an S3-compatible store: `nox -s backends`. The store (moto's server) has an environment of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import socket

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "infra")]

from tests.reliability import kills, together  # noqa: E402
from tests.reliability.bed import Bed, bed  # noqa: E402
from tests.stack.checkout import APP, FAILS_FOR_VISITORS, Checkout  # noqa: E402

STORE = "moto[server,s3]==5.2.5"
ENVIRONMENT = ROOT / ".nox" / "store"
BUCKET = "states"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "store", "AWS_SECRET_ACCESS_KEY": "store-secret", "AWS_REGION": "us-east-1"}


@contextmanager
def store(folder: Path) -> Iterator[int]:
    """Run an S3-compatible store with an empty bucket; give its port."""
    program = ENVIRONMENT / "bin"
    if not (program / "moto_server").exists():
        venv.create(ENVIRONMENT, with_pip=True)
        subprocess.run([program / "pip", "install", "--quiet", STORE], check=True)
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    running = subprocess.Popen(
        [program / "moto_server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=(folder / "store.log").open("w"),
    )
    try:
        _make_bucket(port)
        yield port
    finally:
        running.terminate()
        running.wait()


def _make_bucket(port: int) -> None:
    deadline = time.monotonic() + 60
    while True:
        request = urllib.request.Request(f"http://127.0.0.1:{port}/{BUCKET}", method="PUT")
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=5):
                return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def _killed(first: Bed) -> None:
    """Kill a deployment, with all that it has started, while it holds the lock."""
    child = together.start_building(first)
    for pid in (child.pid, *kills.descendants(child.pid)):
        os.kill(pid, signal.SIGKILL)
    child.wait()
    first.immediate()


def _a_lock_goes_when_its_owner_has_died_here(first: Bed, second: Bed) -> None:
    """The folder whose run has died removes its lock; another one, on a machine of the same name, leaves it alone."""
    _killed(first)
    elsewhere = second.run("deploy")
    assert elsewhere.code == together.LOCKED, elsewhere
    here = first.run("deploy")
    assert here.code == 0, here
    assert any(line.startswith("Removed the lock of") for line in here.lines), here


def _go_back_on_every_machine(folder: Path, more: dict[str, str]) -> None:
    """What one machine went back to serves again when a release of another one turns out bad."""
    one, other = (Checkout.copy(ROOT, folder / name / "toolkit") for name in ("one", "other"))
    one.env = other.env = {
        **more,
        "EMULATOR_DATA": str(folder / "platform"),
        "DATAROBOT_PROVIDER": "stand-in",
        "VERIFY_SECONDS": "8",
    }
    stack = ("--stack", "local", "--yes", "--json")
    try:
        releases = []
        for word in ("first", "second", "third"):
            one.write("custom_application/index.html", APP["index.html"].replace("first", word))
            releases.append(str(one.deploy()["release"]))
        assert one.invoke("rollback", *stack, "--to", releases[1]).code == 0
        other.write("custom_application/server.ts", FAILS_FOR_VISITORS)
        bad = other.invoke("deploy", *stack)
        assert bad.code == 6, bad.stdout
        assert f"Release {releases[1][:12]} serves again" in bad.last["error"], bad.last
        back = other.invoke("rollback", *stack, "--to", releases[0])
        assert (back.code, back.last["release"]) == (0, releases[0]), back.stdout
        assert other.invoke("destroy", *stack[:3]).code == 0
        assert one.deploy()["changes"] == {"create": 3}
        none = one.invoke("rollback", *stack)
        assert (none.code, "no earlier release" in none.last["error"]) == (2, True), none.stdout
        assert one.invoke("destroy", *stack[:3]).code == 0
    finally:
        one.close()


def main() -> int:
    """Run it; an assertion says what was wrong."""
    with tempfile.TemporaryDirectory(prefix="backends-") as name:
        folder = Path(name)
        with store(folder) as port:
            url = f"s3://{BUCKET}?endpoint=http://127.0.0.1:{port}&s3ForcePathStyle=true&region=us-east-1"
            more = {**CREDENTIALS, "PULUMI_BACKEND_URL": url, "PULUMI_CONFIG_PASSPHRASE": "shared-by-the-team"}
            with bed(folder / "bed", **more) as first:
                first.immediate()
                second = together.shared(first, folder)
                _a_lock_goes_when_its_owner_has_died_here(first, second)
                print("the lock of a run that was killed goes where it was noted, and nowhere else")
                assert first.run("destroy").code == 0
                together.one_works_and_one_is_told(first, second)
                print("locks and history are shared, the second checkout has nothing to do")
                second.change()
                assert second.run("deploy").code == 0
                assert [one["result"] for one in together.history(first)] == ["succeeded", "succeeded"]
                print("an update from the second checkout is in the history of the first")
                gone = first.run("destroy")
                assert (gone.code, gone.error, gone.lines) == (0, "", ())
                left = first.platform()
                assert not any(left.values()), left
                print("the first checkout removes what the second has deployed")
            _go_back_on_every_machine(folder, more)
            print("each checkout goes back to what served before, whichever of them had proved it")
    return 0


if __name__ == "__main__":
    sys.exit(main())
