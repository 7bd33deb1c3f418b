"""Proved releases on the platform, for whoever shares the state of a stack but not a folder with it.

A state in a cloud or a bucket is there on every machine; what a rollback needs has to be there too. A release is kept
as an application source of its own, with one file in it, that no application runs: `<app>-<stack>-release-<mark>-<id>`.
The file is a ZIP archive in base64, for the platform gives the content of a file as text (platform-contract 1.3). The
last three stay. The runtime `.env` is in none of them.
"""

from __future__ import annotations

import base64
import binascii
import io
import secrets
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit import releases
from toolkit.releases import KEPT, SHORT, Kept

if TYPE_CHECKING:
    from toolkit.datarobot import Client

FILE = "release.zip.base64"
SENT = "on-platform"  # a file beside a kept release that says that the platform has it, for the stack of this mark


def words(mark: str) -> str:
    """Give what is in the name of every kept release of a stack."""
    return f"-release-{mark}-"


def push(client: Client, base_name: str, mark: str, kept: Kept) -> bool:
    """Keep a release on the platform, and let go of what is older than the last three; says whether it was sent.

    Raises what the client raises.
    """
    sent = kept.folder / SENT
    if not mark or (sent.exists() and sent.read_text() == mark):
        return False
    name = f"{base_name}{words(mark)}{kept.id}"
    there = client.sources_marked(words(mark))
    same = [one for one in there if one["name"] == name]
    if not any(one.get("latestVersion") for one in same):
        for broken in same:
            client.delete("source", str(broken["id"]))
        client.put_source(name, FILE, base64.b64encode(_packed(kept.folder)))
    others = sorted((one for one in there if one["name"] != name), key=_made, reverse=True)
    for old in others[KEPT - 1 :]:
        client.delete("source", str(old["id"]))
    sent.write_text(mark)
    return True


def pull(client: Client, mark: str, shelf: Path) -> int:
    """Fetch what the platform has and the shelf has not; give how many there were. Raises what the client raises."""
    there = {kept.id for kept in releases.kept(shelf)}
    fetched = 0
    for source in client.sources_marked(words(mark)) if mark else ():
        name = str(source["name"])[-SHORT:]
        if name not in there and _unpacked(client.source_file(source, FILE), shelf, name, mark):
            fetched += 1
    return fetched


def _made(source: Mapping[str, Any]) -> str:
    return str(source.get("createdAt") or "")


def _packed(folder: Path) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.name != SENT:
                entry = zipfile.ZipInfo(path.relative_to(folder).as_posix())
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.external_attr = (path.stat().st_mode & 0o777) << 16
                archive.writestr(entry, path.read_bytes())
    return packed.getvalue()


def _unpacked(text: str, shelf: Path, name: str, mark: str) -> bool:
    """Put a release onto the shelf; one that is damaged or not whole is left where it is."""
    shelf.mkdir(parents=True, exist_ok=True)
    draft = shelf / f".{secrets.token_hex(6)}"
    try:
        with zipfile.ZipFile(io.BytesIO(base64.b64decode(text, validate=True))) as archive:
            for entry in archive.infolist():
                path = Path(archive.extract(entry, draft))
                path.chmod(entry.external_attr >> 16 & 0o777 or 0o644)
        (draft / SENT).write_text(mark)
        draft.rename(shelf / name)
    except (binascii.Error, ValueError, zipfile.BadZipFile, OSError):
        shutil.rmtree(draft, ignore_errors=True)
        return False
    return True
