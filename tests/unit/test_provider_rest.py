from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.stack.recorder import Recorder
from toolkit.emulator.provider_files import Upload
from toolkit.emulator.provider_rest import ApiError, NotFoundError, Platform, Timing, UnauthorizedError, go_json

TOKEN = "a-token-that-must-not-be-seen"
BUSY = {"message": "Too many requests"}


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    with Recorder() as server:
        yield server


@pytest.fixture
def platform(recorder: Recorder) -> Iterator[Platform]:
    client = at(f"{recorder.base}/api/v2")
    yield client
    client.close()


def at(endpoint: str, token: str = TOKEN, **timing: float) -> Platform:
    return Platform(endpoint, token, Timing(**({"poll": 0.001, "retry": 0.001} | timing)), threading.Event())


def new_environment(platform: Platform) -> str:
    body = {"name": "e", "useCases": ["customApplication"]}
    return str(platform.post("/executionEnvironments/", body)["id"])


def sent(recorder: Recorder) -> list[str]:
    return [request["method"] for request in recorder.requests]


def test_both_clients_look_like_the_real_ones(recorder: Recorder, platform: Platform) -> None:
    identifier = new_environment(platform)
    archive = Upload("context.zip", b"bytes", field="docker_context")
    platform.upload("POST", f"/executionEnvironments/{identifier}/versions/", {"description": ""}, [archive])
    platform.get(f"/executionEnvironments/{identifier}/")
    platform.delete(f"/executionEnvironments/{identifier}/")
    assert [request["headers"] for request in recorder.requests] == [
        "api-client",
        "upload-client",
        "api-client",
        "api-client",
    ]
    assert [part["name"] for part in recorder.requests[1]["parts"]] == ["description", "docker_context"]


def test_a_final_slash_of_the_endpoint_does_not_matter(recorder: Recorder) -> None:
    client = at(f"{recorder.base}/api/v2/")
    new_environment(client)
    client.close()
    assert recorder.requests[0]["path"] == "/api/v2/executionEnvironments/"


@pytest.mark.parametrize(
    ("status", "kind", "text"),
    [
        (401, UnauthorizedError, "access denied to {url}"),
        (404, NotFoundError, "{url} not found"),
        (403, ApiError, 'POST request {url} : response 403 Forbidden {{"message": "no"}}'),
        (429, ApiError, 'POST request {url} : response 429 Too Many Requests {{"message": "no"}}'),
        (503, ApiError, 'POST request {url} : response 503 Service Unavailable {{"message": "no"}}'),
    ],
)
def test_refusals(recorder: Recorder, platform: Platform, status: int, kind: type[ApiError], text: str) -> None:
    recorder.fault(method="POST", path="/executionEnvironments/$", status=status, json={"message": "no"})
    with pytest.raises(kind) as caught:
        new_environment(platform)
    assert str(caught.value) == text.format(url=f"{recorder.base}/api/v2/executionEnvironments/")
    assert sent(recorder) == ["POST"]


def test_an_upload_knows_no_special_status(recorder: Recorder, platform: Platform) -> None:
    identifier = new_environment(platform)
    recorder.fault(method="POST", path="/versions/$", status=404, json={"message": "gone"})
    with pytest.raises(ApiError, match=r"response 404 Not Found .*gone") as caught:
        platform.upload("POST", f"/executionEnvironments/{identifier}/versions/", {}, [])
    assert not isinstance(caught.value, NotFoundError)


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_get_is_tried_five_times(recorder: Recorder, platform: Platform, status: int) -> None:
    identifier = new_environment(platform)
    recorder.fault(method="GET", path="/", count=4, status=status, json=BUSY)
    assert platform.get(f"/executionEnvironments/{identifier}/")["id"] == identifier
    recorder.faults.clear()
    recorder.fault(method="GET", path="/", count=9, status=status, text="<html>")
    with pytest.raises(ApiError, match=f"response {status} .*<html>"):
        platform.get(f"/executionEnvironments/{identifier}/")
    assert sent(recorder) == ["POST"] + ["GET"] * 10


def test_a_post_whose_connection_breaks_is_sent_again(recorder: Recorder, platform: Platform) -> None:
    recorder.fault(method="POST", path="/", mode="drop-after")
    new_environment(platform)
    assert len(recorder.environments) == 2


