"""The `.env` that ships with the app: generated from a list of keys, or the app's own (RUNTIME_ENV).

start-app.sh loads it, so that the full token in it beats the restricted one that the platform sets. Three readers have
to see the same values: dash and bash (`. ./.env`) and Bun, which reads the file by itself and expands `$name`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from toolkit.errors import ConfigurationError
from toolkit.settings import Settings

NAME = ".env"


@dataclass(frozen=True)
class RuntimeEnv:
    """What the shipped `.env` holds: `content` is None when none ships. The bytes are never shown."""

    content: bytes | None = field(repr=False)
    origin: str


def from_settings(settings: Settings) -> RuntimeEnv:
    """Give the `.env` to ship as RUNTIME_ENV says: generated, verbatim, or (credential) one without the token.

    Raises ConfigurationError when a value cannot be written, or the app has no `.env` to ship verbatim.
    """
    if settings.runtime_env == "verbatim":
        return _verbatim(settings.app / NAME)
    values: dict[str, str] = {}
    if settings.token and settings.runtime_env == "generated":
        values["DATAROBOT_API_TOKEN"] = settings.token.reveal()
    if settings.runtime_endpoint:
        values["DATAROBOT_ENDPOINT"] = settings.runtime_endpoint
    return RuntimeEnv(render({**values, **settings.app_env}), "generated from DATAROBOT_* and APP_ENV_KEYS")


def render(values: Mapping[str, str]) -> bytes:
    """Write `KEY=value` lines that dash, bash and Bun read alike.

    Raises ConfigurationError that names the key (never the value) when no way of quoting is read alike by all three.
    """
    return "".join(f"{key}={_quote(key, value)}\n" for key, value in values.items()).encode()


def _quote(key: str, value: str) -> str:
    """Quote a value. Measured with Bun 1.4: `$` expands even between single quotes unless a backslash stands before
    it, which only double quotes also take from a shell; between double quotes Bun keeps `\\"`, `\\\\` and a backslash
    before a backtick as they are, and makes `\\n` a line end.
    """
    if odd := re.search(r"[\x00-\x08\x0a-\x1f\x7f]", value):
        raise _unwritable(key, f"a control character (0x{ord(odd[0]):02x})")
    if "'" not in value and "$" not in value and not value.endswith("\\"):
        return f"'{value}'"
    if clash := re.search(r'["\\`]', value):
        found = next(character for character in "'$\\" if character in value)
        raise _unwritable(key, f"both {found} and {clash[0]}" if found != clash[0] else f"{found} at its end")
    return '"' + value.replace("$", "\\$") + '"'


def _unwritable(key: str, what: str) -> ConfigurationError:
    return ConfigurationError(
        f"The value of {key} cannot be put into the app's .env: it contains {what}.",
        hint="No quoting of it is read alike by sh and by Bun. Use another value.",
    )


def _verbatim(path: Path) -> RuntimeEnv:
    try:
        return RuntimeEnv(path.read_bytes(), "the app's own .env (RUNTIME_ENV=verbatim)")
    except OSError as error:
        raise ConfigurationError(
            f"RUNTIME_ENV is verbatim, but {path} cannot be read: {error.strerror}.",
            hint="Put a .env into the app's folder, or set RUNTIME_ENV=generated.",
        ) from error
