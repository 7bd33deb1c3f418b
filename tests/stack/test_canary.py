"""Marked secrets get out nowhere: not in arguments, output, logs, reports, state, archives or layers of images."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import pytest

from tests.stack import canary
from tests.stack.checkout import SERVER, Checkout
from toolkit import engine as engines
from toolkit.emulator import identity

pytestmark = [pytest.mark.stack, pytest.mark.engine]

EXTRA = "Zq8/canary+of&the=app-0123456789abcdef"
PASSPHRASE = "Yw7/canary+of&the=passphrase-0123456789"
DIES_THERE = 'if (process.env.DR_CUSTOM_APP_EXTERNAL_URL) { console.error("cannot live here"); process.exit(9); }\n'


@pytest.fixture
def checkout(checkout: Checkout) -> Checkout:
    checkout.env |= {"APP_ENV_KEYS": "EXTRA_TOKEN", "EXTRA_TOKEN": EXTRA, "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE}
    return checkout


def test_no_secret_gets_out(checkout: Checkout) -> None:
    local = checkout.root / ".toolkit"
    said = []
    engine, _ = engines.connect(os.environ, Path.home())
    mine = uuid.uuid4().hex  # other tests make images meanwhile
    checkout.write("custom_application/build-app.sh", f"#!/bin/sh\necho {mine}\n")
    with canary.Arguments() as arguments:
        deployed = checkout.invoke("deploy", "--stack", "local", "--yes", "--json")
        assert deployed.code == 0, deployed.stderr
        said.append(deployed)
        checkout.write("custom_application/server.ts", DIES_THERE + SERVER)
        failed = checkout.invoke("deploy", "--stack", "local", "--yes")
        assert failed.code == 5, failed.stderr
        said += [failed, *(checkout.invoke(name, "--stack", "local", "--json") for name in ("status", "history"))]
        said.append(checkout.invoke("logs", "--stack", "local"))
    secrets = [identity.load(local / "emulator").full.reveal(), EXTRA, PASSPHRASE]
    shipped = local / "stage" / "local" / "source" / ".env"
    assert EXTRA in shipped.read_text()  # the one place where it has to be
    found = list(arguments.leaks(secrets))
    for number, result in enumerate(said):
        for stream in ("stdout", "stderr"):
            found += canary.leaks(f"{stream} of command {number}", getattr(result, stream).encode(), secrets)
    # The platform itself keeps what it is given; its log may not tell.
    found += canary.leaks_of_folder(local, secrets, but=[shipped, local / "emulator"])
    found += canary.leaks("log of the platform", (local / "emulator" / "emulator.log").read_bytes(), secrets)
    assert (local / "state").is_dir()
    made = canary.images_that_said(engine, mine)
    assert len(made) == 2, "of both releases"
    for image in made:
        found += canary.leaks_of_image(image.save(), secrets)
    engine.close()
    assert found == []
