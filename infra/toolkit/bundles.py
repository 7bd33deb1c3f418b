"""The platform's resource bundles for applications (platform-contract 3, "Bundles")."""

from __future__ import annotations

from dataclasses import dataclass

from toolkit.errors import ConfigurationError

MEGABYTE = 1024 * 1024


@dataclass(frozen=True)
class Bundle:
    """CPU (cores) and memory (bytes) that one replica of an application gets."""

    id: str
    cpus: int
    memory: int


def _bundle(name: str, cpus: int, megabytes: int) -> Bundle:
    return Bundle(f"cpu.{name}", cpus, megabytes * MEGABYTE)


BUNDLES = {
    bundle.id: bundle
    for bundle in (
        _bundle("nano", 1, 128),
        _bundle("micro", 1, 256),
        _bundle("small", 1, 512),
        _bundle("medium", 1, 1024),
        _bundle("large", 2, 1536),
        _bundle("xlarge", 2, 2048),
        _bundle("2xlarge", 2, 3072),
        _bundle("3xlarge", 2, 4096),
        _bundle("4xlarge", 2, 6144),
        _bundle("5xlarge", 2, 8192),
        _bundle("6xlarge", 2, 10240),
        _bundle("7xlarge", 2, 12288),
        _bundle("8xlarge", 2, 14336),
    )
}
DEFAULT_BUNDLE = "cpu.8xlarge"


def find(name: str) -> Bundle:
    """Give the bundle called `name`: an id (`cpu.8xlarge`) or the guide's spelling (`CPU_8XL`).

    Raises ConfigurationError that lists the ids when there is none.
    """
    key = name.strip().lower()
    if key.startswith("cpu_"):
        size = key.removeprefix("cpu_")
        key = "cpu." + (size if size.endswith("large") else size.replace("xl", "xlarge"))
    if key not in BUNDLES:
        raise ConfigurationError(f"Unknown resource bundle {name!r}.", hint="Use one of: " + ", ".join(BUNDLES) + ".")
    return BUNDLES[key]
