"""An application's whole life, on the local platform with the real engine, or on a real platform when one is named.

As in `test_contract`, DATAROBOT_CONTRACT_ENDPOINT and DATAROBOT_CONTRACT_TOKEN choose a real platform. What a run makes
has names of its own and is removed at its end, also when a step in the middle fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import httpx
import pytest

from tests.contract import account as accounts
from tests.contract.account import KINDS, LOCAL, Account, Mine, Refused, real_account
from tests.contract.life import ENVIRONMENTS, SOURCES, Life
from tests.contract.local_platform import LocalPlatform, local_platform
from tests.engine.emulated import emulated
from toolkit.emulator.fields import NotFound
from toolkit.front import Target

# POST and PATCH of a whole life, up to the deletion: environment 2, source 5, application 1 and 6 changes of it.
STEPS = 14


@pytest.mark.engine
def test_the_whole_life_of_an_application(tmp_path: Path) -> None:
    if (account := real_account()) is not None:
        with account.api:
            with Mine(account) as mine:
                Life(account, mine).live()
            assert [path for kind in KINDS for path in mine.found(kind)] == []
        return
    with emulated(tmp_path / "data") as platform:
        account = Account(platform.api, LOCAL)
        before = _everything(account)
        with Mine(account) as mine:
            Life(account, mine).live()
        assert _everything(account) == before
        assert platform.has_containers("", 0)


class _App(BaseHTTPRequestHandler):
    """Stands for whatever version of the application serves; what is to happen `then` does so after the next visit."""

    version = "one"
    then: ClassVar[list[Callable[[], None]]] = []

    def do_GET(self) -> None:
        content = b'{"version": "%s"}' % type(self).version.encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        while self.then:
            self.then.pop()()

    def log_message(self, format: str, *args: Any) -> None:
        return


@pytest.fixture
def app_port() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _App)
    thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def platform(tmp_path: Path, app_port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalPlatform]:
    """A local platform without an engine: one server stands for the app; its second version is ready after a visit."""
    _App.then.clear()
    with local_platform(tmp_path) as running:
        store = running.store
        running.runner.at_once = True

        def start(application: str) -> None:
            version = store.get("application", application)["customApplicationSourceVersionId"]
            number = [one["id"] for one in store.find("sourceVersion")[0]].index(version)
            running.runner.served[application] = (Target("127.0.0.1", app_port, application),)

            def ready() -> None:
                _App.version = ("one", "two")[number]
                with suppress(NotFound):  # it was removed meanwhile
                    store.set_application(application, status="running", _buildStatus="success", _logs=["serving one"])

            if number:
                _App.then.append(ready)
            else:
                ready()

        monkeypatch.setattr(running.runner, "start_application", start)
        yield running


@pytest.fixture
def account(platform: LocalPlatform) -> Iterator[Account]:
    with platform.client() as client:
        yield Account(client, accounts.Patience(build=5, start=5, every=0.01))


@pytest.fixture
def foreign(account: Account) -> dict[str, str]:
    """Somebody else's objects, named almost like those of a run."""
    return {kind: account.ask("create", "POST", kind, json={"name": "contract"})["id"] for kind in KINDS[1:]}


class _Stopped(Exception):
    """A step went wrong."""


def _fails_at(client: httpx.Client, number: int, *, after: bool) -> None:
    """Let the write of this number (from 0) go wrong before, or after it has reached the platform."""
    left = [number]

    def count(request: httpx.Request) -> None:
        if request.method in ("POST", "PATCH"):
            left[0] -= 1
            if left[0] == -1 and not after:
                raise _Stopped

    def count_answers(response: httpx.Response) -> None:
        if left[0] == -1 and after and response.request.method in ("POST", "PATCH"):
            raise _Stopped

    client.event_hooks = {"request": [count], "response": [count_answers]}


def test_a_life_without_an_engine_leaves_nothing(account: Account, foreign: dict[str, str]) -> None:
    before = _everything(account)
    with Mine(account) as mine:
        Life(account, mine).live()
    assert _everything(account) == before


@pytest.mark.parametrize("after", [False, True], ids=["before it arrives", "and its answer is lost"])
@pytest.mark.parametrize("number", range(STEPS))
def test_whatever_step_fails_all_is_removed(
    account: Account, foreign: dict[str, str], number: int, after: bool
) -> None:
    before = _everything(account)
    _fails_at(account.api, number, after=after)
    with pytest.raises(_Stopped), Mine(account) as mine:
        Life(account, mine).live()
    assert _everything(account) == before


def test_the_steps_are_all_of_them(account: Account) -> None:
    asked: list[str] = []
    account.api.event_hooks = {"request": [lambda request: asked.append(request.method)]}
    with Mine(account) as mine:
        Life(account, mine).live()
    assert sum(method in ("POST", "PATCH") for method in asked) == STEPS


def test_an_account_without_the_permission_is_told_so(platform: LocalPlatform) -> None:
    with platform.client("nobody") as client:
        account = Account(client, LOCAL)
        with pytest.raises(Refused, match=r"may not create an execution environment .*401.*token of a user who may"):
            Life(account, Mine(account)).live()


def test_what_cannot_be_removed_is_named(
    account: Account, platform: LocalPlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounts, "REMOVAL_SECONDS", 0.05)
    rule = {"path": "/api/v2/customApplicationSources/*/", "method": "DELETE", "status": 500, "times": 0}
    control = f"{platform.url}/__emulator__/faults"
    assert account.api.post(control, json={"rules": [rule]}).is_success
    by_hand = r"remov.* by hand: customApplicationSources/[0-9a-f]{24}/ \(500"
    with pytest.raises(Refused, match=by_hand), Mine(account) as mine:
        mine.make("a source", SOURCES, "source")
    with pytest.raises(_Stopped) as stopped, Mine(account) as mine:
        mine.make("a source", SOURCES, "source")
        raise _Stopped
    assert "by hand: customApplicationSources/" in stopped.value.__notes__[0]


def test_a_wait_has_an_end(account: Account) -> None:
    made = account.ask("create", "POST", ENVIRONMENTS, json={"name": "slow"})
    with pytest.raises(Refused, match=r"the environment was not ready within 0.05 s"):
        account.wait("the environment", f"{ENVIRONMENTS}{made['id']}/", 0.05, lambda _found: False)


def _everything(account: Account) -> dict[str, list[str]]:
    """Give the ids of all that there is (the first hundred of each kind)."""
    return {
        kind: [one["id"] for one in account.ask("list", "GET", kind, params={"limit": 100})["data"]] for kind in KINDS
    }
