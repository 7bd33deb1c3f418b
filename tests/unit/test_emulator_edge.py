"""The edge of the local platform: who gets in, what an application learns of its visitor, and pages for the rest."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.contract.local_platform import LocalPlatform, local_platform
from toolkit.emulator.edge import COOKIE
from toolkit.front import Target

PAGE = {"Accept": "text/html,application/xhtml+xml"}


class Upstream(BaseHTTPRequestHandler):
    """An application that answers with what it was asked."""

    def do_GET(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        assert isinstance(self.server, ThreadingHTTPServer)
        seen = {
            "port": self.server.server_port,
            "path": self.path,
            "headers": {name.lower(): value for name, value in self.headers.items()},
            "body": self.rfile.read(size).decode(),
        }
        content = json.dumps(seen).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: Any) -> None:
        return


@pytest.fixture(scope="module")
def upstreams() -> Iterator[list[int]]:
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), Upstream) for _ in range(2)]
    for server in servers:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield [server.server_address[1] for server in servers]
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPlatform]:
    with local_platform(tmp_path_factory.mktemp("platform")) as running:
        yield running


def make(platform: LocalPlatform, **resources: Any) -> str:
    """Put an application into the store; nothing serves it yet."""
    store = platform.store
    scope = resources.pop("scope", None)
    environment = store.create_environment("env", "", "other", [])["id"]
    built = store.create_environment_version(environment, "", b"", "context.zip")["id"]
    source = store.create_source(f"source {store.find('source')[1]}")["id"]
    fields = {"baseEnvironmentVersionId": built, "resources": resources, "requiredKeyScopeLevel": scope}
    version = store.create_source_version(source, fields)["id"]
    return str(store.create_application({"applicationSourceVersionId": version})["id"])


def serve(platform: LocalPlatform, application: str, *ports: int, mode: Any = "strip") -> str:
    """Let the application be served by these ports; gives its address."""
    platform.runner.served[application] = tuple(Target("127.0.0.1", port, application, mode) for port in ports)
    platform.runner.become(application, "running")
    return f"{platform.url}/custom_applications/{application}/"


@pytest.fixture
def token(platform: LocalPlatform) -> dict[str, str]:
    return {"Authorization": f"Bearer {platform.identity.full.reveal()}"}


@pytest.fixture
def visitor() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False, timeout=20) as client:
        yield client


def name(platform: LocalPlatform) -> str:
    """Give the name of this platform's cookie."""
    return f"{COOKIE}-{platform.identity.instance.removeprefix('emulator-')}"


def link(platform: LocalPlatform, token: dict[str, str], target: Any) -> str:
    response = httpx.post(
        f"{platform.url}/__emulator__/sign-in-link", headers=token, json={"next": target}, trust_env=False
    )
    assert response.status_code == 200
    return platform.url + str(response.json()["path"])


def test_a_link_signs_in_once(platform: LocalPlatform, token: dict[str, str], upstreams: list[int]) -> None:
    url = serve(platform, make(platform), upstreams[0])
    path = urlsplit(url).path
    address = link(platform, token, f"{path}?tab=2&q=a%20b")
    with httpx.Client(trust_env=False) as visitor:
        assert visitor.head(address).status_code == 405  # what looks at links beforehand must not use them up
        welcome = visitor.get(address)
        assert (welcome.status_code, welcome.headers["Location"]) == (303, f"{path}?tab=2&q=a%20b")
        cookie = welcome.headers["Set-Cookie"]
        assert cookie.startswith(f"{name(platform)}=")
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie
        assert "Path=/" in cookie
        assert platform.identity.cookie.reveal() not in cookie
        assert visitor.get(url).status_code == 200
    with httpx.Client(trust_env=False) as somebody_else:
        again = somebody_else.get(address)
        assert "has been used or is too old" in again.text
        assert "Set-Cookie" not in again.headers


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/x",
        "//evil.example/x",
        "///evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "/a\r\nSet-Cookie: a=b",
        "http://[",
        "javascript:alert(1)",
        "",
        "x",
        "/x\n",
        "/\x00",
        7,
        ["/x"],
        None,
    ],
    ids=repr,
)
def test_a_sign_in_never_leads_to_another_host(platform: LocalPlatform, token: dict[str, str], target: Any) -> None:
    with httpx.Client(trust_env=False) as visitor:
        assert visitor.get(link(platform, token, target)).headers["Location"] == "/"
        form = {"token": platform.identity.full.reveal(), "next": target if isinstance(target, str) else ""}
        assert visitor.post(f"{platform.url}/sign-in", data=form).headers["Location"] == "/"


