"""An account on a platform for the contract: clear words for what it refuses, bounded waits, and removal at the end."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import httpx

REMOVAL_SECONDS = 60.0
# In the order of their removal: what uses something else comes before it.
KINDS = ("customApplications/", "customApplicationSources/", "executionEnvironments/")
SIGN = "contract"


class Refused(AssertionError):
    """The platform does not let this account do something, or does it differently from what the contract says."""


@dataclass(frozen=True)
class Patience:
    """How long things may take on a platform, and how often it is asked (seconds)."""

    build: float
    start: float
    every: float


LOCAL = Patience(build=180, start=120, every=0.1)
REAL = Patience(build=1800, start=1800, every=3)


@dataclass(frozen=True)
class Account:
    """Somebody's access to a platform. `api` has the base address …/api/v2/ and brings the token."""

    api: httpx.Client
    patience: Patience

    def ask(self, what: str, method: str, path: str, **options: Any) -> Any:
        """Ask the API; give what the answer holds. `what` says in words what was tried. Raises Refused."""
        response = self.api.request(method, path, **options)
        if response.is_success:
            return response.json() if response.content else None
        said = response.text[:500]
        if response.status_code in (401, 403):
            raise Refused(
                f"This account may not {what} ({method} {path}: {response.status_code} {said}). The contract needs the "
                "token of a user who may create execution environments and custom applications, and share them."
            )
        raise Refused(f"Could not {what}: {method} {path} answered {response.status_code} {said}")

    def wait(
        self, what: str, path: str, seconds: float, done: Callable[[Any], bool], meanwhile: Callable[[], object] = int
    ) -> Any:
        """Read an object again and again until it is `done`; `meanwhile` is called each time. Raises Refused."""
        deadline = time.monotonic() + seconds
        while True:
            found = self.ask(f"read {what}", "GET", path)
            if done(found):
                return found
            if time.monotonic() > deadline:
                raise Refused(f"{what} was not ready within {seconds:g} s; it is {found}")
            meanwhile()
            time.sleep(self.patience.every)


def real_account() -> Account | None:
    """Give the account that DATAROBOT_CONTRACT_ENDPOINT and DATAROBOT_CONTRACT_TOKEN name; None without them."""
    endpoint, token = (os.environ.get(f"DATAROBOT_CONTRACT_{name}", "").strip() for name in ("ENDPOINT", "TOKEN"))
    assert bool(endpoint) == bool(token), "set both DATAROBOT_CONTRACT_ENDPOINT and DATAROBOT_CONTRACT_TOKEN, or none"
    if not endpoint:
        return None
    headers = {"Authorization": f"Bearer {token}"}
    return Account(httpx.Client(base_url=endpoint.rstrip("/") + "/", headers=headers, timeout=60), REAL)


class Mine:
    """What a run of the contract makes in an account; a context manager that removes it, and nothing else.

    All names carry a mark of their own. So even what was made by a request whose answer got lost is found and removed.
    """

    def __init__(self, account: Account) -> None:
        self._account = account
        self._made: list[str] = []
        self._names: list[tuple[str, str]] = []
        self.mark = f"{SIGN} {secrets.token_hex(6)}"

    def name(self, kind: str, word: str) -> str:
        """Give a name for an object that is going to be made, or renamed."""
        name = f"{self.mark} {word}"
        self._names.append((kind, name))
        return name

    def make(self, what: str, kind: str, word: str, **body: Any) -> Any:
        """Make an object with a name of this run. Raises Refused."""
        made = self._account.ask(f"create {what}", "POST", kind, json={"name": self.name(kind, word), **body})
        self._made.append(f"{kind}{made['id']}/")
        return made

    def __enter__(self) -> Mine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        left = self.remove()
        if not left:
            return
        text = "These could not be removed, please do so by hand: " + "; ".join(left)
        if error is None:
            raise Refused(text)
        error.add_note(text)

    def remove(self) -> list[str]:
        """Remove everything, what uses something else first; give what was left, with the reason."""
        left: list[str] = []
        for kind in KINDS:
            known = [path for path in reversed(self._made) if path.startswith(kind)]
            try:
                known += [path for path in self.found(kind) if path not in known]
            except httpx.HTTPError as problem:
                left.append(f"{kind} named {self.mark!r} ({problem or type(problem).__name__})")
            left += [f"{path} ({reason})" for path in known if (reason := self._remove(path))]
        return left

    def found(self, kind: str) -> list[str]:
        """Find the objects of a kind that carry a name of this run, also where nothing was heard of them."""
        found = []
        for name in [name for of, name in self._names if of == kind]:
            response = self._account.api.get(kind, params={"name": name, "searchFor": name})
            listed = response.json()["data"] if response.is_success else []
            found += [f"{kind}{one['id']}/" for one in listed if one["name"] == name]
        return found

    def _remove(self, path: str) -> str:
        """Remove one object, gone or not; give the reason when that does not work."""
        deadline = time.monotonic() + REMOVAL_SECONDS
        while True:
            try:
                response = self._account.api.delete(path)
            except httpx.HTTPError as problem:
                reason = str(problem) or type(problem).__name__
            else:
                if response.is_success or response.status_code == 404:
                    return ""
                reason = f"{response.status_code} {response.text[:200]}"
                if response.status_code in (401, 403):
                    return reason
            # An application that was removed just now may still count as using its source.
            if time.monotonic() > deadline:
                return reason
            time.sleep(self._account.patience.every)
