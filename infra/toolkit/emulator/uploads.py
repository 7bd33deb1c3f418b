"""Multipart bodies of the API: text fields and files, which go to the disk as they come (platform-contract 1.1)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import aiohttp
from aiohttp import web

from toolkit.emulator.answers import body
from toolkit.emulator.blobs import Draft
from toolkit.emulator.fields import Invalid, check, check_path, parse_object, wrong
from toolkit.emulator.store import Store

LARGEST_UPLOAD = 2**30
UPLOAD_CHUNK = 2**18


@dataclass(frozen=True)
class Part:
    """A file of a multipart body: the field it came in, its filename or filePath, its content."""

    field: str
    path: str
    content: Draft


@asynccontextmanager
async def multipart(request: web.Request, store: Store) -> AsyncIterator[tuple[dict[str, str], list[Part]]]:
    """Read a multipart body: text fields and files. What nobody has kept by the end is discarded. Raises Invalid."""
    drafts: list[Draft] = []
    try:
        yield await _parts(request, store, drafts)
    finally:
        for draft in drafts:
            draft.discard()


async def _parts(request: web.Request, store: Store, drafts: list[Draft]) -> tuple[dict[str, str], list[Part]]:
    too_large = f"The upload is larger than {LARGEST_UPLOAD // 2**20} MB."
    if not request.content_type.startswith("multipart/"):
        raise Invalid("The body is not multipart/form-data.")
    if (request.content_length or 0) > LARGEST_UPLOAD:
        raise Invalid(too_large)
    fields: dict[str, str] = {}
    paths: list[tuple[int, str]] = []
    files: list[Part] = []
    size = 0
    try:
        async for part in await request.multipart():
            if not isinstance(part, aiohttp.BodyPartReader):
                raise Invalid("The multipart body is nested.")
            drafts.append(draft := store.draft())
            while chunk := await part.read_chunk(UPLOAD_CHUNK):
                draft.write(chunk)
                size += len(chunk)
                if size > LARGEST_UPLOAD:
                    raise Invalid(too_large)
            if part.filename is not None:
                files.append(Part(part.name or "", part.filename, draft))
            elif part.name == "filePath":
                paths.append((len(files), draft.text()))
            else:
                fields[part.name or ""] = draft.text()
    except (ValueError, AssertionError, RuntimeError) as problem:
        raise Invalid(f"The multipart body cannot be read: {problem}") from None
    check({key: value for key, value in fields.items() if key != "resources"})
    return fields, _named(files, paths)


def _named(files: list[Part], paths: list[tuple[int, str]]) -> list[Part]:
    """Give every file its filePath; `paths` come with the number of files before them.

    The n-th path belongs to the n-th file, whether it follows its file or all come first (contract 1.1). Where there
    are fewer paths than files, a path belongs to the file before it.
    """
    if len(paths) > len(files):
        raise wrong(filePath="there are more of them than files")
    if len(paths) == len(files) or any(before == 0 for before, _ in paths):
        chosen = dict(enumerate(path for _, path in paths))
    else:
        chosen = {before - 1: path for before, path in paths}
    return [replace(file, path=chosen.get(number, file.path)) for number, file in enumerate(files)]


@asynccontextmanager
async def fields_and_files(
    request: web.Request, store: Store
) -> AsyncIterator[tuple[dict[str, Any], list[tuple[str, Draft]]]]:
    """Read a version's fields and files, from JSON or multipart. Raises Invalid, also for paths that lead out."""
    if not request.content_type.startswith("multipart/"):
        yield await body(request), []
        return
    async with multipart(request, store) as (text, parts):
        fields: dict[str, Any] = {key: value for key, value in text.items() if key not in ("resources", "replicas")}
        resources = parse_object(text.get("resources", "").encode())
        if "replicas" in text:
            resources["replicas"] = (
                int(text["replicas"]) if text["replicas"].isascii() and text["replicas"].isdigit() else 0
            )
        check({"resources": resources})
        if resources:
            fields["resources"] = resources
        files = [(part.path, part.content) for part in parts if part.field == "file"]
        for path, _ in files:
            check_path(path)
        yield fields, files