def test_a_target_keeps_its_characters(platform: LocalPlatform, token: dict[str, str]) -> None:
    with httpx.Client(trust_env=False) as visitor:
        for target, location in (("/ä/%2f?a=1", "/%C3%A4/%2f?a=1"), ('/"<', "/%22%3C"), ("/\ud800", "/%3F")):
            content = json.dumps({"next": target})
            response = visitor.post(f"{platform.url}/__emulator__/sign-in-link", headers=token, content=content)
            if target == "/\ud800":
                assert response.status_code == 422
                continue
            assert visitor.get(platform.url + response.json()["path"]).headers["Location"] == location


@pytest.mark.parametrize("content", [b"{", b"[]", b"7", b"\xff", b"[" * 100_000])
def test_a_link_needs_a_body_and_the_full_token(
    platform: LocalPlatform, token: dict[str, str], visitor: httpx.Client, content: bytes
) -> None:
    address = f"{platform.url}/__emulator__/sign-in-link"
    assert visitor.post(address, headers=token, content=content).status_code == 422
    assert visitor.post(address, content=b"{}").status_code == 401
    restricted = {"Authorization": f"Bearer {platform.identity.restricted.reveal()}"}
    assert visitor.post(address, headers=restricted, content=b"{}").status_code == 403


def test_the_form_takes_the_full_token_only(platform: LocalPlatform, visitor: httpx.Client) -> None:
    address = f"{platform.url}/sign-in"
    shown = visitor.get(f'{address}?next=/x"><script>')
    assert shown.status_code == 200
    assert "<script>" not in shown.text
    for bad in ("", "wrong", platform.identity.restricted.reveal(), "\u00e4"):
        refused = visitor.post(address, data={"token": bad})
        assert refused.status_code == 401
        assert "Set-Cookie" not in refused.headers
        assert bad not in refused.text or not bad or bad == "wrong"
    assert visitor.post(address, content=b"x" * 100_000).status_code == 413
    assert visitor.post(address, content=b"\xff\xfe").status_code == 401
    welcome = visitor.post(address, data={"token": f" {platform.identity.full.reveal()} ", "next": "/x"})
    assert (welcome.status_code, welcome.headers["Location"]) == (303, "/x")


def test_strangers_are_sent_to_sign_in_or_refused(
    platform: LocalPlatform, upstreams: list[int], visitor: httpx.Client
) -> None:
    url = serve(platform, make(platform), upstreams[0])
    there = visitor.get(f"{url}a%2Fb?x=1&y=2", headers=PAGE)
    assert there.status_code == 302
    assert parse_qs(urlsplit(there.headers["Location"]).query)["next"] == [urlsplit(url).path + "a%2Fb?x=1&y=2"]
    for headers in (
        {},
        {"Authorization": "Bearer wrong"},
        {"Cookie": f"{name(platform)}=wrong"},
        {"Authorization": "Basic eA=="},
    ):
        refused = visitor.get(url, headers=headers)
        assert (refused.status_code, refused.headers["Content-Type"]) == (401, "application/json")
        assert refused.json()["message"]
    assert visitor.get(url, headers={"Cookie": f"{name(platform)}=\u00e4".encode()}).status_code == 401


def test_the_app_learns_who_comes_but_not_how_they_got_in(
    platform: LocalPlatform, token: dict[str, str], upstreams: list[int], visitor: httpx.Client
) -> None:
    url = serve(platform, make(platform), upstreams[0])
    forged = {
        "Cookie": f"theme=dark; {name(platform)}=stolen; lang=de",
        "x-user-email": "boss@example.com",
        "x-user-id": "1",
        "X-DataRobot-Api-Key": "forged",
        "X-Custom": "kept",
    }
    seen = visitor.post(f"{url}api/x?a=%2F", headers={**token, **forged}, content=b"body").json()
    headers = seen["headers"]
    assert (seen["path"], seen["body"]) == ("/api/x?a=%2F", "body")
    assert "authorization" not in headers
    assert headers["cookie"] == "theme=dark; lang=de"
    assert headers["x-user-email"] == platform.identity.email
    assert headers["x-user-id"] == platform.identity.user_id
    assert "x-datarobot-api-key" not in headers
    assert headers["x-custom"] == "kept"
    assert headers["x-forwarded-prefix"] == urlsplit(url).path.rstrip("/")
    visitor.get(link(platform, token, "/"))
    seen = visitor.get(url).json()
    assert "cookie" not in seen["headers"]
    assert platform.identity.session.reveal() not in json.dumps(seen)


