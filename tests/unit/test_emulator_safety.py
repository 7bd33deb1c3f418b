"""What is too large, or no request at all, is refused with clear JSON; nothing of it costs memory or a traceback."""

from __future__ import annotations

import gzip
import io
import json
import socket
import tarfile
import tracemalloc
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.contract.local_platform import LocalPlatform, local_platform
from toolkit.emulator import answers, context, listening, uploads
from toolkit.emulator.context import BadContext, unpack


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPlatform]:
    with local_platform(tmp_path_factory.mktemp("platform")) as running:
        yield running


@pytest.fixture
def token(platform: LocalPlatform) -> str:
    return platform.identity.full.reveal()


def raw(platform: LocalPlatform, data: bytes) -> tuple[int, dict[str, str], Any]:
    """Send bytes; give status, headers and the JSON of the answer."""
    with socket.create_connection(("127.0.0.1", int(platform.url.rsplit(":", 1)[1])), timeout=10) as connection:
        connection.sendall(data)
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
    head, _, body = received.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    return int(first.split()[1]), headers, json.loads(body)


@pytest.mark.parametrize(
    ("data", "status", "words"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 70_000 + b"\r\n\r\n", 431, "longer than 64 KB"),
        (b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 431, "longer than 64 KB"),
        (b"hello there\r\n\r\n", 400, "no HTTP request"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, "no HTTP request"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5x\r\n\r\n", 400, "no HTTP request"),
        (b"POST /api/v2/x/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400, ""),
        (b"GET / HTTP/1.1\r\nHost: x\r\nBad Header: 1\r\n\r\n", 400, "no HTTP request"),
    ],
    ids=["header", "address", "text", "TLS", "length", "two lengths", "name"],
)
def test_what_is_no_request_gets_a_clear_answer(
    platform: LocalPlatform, data: bytes, status: int, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    found, headers, body = raw(platform, data)
    assert (found, headers["content-type"]) == (status, "application/json")
    assert words in body["message"]
    assert "Traceback" not in caplog.text


def test_a_body_that_is_too_large_is_refused_whether_it_says_so_or_not(
    platform: LocalPlatform, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "LARGEST_JSON", 2**20)
    monkeypatch.setattr(uploads, "LARGEST_UPLOAD", 2**20)
    headers = {"Authorization": f"Bearer {token}"}
    url = f"{platform.url}/api/v2/customApplicationSources/"
    large = b'{"name": "' + b"x" * 2**21 + b'"}'
    for content in (large, iter([large[: 2**20], large[2**20 :]])):
        refused = httpx.post(url, content=content, headers=headers, trust_env=False)
        assert refused.status_code == 422
        assert "larger than 1 MB" in refused.json()["message"]
    source = httpx.post(url, json={"name": "s"}, headers=headers, trust_env=False).json()["id"]
    form = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + b"x" * 2**21 + b"\r\n--b--\r\n"
    multipart = {**headers, "Content-Type": "multipart/form-data; boundary=b"}
    for content in (form, iter([form])):
        refused = httpx.post(f"{url}{source}/versions/", content=content, headers=multipart, trust_env=False)
        assert refused.status_code == 422
        assert "larger than 1 MB" in refused.json()["message"]


@pytest.mark.parametrize(
    "path", ["../x", "/etc/passwd", "a/../../x", "a//b", "./x", "a\\b", "x\0y", "", "a/", "x" * 2000]
)
def test_the_path_of_a_file_cannot_lead_out(platform: LocalPlatform, token: str, path: str) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    url = f"{platform.url}/api/v2/customApplicationSources/"
    source = httpx.post(url, json={"name": f"s {path!r}"[:200]}, headers=headers, trust_env=False).json()["id"]
    parts: list[tuple[str, Any]] = [("file", ("f", b"x")), ("filePath", (None, path))]
    refused = httpx.post(f"{url}{source}/versions/", files=parts, headers=headers, trust_env=False)
    assert refused.status_code == 422
    assert "filePath" in refused.json()["errors"]


def bomb_of_headers(size: int) -> bytes:
    """A small gzip whose tar has an extended header of a huge size: tarfile would read it into memory."""
    stream = io.BytesIO()
    with gzip.GzipFile(fileobj=stream, mode="wb") as packed:
        info = tarfile.TarInfo("pax")
        info.type, info.size = tarfile.XHDTYPE, size
        packed.write(info.tobuf(tarfile.USTAR_FORMAT))
        for _ in range(size // 2**20):
            packed.write(bytes(2**20))
    return stream.getvalue()


def test_a_header_that_unpacks_to_far_too_much_is_refused_in_little_memory(tmp_path: Path) -> None:
    archive = bomb_of_headers(300 * 2**20)
    assert len(archive) < 2**20
    tracemalloc.start()
    with pytest.raises(BadContext):
        unpack(io.BytesIO(archive), tmp_path)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 64 * 2**20


def test_a_zip_that_lies_about_its_size_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context, "MOST_BYTES", 2**20)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", bytes(8 * 2**20))
    honest = stream.getvalue()
    lying = honest.replace((8 * 2**20).to_bytes(4, "little"), (100).to_bytes(4, "little"))
    assert lying != honest
    for content in (honest, lying):
        with pytest.raises(BadContext):
            unpack(io.BytesIO(content), tmp_path)


def test_as_many_headers_as_a_browser_sends_pass(platform: LocalPlatform, token: str) -> None:
    headers = {"Authorization": f"Bearer {token}", "Cookie": "x" * (listening.LONGEST_HEADER - 100)}
    headers.update({f"x-{number}": "y" for number in range(80)})
    assert httpx.get(f"{platform.url}/api/v2/version/", headers=headers, trust_env=False).status_code == 200
