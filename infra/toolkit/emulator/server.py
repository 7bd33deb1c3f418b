"""The process of the local platform: `python -m toolkit.emulator.server --data DIR --port N`.

It listens on the loopback address, and on the engine's bridge address once there is an engine: containers reach it
there. Any other address needs --expose. When it is ready it writes DIR/emulator.json; its log goes to standard error
(DIR/emulator.log).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sqlite3
import sys
from collections import deque
from datetime import UTC, datetime
from pathlib import Path

import uvloop

from toolkit.emulator import identity, lock, seed
from toolkit.emulator.exposure import LOOPBACK, refuse_exposure
from toolkit.emulator.fields import StoreError
from toolkit.emulator.objects import Body, now
from toolkit.emulator.presence import Reads, Visits
from toolkit.emulator.routes_catalogue import API
from toolkit.emulator.runner import EngineRunner
from toolkit.emulator.steering import Steering
from toolkit.emulator.store import Store
from toolkit.emulator.switches import Switches
from toolkit.emulator.wiring import Parts, wired
from toolkit.upstream import Upstream

MOST_REQUESTS = 10_000
STATE_FILE = "emulator.json"


def log(text: str) -> None:
    """Write a line to the log."""
    sys.stderr.write(f"{now()} {text}\n")
    sys.stderr.flush()


def today() -> datetime:
    """Give the start of this day: the organisation that is planted is the same for all of it."""
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


class Platform:
    """One running local platform."""

    def __init__(self, data: Path, port: int, mirror: str, host: str = LOOPBACK) -> None:
        self._data = data
        self._port = port
        self._host = host
        self._mirror = mirror
        self._store = Store(data)
        self._identity = identity.load(data)
        self._requests: deque[Body] = deque(maxlen=MOST_REQUESTS)
        self._visits, self._reads = Visits(), Reads()
        self._over = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._bridge: str = ""
        self._steering: Steering | None = None
        self._store.sweep()
        if self._store.is_new:
            self._plant()

    @property
    def base(self) -> str:
        """The platform's own address."""
        return f"http://{LOOPBACK}:{self._port}"

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
            visits=self._visits,
            reads=self._reads,
            switches=lambda: self._steering.switches if self._steering else Switches(),
        )
        async with Upstream() as upstream:
            self._listener, self._steering = wired(self._parts(runner), upstream)
            await self._listener.setup()
            try:
                await self._listen()
                self._write_state()
                log(f"ready at {self.base}")
                runner.resume()
                await self._over.wait()
                log("ending")
            finally:
                (self._data / STATE_FILE).unlink(missing_ok=True)
                await self._listener.close()
                await asyncio.to_thread(runner.close)
                self._store.close()

    async def _listen(self) -> None:
        hosts = {LOOPBACK, self._host} if self._host != "0.0.0.0" else {self._host}
        for host in sorted(hosts):
            await self._listener.listen(host, self._port)

    def _parts(self, runner: EngineRunner) -> Parts:
        return Parts(
            data=self._data,
            store=self._store,
            runner=runner,
            identity=self._identity,
            requests=self._requests,
            visits=self._visits,
            reads=self._reads,
            base=lambda: self.base,
            plant=self._plant,
            log=log,
        )

    def _plant(self) -> None:
        seed.plant(self._store, self._identity.org_id, today())

    def _on_bridge(self, address: str) -> None:
        self._loop.call_soon_threadsafe(self._listen_on, address)

    def _listen_on(self, address: str) -> None:
        """Listen on the bridge's address too, for the containers."""
        if self._bridge or self._host == "0.0.0.0":
            return
        self._bridge = address

        async def listen() -> None:
            try:
                await self._listener.listen(address, self._port)
            except OSError as problem:
                log(f"containers cannot reach the platform, {address}:{self._port} is not free: {problem}")

        self._task = self._loop.create_task(listen())

    def _write_state(self) -> None:
        state = {"pid": os.getpid(), "port": self._port, "endpoint": self.base + API, "started": now()}
        draft = self._data / f".{STATE_FILE}.{os.getpid()}"
        draft.write_text(json.dumps(state))
        draft.replace(self._data / STATE_FILE)


def main() -> int:
    """Run a local platform until it is told to end; 1 when another one has the data folder or the port."""
    parser = argparse.ArgumentParser(prog="toolkit.emulator.server", description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--mirror", default="")
    parser.add_argument("--host", default=LOOPBACK)
    parser.add_argument("--expose", action="store_true")
    options = parser.parse_args()
    if refusal := refuse_exposure(options.host, expose=options.expose):
        log(f"cannot start: {refusal}")
        return 2

    async def serve() -> None:
        await Platform(options.data, options.port, options.mirror, options.host).run()

    try:
        with lock.owned(options.data):
            with contextlib.suppress(KeyboardInterrupt):
                uvloop.run(serve())
            # Threads that wait for the engine or for an application must not keep the process alive, and must not
            # outlive the lock either.
            (options.data / lock.OWNER_FILE).unlink(missing_ok=True)
            sys.stderr.flush()
            os._exit(0)
    except lock.FolderTaken as problem:
        log(str(problem))
        return 1
    except (OSError, StoreError, sqlite3.Error) as problem:
        log(f"cannot start: {problem}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
