"""Build: did build-app.sh end well, and do what it was meant to?"""

from __future__ import annotations

import re
from collections.abc import Sequence

from toolkit.checks import names, shell, source, start
from toolkit.checks.context import Built, Sources
from toolkit.image.model import BuildFailed
from toolkit.report import Check, failed, passed, warned

_ERROR = re.compile(
    r"(?:\w*error\b|(?:Resolve|Build)Message: |.*: (?:command )?not found$|.*Syntax error)", re.IGNORECASE
)
_CONSEQUENCE = re.compile(r'error: script "[^"]*" exited with code \d+$')  # what Bun says below the reason
_SWALLOWED = re.compile(r"(?:^|: )[^\s:]+: (?:command )?not found$|^error: |^error\[|Module not found", re.IGNORECASE)

# The same in words that harmless commands use too: they count when something is missing in the end (checks.merge).
_DOUBTFUL = re.compile(
    r"No such file or directory$|^\w*Error: |^npm (?:ERR!|error) |\berror TS\d+|\[ERROR\]|^E[A-Z]{4,} |Build failed|"
    r"\bfailed with \d+ errors?\b",
    re.IGNORECASE,
)
GO_NO_FURTHER = "Begin build-app.sh with `set -e`, so that an error ends the build."
WENT_ON = "build-app.sh printed errors, but ended with success"
GO_ON = "What follows that line did not run. Remove it, or end the build there only when nothing is left to do."
ENDED_EARLY = "build-app.sh ended before its last line"


def hook(context: Sources, error: BuildFailed | None = None) -> Check:
    """build-app.sh ends with exit code 0; `error` says how it did not."""
    check = "build.hook"
    if error is None:
        return passed(check, "build-app.sh ended with success" if source.BUILD in context.paths else "nothing is built")
    title, hint = error.message.rstrip("."), error.hint
    if otherwise := names.named_otherwise(error.details, context.paths):
        wanted, path = otherwise
        title = f"{title}: it asks for {wanted}, but the file is called {path}"
        hint = f"They differ {names.difference(wanted, path)}: on the platform these are two files. Write it as it is."
    elif said := _reason(error.details):
        title = f"{title}: {said}"
    if start.bashism(error.details):
        hint = start.BASHISM
    return failed(check, title, evidence=error.details, hint=hint)


def _reason(lines: Sequence[str]) -> str:
    """The line that most likely says why: the first one that begins with an error, else the last that speaks of one."""
    shown = [line.strip() for line in lines if line.strip()]
    first = sorted((line for line in shown if _ERROR.match(line)), key=lambda line: bool(_CONSEQUENCE.match(line)))
    any_error = [line for line in shown if "error" in line.lower() or "not found" in line.lower()]
    return (first or any_error[-1:] or [""])[0][:160]


def output(context: Built) -> Check:
    """A hook without `set -e` goes on after an error; its last command alone decides the exit code."""
    suspicious = [line.strip() for line in context.build_log if _SWALLOWED.search(line.strip())]
    if suspicious:
        return warned(
            "build.output",
            WENT_ON,
            suspicious[0],
            evidence=[*suspicious[:5], *_early_ends(context)],
            hint=GO_NO_FURTHER,
        )
    said = f"after {context.build.seconds:.1f} s"
    if context.build.memory:
        said += f", with at most {context.build.memory // 2**20} MB of memory in use"
    if context.build.outside:
        said += f"; it also writes outside the working directory: {', '.join(context.build.outside[:3])}"
    doubtful = [line.strip() for line in context.build_log if _DOUBTFUL.search(line.strip())]
    return passed(
        "build.output", "build-app.sh ended without errors", said, evidence=[*_early_ends(context), *doubtful[:5]]
    )


def _early_ends(context: Built) -> list[str]:
    """Where build-app.sh may have ended with success before its last line: `build-app.sh:line  command`."""
    return [
        f"{source.BUILD}:{end.line}  {end.text}"
        for end in shell.early_ends(context.text_of(source.BUILD))
        if not end.code and (end.returns or context.build.exited)
    ]
