"""The record of what the local platform was asked, and the errors that stand for what went wrong on the way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from yarl import URL

from toolkit.emulator.answers import error
from toolkit.emulator.mishaps import FAULT_KEY
from toolkit.emulator.objects import Body, now
from toolkit.emulator.presence import Reads

SIGN_IN = "/sign-in"
LONGEST_AGENT = 200


class Requests:
    """Keeps a record of every request, never of its body or its token; `reads` hear of it too."""

    def __init__(self, keep: Callable[[Body], None], reads: Reads | None = None) -> None:
        self._keep = keep
        self._reads = reads or Reads()

    def note(
        self,
        method: str,
        path: str,
        query: str,
        agent: str,
        status: int,
        started: float,
        fault: int | None = None,
    ) -> None:
        """Note a request that was begun at `started` (monotonic) and is over now; `fault` is what befell it."""
        self._reads.note(method, path)
        entry: Body = {
            "at": now(),
            "method": method,
            "agent": agent[:LONGEST_AGENT],
            "path": path,
            "query": "" if path == SIGN_IN else query,
            "status": status,
            "ms": round((time.monotonic() - started) * 1000, 1),
        }
        if fault is not None:
            entry["fault"] = fault
        self._keep(entry)

    def note_raw(self, method: str, target: str, agent: str, status: int, started: float) -> None:
        """Note a request by the target of its first line, with its escapes."""
        path, _, query = target.partition("?")
        if "%" in target or "+" in query:
            url = URL.build(path=path, query_string=query, encoded=True)
            path, query = url.path, url.query_string
        self.note(method, path, query, agent, status, started)


def recorded(requests: Requests, log: Callable[[str], None]) -> Middleware:
    """Keep a record of every request; turn failures into the platform's errors, and `log` those nobody expected."""

    @web.middleware
    async def record(request: web.Request, handler: Handler) -> web.StreamResponse:
        started, status = time.monotonic(), 500
        try:
            response = await handler(request)
            status = response.status
            return response
        except web.HTTPException as problem:
            status = problem.status
            return error(problem.status, problem.reason)
        except (ConnectionError, asyncio.CancelledError):
            status = 499
            raise
        except Exception as problem:
            log(f"{request.method} {request.path}: {type(problem).__name__}: {problem}")
            return error(500, "The emulator failed; its log says why: invoke emulator.logs")
        finally:
            agent = request.headers.get("User-Agent", "")
            fault = request.get(FAULT_KEY)
            requests.note(request.method, request.path, request.query_string, agent, status, started, fault)

    return record
