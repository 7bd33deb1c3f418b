"""The process of the local platform: `python -m toolkit.emulator.server --data DIR --port N`.

It listens on the loopback address, and on the engine's bridge address once there is an engine: containers reach it
there. When it is ready it writes DIR/emulator.json; its log goes to standard error (DIR/emulator.log).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from filelock import FileLock, Timeout

from toolkit.emulator import console_page, identity, seed
from toolkit.emulator.edge import SIGN_IN, Edge
from toolkit.emulator.fields import StoreError
from toolkit.emulator.routes import API, Routes, bearer, error
from toolkit.emulator.runner import EngineRunner
from toolkit.emulator.store import Body, Store, now
from toolkit.front import session

LARGEST_BODY = 2 * 2**30
LONGEST_HEADER = 64 * 2**10
MOST_REQUESTS = 10_000
SHOWN_REQUESTS = 50
STATE_FILE, LOCK_FILE = "emulator.json", "emulator.lock"


def log(text: str) -> None:
    """Write a line to the log."""
    sys.stderr.write(f"{now()} {text}\n")
    sys.stderr.flush()


def today() -> datetime:
    """Give the start of this day: the organisation that is planted is the same for all of it."""
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


class Platform:
    """One running local platform."""

    def __init__(self, data: Path, port: int, mirror: str) -> None:
        self._data = data
        self._port = port
        self._mirror = mirror
        self._store = Store(data)
        self._identity = identity.load(data)
        self._requests: deque[Body] = deque(maxlen=MOST_REQUESTS)
        self._over = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._bridge: str = ""
        self._store.sweep_blobs()
        if self._store.is_new:
            seed.plant(self._store, self._identity.org_id, today())

    @property
    def base(self) -> str:
        """The platform's own address."""
        return f"http://127.0.0.1:{self._port}"

    async def run(self) -> None:
        """Serve until a signal comes."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._over.set)
        runner = EngineRunner(
            self._store,
            environ=os.environ,
            home=Path.home(),
            instance=self._identity.instance,
            port=self._port,
            mirror=self._mirror,
            on_bridge=self._on_bridge,
            log=log,
        )
        async with session() as client:
            # As at the front: bodies pass as they are, a visitor who leaves ends his request, long headers are allowed.
            web_runner = web.AppRunner(
                self._application(runner, client),
                access_log=None,
                shutdown_timeout=2,
                auto_decompress=False,
                handler_cancellation=True,
                max_line_size=LONGEST_HEADER,
                max_field_size=LONGEST_HEADER,
            )
            await web_runner.setup()
            self._web_runner = web_runner
            try:
                await web.TCPSite(web_runner, "127.0.0.1", self._port, backlog=1024).start()
                self._write_state()
                log(f"ready at {self.base}")
                runner.resume()
                await self._over.wait()
                log("ending")
            finally:
                (self._data / STATE_FILE).unlink(missing_ok=True)
                await web_runner.cleanup()
                await asyncio.to_thread(runner.close)
                self._store.close()

    def _application(self, runner: EngineRunner, client: object) -> web.Application:
        routes = Routes(self._store, runner, self._identity, lambda: self.base)
        app = web.Application(client_max_size=LARGEST_BODY, middlewares=[recorded(self._requests.append, log)])
        routes.add_to(app)
        edge = Edge(self._store, runner, self._identity, routes, client)  # type: ignore[arg-type]
        edge.add_to(app)

        async def health(_request: web.Request) -> web.Response:
            return web.json_response({"pid": os.getpid(), "data": str(self._data)})

        async def requests(request: web.Request) -> web.Response:
            if routes.level(bearer(request)) != "full":
                return error(401, "Invalid API token.")
            return web.json_response({"requests": list(self._requests)})

        async def reset(request: web.Request) -> web.Response:
            if routes.level(bearer(request)) != "full":
                return error(401, "Invalid API token.")
            for application in self._store.find("application")[0]:
                runner.remove_application(application["id"])
            self._store.clear()
            self._requests.clear()
            seed.plant(self._store, self._identity.org_id, today())
            return web.json_response({"reset": True})

        async def console(_request: web.Request) -> web.Response:
            asked = [one for one in reversed(self._requests) if one["path"].startswith(API)][:SHOWN_REQUESTS]
            text = console_page.draw(self._store, asked, self.base + API)
            return web.Response(text=text, content_type="text/html", headers={"Cache-Control": "no-store"})

        app.router.add_get("/__emulator__/health", health)
        app.router.add_get("/__emulator__/requests", requests)
        app.router.add_post("/__emulator__/reset", reset)
        app.router.add_get("/", console)
        return app

    def _on_bridge(self, address: str) -> None:
        self._loop.call_soon_threadsafe(self._listen_on, address)

    def _listen_on(self, address: str) -> None:
        """Listen on the bridge's address too, for the containers."""
        if self._bridge or not address[:1].isdigit():
            return
        self._bridge = address

        async def listen() -> None:
            try:
                await web.TCPSite(self._web_runner, address, self._port, backlog=1024).start()
            except OSError as problem:
                log(f"containers cannot reach the platform, {address}:{self._port} is not free: {problem}")

        self._task = self._loop.create_task(listen())

    def _write_state(self) -> None:
        state = {"pid": os.getpid(), "port": self._port, "endpoint": self.base + API, "started": now()}
        draft = self._data / f".{STATE_FILE}.{os.getpid()}"
        draft.write_text(json.dumps(state))
        draft.replace(self._data / STATE_FILE)


def recorded(keep: Callable[[Body], None], log: Callable[[str], None]) -> Middleware:
    """Keep a record of every request, never of its body or its token; turn failures into the platform's errors."""

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
            keep(
                {
                    "at": now(),
                    "method": request.method,
                    "path": request.path,
                    "query": "" if request.path == SIGN_IN else request.query_string,
                    "status": status,
                    "ms": round((time.monotonic() - started) * 1000, 1),
                }
            )

    return record


def main() -> int:
    """Run a local platform until it is told to end; 1 when another one has the data folder or the port."""
    parser = argparse.ArgumentParser(prog="toolkit.emulator.server", description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--mirror", default="")
    options = parser.parse_args()
    options.data.mkdir(parents=True, exist_ok=True)
    lock = FileLock(options.data / LOCK_FILE)
    try:
        lock.acquire(timeout=5)
    except Timeout:
        log(f"another local platform has the folder {options.data}")
        return 1

    async def serve() -> None:
        await Platform(options.data, options.port, options.mirror).run()

    try:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(serve())
    except (OSError, StoreError) as problem:
        log(f"cannot start: {problem}")
        return 1
    finally:
        lock.release()
    # Threads that wait for the engine or for an application must not keep the process alive.
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