def test_an_upload_whose_connection_breaks_is_not_sent_again(recorder: Recorder, platform: Platform) -> None:
    identifier = new_environment(platform)
    recorder.fault(method="POST", path="/versions/$", mode="drop", count=9)
    url = f"{recorder.base}/api/v2/executionEnvironments/{identifier}/versions/"
    with pytest.raises(ApiError) as caught:
        platform.upload("POST", f"/executionEnvironments/{identifier}/versions/", {}, [])
    assert str(caught.value) == f'could not send request: Post "{url}": EOF'
    assert sent(recorder) == ["POST", "POST"]


def test_a_get_over_a_dying_connection_gets_one_more_try(recorder: Recorder, platform: Platform) -> None:
    identifier = new_environment(platform)
    recorder.fault(method="GET", path="/", mode="drop", count=99)
    with pytest.raises(ApiError, match=r'failed: Get "http.*": EOF$'):
        platform.get(f"/executionEnvironments/{identifier}/")
    assert sent(recorder) == ["POST"] + ["GET"] * 6


@pytest.mark.parametrize(
    ("endpoint", "text"),
    [
        ("not-a-url", 'POST request not-a-url/x/ failed: Post "not-a-url/x/": unsupported protocol scheme ""'),
        (
            "http://127.0.0.1:1/api/v2",
            'POST request http://127.0.0.1:1/api/v2/x/ failed: Post "http://127.0.0.1:1/api/v2/x/": '
            "dial tcp 127.0.0.1:1: connect: connection refused",
        ),
    ],
)
def test_wrong_endpoints(endpoint: str, text: str) -> None:
    with pytest.raises(ApiError) as caught:
        at(endpoint).post("/x/", {})
    assert str(caught.value) == text


@pytest.mark.parametrize("token", ["line\nbreak", "snow\u2603man"])
def test_a_token_that_cannot_be_a_header_is_refused_without_showing_it(recorder: Recorder, token: str) -> None:
    with pytest.raises(ApiError) as caught:
        at(f"{recorder.base}/api/v2", token).get("/x/")
    assert "invalid header field value" in str(caught.value)
    assert token not in str(caught.value)
    assert not recorder.requests


def test_no_error_shows_the_token(recorder: Recorder, platform: Platform) -> None:
    for fault in ({"status": 401}, {"status": 500, "text": "x"}, {"mode": "drop", "count": 9}):
        recorder.faults.clear()
        recorder.fault(method="POST", path="/", **fault)
        with pytest.raises(ApiError) as caught:
            new_environment(platform)
        assert TOKEN not in repr(caught.value)


@pytest.mark.parametrize(("body", "text"), [("", "unexpected end of JSON input"), ("<html>", "invalid character '<'")])
def test_an_answer_that_is_no_json(recorder: Recorder, platform: Platform, body: str, text: str) -> None:
    recorder.fault(method="GET", path="/", status=200, text=body)
    with pytest.raises(ApiError, match=f"failed to unmarshal response: {text}"):
        platform.get("/x/")


@pytest.mark.parametrize(("method", "status"), [("PATCH", 202), ("PATCH", 204), ("DELETE", 200), ("DELETE", 204)])
def test_answers_that_may_be_empty(recorder: Recorder, platform: Platform, method: str, status: int) -> None:
    recorder.fault(method=method, path="/", status=status, text="")
    call: Any = {"PATCH": lambda: platform.patch("/x/", {}), "DELETE": lambda: platform.delete("/x/")}[method]
    assert call() is None


def test_redirects_are_refused(recorder: Recorder, platform: Platform) -> None:
    recorder.fault(method="GET", path="/", status=302, json={}, headers={"Location": "/elsewhere"})
    with pytest.raises(ApiError, match="^request was redirected$"):
        platform.get("/x/")


def test_waiting_ends_when_time_is_up_or_the_engine_cancels() -> None:
    client = at("http://127.0.0.1:1", poll=0.001, give_up=0.01)
    with pytest.raises(ApiError, match="^application is not ready$"):
        client.wait(lambda: "application is not ready")
    looks = iter(["no", "no", ""])
    at("http://127.0.0.1:1").wait(lambda: next(looks))
    cancelled = at("http://127.0.0.1:1", poll=60.0)
    cancelled.cancelled.set()
    with pytest.raises(ApiError, match="context canceled"):
        cancelled.wait(lambda: "no")


def test_json_is_written_as_go_writes_it() -> None:
    assert go_json({"a": "<é&>", "b": [1, None, True]}) == '{"a":"\\u003cé\\u0026\\u003e","b":[1,null,true]}'
