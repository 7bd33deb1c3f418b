"""Start, find and stop the local platform (temporary)."""
from __future__ import annotations
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from toolkit.settings import Secret
@dataclass(frozen=True)
class EmulatorInfo:
    endpoint: str
    runtime_endpoint: str
    token: Secret
    restricted_token: Secret
    console: str
    pid: int
