"""Proved releases on the platform, for whoever shares the state of a stack but not a folder with it.

A state in a cloud or a bucket is there on every machine; what a rollback needs has to be there too. A release is kept
as an application source of its own, with one file in it, that no application runs: `<app>-<stack>-release-<mark>-<id>`.
The file is a ZIP archive in base64, for the platform gives the content of a file as text (platform-contract 1.3). The
last three stay. The runtime `.env` is in none of them.

Others may have a source of such a name there, too. So only what the history of the stack knows is fetched: the state is
what the people of a stack trust each other with.
"""

from __future__ import annotations

import base64
import binascii
import io
import re
import secrets
import shutil
import zipfile
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit import releases
from toolkit.releases import KEPT, SHORT, Kept

if TYPE_CHECKING:
    from toolkit.datarobot import Client

FILE = "release.zip.base64"
_ID = re.compile(rf"[0-9a-f]{{{SHORT}}}")
SENT = "on-platform"  # a file beside a kept release that says that the platform has it: mark of the stack, id there


def words(mark: str) -> str:
    """Give what is in the name of every kept release of a stack."""
    return f"-release-{mark}-"


def is_sent(kept: Kept) -> bool:
    """Whether the platform has a release already, or had it."""
    return bool(_sent(kept.folder))


def push(
    client: Client, base_name: str, mark: str, kept: Kept, *, again: bool = False, instead: Collection[str] = ()
) -> bool:
    """Keep a release on the platform as the newest, and let go of what is older than the last three.

    Says whether it was sent; it is not when it is the newest there already, unless `again`. `instead` are the ids of
    releases whose place it takes. Raises what the client raises.
    """
    if not mark:
        return False
    there = client.sources_marked(words(mark))
    same = [one for one in there if one["name"].endswith(f"{words(mark)}{kept.id}")]
    newest = max((_made(one) for one in there), default="")
    current = [str(one["id"]) for one in same if _is_whole(one) and _made(one) == newest]
    held = current[0] if current and not again else ""
    if not held:
        for old in same:
            client.delete("source", str(old["id"]))
        held = client.put_source(f"{base_name}{words(mark)}{kept.id}", FILE, base64.b64encode(_packed(kept.folder)))
    twins = [one for one in there if one["name"].endswith(tuple(f"{words(mark)}{twin}" for twin in instead))]
    others = sorted((one for one in there if one not in (*same, *twins)), key=_made, reverse=True)
    for old in (*twins, *others[KEPT - 1 :]):
        client.delete("source", str(old["id"]))
    (kept.folder / SENT).write_text(f"{mark} {held}")
    return held not in current


def pull(client: Client, mark: str, shelf: Path, deployed: Collection[tuple[str, str]]) -> int:
    """Fetch what the platform has and the shelf has not, or not as it was sent last; give how many there were.

    Only a release whose id and seal are among those of `deployed` is taken.

    What was kept for another stack of this name, which is gone, goes, too. Raises what the client raises.
    """
    if not mark:
        return 0
    for kept in releases.kept(shelf):
        if (sent := _sent(kept.folder)) and not sent.startswith(mark):
            shutil.rmtree(kept.folder, ignore_errors=True)
    fetched = 0
    for source in client.sources_marked(words(mark)):
        name = str(source["name"])[-SHORT:]
        folder, note = shelf / name, f"{mark} {source['id']}"
        if not _ID.fullmatch(name) or _sent(folder) == note:
            continue
        if _unpacked(client.source_file(source, FILE), folder, note, deployed):
            fetched += 1
    return fetched


def _sent(folder: Path) -> str:
    with suppress(OSError):
        return (folder / SENT).read_text()
    return ""


def _is_whole(source: Mapping[str, Any]) -> bool:
    """Whether the file of a release has come; when sending it broke off, there is a version without it."""
    items = (source.get("latestVersion") or {}).get("items") or ()
    return any(item.get("filePath") == FILE for item in items)


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


def _unpacked(text: str, folder: Path, note: str, known: Collection[tuple[str, str]]) -> bool:
    """Put a release onto the shelf; one that is damaged, not whole or not `known` is left where it is."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = folder.parent / f".{secrets.token_hex(6)}"
    try:
        with zipfile.ZipFile(io.BytesIO(base64.b64decode(text, validate=True))) as archive:
            for entry in archive.infolist():
                path = Path(archive.extract(entry, draft))
                path.chmod(entry.external_attr >> 16 & 0o777 or 0o644)
        (draft / SENT).write_text(note)
        found = releases.read(draft)
        if found is None or found.id != folder.name or (found.id, found.seal) not in known or not found.is_whole:
            raise ValueError
        shutil.rmtree(folder, ignore_errors=True)
        draft.rename(folder)
    except (binascii.Error, ValueError, zipfile.BadZipFile, OSError):
        shutil.rmtree(draft, ignore_errors=True)
        return False
    return True
