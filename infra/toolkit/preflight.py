"""What is asked before a deployment: is there a platform, and may the token do what the app needs?"""

from __future__ import annotations

import dataclasses
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


def start_emulator(settings: Settings, bench: Bench) -> EmulatorInfo:
    """Start the local platform of these settings, or give the one that runs."""
    from toolkit.emulator import control

    client, address = engines.connect(bench.environ, bench.places.home)
    client.close()
    return control.start(
        settings.emulator_data,
        settings.emulator_port,
        engine_address=address.address,
        environ=bench.environ,
        mirror=settings.bun_image,
    )


def platform_client(settings: Settings) -> Client:
    """Give a client for the platform of these settings, which have to be complete."""
    from toolkit.datarobot import Client  # brings httpx along, which a smoke test can do without

    assert settings.endpoint and settings.token
    return Client(settings.endpoint, settings.token)


def check_access(settings: Settings, bench: Bench) -> str:
    """Ask the platform whether endpoint and token are good; give its version. Errors as Client.check_access says."""
    with bench.phase("preflight", settings.endpoint or "") as say, platform_client(settings) as client:
        version = client.check_access()
        say(f"DataRobot {version}: the token may read use cases and notebooks")
    return version
