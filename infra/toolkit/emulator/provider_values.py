"""Property values between engine and plugin: protobuf Structs with Pulumi's marks for unknown and secret values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf import struct_pb2  # type: ignore[import-untyped, import-not-found, unused-ignore]

from toolkit.emulator.provider_plan import UNKNOWN, Values

UNKNOWN_MARK = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
SIGNATURE_KEY = "4dabf18193072939515e22adb298388d"
SECRET_SIGNATURE = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - a public constant of Pulumi's protocol, not a secret


def decode(struct: struct_pb2.Struct) -> Values:
    """Read a property map: nulls are left out, secrets are opened, whole numbers become integers."""
    return {key: value for key, item in struct.fields.items() if (value := _decode(item)) is not None}


def encode(values: Mapping[str, Any], secrets: frozenset[str] = frozenset()) -> struct_pb2.Struct:
    """Write a property map; the properties named in `secrets` are marked so that the engine encrypts them."""
    struct = struct_pb2.Struct()
    struct.update({key: _encode(value, key in secrets) for key, value in values.items() if value is not None})
    return struct


def _decode(value: struct_pb2.Value) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        return UNKNOWN if value.string_value == UNKNOWN_MARK else value.string_value
    if kind == "number_value":
        return int(value.number_value) if value.number_value.is_integer() else value.number_value
    if kind == "bool_value":
        return value.bool_value
    if kind == "list_value":
        return [_decode(item) for item in value.list_value.values]
    if kind == "struct_value":
        fields = value.struct_value.fields
        if SIGNATURE_KEY in fields and "value" in fields:
            return _decode(fields["value"])
        return decode(value.struct_value)
    return None


def _encode(value: Any, secret: bool = False) -> Any:
    if value is UNKNOWN:
        plain: Any = UNKNOWN_MARK
    elif isinstance(value, dict):
        plain = {key: _encode(item) for key, item in value.items() if item is not None}
    elif isinstance(value, list | tuple):
        plain = [_encode(item) for item in value]
    else:
        plain = value
    return {SIGNATURE_KEY: SECRET_SIGNATURE, "value": plain} if secret else plain
