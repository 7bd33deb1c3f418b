"""What every handler of the API reads and writes: tokens, bodies, pages, errors (platform-contract 1.1)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import aiohttp
from aiohttp import web

from toolkit.emulator.fields import Conflict, Invalid, NotFound, parse_object, wrong
from toolkit.emulator.objects import Body

MOST_PAGE, DEFAULT_PAGE = 100, 20
STATUS = {NotFound: 404, Conflict: 409, Invalid: 422}
LARGEST_JSON = 16 * 2**20
FURTHEST_OFFSET = 2**31


def visible(found: Body) -> Body:
    """Give an object without what only the emulator itself knows."""
    return {key: value for key, value in found.items() if not key.startswith("_")}


def bearer(request: web.BaseRequest) -> str:
    """Give the token of a request: the SDK says Token, everybody else Bearer (1.1)."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() in ("bearer", "token") else ""


def paging(request: web.Request) -> tuple[int, int]:
    """Read offset and limit. Raises Invalid."""
    try:
        offset, limit = int(request.query.get("offset", 0)), int(request.query.get("limit", DEFAULT_PAGE))
    except ValueError:
        raise wrong(limit="offset and limit have to be whole numbers") from None
    if not 0 <= offset <= FURTHEST_OFFSET or limit < 1:
        raise wrong(limit="offset cannot be negative or huge, limit has to be at least 1")
    return offset, min(limit, MOST_PAGE)


def answer(data: Any, status: int = 200) -> web.Response:
    """Answer with JSON; the content type is exactly application/json, as one client demands (1.1)."""
    return web.Response(status=status, body=json.dumps(data).encode(), content_type="application/json")


def error(status: int, message: str, errors: Mapping[str, str] | None = None) -> web.Response:
    """Answer with an error as the platform shapes it (1.1)."""
    return answer({"message": message, **({"errors": dict(errors)} if errors else {})}, status)


async def body(request: web.Request) -> dict[str, Any]:
    """Read a JSON object; an empty body counts as an empty object. Raises Invalid."""
    return parse_object(await _read(request.content, request.content_length, LARGEST_JSON))


async def _read(stream: aiohttp.StreamReader, length: int | None, most: int) -> bytes:
    """Read a body that may be so large at most, whether its length is announced or not. Raises Invalid."""
    content = bytearray()
    while (length or 0) <= most and len(content) <= most:
        if not (chunk := await stream.readany()):
            return bytes(content)
        content += chunk
    raise Invalid(f"The body is larger than {most // 2**20} MB.")
