"""The search for leaks finds a leak of every kind: otherwise that it finds none would say nothing."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.stack import canary

SECRET = 'Zq8/mark+ed&"value=0123456789abcdef'
PLANTED = {
    "plain": SECRET,
    "base64": base64.b64encode(SECRET.encode()).decode(),
    "base64 behind one byte": base64.b64encode(b":" + SECRET.encode()).decode(),
    "base64 behind two bytes": base64.b64encode(b"u:" + SECRET.encode() + b"...").decode(),
    "base64 for URLs": base64.urlsafe_b64encode(SECRET.encode()).decode(),
    "URL-encoded": quote(SECRET, safe=""),
    "JSON-escaped": json.dumps({"token": SECRET}),
    "JSON as some write it": json.dumps({"token": SECRET}).replace("/", "\\/"),
    "the first characters": SECRET[: canary.FIRST],
}


@pytest.mark.parametrize("form", PLANTED)
def test_a_planted_leak_of_every_form_is_found(form: str, tmp_path: Path) -> None:
    text = f"something before {PLANTED[form]} and behind"
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "a.log").write_text(text)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", text)
    (tmp_path / "context.zip").write_bytes(packed.getvalue())
    found = list(canary.leaks_of_folder(tmp_path, ["another-secret-of-this-test", SECRET]))
    assert {one.split(":")[0] for one in found} == {"logs/a.log", "context.zip!config.json"}
    assert all("secret 1" in one for one in found)


def test_a_planted_leak_in_a_layer_is_found() -> None:
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as inner:
        entry = tarfile.TarInfo("opt/code/.env")
        entry.size = len(SECRET)
        inner.addfile(entry, io.BytesIO(SECRET.encode()))
    image = io.BytesIO()
    with tarfile.open(fileobj=image, mode="w") as outer:
        entry = tarfile.TarInfo("abc/layer.tar")
        entry.size = len(layer.getvalue())
        outer.addfile(entry, io.BytesIO(layer.getvalue()))
    assert list(canary.leaks_of_image([image.getvalue()], [SECRET]))


def test_a_planted_leak_in_arguments_is_found() -> None:
    with canary.Arguments() as arguments:
        subprocess.run([sys.executable, "-c", "import time; time.sleep(0.3)", f"--token={SECRET}"], check=True)
        time.sleep(0.05)
    assert any("plain" in one for one in arguments.leaks([SECRET]))


def test_what_is_not_there_is_not_found(tmp_path: Path) -> None:
    (tmp_path / "stage").mkdir()
    (tmp_path / "stage" / ".env").write_text(SECRET)
    (tmp_path / "clean.log").write_text("nothing to see\n")
    assert list(canary.leaks_of_folder(tmp_path, [SECRET], but=[tmp_path / "stage" / ".env"])) == []
