"""Source: is what ships complete and consistent, as the platform reads it? Asked before anything is built."""

from __future__ import annotations

import functools
import json
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from toolkit.checks import jsonc
from toolkit.checks.context import Sources
from toolkit.report import Check, failed, passed, warned

START = "start-app.sh"
BUILD = "build-app.sh"
PACKAGE, LOCK = "package.json", "bun.lock"
GROUPS = ("dependencies", "devDependencies", "optionalDependencies", "peerDependencies")
MUCH = 200 * 10**6  # bytes; the platform does not say where its limit is (platform-contract 7)
MANY = 5000  # files; they are uploaded in groups of at most 100
_FROZEN = re.compile(r"^[^#\n]*\bbun\s+(?:ci\b|(?:install|i)\b[^#\n]*--frozen-lockfile)", re.MULTILINE)


def hooks(context: Sources) -> Check:
    """start-app.sh is the container's command: it must be there and name its interpreter (platform-contract 3)."""
    paths = {file.path for file in context.staged.files}
    if START not in paths:
        nested = [path for path in sorted(paths) if path.endswith(f"/{START}")]
        return failed(
            "source.hooks",
            f"There is no {START} at the root of the app",
            "The platform runs ./start-app.sh in the image's working directory.",
            evidence=nested,
            hint=f"Add {START} with the first line #!/bin/sh that execs the server.",
        )
    first = context.text_of(START).split("\n", 1)[0]
    if not re.match(r"#!\s*/\S+", first):
        return failed(
            "source.hooks",
            f"{START} does not begin with a line that names its interpreter",
            f"Expected #!/bin/sh (or another absolute path), found {first.strip()[:60]!r}.",
            evidence=[f"{START}:1"],
            hint="Make #!/bin/sh the very first line.",
        )
    if first.endswith("\r"):
        return failed(
            "source.hooks",
            f"{START} has Windows line endings: its interpreter is not found",
            evidence=[f"{START}:1"],
            hint="Save it with LF line endings.",
        )
    return passed("source.hooks", "the hooks are there", "" if BUILD in paths else f"no {BUILD}: nothing is built")


def refused(problems: Sequence[str], hint: str) -> Check:
    """Say why the app cannot even be staged: `problems` are of the form `path:line: why`."""
    hook = problems[0].partition(":")[0].endswith(".sh")
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    title = f"The app cannot ship: {problems[0]}{more}"
    return failed("source.hooks" if hook else "source.ships", title, evidence=problems[:20], hint=hint)


def ships(context: Sources) -> Check:
    """No secret and no file that the platform cannot take keeps the app from shipping; staging refuses those."""
    return passed("source.ships", f"{len(context.staged.files)} files ship")


def package(context: Sources) -> Check:
    """Nothing of package.json points outside the folder that ships: it is not there on the platform."""
    check = "source.package"
    paths = {file.path for file in context.staged.files}
    if PACKAGE not in paths:
        return passed(check, f"there is no {PACKAGE}")
    text = context.text_of(PACKAGE)
    try:
        found = jsonc.loads(text)
    except json.JSONDecodeError as problem:
        title, place = f"{PACKAGE} cannot be read: {problem.msg}", f"{PACKAGE}:{problem.lineno}"
        return failed(check, title, evidence=[place], hint="Correct it: Bun takes JSON and comments, nothing else.")
    if not isinstance(found, dict):
        return failed(check, f"{PACKAGE} is no JSON object", evidence=[f"{PACKAGE}:1"], hint="Correct it.")
    outside = [(name, value) for name, value in _dependencies(found) if _leaves(value, paths)]
    if outside:
        name, value = outside[0]
        title = f"The dependency {name} is {value}, which does not ship"
        more = f" (and {len(outside) - 1} more)" if len(outside) > 1 else ""
        return failed(
            check,
            title + more,
            "Only the app's folder is on the platform; a link of this machine or a folder beside it is not.",
            evidence=[f"{PACKAGE}:{_line_of(text, value)}  {value}" for _, value in outside[:10]],
            hint="Move it into the app's folder, or publish it to a registry and name its version.",
        )
    return passed(check, f"everything that {PACKAGE} names can be had on the platform")


