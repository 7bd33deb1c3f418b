"""Build: did build-app.sh end well, and do what it was meant to?"""

from __future__ import annotations

import re

from toolkit.checks import buildlog, names, shell, source, start
from toolkit.checks.context import Built, Sources
from toolkit.image.model import HookFailed
from toolkit.report import Check, failed, passed, warned

_SWALLOWED = re.compile(r"(?:^|: )[^\s:]+: (?:command )?not found$|^error: |^error\[", re.IGNORECASE)

# The same in words that harmless commands use too: they count when something is missing in the end (checks.merge).
_DOUBTFUL = re.compile(
    r"No such file or directory$|Module not found(?!.*node_modules)|"
    r"^\w*Error: |^npm (?:ERR!|error) |\berror TS\d+|\[ERROR\]|^E[A-Z]{4,} |Build failed|"
    r"\bfailed with \d+ errors?\b",
    re.IGNORECASE,
)
GO_NO_FURTHER = "Begin build-app.sh with `set -e`, so that an error ends the build."
WENT_ON = "build-app.sh printed errors, but ended with success"
GO_ON = "What follows that line did not run. Remove it, or end the build there only when nothing is left to do."
ENDED_EARLY = "build-app.sh ended before its last line"


def hook(context: Sources, error: HookFailed | None = None) -> Check:
    """build-app.sh ends with exit code 0; `error` says how it did not."""
    check = "build.hook"
    if error is None:
        return passed(check, "build-app.sh ended with success" if source.BUILD in context.paths else "nothing is built")
    title, hint = error.message.rstrip("."), error.hint
    found = buildlog.reason(error.log, context.paths)
    if otherwise := names.named_otherwise(error.log, context.paths):
        wanted, path = otherwise
        title = f"{title}: it asks for {wanted}, but the file is called {path}"
        hint = f"They differ {names.difference(wanted, path)}: on the platform these are two files. Write it as it is."
    elif found.text:
        title = f"{title}: {found}"
    if start.bashism(error.log):
        hint = start.BASHISM
    return failed(check, title, evidence=found.around, hint=hint)


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
