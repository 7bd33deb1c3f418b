"""Faults that a run asks for: rules that say which requests go wrong, and how. Deciding is here, doing in mishaps.

Rules live in memory only, end by themselves after a number of hits and a time, and go with every reset and restart: a
run that asked for none meets none.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any, Literal, get_args

from toolkit.emulator.fields import Invalid, wrong
from toolkit.emulator.switches import seconds

OWN = "/__emulator__/"  # faults never touch the way to take them away again
LIFE = 600.0
MOST_RULES = 1000
MOST_HITS = 10**6
METHODS = ("*", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
Moment = Literal["before", "after"]


@dataclass(frozen=True)
class Rule:
    """Which requests go wrong, and how.

    Which: `method`, `path` (a glob over the path without its query) and `agent` (a part of User-Agent); from the
    `hit`-th of them on, `times` of them (0: all), each with the probability `chance`; for `life` seconds.
    How: after `delay` seconds either a `status` with `headers` (`retry_after` in seconds) and a `body`; or the
    connection is `cut`; `when` says whether the server acts before that. Or the true answer is sent in part
    (`truncate`: its first bytes); or reads show what was there `stale` seconds ago.
    """

    path: str = "*"
    method: str = "*"
    agent: str = ""
    hit: int = 1
    times: int = 1
    chance: float = 1.0
    life: float = LIFE
    delay: float = 0.0
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    retry_after: float = 0.0
    cut: bool = False
    when: Moment = "before"
    truncate: int = -1
    stale: float = 0.0


@dataclass
class _Kept:
    """A rule with its fortunes so far."""

    id: int
    rule: Rule
    ends: float
    dice: random.Random
    hits: int = 0
    fired: int = 0


@dataclass(frozen=True)
class Fired:
    """A rule that this request meets; `number` says which one it is."""

    number: int
    rule: Rule


# The names of the control API, where they differ.
NAMES = {"retryAfter": "retry_after", "seconds": "life"}


class Faults:
    """The rules of a platform. Safe to use from several threads; the same seed and requests give the same faults."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: list[_Kept] = []
        self._last = 0

    def add(self, given: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Add the `rules` of a request, decided with its `seed`; give them as listed. Raises Invalid."""
        rules, seed = given.get("rules"), given.get("seed", 0)
        if not isinstance(rules, list) or not rules or given.keys() - {"rules", "seed"}:
            raise Invalid("Give rules, a list with at least one rule, and perhaps a seed.", {"rules": "is required"})
        if not isinstance(seed, int | str) or isinstance(seed, bool):
            raise wrong(seed="has to be a number or a text")
        read = [parse(rule) for rule in rules]
        with self._lock:
            self._sweep()
            if len(self._kept) + len(read) > MOST_RULES:
                raise wrong(rules=f"there can be at most {MOST_RULES} of them")
            added: list[_Kept] = []
            for rule in read:
                self._last += 1
                dice = random.Random(f"{seed}:{len(added)}")  # noqa: S311 - faults have to come again
                added.append(_Kept(self._last, rule, time.monotonic() + rule.life, dice))
            self._kept += added
            return [_shown(one) for one in added]

    @property
    def there(self) -> bool:
        """Whether there may be rules that still count."""
        return bool(self._kept)

    def listed(self) -> list[dict[str, Any]]:
        """Give every rule that still counts, with how often it matched and fired."""
        with self._lock:
            self._sweep()
            return [_shown(one) for one in self._kept]

    def remove(self, number: int | None = None) -> int:
        """Remove one rule, or all of them; give how many there were."""
        with self._lock:
            before = len(self._kept)
            self._kept = [] if number is None else [one for one in self._kept if one.id != number]
            return before - len(self._kept)

    def decide(self, method: str, path: str, agent: str) -> Fired | None:
        """Count a request, and give the first rule that it meets."""
        if not self._kept or path.startswith(OWN):
            return None
        with self._lock:
            self._sweep()
            found = None
            for one in self._kept:
                if not _matches(one.rule, method, path, agent):
                    continue
                one.hits += 1
                if found is None and self._fires(one):
                    one.fired += 1
                    found = Fired(one.id, one.rule)
            return found

    def stale(self) -> float:
        """Give the longest time for which reads may be stale; 0 without such a rule."""
        if not self._kept:
            return 0.0
        with self._lock:
            return max((one.rule.stale for one in self._kept), default=0.0)

    def _fires(self, one: _Kept) -> bool:
        rule = one.rule
        if one.hits < rule.hit or (rule.times and one.fired >= rule.times):
            return False
        return rule.chance >= 1 or one.dice.random() < rule.chance

    def _sweep(self) -> None:
        now = time.monotonic()
        self._kept = [one for one in self._kept if one.ends > now]


def parse(given: Any) -> Rule:
    """Read one rule. Raises Invalid that names what is wrong with it."""
    if not isinstance(given, dict):
        raise wrong(rules="every rule has to be an object")
    named: dict[str, Any] = {NAMES.get(str(key), str(key)): value for key, value in given.items()}
    if "stale" in named:
        named.setdefault("times", 0)  # all reads of the time lag behind, not only one
    known = set(Rule.__dataclass_fields__)
    if unknown := sorted(named.keys() - known):
        raise wrong(rules=f"{unknown[0][:50]!r} is not known; known are {', '.join(sorted(known))}")
    for key in ("delay", "life", "retry_after", "stale"):
        if key in named:
            named[key] = seconds(key, named[key])
    problem = _problem(named)
    if problem:
        raise wrong(rules=problem)
    rule = replace(Rule(), **named)
    if not (rule.delay or rule.status or rule.cut or rule.truncate >= 0 or rule.stale):
        raise wrong(rules="a rule says what happens: delay, status, cut, truncate or stale")
    return rule


def _problem(given: Mapping[str, Any]) -> str:
    for key in ("path", "agent"):
        if not isinstance(given.get(key, ""), str):
            return f"{key} has to be a text"
    if given.get("method", "*") not in METHODS:
        return f"method has to be one of {', '.join(METHODS)}"
    for key, least in (("hit", 1), ("times", 0), ("truncate", 0)):
        if key in given and (not _whole(given[key]) or not least <= given[key] <= MOST_HITS):
            return f"{key} has to be a whole number of at least {least}"
    if "status" in given and (not _whole(given["status"]) or not 200 <= given["status"] <= 599):
        return "status has to be a whole number from 200 to 599"
    chance = given.get("chance", 1.0)
    if not isinstance(chance, int | float) or isinstance(chance, bool) or not 0 <= chance <= 1:
        return "chance has to be a number from 0 to 1"
    if not isinstance(given.get("cut", False), bool):
        return "cut has to be true or false"
    if given.get("when", "before") not in get_args(Moment):
        return f"when has to be one of {', '.join(get_args(Moment))}"
    headers = given.get("headers", {})
    if not isinstance(headers, dict) or any(not _header(name, value) for name, value in headers.items()):
        return "headers has to be an object of names and texts"
    return ""


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _header(name: str, value: Any) -> bool:
    return bool(name) and isinstance(value, str) and name.isascii() and name.isprintable() and value.isprintable()


def _matches(rule: Rule, method: str, path: str, agent: str) -> bool:
    if rule.method not in ("*", method) or not fnmatchcase(path, rule.path):
        return False
    if rule.stale and method != "GET":
        return False
    return rule.agent in agent


def _shown(one: _Kept) -> dict[str, Any]:
    names = {value: key for key, value in NAMES.items()}
    rule = {names.get(key, key): value for key, value in asdict(one.rule).items()}
    left = round(max(0.0, one.ends - time.monotonic()), 1)
    return {"id": one.id, **rule, "hits": one.hits, "fired": one.fired, "secondsLeft": left}
