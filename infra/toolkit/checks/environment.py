"""Environment: does the serving process hold the full token, and does it keep it to itself?"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable
from io import StringIO

from dotenv import dotenv_values

from toolkit.checks.context import Context, Sources
from toolkit.checks.masking import marks_of, telling_beginning
from toolkit.fetch import Response
from toolkit.image.step import PLACEHOLDER
from toolkit.report import Check, failed, passed, skipped, warned
from toolkit.settings import Secret

KEY = "DATAROBOT_API_TOKEN"
ENDPOINT = "DATAROBOT_ENDPOINT"
START = "start-app.sh"
LOAD_FIRST = "Load .env in start-app.sh before any of its servers starts:  set -a; . ./.env; set +a"
LOAD_HINT = "Load .env in start-app.sh before the server starts:  set -a; . ./.env; set +a"
_COMMENT = re.compile(r"/\*.*?\*/|(?<![:\"'`\\])//[^\n]*", re.DOTALL)
# What reads `.env` in code. These two leave a variable as it is that is set already (dotenv: unless it is to override).
_DOTENV = re.compile(r"""(?:from|import|require\()\s*["']dotenv(?:/config)?["']|\bloadEnvFile\s*\(""")
_OVERRIDES = re.compile(r"\boverride\s*:\s*(?:true|!0)\b")
_READS = re.compile(
    r"""(?:(?:Bun\.file|readFile(?:Sync)?)\s*\([^;]{0,200}?|new\s+URL\(\s*)["'`](?:[^"'`/\n][^"'`\n]*/)?\.env["'`]"""
)
# What the build step sees instead of secrets (toolkit.image): on the platform the real values would be in its place.
BUILD_PLACEHOLDER = PLACEHOLDER.encode()


def token(context: Context) -> Check:
    """The process that owns port 8080 holds the full token from `.env`, not the platform's restricted one."""
    check = "environment.token"
    if context.full_token is None or not context.full_token.reveal():
        return skipped(check, "no full token is configured (DATAROBOT_API_TOKEN in .env)")
    if context.down:
        return skipped(check, context.down)
    if not context.ships_env and not context.parameter:
        return failed(
            check,
            "The app ships no .env: it would run with the platform's restricted token",
            "The platform puts a token into the environment that may not read use cases or notebooks.",
            hint="Let RUNTIME_ENV be `generated`.",
        )
    if not context.environment:
        return warned(check, "The environment of the serving process cannot be read", hint=LOAD_HINT)
    value = context.environment.get(KEY)
    if value is not None and _same(value, context.full_token):
        if restricted := _behind(context, context.restricted_token):
            return warned(
                check,
                f"Behind the serving process, {restricted} runs with the platform's restricted token",
                "If it is that one which asks DataRobot, it may read neither use cases nor notebooks.",
                evidence=[START],
                hint=LOAD_FIRST,
            )
        return passed(check, "the serving process holds the full token")
    if full := _behind(context, context.full_token):
        return warned(
            check,
            f"The serving process holds {_what(value, context)}, {full} behind it the full one",
            "A mere proxy needs no token. If the serving process itself asks DataRobot, it has to have it, too.",
            evidence=[START],
            hint=LOAD_FIRST,
        )
    if value is None:
        return failed(check, f"The serving process has no {KEY}", "Something unsets it before the server starts.",
                      evidence=_lines(context, KEY, "env -i", "unset"), hint=LOAD_HINT)  # fmt: skip
    if value == "":
        return failed(check, f"{KEY} is empty in the serving process", "An empty value replaced the platform's token.",
                      evidence=_lines(context, KEY), hint=LOAD_HINT)  # fmt: skip
    if _same(value, context.restricted_token):
        return _restricted(context)
    if _same(value.strip().strip("'\""), context.full_token):
        return failed(check, f"{KEY} has quotes or blanks around it in the serving process",
                      "The shell or the program that reads .env takes them as part of the value.",
                      evidence=_lines(context, ".env"), hint=LOAD_HINT)  # fmt: skip
    return failed(check, f"{KEY} is neither the full token nor the restricted one in the serving process",
                  "Something sets it to another value after .env was loaded.",
                  evidence=_lines(context, KEY), hint=LOAD_HINT)  # fmt: skip


def _behind(context: Context, token: Secret) -> str:
    """The first server of the app, beside the serving process, that holds `token`; nothing when none does."""
    server = context.inside.server
    for one in context.inside.listeners:
        if server is not None and one.pid not in (0, server.pid) and _same(one.environment.get(KEY, ""), token):
            return f"{one.command[:60]} (port {one.port})"
    return ""


def _what(value: str | None, context: Context) -> str:
    if not value:
        return "no token"
    return "the restricted token" if _same(value, context.restricted_token) else "another token"


def _restricted(context: Context) -> Check:
    """Say why the restricted token is still there."""
    check = "environment.token"
    script = _without_comments(context.text_of(START))
    if context.parameter:
        return failed(
            check,
            f"The app runs with the platform's restricted token: start-app.sh does not take over {context.parameter}",
            "With RUNTIME_ENV=credential the full token comes in that variable, as JSON or as it is.",
            evidence=_lines(context, context.parameter) or [START],
            hint="Take it over in start-app.sh before the server starts, as custom_application/start-app.sh does.",
        )
    code, replaces = _loading_code(context) if ".env" not in script else ("", False)
    if code and replaces:
        return warned(
            check,
            "The code of the app loads .env itself: which token it uses cannot be seen from outside",
            "The process was started with the platform's restricted token.",
            evidence=[code],
            hint=LOAD_HINT,
        )
    if code:
        return failed(
            check,
            "The app runs with the platform's restricted token: its code loads .env, but replaces nothing that is set",
            "DATAROBOT_API_TOKEN always is. The restricted token may not read use cases or notebooks.",
            evidence=[code],
            hint=LOAD_HINT,
        )
    cause, where = _in_a_child(context, script) or _cause(script)
    return failed(
        check,
        f"The app runs with the platform's restricted token: {cause}",
        "The restricted token may not read use cases or notebooks; the full one is in .env.",
        evidence=_lines(context, where) if where else [START],
        hint=LOAD_HINT,
    )


_CALLED = re.compile(r"(?m)^\s*(?:(?:/bin/|/usr/bin/env )?(?:sh|bash|dash)\s+(?:-\w+\s+)*|(?=\./))(?:\./)?([\w./-]+)")

_LOADS = re.compile(r"(?m)(?:^|[\s;&(])(?:\.|source)\s+\S*\.env\b")


def _in_a_child(context: Context, script: str) -> tuple[str, str] | None:
    """Find the script that start-app.sh calls, not sources, to load `.env`: what it sets ends with it."""
    for called in _CALLED.findall(script):
        if called in context.paths and _LOADS.search(context.text_of(called)):
            return f"{called} loads .env in a process of its own, which the server does not see", called
    return None


def _cause(script: str) -> tuple[str, str]:
    """Read in start-app.sh why `.env` did not win; gives the cause and the text that shows where."""
    shell = script.split("\n", 1)[0]
    plain_sh = re.search(r"/(?:sh|dash|ash)\b", shell) is not None
    if ".env" not in script:
        return "start-app.sh does not load .env", ""
    if "--env-file" in script:
        return "--env-file does not replace a variable that is set already", "--env-file"
    if plain_sh and re.search(r"(?m)^\s*source\s", script):
        return "`source` does not exist in sh", "source "
    if plain_sh and re.search(r"(?m)(?:^|[\s;&(])\.\s+\.env\b", script):
        return "`. .env` searches PATH, not this folder; write `. ./.env`", ". .env"
    if re.search(r"\(\s*(?:set -a\s*[;&\n]+\s*)?(?:\.|source)\s+\S*\.env[^)]*\)", script):
        return ".env is loaded in a subshell, which the server does not see", ".env"
    loaded = _LOADS.search(script)
    if loaded and re.search(r"(?m)^\s*(?:exec\s+)?(?:bun|node|npm|npx|bunx)\b", script[: loaded.start()]):
        return ".env is loaded after the server was started", ".env"
    if loaded and re.search(rf"{KEY}=", script[loaded.end() :]):
        return "start-app.sh sets it again after it loaded .env", f"{KEY}="
    return "start-app.sh mentions .env, but does not load it into the server's environment", ".env"


def _without_comments(script: str) -> str:
    """The script without comment lines, but with its first line."""
    first, _, rest = script.partition("\n")
    return "\n".join([first, *(line for line in rest.split("\n") if not line.lstrip().startswith("#"))])


def _loading_code(context: Context) -> tuple[str, bool]:
    """Where the app's code loads `.env`, and whether that may replace the token; code that may comes first."""
    found = ""
    for file in context.staged.files:
        if file.path.endswith((".ts", ".js", ".mjs", ".tsx", ".cjs", ".mts")) and file.local.stat().st_size < 2**20:
            text = _COMMENT.sub(lambda match: "\n" * match[0].count("\n"), file.local.read_text("utf-8", "replace"))
            library = _DOTENV.search(text)
            place = library or _READS.search(text)
            if place is None:
                continue
            line = text.count("\n", 0, place.start()) + 1
            if library is None or _OVERRIDES.search(text):
                return f"{file.path}:{line}", True
            found = found or f"{file.path}:{line}"
    return found, False


def _lines(context: Context, *needles: str) -> list[str]:
    """`start-app.sh:line` of the lines that hold one of `needles`; never their text, which may hold a secret."""
    lines = context.text_of(START).split("\n")
    found = [f"{START}:{n}" for n, line in enumerate(lines, 1) if any(needle in line for needle in needles)]
    return found or [START]


def _same(value: str, secret: Secret) -> bool:
    return hmac.compare_digest(value.encode("utf-8", "surrogateescape"), secret.reveal().encode())


def leaks(context: Context) -> Check:
    """No part of a token is in the log or in anything that the app serves."""
    tokens = [t.reveal() for t in (context.full_token, context.restricted_token) if t is not None]
    tokens = [value for value in tokens if len(value) >= 8]
    if not tokens:
        return skipped("environment.leaks", "no token to look for")
    in_log = [mark for value in tokens for mark in marks_of(value)]
    in_body = [mark for value in tokens for mark in marks_of(value, beginning=telling_beginning(value))]
    places = [f"log line {n}" for n, line in enumerate(context.logs, 1) if _holds(line.encode(), in_log)]
    logged = len(places)
    bodies = {
        **(context.browser.bodies if context.browser else {}),
        **(context.crawled.bodies if context.crawled else {}),
    }
    for path, body in bodies.items():
        if line := _line_with(body, [*in_body, BUILD_PLACEHOLDER]):
            places.append(f"./{path}:{line}")
    for path, headers in context.crawled.headers.items() if context.crawled else ():
        places += [f"./{path}, header {name}" for name, value in headers.items() if _holds(value.encode(), in_body)]
    if places:
        where = "its log" if logged == len(places) else "what it serves" if not logged else "its log and what it serves"
        return failed(
            "environment.leaks",
            f"The app shows a token, or the beginning of one, in {where}",
            "Whoever reads it can act as the owner of the token.",
            evidence=places[:10],
            hint="Do not print tokens, not even in part, and keep them out of what is sent to browsers "
            "(a build that inlines the environment puts them there).",
        )
    return passed("environment.leaks", "no token in the log or in what is served")


def _line_with(body: bytes, needles: Iterable[bytes]) -> int:
    """The number of the first line of `body` that holds one of `needles`; 0 when none does."""
    found = [at for needle in needles if (at := body.find(needle)) >= 0]
    return body.count(b"\n", 0, min(found)) + 1 if found else 0


def _holds(text: bytes, needles: Iterable[bytes]) -> bool:
    return any(needle in text for needle in needles)


def settings(context: Context) -> Check:
    """The serving process knows the platform that it runs on, and runs as in production."""
    check = "environment.settings"
    if context.down:
        return skipped(check, context.down)
    environment = context.environment
    if not environment:
        return skipped(check, "the environment of the serving process cannot be read")
    shipped = dotenv_values(stream=StringIO(context.text_of(".env")), interpolate=False).get(ENDPOINT)
    endpoint = environment.get(ENDPOINT, "")
    if endpoint.rstrip("/") not in {(shipped or "").rstrip("/") or None, context.endpoint.rstrip("/")}:
        return warned(
            check,
            f"{ENDPOINT} is {endpoint or 'empty'} in the serving process" if ENDPOINT in environment
            else f"The serving process has no {ENDPOINT}",
            f"The platform sets it to its own address, here {context.endpoint}.",
            evidence=_lines(context, ENDPOINT),
            hint="Let start-app.sh keep what the platform gives.",
        )  # fmt: skip
    mode = environment.get("NODE_ENV", "")
    if mode and mode != "production":
        return warned(
            check,
            f"The server runs with NODE_ENV={mode}",
            "Development servers answer only local visitors, reload by themselves, and show their sources.",
            evidence=_lines(context, "NODE_ENV"),
            hint="Set NODE_ENV=production in the environment's Dockerfile, and do not change it in start-app.sh.",
        )
    return passed(check, "the serving process is set up for the platform")


def private(context: Context) -> Check:
    """`.env` and the server's own source cannot be downloaded."""
    check = "environment.private"
    if context.down or not context.private:
        return skipped(check, context.down)
    for answer in context.private:
        shown = f"./{_below(context, answer)}"
        told = context.full_token is not None and _holds(answer.body, marks_of(context.full_token.reveal()))
        # A hook or a server may well name a variable of the platform: that is no .env, and told below.
        if shown.endswith(".env"):
            told = told or re.search(rb"(?m)^\s*(?:export )?DATAROBOT_\w+=", answer.body) is not None
        if answer.status == 200 and told:
            if "%" in shown:
                # Nothing says whether the platform's proxies let such a path through (platform-contract 6.15).
                return warned(
                    check,
                    "A path that leads out of the served folder is answered with .env and the token in it",
                    f"GET {shown} is answered with 200 and the file, if the proxy before the app lets it through.",
                    evidence=[shown],
                    hint="Join and normalise the path (path.resolve), and answer 404 unless it is in the folder.",
                )
            return failed(
                check,
                f"The server hands out {shown[2:]}, with the token in it, to every visitor",
                f"GET {shown} is answered with 200 and the file.",
                evidence=[shown],
                hint="Serve only the folder with the built files (dist), never the app's own folder.",
            )
    texts = {path: context.text_of(path).encode() for path in server_files(context)}
    shown_files = [
        path for answer in context.private if answer.status == 200
        for path, text in texts.items() if _below(context, answer) == path and answer.body == text
    ]  # fmt: skip
    if shown_files:
        return warned(
            check,
            f"The server hands out its own source: {', '.join(shown_files)}",
            "Whoever may open the app can read how it works, and every file beside it.",
            evidence=[f"./{path}" for path in shown_files],
            hint="Serve only the folder with the built files (dist), never the app's own folder.",
        )
    return passed(check, ".env and the server's source cannot be downloaded")


def server_files(context: Sources) -> list[str]:
    """The files that start the app: its hooks, and the script that start-app.sh names."""
    named = re.findall(r"[\w./-]+\.(?:ts|tsx|js|mjs|cjs|mts)\b", _without_comments(context.text_of(START)))
    paths = set(context.paths)
    found = [path for path in (START, "build-app.sh", *(name.removeprefix("./") for name in named)) if path in paths]
    return list(dict.fromkeys(found))


def private_paths(context: Sources) -> list[str]:
    """What is asked for below the prefix and should not be had; dots are also written as servers may decode them."""
    return [".env", "..%2f.env", "..%2f..%2f.env", *server_files(context)]


def _below(context: Context, answer: Response) -> str:
    return answer.url.partition(context.prefix)[2]