def test_an_app_that_asks_for_it_gets_a_key_of_the_visitor(
    platform: LocalPlatform, token: dict[str, str], upstreams: list[int], visitor: httpx.Client
) -> None:
    url = serve(platform, make(platform, scope="viewer"), upstreams[0])
    key = visitor.get(url, headers=token).json()["headers"]["x-datarobot-api-key"]
    assert key not in (platform.identity.full.reveal(), platform.identity.restricted.reveal())
    with platform.client(key) as api:
        assert api.get("useCases/?limit=1").status_code == 200
        assert api.post("useCases/", json={"name": "x"}).status_code == 403


def test_both_modes_of_paths(
    platform: LocalPlatform, token: dict[str, str], upstreams: list[int], visitor: httpx.Client
) -> None:
    application = make(platform)
    url = serve(platform, application, upstreams[0], mode="keep")
    assert visitor.get(f"{url}x", headers=token).json()["path"] == f"/apps/{application}/x"
    serve(platform, application, upstreams[0])
    assert visitor.get(f"{url}x", headers=token).json()["path"] == "/x"


def test_the_address_without_the_slash_leads_to_the_one_with_it(platform: LocalPlatform, visitor: httpx.Client) -> None:
    for given, location in (("abc?x=1", "abc/?x=1"), ("abc", "abc/"), ("%0d%0aX: y", "%0D%0AX%3A%20y/")):
        response = visitor.get(f"{platform.url}/custom_applications/{given}")
        assert (response.status_code, response.headers["Location"]) == (302, f"/custom_applications/{location}")


def test_replicas_by_turns_or_by_visitor(
    platform: LocalPlatform, token: dict[str, str], upstreams: list[int], visitor: httpx.Client
) -> None:
    url = serve(platform, make(platform, replicas=2), *upstreams)
    assert {visitor.get(url, headers=token).json()["port"] for _ in range(4)} == set(upstreams)
    url = serve(platform, make(platform, replicas=2, sessionAffinity=True), *upstreams)
    assert len({visitor.get(url, headers=token).json()["port"] for _ in range(4)}) == 1


def test_pages_for_what_is_not_there(platform: LocalPlatform, token: dict[str, str], visitor: httpx.Client) -> None:
    application = make(platform)
    url = f"{platform.url}/custom_applications/{application}/"
    starting = visitor.get(url, headers={**token, **PAGE})
    assert starting.status_code == 503
    assert '<meta http-equiv="refresh"' in starting.text
    assert starting.headers["Cache-Control"] == "no-store"
    program = visitor.get(url, headers=token)
    assert (program.status_code, program.headers["Content-Type"]) == (503, "application/json")
    platform.runner.become(application, "failed", "<script>alert(1)</script>", "last line")
    failed = visitor.get(url, headers={**token, **PAGE})
    assert failed.status_code == 503
    assert "&lt;script&gt;" in failed.text
    assert "<script>" not in failed.text
    assert "refresh" not in failed.text
    assert "last line" in visitor.get(url, headers=token).json()["message"]
    absent = f"{platform.url}/custom_applications/0123456789abcdef01234567/x"
    assert visitor.get(absent, headers={**token, **PAGE}).status_code == 404
    assert visitor.get(absent, headers=token).json()["message"]


def test_an_app_that_does_not_answer_is_a_bad_gateway(
    platform: LocalPlatform, token: dict[str, str], visitor: httpx.Client
) -> None:
    url = serve(platform, make(platform), 1)
    assert visitor.get(url, headers=token).status_code == 502


def test_an_id_with_escapes_is_no_way_around_the_prefix(
    platform: LocalPlatform, token: dict[str, str], upstreams: list[int], visitor: httpx.Client
) -> None:
    application = make(platform)
    serve(platform, application, upstreams[0])
    odd = f"{platform.url}/custom_applications/%{ord(application[0]):02x}{application[1:]}/x"
    response = visitor.request("GET", odd, headers=token, extensions={"target": urlsplit(odd).path.encode()})
    assert response.status_code in (200, 404)
    assert response.status_code == 404 or response.json()["path"] == "/x"


def test_pages_that_people_ask_for_are_counted(
    platform: LocalPlatform, token: dict[str, str], upstreams: list[int]
) -> None:
    application = make(platform)
    url = serve(platform, application, upstreams[0])
    with platform.client() as api:
        path = f"customApplications/{application}/usages/"
        assert api.get(path).json()["data"] == []
        for accept in ("text/html,*/*", "application/json", "text/html"):
            httpx.get(url, headers={**token, "Accept": accept}, trust_env=False).raise_for_status()
        found = api.get(path, params={"limit": 1}).json()
        assert (found["count"], found["totalCount"]) == (1, 2)
        assert found["data"][0]["username"] == platform.identity.email
        assert found["data"][0]["visitTimestamp"].endswith("Z")
        assert api.get(f"customApplications/{'0' * 24}/usages/").status_code == 404
        api.delete(f"customApplications/{application}/")
