"""Life cycle: does the app stop when it is told to, does it come up again, and is nothing left behind?"""

from __future__ import annotations

import re

from toolkit.checks import source, start
from toolkit.checks.context import Again, Context
from toolkit.report import Check, failed, passed, skipped, warned

_SHELL = re.compile(r"(?:\S*/)?(?:sh|bash|dash|ash|zsh)\s")
_LOG_LINES = 8


def sigterm(context: Context) -> Check:
    """The platform sends SIGTERM before it replaces the app, and kills it after the grace period."""
    check = "lifecycle.sigterm"
    if context.stopped is None:
        return skipped(check, "the app does not answer any more" if context.blocked else "the app does not run")
    if not context.stopped.killed:
        return passed(check, "stops on SIGTERM", f"after {context.stopped.seconds:.1f} s")
    who, hint = _deaf(context)
    return warned(
        check,
        f"The app ignores SIGTERM and had to be killed{who}",
        f"It was killed after {context.stopped.seconds:.0f} s. Requests that are under way break off, "
        "and every new version takes that much longer to come up.",
        evidence=[source.START, *(f"process {one.pid}: {one.command[:100]}" for one in context.inside.processes)],
        hint=hint,
    )


def _deaf(context: Context) -> tuple[str, str]:
    """Which process did not stop, and what to do about it: the signal goes to the first one alone."""
    hint = "End start-app.sh with `exec` of the server, which has to handle it: process.on('SIGTERM', …)."
    first = next((one for one in context.inside.processes if one.pid == 1), None)
    if first is None:
        return "", hint
    server = context.inside.server
    if _SHELL.match(first.command) and (server is None or server.pid != 1):
        return ": the shell of start-app.sh does not pass it on", "End start-app.sh with `exec` of the server."
    if first.handles_sigterm:
        return f": {first.command[:60]} handles it, but goes on", "End the process in its handler: process.exit(0)."
    return f": {first.command[:60]} has no handler for it", "Handle it in the server: process.on('SIGTERM', …)."


def replica(context: Context) -> Check:
    """A second container of the release serves what the first one serves (platform-contract 3: replicas)."""
    check = "lifecycle.replica"
    if context.down:
        return skipped(check, context.down)
    if context.replica is None:
        return passed(check, "every start serves the same files", "Nothing is written while it starts.")
    if failure := _failure(context.replica):
        return failed(
            check,
            f"A second replica beside the first does not come up: {failure}",
            "The platform starts another container for each replica and for each new version.",
            evidence=context.replica.logs[-_LOG_LINES:],
            hint="Let the start depend on nothing that another instance holds.",
        )
    if missing := context.replica.missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        return warned(
            check,
            f"Each start serves files of other names: {missing[0]} is not there at a second replica{more}",
            "Pages that are open while the app restarts, or that another replica answers, miss their files then.",
            evidence=missing[:10],
            hint="Build in build-app.sh, not in start-app.sh, and name files by their content.",
        )
    return passed(check, "a second replica serves the same files")


def restart(context: Context) -> Check:
    """It comes up again on the disk that it left behind."""
    check = "lifecycle.restart"
    if context.down or context.stopped is None:
        return skipped(check, context.down or "the app was not stopped")
    if context.restarted is None:
        return passed(check, "comes up again after a stop", "It writes nothing that the next start could meet.")
    if failure := _failure(context.restarted):
        return warned(
            check,
            f"The app does not come up again after a stop: {failure}",
            "What it left on its disk is in the way.",
            evidence=[*context.written[:5], *context.restarted.logs[-_LOG_LINES:]],
            hint="Remove what an earlier run left (lock files, process ids, sockets) before the server starts.",
        )
    return passed(check, "comes up again after a stop", f"after {context.restarted.waited.seconds:.1f} s")


def _failure(again: Again) -> str:
    waited = again.waited
    if waited.response is not None and waited.response.status < 400:
        return ""
    if waited.response is not None:
        return f"it answers {waited.response.status}"
    if not waited.state.running:
        said = start.last(again.logs)
        return f"it exited {start.how(waited.state)}" + (f": {said}" if said else "")
    return f"it does not answer within {waited.seconds:.0f} s"


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
