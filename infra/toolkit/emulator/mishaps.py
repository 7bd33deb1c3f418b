"""Carry out the faults that were asked for: a middleware around all that the platform answers."""

from __future__ import annotations

import asyncio
import json
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from toolkit.emulator.answers import answer, error
from toolkit.emulator.faults import Faults, Fired

MOST_REMEMBERED = 2000
FAULT_KEY = web.RequestKey("fault", int)


@dataclass
class _Seen:
    """What a path showed last, and when it was last written to."""

    status: int = 404
    body: bytes = b""
    written: float = 0.0


def mishaps(faults: Faults) -> Middleware:
    """Give the middleware that lets requests go wrong as the rules say."""
    seen: OrderedDict[str, _Seen] = OrderedDict()

    @web.middleware
    async def mishap(request: web.Request, handler: Handler) -> web.StreamResponse:
        async def acts(request: web.Request) -> web.StreamResponse:
            response = await handler(request)
            if faults.stale() and isinstance(response, web.Response):
                _remember(seen, request.method, request.path, response)
            return response

        fired = faults.decide(request.method, request.path, request.headers.get("User-Agent", ""))
        if fired is None:
            return await acts(request)
        request[FAULT_KEY] = fired.number
        return await _carry_out(request, acts, fired, seen.get(_plain(request.path)))

    return mishap


async def _carry_out(request: web.Request, handler: Handler, fired: Fired, seen: _Seen | None) -> web.StreamResponse:
    rule = fired.rule
    if rule.delay:
        await asyncio.sleep(rule.delay)
    if rule.stale:
        if seen is not None and time.monotonic() - seen.written < rule.stale:
            if seen.body:
                return web.Response(status=seen.status, body=seen.body, content_type="application/json")
            return error(404, "Not found (yet): reads lag behind, as was asked for.")
        return await handler(request)
    if rule.cut:
        if rule.when == "after":
            await handler(request)
        return _cut(request)
    if rule.status:
        if rule.when == "after":
            await handler(request)
        return _instead(fired)
    response = await handler(request)
    if rule.truncate >= 0 and isinstance(response, web.Response) and not response.prepared:
        return await _truncated(request, response, rule.truncate)
    return response


def _instead(fired: Fired) -> web.Response:
    rule = fired.rule
    text = f"This answer was asked for: fault {fired.number}."
    response = error(rule.status, text) if rule.body is None else answer(rule.body, rule.status)
    response.headers.update(rule.headers)
    if rule.retry_after:
        response.headers["Retry-After"] = f"{rule.retry_after:g}"
    return response


def _cut(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=499)  # nobody hears it


async def _truncated(request: web.Request, response: web.Response, size: int) -> web.StreamResponse:
    """Send the whole answer's head and the first bytes of its body, then close."""
    content = response.body if isinstance(response.body, bytes) else b""
    part = web.StreamResponse(status=response.status, headers=response.headers)
    part.content_length = len(content)
    await part.prepare(request)
    await part.write(content[: min(size, max(0, len(content) - 1))])
    if request.transport is not None:
        request.transport.close()
    return part


def _remember(seen: OrderedDict[str, _Seen], method: str, path: str, response: web.Response) -> None:
    """Keep what reads have shown before a write, and when that was; a POST writes what it has made."""
    body: Any = response.body
    if method == "GET" and response.status == 200 and isinstance(body, bytes):
        found = seen.setdefault(_plain(path), _Seen())
        found.status, found.body = response.status, body
    elif method in ("PATCH", "PUT", "DELETE") and response.status < 300:
        seen.setdefault(_plain(path), _Seen()).written = time.monotonic()
    elif method == "POST" and response.status < 300 and isinstance(body, bytes):
        for name in ("id", "credentialId"):
            if made := _field(body, name):
                seen[f"{_plain(path)}/{made}"] = _Seen(written=time.monotonic())
    while len(seen) > MOST_REMEMBERED:
        seen.popitem(last=False)


def _plain(path: str) -> str:
    return path.rstrip("/")


def _field(body: bytes, name: str) -> str:
    try:
        found = json.loads(body)
    except ValueError:
        return ""
    value = found.get(name) if isinstance(found, dict) else None
    return value if isinstance(value, str) else ""
