from __future__ import annotations

import hashlib
import time
from collections.abc import Callable

import pytest

from toolkit import verify as module
from toolkit.errors import PermissionDenied, VerificationFailed
from toolkit.fetch import Response
from toolkit.settings import Secret
from toolkit.verify import Answered, VerifyResult, require, verify

BASE = "https://datarobot.test/custom_applications/abc/"
FILES = {"": b"<p>page</p>", "a.js": b"1", "b/c.css": b"2"}
SERVED = {path: hashlib.sha256(body).hexdigest() for path, body in FILES.items()}


class Platform:
    """Answers from `files`, unless `before` gives another answer for the nth round (a round begins with the page)."""

    def __init__(self, before: Callable[[int, str], Response | None] = lambda _round, _path: None) -> None:
        self.before = before
        self.rounds = 0
        self.asked: list[str] = []

    def __call__(self, url: str) -> Response:
        assert url.startswith(BASE)
        path = url.removeprefix(BASE)
        self.asked.append(path)
        self.rounds += path == ""
        special = self.before(self.rounds, path)
        if special is not None:
            return special
        if path not in FILES:
            return Response(url, 404, {}, b"")
        return Response(url, 200, {"content-type": "text/html" if path == "" else "text/javascript"}, FILES[path])


def run(platform: Platform, *, patience: float = 60.0, base: str = BASE) -> VerifyResult:
    return verify(
        base,
        SERVED,
        token=Secret("t"),
        deadline=time.monotonic() + patience,
        fetch=platform,
        sleep=lambda _seconds: None,
    )


def answer(status: int, body: bytes = b"", **headers: str) -> Response:
    return Response(BASE, status, {name.replace("_", "-"): value for name, value in headers.items()}, body)


def test_an_app_whose_own_page_asks_for_a_password_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    page = b"<form><input type=password></form>"
    monkeypatch.setitem(FILES, "", page)
    monkeypatch.setitem(SERVED, "", hashlib.sha256(page).hexdigest())
    assert run(Platform()).ok
    monkeypatch.setitem(FILES, "", page + b"<p>of the platform")
    assert run(Platform()).answered is Answered.SIGN_IN


def test_the_release_that_was_smoked_is_recognised() -> None:
    result = run(Platform(), base=BASE.rstrip("/"))
    assert result.ok
    assert set(result.matched) == set(FILES)
    require(result)


def test_it_waits_while_the_old_version_and_the_loading_page_answer() -> None:
    def before(round_: int, path: str) -> Response | None:
        if round_ <= 2:
            return answer(503, b"loading", content_type="text/html")
        if round_ <= 4 and path == "a.js":
            return answer(200, b"old", content_type="text/javascript")
        return None

    platform = Platform(before)
    result = run(platform)
    assert result.ok
    assert platform.rounds == 5
    assert platform.asked.count("b/c.css") == 1, "what was equal once is not asked again"


def test_another_version_is_named_with_its_files() -> None:
    def before(_round: int, path: str) -> Response | None:
        return {"a.js": answer(200, b"old"), "b/c.css": answer(404)}.get(path)

    result = run(Platform(before), patience=0.0)
    assert (result.ok, result.matched, result.differing, result.missing) == (False, ("",), ("a.js",), ("b/c.css",))
    with pytest.raises(VerificationFailed, match=r"serves another version, after 0 s: 2 of 3 files differ") as caught:
        require(result)
    assert caught.value.details == ("differs: ./a.js", "missing: ./b/c.css")


@pytest.mark.parametrize(
    ("response", "answered", "error", "words"),
    [
        (answer(401), Answered.REFUSED, PermissionDenied, "does not let this token in"),
        (answer(403), Answered.REFUSED, PermissionDenied, "does not let this token in"),
        (answer(302, location="/sign-in?next=x"), Answered.SIGN_IN, PermissionDenied, "does not let this token in"),
        (
            answer(200, b"<form><input type=password></form>", content_type="text/html"),
            Answered.SIGN_IN,
            PermissionDenied,
            "does not let",
        ),
        (answer(503), Answered.LOADING, VerificationFailed, "still shows that the application is starting"),
        (answer(404), Answered.ABSENT, VerificationFailed, "answers 404"),
        (answer(500), Answered.APP, VerificationFailed, "answers 500"),
        (
            Response(BASE, 0, {}, b"", "connection refused"),
            Answered.UNREACHABLE,
            VerificationFailed,
            "connection refused",
        ),
    ],
)
def test_who_answered_is_told_apart(response: Response, answered: Answered, error: type[Exception], words: str) -> None:
    result = run(Platform(lambda _round, _path: response), patience=0.0)
    assert result.answered is answered
    assert not result.ok
    with pytest.raises(error, match=words):
        require(result)


def test_an_edge_that_refuses_and_loads_in_turns_is_waited_for() -> None:
    answers = {1: answer(403), 2: answer(503), 3: answer(403), 4: answer(503), 5: answer(403)}
    assert run(Platform(lambda number, _path: answers.get(number))).ok


def test_a_refused_token_does_not_wait_for_the_deadline() -> None:
    slept: list[float] = []
    platform = Platform(lambda _round, _path: answer(403))
    result = verify(
        BASE,
        SERVED,
        token=Secret("t"),
        deadline=time.monotonic() + 1000,
        fetch=platform,
        sleep=slept.append,
    )
    assert result.answered is Answered.REFUSED
    assert 5 < sum(slept) < 15


def test_a_new_app_may_be_refused_for_some_seconds() -> None:
    assert run(Platform(lambda number, _path: answer(403) if number < 6 else None)).ok


def test_files_that_hang_are_waited_for_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROUND", 0.5)

    def hangs(_round: int, path: str) -> Response | None:
        if path:
            time.sleep(0.3)
        return Response(BASE + path, 0, {}, b"", "no answer") if path else None

    for number in range(60):
        monkeypatch.setitem(SERVED, f"{number}.js", SERVED["a.js"])
    began = time.monotonic()
    found = run(Platform(hangs), patience=0.1)
    assert time.monotonic() - began < 2.0
    assert len(found.missing) == len(SERVED) - 1
    with pytest.raises(VerificationFailed):
        require(found)


@pytest.mark.parametrize("path", ["https://evil.test/x", "//evil.test/x", "/x", "../other/x"])
def test_what_is_not_below_the_url_is_never_asked(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """The token goes with each request, and what was served may be told by others."""
    monkeypatch.setitem(SERVED, path, SERVED["a.js"])
    found = run(Platform(), patience=0)  # which takes nothing else
    assert (found.ok, found.missing) == (False, (path,))


def test_nothing_to_compare_still_asks_whether_the_app_answers() -> None:
    result = verify(BASE, {}, token=Secret("t"), deadline=time.monotonic(), fetch=Platform())
    assert result.ok
