"""Find secrets in files that are about to ship. A finding names file, line and rule, never the value."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from toolkit.settings import Secret

ALLOW = b"toolkit: allow-secret"
LONGEST_LINE = 20_000
LOCK_FILES = {"bun.lock", "package-lock.json", "yarn.lock", "pnpm-lock.yaml"}
KEY_FILES = re.compile(r"(^|/)(id_(rsa|dsa|ecdsa|ed25519)|[^/]+\.(p12|pfx|keystore|jks))$")

RULES: tuple[tuple[str, re.Pattern[bytes]], ...] = (
    ("a private key", re.compile(rb"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----")),
    ("an AWS access key", re.compile(rb"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b")),
    ("a JSON web token", re.compile(rb"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}")),
    ("a GitHub token", re.compile(rb"\bgh[pousr]_[A-Za-z0-9]{36,}\b")),
    ("a Pulumi token", re.compile(rb"\bpul-[0-9a-f]{40}\b")),
    ("a registry token", re.compile(rb"_(?:authToken|password|auth)\s*=\s*[^\s$]{8,}")),
    (
        "a token-shaped value",
        re.compile(
            rb"(?i)\b[\w.-]*(?:token|secret|passw(?:or)?d|api_?key|access_?key)[\w.-]*[\"']?\s*[:=]\s*"
            rb"[\"']?(?=[A-Za-z0-9+/_=-]*\d)(?=[A-Za-z0-9+/_=-]*[A-Za-z])[A-Za-z0-9+/_=-]{32,}"
        ),
    ),
)


@dataclass(frozen=True)
class Leak:
    """A secret in a file: where (line 0: the file itself), and which rule says so."""

    path: str
    line: int
    rule: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.rule}" if self.line else f"{self.path}: {self.rule}"


def find(path: str, local: Path, known: Iterable[Secret] = ()) -> Iterator[Leak]:
    """Give the secrets in one file. `known` are values that must not be there in any form, also in base64.

    A line with the comment `toolkit: allow-secret` is passed over. Reads line by line, so memory stays bounded.
    """
    if KEY_FILES.search(path):
        yield Leak(path, 0, "a key file")
        return
    forms = tuple(form for secret in known for form in _forms(secret))
    is_lock = path.rsplit("/", 1)[-1] in LOCK_FILES
    with local.open("rb") as stream:
        number = 0
        while line := stream.readline(LONGEST_LINE):
            number += 1
            if ALLOW in line:
                continue
            if any(form in line for form in forms):
                yield Leak(path, number, "the value of a token from the settings")
                continue
            for rule, pattern in () if is_lock else RULES:
                if pattern.search(line):
                    yield Leak(path, number, rule)
                    break


def _forms(secret: Secret) -> Iterator[bytes]:
    value = secret.reveal().encode()
    if len(value) < 8:
        return
    yield value
    for shift in range(3):  # base64 of the value at each of the three positions it can have in a longer text
        encoded = base64.b64encode(b"\0" * shift + value)
        yield encoded[4 if shift else 0 : -4]
