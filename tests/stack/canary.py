"""Looks for marked secrets in every form in which they could get out."""

from __future__ import annotations

import base64
import io
import json
import os
import tarfile
import threading
import time
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import docker
from docker.models.images import Image

from toolkit.image.model import LOG_LABEL

FIRST = 10  # so many characters of a token are known to betray it (an app of the field prints them)


def forms(secret: str) -> dict[str, tuple[bytes, ...]]:
    """Give the byte strings that betray a secret, by the name of the form."""
    value = secret.encode()
    in_base64 = [
        encode(b"\0" * shift + value)[4 if shift else 0 : -4]
        for shift in range(3)
        for encode in (base64.b64encode, base64.urlsafe_b64encode)
    ]
    escaped = json.dumps(secret)[1:-1]
    found = {
        "plain": (value,),
        "base64": tuple(in_base64),
        "URL-encoded": (quote(secret, safe="").encode(),),
        "JSON-escaped": (escaped.encode(), escaped.replace("/", "\\/").encode()),
        "first characters": (value[:FIRST],),
    }
    return {name: tuple(dict.fromkeys(one for one in given if one)) for name, given in found.items()}


def leaks(where: str, data: bytes, secrets: Iterable[str]) -> Iterator[str]:
    """Say in which forms which of the secrets is in `data`; archives are looked into, the runtime `.env` is not."""
    for number, secret in enumerate(secrets):
        for form, looks in forms(secret).items():
            if any(one in data for one in looks):
                yield f"{where}: secret {number}, {form}"
    if data[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            for name in packed.namelist():
                if name != ".env":
                    yield from leaks(f"{where}!{name}", packed.read(name), secrets)


def leaks_of_folder(folder: Path, secrets: Iterable[str], *, but: Iterable[Path] = ()) -> Iterator[str]:
    """Look into every file below a folder but those that hold the secret on purpose."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not any(path == one or one in path.parents for one in but):
            with suppress(FileNotFoundError):
                yield from leaks(str(path.relative_to(folder)), path.read_bytes(), secrets)


def leaks_of_image(saved: Iterable[bytes], secrets: Iterable[str]) -> Iterator[str]:
    """Look into every file of every layer of a saved image, and into its configuration."""
    whole = io.BytesIO(b"".join(saved))
    with tarfile.open(fileobj=whole) as image:
        for member in image:
            stream = image.extractfile(member) if member.isfile() else None
            if stream is not None:
                # layers are plain archives: what is in their files is in their bytes
                yield from leaks(f"image!{member.name}", stream.read(), secrets)


def images_that_said(engine: docker.DockerClient, word: str) -> list[Image]:
    """Give the images of apps whose build-app.sh printed `word`."""
    listed = {one["Id"]: one["Labels"][LOG_LABEL] for one in engine.api.images(filters={"label": LOG_LABEL})}
    return [
        engine.images.get(name)
        for name, packed in listed.items()
        if word in zlib.decompress(base64.b64decode(packed)).decode()
    ]


class Arguments:
    """Collects the command lines of all processes of this machine while it is watched."""

    def __init__(self) -> None:
        self.seen: set[bytes] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Arguments:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        known: set[str] = set()
        while not self._over.is_set():
            now = {name for name in os.listdir("/proc") if name.isdigit()}
            for pid in now - known:
                with suppress(OSError):
                    line = Path(f"/proc/{pid}/cmdline").read_bytes()
                    self.seen.add(line)
                    if b"python" not in line and b"sh\0" not in line:
                        known.add(pid)  # what may still become another program is looked at again
            known &= now
            time.sleep(0.005)

    def leaks(self, secrets: Iterable[str]) -> Iterator[str]:
        for line in sorted(self.seen):
            program = line.split(b"\0")[0].decode(errors="replace")
            yield from leaks(f"arguments of {program}", line.replace(b"\0", b" "), secrets)
