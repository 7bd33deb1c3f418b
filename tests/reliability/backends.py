"""The state in an S3-compatible store: `nox -s backends`. The store (moto's server) has an environment of its own."""

from __future__ import annotations

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

from tests.reliability import together  # noqa: E402
from tests.reliability.bed import bed  # noqa: E402

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
    return 0


if __name__ == "__main__":
    sys.exit(main())
