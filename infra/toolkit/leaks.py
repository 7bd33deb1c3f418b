"""Find secrets in files that are about to ship. A finding names file, line and rule, never the value."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from toolkit.settings import Secret

ALLOW = b"toolkit: allow-secret"
BLOCK = 1024 * 1024
OVERLAP = 8 * 1024
ENOUGH = 100
SHORTEST_KNOWN, SHORTEST_ENCODED = 8, 16
LOCK_FILES = {"bun.lock", "package-lock.json", "yarn.lock", "pnpm-lock.yaml"}
KEY_FILES = re.compile(
    r"(^|/)(id_(rsa|dsa|ecdsa|ed25519)|[^/]+\.(p12|pfx|keystore|jks)|\.netrc|\.pgpass|\.git-credentials)$"
)
KNOWN = "the value of a token from the settings"
VALUE = rb"[A-Za-z0-9+/_-]{32,4096}+={0,2}"
NAMED = re.compile(
    rb"(?:token|secret|passw(?:or)?d|api[-_]?key|access[-_]?key|bearer)(?P<rest>[\w.-]{0,60})[\"'\]]{0,2}[ \t]*"
    rb"(?::[ \t]*\w{1,20}[ \t]*|:)?$",
    re.IGNORECASE,
)
# What is called after a secret, but is none: where to get it, what it is called, what came of it.
ABOUT_ONE = re.compile(
    rb"(?:endpoint|ur[il]|path|route|id|name|type|hash|digest|param(?:eter)?|field|label|class|selector|ttl"
    rb"|expir\w*|i[sz]ers?|i[sz]ers?\.\w+|i[sz]ation)$|^s$",
    re.IGNORECASE,
)
IDENTIFIER = re.compile(rb"sha(?:256|384|512)-|/")  # the integrity of a package, a path
SHORTEST_RANDOM = 12


@dataclass(frozen=True)
class Rule:
    """What a secret looks like. `marks`: one of these is in whatever the pattern finds; looking for them is fast."""

    name: str
    pattern: re.Pattern[bytes]
    marks: tuple[bytes, ...]
    is_secret: Callable[[bytes, re.Match[bytes]], bool] = lambda _block, _match: True
    in_binaries: bool = True


def _is_named_value(block: bytes, match: re.Match[bytes]) -> bool:
    """Whether the value is assigned to something that is called like a secret, and looks made by chance."""
    named = NAMED.search(block, max(0, match.start() - 100), match.start())
    return named is not None and not ABOUT_ONE.search(named["rest"]) and _looks_random(match[1])


def _looks_random(value: bytes) -> bool:
    if IDENTIFIER.match(value):
        return False
    value = max(re.split(rb"[/-]", value), key=len)  # words of a path or a name are no random text, each by itself
    if len(value) < SHORTEST_RANDOM:
        return False
    digits = len(re.findall(rb"[0-9]", value))
    letters = len(re.findall(rb"[A-Za-z]", value))
    changes = len(re.findall(rb"(?=[0-9][A-Za-z]|[A-Za-z][0-9])", value))
    return changes >= 2 or (digits >= 8 and letters >= 8)


PEM = rb"-----BEGIN (?:[A-Z0-9]+ ){0,4}PRIVATE KEY(?: BLOCK)?-----"
RULES = (
    # Code that reads or writes keys has the first line too, but no key after it.
    Rule(
        "a private key",
        re.compile(PEM + rb"(?:\\[nr]|\s){1,9}(?=[A-Za-z0-9+/])|^[ \t]{0,40}" + PEM + rb"\s*$", re.MULTILINE),
        (b"PRIVATE KEY",),
    ),
    Rule(
        "a DataRobot API key",  # the base64 of an id of 24 hexadecimal digits, a colon, and the rest
        re.compile(rb"[MNOYZ][A-Za-z0-9+/]{3}(?:[MNOYZ][A-Za-z0-9+/]{3}){7}O[g-v][A-Za-z0-9+/]{10,4096}+"),
        (b"O",),
        in_binaries=False,
    ),
    Rule("an AWS access key", re.compile(rb"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"), (b"AKIA", b"ASIA")),
    Rule(
        "a JSON web token",
        re.compile(rb"\beyJ[A-Za-z0-9_-]{8,4096}+\.eyJ[A-Za-z0-9_-]{8,8192}+\.[A-Za-z0-9_-]{8,}"),
        (b"eyJ",),
    ),
    Rule(
        "a GitHub token",
        re.compile(rb"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{30,})"),
        (b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_", b"github_pat_"),
    ),
    Rule("a GitLab token", re.compile(rb"\bglpat-[A-Za-z0-9_-]{20,}"), (b"glpat-",)),
    Rule("a Slack token", re.compile(rb"\bxox[abeoprs]-(?=[A-Za-z-]*[0-9])[A-Za-z0-9-]{20,}"), (b"xox",)),
    Rule("a Stripe key", re.compile(rb"\b[sr]k_live_[A-Za-z0-9]{16,}"), (b"k_live_",)),
    Rule("an npm token", re.compile(rb"\bnpm_[A-Za-z0-9]{36}\b"), (b"npm_",)),
    Rule("a Pulumi token", re.compile(rb"\bpul-[0-9a-f]{40}\b"), (b"pul-",)),
    Rule(
        "a registry token",
        re.compile(
            rb"(?::_(?:authToken|password|auth)[ \t]*=[ \t]*|^_(?:authToken|password|auth)=)[\"']?[^\s$;(){}\"']{8,}",
            re.MULTILINE,
        ),
        (b"_authToken", b"_password", b"_auth"),
        in_binaries=False,
    ),
    Rule(
        "a token-shaped value",
        re.compile(rb"[:=][ \t]*[\"'`]?(" + VALUE + rb")(?![A-Za-z0-9+/_.(-])"),
        (b":", b"="),
        _is_named_value,
        in_binaries=False,
    ),
    Rule(
        "a token-shaped value",
        re.compile(rb"[Bb]earer[ \t]+(" + VALUE + rb")(?![A-Za-z0-9+/_.(-])"),
        (b"earer",),
        lambda _block, match: _looks_random(match[1]),
        in_binaries=False,
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


def rules_digest() -> str:
    """Name the rules, so that whoever keeps what they found knows when to look again."""
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()


def find(path: str, stream: BinaryIO, known: Iterable[Secret] = (), *, allowed: bool = False) -> Iterator[Leak]:
    """Give the secrets in one file, `path`, whose content is read from `stream`.

    `known` are values that must not be there in any form, also in base64.

    A line with the comment `toolkit: allow-secret` is passed over, and so is the whole file when it is `allowed`: not
    for known values, which are no false alarms. After a hundred findings it is enough. Reads block by block, so memory
    stays bounded.
    """
    if KEY_FILES.search(path) and not allowed:
        yield Leak(path, 0, "a key file")
        return
    forms = tuple(form for secret in known for form in _forms(secret))
    is_lock = path.rsplit("/", 1)[-1] in LOCK_FILES
    rules: tuple[Rule, ...] = () if is_lock or allowed else RULES
    found: dict[int, str] = {}
    for first_line, block in _blocks(stream):
        if first_line == 1 and b"\0" in block[:8000]:
            rules = tuple(rule for rule in rules if rule.in_binaries)
        for place, name in _places(block, forms, rules):
            if len(found) >= ENOUGH:
                break
            if name == KNOWN or not _allowed(block, place):
                found.setdefault(first_line + block.count(b"\n", 0, place), name)
    for number in sorted(found):
        yield Leak(path, number, found[number])


def _places(block: bytes, forms: Iterable[bytes], rules: Iterable[Rule]) -> Iterator[tuple[int, str]]:
    for form in forms:
        place = block.find(form)
        while place >= 0:
            yield place, KNOWN
            place = block.find(form, place + len(form))
    for rule in rules:
        if any(mark in block for mark in rule.marks):
            for match in rule.pattern.finditer(block):
                if rule.is_secret(block, match):
                    yield match.start(), rule.name


def _allowed(block: bytes, place: int) -> bool:
    end = block.find(b"\n", place)
    return ALLOW in block[block.rfind(b"\n", 0, place) + 1 : end if end >= 0 else len(block)]


def _blocks(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Give blocks with the number of their first line. They end with a line; where lines are too long, they overlap."""
    first_line, rest = 1, b""
    while more := stream.read(BLOCK):
        block = rest + more
        end = block.rfind(b"\n") + 1
        if end > OVERLAP:
            yield first_line, block[:end]
        else:
            yield first_line, block
            end = max(end, len(block) - OVERLAP)
        first_line += block.count(b"\n", 0, end)
        rest = block[end:]
    if rest:
        yield first_line, rest


def _forms(secret: Secret) -> Iterator[bytes]:
    """Give the byte strings that betray a secret: itself, percent-encoded, and in base64."""
    value = secret.reveal().encode(errors="surrogateescape")
    if len(value) < SHORTEST_KNOWN:
        return  # so short a word stands in any file
    yield value
    if (escaped := quote(value, safe="").encode()) != value:
        yield escaped
    yield value.decode(errors="replace").encode("utf-16-le")  # what some editors of Windows save
    if len(value) < SHORTEST_ENCODED:
        return
    for shift in range(3):  # base64 of the value at each of the three positions it can have in a longer text
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(b"\0" * shift + value)[4 if shift else 0 : -4]
