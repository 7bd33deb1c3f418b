"""What tests of an engine beside the local one share."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.apps import bun_apps
from tests.engine.test_smoke import Ground
from toolkit import baseimage
from toolkit import engine as engines
from toolkit.errors import ToolMissing
from toolkit.image.environment import build_environment

PATIENCE = 60.0


def answers(environ: Mapping[str, str], log: Path, daemon: subprocess.Popen[bytes]) -> None:
    """Wait until the daemon that `environ` leads to answers; one that ends or stays silent shows its log."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            client, _ = engines.connect(environ, log.parent)
        except ToolMissing:
            assert daemon.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < until, log.read_text()[-3000:]
            time.sleep(0.2)
        else:
            client.close()
            return


@contextmanager
def with_the_same_base(environ: Mapping[str, str], context: Path) -> Iterator[Ground]:
    """The engine that `environ` leads to, with the base image of the local one and the corpus's environment."""
    local, _ = engines.connect(os.environ, Path.home())
    engine, address = engines.connect(environ, Path.home())
    (context / "Dockerfile").write_text(bun_apps.DOCKERFILE)
    base = baseimage.options_from(os.environ)
    build_environment(local, context, base=base)  # sees to it that the base is there
    engine.images.load(b"".join(local.images.get("oven/bun:1-debian").save(named=True)))
    local.close()
    yield Ground(engine, address.host, build_environment(engine, context, base=base), base, {})
    engine.close()