def lockfile(context: Sources) -> Check:
    """bun.lock speaks of the dependencies that package.json names."""
    check = "source.lockfile"
    paths = {file.path for file in context.staged.files}
    wanted = _json(context.text_of(PACKAGE)) if PACKAGE in paths else None
    if not isinstance(wanted, dict) or not any(wanted.get(group) for group in GROUPS):
        return passed(check, "nothing is to be installed")
    if LOCK not in paths:
        return passed(check, f"there is no {LOCK}: each build takes the newest versions that fit")
    try:
        own = _locked(context.text_of(LOCK))["workspaces"][""]
        differences = list(_differences(wanted, own))
    except (yaml.YAMLError, KeyError, TypeError, AttributeError):
        return failed(check, f"{LOCK} cannot be read", evidence=[LOCK], hint="Make it anew: bun install")
    if not differences:
        return passed(check, f"{PACKAGE} and {LOCK} agree")
    title = f"{PACKAGE} and {LOCK} disagree: {differences[0]}"
    hint = f"Run bun install, and commit {LOCK}."
    if _FROZEN.search(context.text_of(BUILD)):
        detail = f"{BUILD} installs with a frozen lock file, which refuses that."
        return failed(check, title, detail, evidence=[PACKAGE, LOCK, *differences[1:10]], hint=hint)
    return warned(
        check, title, "The build installs other versions than the lock says.", evidence=differences[:10], hint=hint
    )


def size(context: Sources) -> Check:
    """What ships is of a size that can be uploaded and started in reasonable time."""
    check = "source.size"
    staged = context.staged
    shown = f"{len(staged.files)} files, {staged.total_bytes / 1e6:.1f} MB"
    if staged.total_bytes <= MUCH and len(staged.files) <= MANY:
        return passed(check, shown)
    largest = sorted(staged.files, key=lambda file: -file.local.stat().st_size)[:10]
    return warned(
        check,
        f"{shown} ship: much for an app",
        f"Expected at most {MANY} files and {MUCH // 10**6} MB. Every file is uploaded, and every build copies it.",
        evidence=[f"{file.path}  {file.local.stat().st_size / 1e6:.1f} MB" for file in largest],
        hint="List what need not ship in .deployignore; fetch large data when the app is built or starts.",
    )


CHECKS = (ships, hooks, package, lockfile, size)


def _dependencies(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for group in GROUPS:
        entries = found.get(group)
        if isinstance(entries, dict):
            yield from ((str(name), value) for name, value in entries.items() if isinstance(value, str))


def _leaves(value: str, paths: set[str]) -> bool:
    """Whether a version names something of this machine that does not ship."""
    if value.startswith("link:"):
        return True
    path = re.sub(r"^(?:file|portal):(?://)?", "", value)
    if path == value and not re.match(r"\.{1,2}/|/|~/|[A-Za-z]:[\\/]", value):
        return False
    if re.match(r"/|~|[A-Za-z]:[\\/]", path):
        return True
    inside = posixpath.normpath(path)
    return inside.startswith("..") or not any(one == inside or one.startswith(f"{inside}/") for one in paths)


def _differences(package: Mapping[str, Any], locked: Mapping[str, Any]) -> Iterator[str]:
    for group in GROUPS:
        wanted, had = package.get(group) or {}, locked.get(group) or {}
        for name in sorted({*wanted, *had}):
            if str(wanted.get(name, "")) != str(had.get(name, "")):
                if name not in had:
                    yield f"{name} {wanted[name]} is not in {LOCK}"
                elif name not in wanted:
                    yield f"{name} is in {LOCK} only"
                else:
                    yield f"{name} is {wanted[name]} in {PACKAGE} and {had[name]} in {LOCK}"


@functools.cache
def _locked(text: str) -> Any:
    """Read what a lock file repeats of package.json. It is JSON with commas at the ends: YAML allows both."""
    return yaml.load(_workspaces(text), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506


def _workspaces(text: str) -> str:
    """The part of a lock file that repeats package.json; what follows it is large."""
    return text.partition('\n  "packages":')[0].rstrip().rstrip(",") + ("}" if '\n  "packages":' in text else "")


def _json(text: str) -> Any:
    try:
        return jsonc.loads(text)
    except ValueError:
        return None


def _line_of(text: str, value: str) -> int:
    at = text.find(json.dumps(value))
    return text.count("\n", 0, at) + 1 if at >= 0 else 1
