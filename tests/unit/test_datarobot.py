"""The REST client: each way in which a platform can say no becomes an error that a person can act on."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.contract.local_platform import local_platform
from tests.reliability.way_out import listening
from toolkit import datarobot
from toolkit.datarobot import READ_NOTEBOOKS, READ_USE_CASES, Client, PlatformError
from toolkit.errors import ConfigurationError, PermissionDenied, TimedOut, ToolkitError
from toolkit.settings import Secret

ENDPOINT = "https://app.datarobot.com/api/v2"
TOKEN = "NjZmYWtlMTIzNDU2Nzg5MGFiY2RlZjpQbGVhc2VEb05vdFNob3dNZQ=="
APP = "6650a1b2c3d4e5f601234567"
Handler = Callable[[httpx.Request], httpx.Response]


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datarobot, "PAUSES", (0.0, 0.0))


@contextmanager
def client(handler: Handler, endpoint: str = ENDPOINT) -> Iterator[Client]:
    with Client(endpoint, Secret(TOKEN), transport=httpx.MockTransport(handler)) as made:
        yield made


def answering(status: int = 200, **content: object) -> Handler:
    return lambda _request: httpx.Response(status, **content)  # type: ignore[arg-type]


def sound(request: httpx.Request) -> httpx.Response:
    if request.url.path == "/api/v2/version/":
        return httpx.Response(200, json={"major": 2, "versionString": "2.37.0"})
    return httpx.Response(200, json={"data": [], "next": None})


def error_of(handler: Handler, call: Callable[[Client], object] = Client.check_access) -> ToolkitError:
    with client(handler) as made, pytest.raises(ToolkitError) as caught:
        call(made)
    error = caught.value
    assert error.hint
    assert TOKEN not in "".join(traceback.format_exception(error)) + error.hint
    return error


def test_credentials_that_cannot_be_listed_now_are_not_none() -> None:
    """One that is left behind holds a token."""

    def listed(made: Client) -> object:
        return made.credentials_marked("-token-0a1b-")

    assert isinstance(error_of(answering(500, text="in trouble"), listed), PlatformError)
    with client(answering(403, json={"message": "no"})) as made:
        assert listed(made) == []


def _in_turn(*answers: httpx.Response | Exception) -> tuple[Handler, list[str]]:
    asked: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request.method)
        answer = answers[len(asked) - 1]
        if isinstance(answer, Exception):
            raise answer
        return answer

    return handler, asked


@pytest.mark.parametrize("trouble", [httpx.Response(502), httpx.Response(429), httpx.ConnectError("reset")])
def test_a_question_is_asked_again_while_the_platform_is_in_trouble(
    trouble: httpx.Response | Exception,
) -> None:
    handler, asked = _in_turn(trouble, trouble, httpx.Response(200, json={"id": APP}))
    with client(handler) as made:
        assert made.application(APP) == {"id": APP}
    assert asked == ["GET"] * 3
    handler, asked = _in_turn(trouble, trouble, trouble)
    assert error_of(handler, lambda made: made.application(APP))
    assert asked == ["GET"] * 3


def test_what_changes_something_is_asked_once_and_so_is_what_was_not_answered_in_time() -> None:
    handler, asked = _in_turn(httpx.Response(502))
    assert error_of(handler, lambda made: made.delete("application", APP))
    assert asked == ["DELETE"]
    handler, asked = _in_turn(httpx.ReadTimeout("late"))
    assert error_of(handler, lambda made: made.application(APP))
    assert asked == ["GET"]


def test_whoever_has_little_patience_asks_once() -> None:
    handler, asked = _in_turn(httpx.Response(502))
    with (
        Client(ENDPOINT, Secret(TOKEN), patience=3.0, transport=httpx.MockTransport(handler)) as made,
        pytest.raises(PlatformError),
    ):
        made.application(APP)
    assert asked == ["GET"]


# --- what is asked ----------------------------------------------------------------------------------------------------


def test_access_is_checked_where_the_app_will_ask() -> None:
    asked: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(f"{request.method} {request.url}")
        assert request.headers["Authorization"] == f"Bearer {TOKEN}"
        assert request.headers["Accept"] == "application/json"
        return sound(request)

    with client(handler) as made:
        assert made.check_access() == "2.37.0"
    assert sorted(asked) == [
        "GET https://app.datarobot.com/api-gw/nbx/notebooks/?limit=1",
        f"GET {ENDPOINT}/useCases/?limit=1",
        f"GET {ENDPOINT}/version/",
    ]


@pytest.mark.parametrize("endpoint", [ENDPOINT, ENDPOINT + "/", "http://10.0.0.7:8080/api/v2"])
def test_the_gateway_lies_beside_the_api(endpoint: str) -> None:
    hosts: set[str] = set()

    def handler(request: httpx.Request) -> httpx.Response:
        hosts.add(f"{request.url.scheme}://{request.url.netloc.decode()}")
        assert "//" not in request.url.path
        return sound(request)

    with client(handler, endpoint) as made:
        made.check_access()
    assert hosts == {endpoint.split("/api/v2")[0]}


@pytest.mark.parametrize(
    ("call", "path", "answer", "expected"),
    [
        (lambda c: c.application(APP), f"customApplications/{APP}/", {"id": APP}, {"id": APP}),
        (
            lambda c: c.applications("a b&c"),
            "customApplications/?name=a%20b%26c",
            {"data": [{"id": "1"}]},
            [{"id": "1"}],
        ),
        (lambda c: c.applications("x"), "customApplications/?name=x", {}, []),
        (lambda c: c.application_logs(APP), f"customApplications/{APP}/logs/", {"logs": ["a"]}, {"logs": ["a"]}),
        (
            lambda c: c.environment_versions("e1"),
            "executionEnvironments/e1/versions/",
            {"data": [{"id": "v"}]},
            [{"id": "v"}],
        ),
        (
            lambda c: c.environments("app&1"),
            "executionEnvironments/?searchFor=app%261&isOwn=true",
            {"data": [{"name": "app&1"}, {"name": "app&10"}]},
            [{"name": "app&1"}],
        ),
        (
            lambda c: c.build_log("e1", "v1"),
            "executionEnvironments/e1/versions/v1/buildLog/",
            {"log": "l", "error": ""},
            {"log": "l", "error": ""},
        ),
        (lambda c: c.get("things/"), "things/", [1, 2], {"data": [1, 2]}),
    ],
)
def test_each_call_asks_its_route(
    call: Callable[[Client], object], path: str, answer: object, expected: object
) -> None:
    asked: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(200, json=answer)

    with client(handler) as made:
        assert call(made) == expected
    (url,) = asked
    assert url.replace("+", "%20") == f"{ENDPOINT}/{path}"


# --- what goes wrong --------------------------------------------------------------------------------------------------


def test_an_unknown_token() -> None:
    error = error_of(answering(401, json={"message": "Invalid token"}))
    assert isinstance(error, PermissionDenied)
    assert error.exit_code == 3
    assert "401" in error.message
    assert "app.datarobot.com" in error.message
    assert "DATAROBOT_API_TOKEN" in error.hint


@pytest.mark.parametrize(
    ("route", "permission"), [("/api/v2/useCases/", READ_USE_CASES), ("/api-gw/nbx/notebooks/", READ_NOTEBOOKS)]
)
def test_a_token_that_lacks_a_permission(route: str, permission: str) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        return httpx.Response(403, json={"message": "no"}) if request.url.path == route else sound(request)

    error = error_of(handler)
    assert isinstance(error, PermissionDenied)
    assert permission in error.message
    assert route in error.message


def test_a_refusal_without_a_permission_names_the_path() -> None:
    error = error_of(answering(403), lambda made: made.application(APP))
    assert isinstance(error, PermissionDenied)
    assert f"/api/v2/customApplications/{APP}/" in error.message
    assert "permission:" not in error.message


@pytest.mark.parametrize(
    "handler",
    [
        answering(404, json={"message": "Not found"}),
        answering(404, html="<html>nginx</html>"),
        answering(302, headers={"Location": "https://app.datarobot.com/sign-in"}),
        answering(301, headers={"Location": "/api/v2/version"}),
        answering(308, headers={"Location": "/x"}),
        answering(200, html="<!doctype html><title>DataRobot</title>"),
        answering(200, text=""),
        answering(200, content=b"\xff\xfe"),
        answering(200, json={"hello": "world"}),
        answering(200, json=["a list"]),
    ],
    ids=["404", "404 page", "sign-in", "301", "308", "a page", "nothing", "bytes", "other json", "a list"],
)
def test_an_endpoint_that_is_not_the_api(handler: Handler) -> None:
    error = error_of(handler)
    assert isinstance(error, ConfigurationError)
    assert error.exit_code == 2
    assert "DATAROBOT_ENDPOINT" in error.message
    assert ENDPOINT in error.message
    assert ENDPOINT in error.hint


def test_a_thing_that_is_gone_is_not_blamed_on_the_endpoint() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        return sound(request) if "version" in request.url.path else httpx.Response(404, json={"message": "Not Found"})

    error = error_of(handler, lambda made: made.application(APP))
    assert isinstance(error, PlatformError)
    assert APP in error.message
    assert "404" in error.message
    assert "ENDPOINT" not in error.message


@pytest.mark.parametrize(
    ("handler", "words"),
    [
        (answering(500, json={"message": "database is down"}), ("500", "database is down", "/api/v2/version/")),
        (answering(422, json={"message": "bad", "errors": {"name": "too long"}}), ("422", "bad", "too long")),
        (answering(429, json={"message": "slow down"}), ("429", "slow down")),
        (answering(500, json=["odd"]), ("500", "odd")),
        (answering(503, json={"error": "x"}), ("503", "x")),
        (answering(502, html="<html><h1>Bad Gateway</h1></html>"), ("502",)),
        (answering(500, text=""), ("500",)),
    ],
    ids=["500", "422", "429", "a list", "no message", "a page", "nothing"],
)
def test_a_platform_in_trouble_is_quoted(handler: Handler, words: tuple[str, ...]) -> None:
    error = error_of(handler)
    assert isinstance(error, PlatformError)
    assert error.exit_code == 5
    for word in words:
        assert word in error.message


def test_a_very_long_answer_is_cut_short() -> None:
    error = error_of(answering(500, json={"message": "x" * 100_000}))
    assert len(error.message) < 1200


def test_an_answer_that_repeats_the_token_does_not_show_it() -> None:
    error = error_of(answering(500, json={"message": f"curl -H 'Authorization: Bearer {TOKEN}'"}))
    assert "****" in error.message


def raising(kind: type[Exception], *args: str) -> Handler:
    def handler(request: httpx.Request) -> httpx.Response:
        raise kind(*args)

    return handler


@pytest.mark.parametrize("kind", [httpx.ConnectTimeout, httpx.ReadTimeout, httpx.PoolTimeout, httpx.WriteTimeout])
def test_no_answer_in_time(kind: type[Exception]) -> None:
    error = error_of(raising(kind, "timed out"))
    assert isinstance(error, TimedOut)
    assert error.exit_code == 9
    assert "app.datarobot.com" in error.message


@pytest.mark.parametrize("kind", [httpx.ConnectError, httpx.ReadError, httpx.RemoteProtocolError, httpx.ProxyError])
@pytest.mark.parametrize("text", ["[Errno -2] Name or service not known", ""])
def test_an_endpoint_that_cannot_be_reached(kind: type[Exception], text: str) -> None:
    error = error_of(raising(kind, text))
    assert isinstance(error, ConfigurationError)
    assert ENDPOINT in error.message
    assert (text or kind.__name__) in error.message


def test_an_endpoint_that_nobody_listens_on() -> None:
    with (
        Client("http://127.0.0.1:1/api/v2", Secret(TOKEN)) as made,
        pytest.raises(ConfigurationError, match="127.0.0.1:1"),
    ):
        made.check_access()


@pytest.mark.parametrize("endpoint", ["https://[::1/api/v2", "https://a\x00b/api/v2", "http://app..datarobot/api/v2"])
def test_an_address_that_is_none(endpoint: str) -> None:
    with pytest.raises(ConfigurationError), Client(endpoint, Secret(TOKEN)) as made:
        made.check_access()


def test_the_client_shows_no_token() -> None:
    with client(sound) as made:
        assert TOKEN not in repr(made) + repr(vars(made)) + repr(made._client.headers)


def test_a_platform_on_this_machine_is_asked_without_any_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with local_platform(tmp_path) as platform, listening() as (port, asked):
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{port}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        with Client(f"{platform.url}/api/v2", platform.identity.full) as client:
            assert client.check_access()
        assert asked == []
        elsewhere = Client("http://app.datarobot.example/api/v2", platform.identity.full)
        with elsewhere as client, pytest.raises(ToolkitError):
            client.check_access()
        assert "GET http://app.datarobot.example/api/v2/version/ HTTP/1.1" in asked
