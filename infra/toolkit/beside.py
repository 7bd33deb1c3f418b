"""What is made ready while the app is smoked: Pulumi, the child that it runs in, and the preview of the deployment."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress

from toolkit import history, preflight, recovery, releases, stack, staging
from toolkit.bench import Bench, Event
from toolkit.child import Driver, Warm
from toolkit.driving import driver
from toolkit.settings import Settings
from toolkit.staging import Release

ENDS_WITHIN = 10.0  # seconds for what makes the tools to stop


class Beside:
    """The work beside: each step waits for the one before it."""

    def __init__(self, settings: Settings, bench: Bench, pool: ThreadPoolExecutor) -> None:
        self._settings, self._pool = settings, pool
        self._drive: Future[Driver] = pool.submit(driver, settings, _told_as(bench, "pulumi"))
        self._warm: Future[Warm] = pool.submit(lambda: Warm(self._drive.result()))
        self._message: Future[str] | None = None  # what the history says

    def preview(self, release: Release, note: str) -> None:
        """Let the child preview the release, and then wait. Nothing is changed before somebody carries on with it."""
        self._message = self._pool.submit(self._told, release, note)
        self._pool.submit(self._ask, release, self._message)

    def ready(self) -> tuple[Driver, Warm, str]:
        """Wait for what drives Pulumi, its child, and what the history is to say. Raises as `driver`."""
        drive, warm = self._drive.result(), self._warm.result()
        return drive, warm, self._message.result() if self._message else ""

    def end(self) -> None:
        """End the child that nobody has talked to; whoever has, has ended it."""
        with suppress(Exception):  # there is none: whoever wanted it was told why
            self._warm.result(ENDS_WITHIN).end()

    def _told(self, release: Release, note: str) -> str:
        seal = releases.seal(release.staged, release.archive, self._settings.app_name)
        return history.message(release.digest, seal, history.commit(self._settings.root), note)

    def _ask(self, release: Release, message: Future[str]) -> None:
        settings, drive, warm = self._settings, self._drive.result(), self._warm.result()

        def settled(state: Event) -> bool:
            with preflight.platform_client(settings) as client:
                return recovery.is_settled(client, state)

        stack.ask_ahead(drive, warm, staging.inputs(settings, release), message.result(), settled)


@contextmanager
def beside(settings: Settings, bench: Bench) -> Iterator[Beside]:
    """Make ready beside the block what it needs later; when the block fails, that is stopped and not waited for."""
    pool = ThreadPoolExecutor(1, "beside")
    work = Beside(settings, bench, pool)
    try:
        yield work
    except BaseException:
        bench.places.stop.set()
        raise
    finally:
        work.end()
        pool.shutdown(cancel_futures=True)


def _told_as(bench: Bench, name: str) -> Bench:
    """Give a bench whose lines say what they belong to: they come up between those of other phases."""

    def on_event(event: Event) -> None:
        bench.on_event({**event, "text": f"{name}: {event['text'].strip()}"} if event["event"] == "line" else event)

    return dataclasses.replace(bench, on_event=on_event)
