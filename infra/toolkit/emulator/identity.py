"""The people and tokens of a local platform; made once, kept in its data folder, readable by its owner only."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from toolkit.settings import Secret


@dataclass(frozen=True)
class Identity:
    """Tokens of the administrator (`full` may read everything; `restricted` is of the kind that applications get)."""

    full: Secret
    restricted: Secret
    cookie: Secret
    user_id: str = "6540000000000000000000a1"
    org_id: str = "6540000000000000000000f1"
    email: str = "admin@local.example"

    def visitor_key(self, level: str) -> Secret:
        """Give the key that an application gets with each request when it asks for keys of this level (contract 4)."""
        seed = f"visitor {level}".encode()
        return Secret(hmac.new(self.cookie.reveal().encode(), seed, hashlib.sha256).hexdigest())

    @property
    def session(self) -> Secret:
        """What the cookie of somebody who signed in holds."""
        return Secret(hmac.new(self.cookie.reveal().encode(), b"session", hashlib.sha256).hexdigest())

    @property
    def instance(self) -> str:
        """A name for this platform that may be seen, by which its containers are told from those of others."""
        return f"emulator-{hashlib.sha256(self.cookie.reveal().encode()).hexdigest()[:12]}"


def load(data: Path) -> Identity:
    """Read the tokens of the data folder; make them where there are none (mode 0600)."""
    path = data / "tokens.json"
    if not path.exists():
        data.mkdir(parents=True, exist_ok=True)
        draft = data / f".tokens.{os.getpid()}"
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w") as stream:
            json.dump({name: secrets.token_urlsafe(48) for name in ("full", "restricted", "cookie")}, stream)
        draft.replace(path)
    found = json.loads(path.read_text())
    return Identity(Secret(found["full"]), Secret(found["restricted"]), Secret(found["cookie"]))


def same(given: str, expected: Secret) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), expected.reveal().encode())
