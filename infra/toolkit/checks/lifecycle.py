"""Life cycle: does the app stop when it is told to, and is nothing left behind?"""

from __future__ import annotations

from toolkit.checks.context import Context
from toolkit.report import Check, failed, passed, skipped, warned


def sigterm(context: Context) -> Check:
    """The platform sends SIGTERM before it replaces the app, and kills it after the grace period."""
    if context.stopped is None:
        return skipped("lifecycle.sigterm", "the app does not run")
    if context.stopped.killed:
        return warned(
            "lifecycle.sigterm",
            "The app ignores SIGTERM and had to be killed",
            f"It was killed after {context.stopped.seconds:.0f} s. Requests that are under way break off, "
            "and every new version takes that much longer to come up.",
            evidence=["start-app.sh"],
            hint="End start-app.sh with `exec` of the server, which has to handle it: process.on('SIGTERM', …).",
        )
    return passed("lifecycle.sigterm", "stops on SIGTERM", f"after {context.stopped.seconds:.1f} s")


def left_behind(context: Context) -> Check:
    """The test removed everything that it started."""
    if context.left_behind:
        return failed(
            "lifecycle.left-behind",
            f"{len(context.left_behind)} containers of this test could not be removed",
            evidence=context.left_behind,
            hint="Remove them by hand: docker rm --force NAME",
        )
    return passed("lifecycle.left-behind", "nothing is left behind")
