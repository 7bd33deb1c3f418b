"""Mutations of start-app.sh: how the app is started, and how it gets its token."""

from __future__ import annotations

import re
from collections.abc import Callable

from toolkit.mutations.model import Change, Files, Mutation

START = "start-app.sh"
_EXEC = re.compile(r"^exec[ \t]+(.+)$", re.MULTILINE)
_DOTENV = re.compile(r"(?:\.|source)[ \t]+(?:\./)?\.env\b")
_ALL_EXPORTED = re.compile(r"^[ \t]*set (?:-a|-o allexport)[ \t]*$", re.MULTILINE)
_LISTENS = frozenset({"start.listens", "source.hooks"})
_TOKEN = frozenset({"environment.token", "start.listens"})


def _rewritten(how: Callable[[str], str]) -> Change:
    def change(files: Files) -> dict[str, str | None] | None:
        old = files.get(START, "")
        new = how(old)
        return {START: new} if old and new != old else None

    return change


def _before_exec(line: str) -> Change:
    return _rewritten(lambda text: _EXEC.sub(lambda match: f"{line}\n{match[0]}", text, count=1))


def _instead_of_exec(line: str) -> Change:
    """Replace the line that starts the server; `{}` in `line` is its command."""
    return _rewritten(lambda text: _EXEC.sub(lambda match: line.replace("{}", match[1]), text, count=1))


def _crlf(text: str) -> str:
    return text.replace("\n", "\r\n")


def _too_late(text: str) -> str:
    found = _EXEC.search(text)
    if not found or not _DOTENV.search(text):
        return text
    head, loading = text.split("\n", 1)[0], text[: found.start()].split("\n", 1)[-1]
    return f"{head}\n{found[1]} &\n{loading}\nwait\n"


def _hook(name: str, change: Change, caught_by: frozenset[str], patience: float = 40.0) -> Mutation:
    return Mutation(name, change, caught_by, patience, seen_in_source=True)


HOOKS = (
    _hook("start-app.sh is missing", lambda files: {START: None} if START in files else None, _LISTENS),
    _hook("start-app.sh has no shebang", _rewritten(lambda text: re.sub(r"\A#!.*\n", "", text)), _LISTENS),
    _hook("start-app.sh has Windows line endings", _rewritten(_crlf), _LISTENS),
    _hook(
        "its interpreter is not in the image", _rewritten(lambda t: re.sub(r"\A#!.*", "#!/usr/bin/fish", t)), _LISTENS
    ),
    _hook("its command does not exist", _instead_of_exec("exec bnu-runtime {}"), _LISTENS),
    _hook("it starts a file that is not there", _instead_of_exec("exec bun ./not-there.ts"), _LISTENS),
    _hook("it changes to a folder that is not there", _before_exec("cd /not-there || exit 1"), _LISTENS),
    _hook("it exits before the server starts", _before_exec("exit 0"), _LISTENS),
    _hook("it starts the server in the background and ends", _instead_of_exec("{} &"), _LISTENS),
    _hook("it uses an array, which dash does not know", _before_exec("arguments=(one two)"), _LISTENS),
    _hook("it ends as if it was killed", _before_exec("exit 137"), _LISTENS),
    _hook("it waits for input", _instead_of_exec("read -r answer\nexec {}"), _LISTENS, 8),
    _hook("it never starts the server", _instead_of_exec("exec sleep 1000"), _LISTENS, 5),
    _hook("it does not load .env", _rewritten(lambda text: _DOTENV.sub(":", text)), _TOKEN),
    _hook("it loads .env in a subshell", _rewritten(lambda text: _DOTENV.sub("(. ./.env)", text)), _TOKEN),
    _hook("it loads .env after the start", _rewritten(_too_late), _TOKEN),
    _hook("it loads .env with source in sh", _rewritten(lambda t: _DOTENV.sub("source ./.env || true", t)), _TOKEN),
    _hook("it empties the token", _before_exec("export DATAROBOT_API_TOKEN="), _TOKEN),
    _hook("it sets another token", _before_exec("export DATAROBOT_API_TOKEN=another-token-of-somebody"), _TOKEN),
    _hook(
        "it puts quotes into the token", _before_exec("export DATAROBOT_API_TOKEN=\"'$DATAROBOT_API_TOKEN'\""), _TOKEN
    ),
    _hook("it unsets the token", _before_exec("unset DATAROBOT_API_TOKEN"), _TOKEN),
    _hook("it prints the token", _before_exec('echo "token: $DATAROBOT_API_TOKEN"'), frozenset({"environment.leaks"})),
    _hook(
        "it prints the beginning of the token",
        _before_exec('echo "token: $(printf %.12s "$DATAROBOT_API_TOKEN")..."'),
        frozenset({"environment.leaks"}),
    ),
    _hook(
        "the shell stays and ignores SIGTERM", _instead_of_exec("trap '' TERM\n{}"), frozenset({"lifecycle.sigterm"})
    ),
)
