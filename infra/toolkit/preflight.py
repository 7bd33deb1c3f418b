"""The platform that a command talks to: the local one is started, and any gets a client."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit import engine as engines
from toolkit import stackconfig
from toolkit.bench import Bench
from toolkit.settings import Settings

if TYPE_CHECKING:
    from toolkit.datarobot import Client
    from toolkit.emulator.control import EmulatorInfo


def with_local_platform(settings: Settings, bench: Bench) -> Settings:
    """Give the settings with a platform to talk to: the stack `local` gets the emulator, started when needed."""
    if settings.stack != stackconfig.LOCAL:
        return settings
    with bench.phase("platform", "local DataRobot") as say:
        info = start_emulator(settings, bench)
        say(f"{info.endpoint} (emulator, no account needed)")
    return dataclasses.replace(
        settings, endpoint=info.endpoint, token=info.token, runtime_endpoint=info.runtime_endpoint
    )


def start_emulator(settings: Settings, bench: Bench, *, host: str = "", expose: bool = False) -> EmulatorInfo:
    """Start the local platform of these settings, or give the one that runs.

    `host` is an address to listen on besides the loopback one; one that other machines reach needs `expose`.
    """
    from toolkit.emulator import control

    client, address = engines.connect(bench.environ, bench.places.home)
    client.close()
    return control.start(
        settings.emulator_data,
        settings.emulator_port,
        engine_address=address.address,
        environ=bench.environ,
        mirror=settings.bun_image,
        host=host,
        expose=expose,
    )


def running_local_platform(settings: Settings) -> Settings | None:
    """Give the settings of the stack `local` with its platform when that runs; it is not started."""
    from toolkit.emulator import control

    info = control.status(settings.emulator_data)
    if info is None:
        return None
    return dataclasses.replace(
        settings, endpoint=info.endpoint, token=info.token, runtime_endpoint=info.runtime_endpoint
    )


def platform_client(settings: Settings, *, patience: float | None = None) -> Client:
    """Give a client for the platform of these settings, which have to be complete."""
    from toolkit.datarobot import Client  # brings httpx along, which a smoke test can do without

    assert settings.endpoint and settings.token
    return Client(settings.endpoint, settings.token, patience=patience)


def little_disk(root: Path, least: int) -> str:
    """Say that fewer than `least` bytes are free where `root` lies; empty when there are more."""
    free = shutil.disk_usage(root).free
    return f"Only {free / 1e9:.1f} GB of disk are free at {root}." if free < least else ""
