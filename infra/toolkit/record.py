"""What a smoke test has asked so far, and when it did what."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from toolkit.accepted import Acceptance, taken
from toolkit.checks.masking import Masks
from toolkit.report import Check, Moment

if TYPE_CHECKING:
    from toolkit.checks.context import Context

OnEvent = Callable[[dict[str, Any]], None]


class Record:
    """Answers and moments of one smoke test; `only` names the families that are wanted (none: all of them).

    Each answer goes to `on_event`, too, without what `masks` hides. `accept` says which failures somebody has accepted.
    """

    def __init__(
        self, only: frozenset[str], on_event: OnEvent, masks: Masks, accept: Sequence[Acceptance] = ()
    ) -> None:
        self.checks: list[Check] = []
        self.timeline: list[Moment] = []
        self._only = only
        self._on_event = on_event
        self._masks = masks
        self._accept = accept
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """How long the test has gone on."""
        return time.monotonic() - self._began

    def wanted(self, family: str) -> bool:
        """Whether answers of this family are asked for."""
        return not self._only or family in self._only

    @property
    def failed(self) -> bool:
        """Whether there is a failure that nobody has accepted."""
        return any(check.status == "fail" and not taken(check, self._accept) for check in self.checks)

    @contextmanager
    def moment(self, name: str) -> Iterator[None]:
        """Put what is done inside on the timeline, also when it fails."""
        began = self.seconds
        try:
            yield
        finally:
            self.timeline.append(Moment(name, began, self.seconds - began))

    def ask(self, context: Context, check: Callable[[Context], Check], seconds: float = 0.0) -> None:
        """Run one check; `seconds` is what was spent before on seeing what it looks at."""
        began = time.monotonic()
        answer = check(context)
        answer = replace(self._masks.check(answer), seconds=seconds + time.monotonic() - began)
        self.checks.append(answer)
        self._on_event(
            {
                "event": "check",
                "id": answer.id,
                "status": answer.status,
                "title": answer.title,
                "seconds": round(answer.seconds, 3),
            }
        )
