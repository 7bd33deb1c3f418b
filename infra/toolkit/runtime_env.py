"""How the app gets its token and settings: in a `.env` that ships, or as a credential of the platform (RUNTIME_ENV).

The `.env` is generated from a list of keys, or the app's own.
start-app.sh loads it, so that the full token in it beats the restricted one that the platform sets. Three readers have
to see the same values: dash and bash (`. ./.env`) and Bun, which reads the file by itself and expands `$name`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from toolkit.errors import ConfigurationError
from toolkit.settings import Secret, Settings

NAME = ".env"
PARAMETER = "DATAROBOT_API_TOKEN"  # the runtime parameter that holds the token when it is a credential
VARIABLE = f"MLOPS_RUNTIME_PARAM_{PARAMETER}"
NOWHERE = re.compile(r"[\x00\r\ud800-\udfff]")
NOT_SINGLE = re.compile(r"'|\\?\$[A-Za-z0-9_{]|\\\$|(?<!\\)(?:\\\\)*\\\Z")
NOT_DOUBLE = re.compile(r'["`]|\\(?:["\\`$nr\n\x01\x7f]|\Z)')


@dataclass(frozen=True)
class RuntimeEnv:
    """What the shipped `.env` holds: `content` is None when none ships. The bytes are never shown."""

    content: bytes | None = field(repr=False)
    origin: str


def from_settings(settings: Settings) -> RuntimeEnv:
    """Give the `.env` to ship as RUNTIME_ENV says: generated, verbatim, or (with a credential) without the token.

    Raises ConfigurationError when a value cannot be written, or the app has no `.env` to ship verbatim.
    """
    if settings.runtime_env == "verbatim":
        return _verbatim(settings.app / NAME)
    if settings.runtime_env == "credential":
        content = render(settings.app_env) if settings.app_env else None
        return RuntimeEnv(content, "generated from APP_ENV_KEYS; the token is a credential of the platform")
    values: dict[str, str] = {}
    if settings.token:
        values["DATAROBOT_API_TOKEN"] = settings.token.reveal()
    if settings.runtime_endpoint:
        values["DATAROBOT_ENDPOINT"] = settings.runtime_endpoint
    return RuntimeEnv(render({**values, **settings.app_env}), "generated from DATAROBOT_* and APP_ENV_KEYS")


def parameters(settings: Settings, token: Secret | None) -> dict[str, str]:
    """Give the variables in which the platform hands `token` over when it is a credential (platform-contract 3)."""
    if settings.runtime_env != "credential" or not token:
        return {}
    payload = {"credentialType": "api_token", "apiToken": token.reveal()}
    return {VARIABLE: json.dumps({"type": "credential", "payload": payload})}


def render(values: Mapping[str, str]) -> bytes:
    """Write `KEY=value` lines that dash, bash and Bun read alike.

    Raises ConfigurationError that names the key (never the value) when no way of quoting is read alike by all three.
    """
    return "".join(f"{key}={_quote(key, value)}\n" for key, value in values.items()).encode()


def _quote(key: str, value: str) -> str:
    """Quote a value so that all three read it alike; measured with dash 0.5.12, bash 5.2 and Bun 1.4.4.

    Single quotes: Bun still expands `$name`, drops the backslash of `\\$`, and takes a quotation mark after an odd
    number of backslashes as part of the value. Double quotes: `\\$` is a dollar for all; Bun keeps the backslash of
    `\\"`, `\\\\` and that before a backtick, and makes `\\n` and `\\r` line ends. In both, Bun reads a carriage return
    as a line end. Between double quotes bash loses the characters 0x01 and 0x7f after a backslash.
    """
    if odd := NOWHERE.search(value):
        raise _unwritable(key, "bytes that are not UTF-8" if odd[0] > "\x7f" else f"the character 0x{ord(odd[0]):02x}")
    not_single, not_double = NOT_SINGLE.search(value), NOT_DOUBLE.search(value)
    if not_single is None:
        return f"'{value}'"
    if not_double is None:
        return '"' + value.replace("$", "\\$") + '"'
    found, clash = not_single[0], not_double[0][0]
    raise _unwritable(key, f"{found[0]} together with {clash}" if found[0] != clash else f"{found[0]} where it stands")


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
