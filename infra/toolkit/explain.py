"""Why a deployment failed, and what to do: known texts of provider, platform and build logs, put into words. Pure.

The texts of the provider are those that were recorded with version 0.10.43; each of them is a test. What no rule knows
is quoted as it is and never guessed at.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["failed", "denied", "timeout"]
MOST_LINES = 20
AROUND = 6  # lines kept before the first line that names an error, when it is not among the last ones
# What says nothing about a failure: progress of downloads and of layers.
NOISE = re.compile(
    r"^\s*(?:[\d.]+\s?[kMG]?B/s|#\d+ (?:sha256:|extracting|transferring|DONE|CACHED)|-+>\s*(?:Running|Using cache)"
    r"|[0-9a-f]{12}: (?:Waiting|Download|Pull|Verifying|Extracting)|Removing intermediate|Get:\d+ |Selecting previously"
    r"|\(Reading database|Preparing to unpack|Unpacking |Setting up )",
    re.IGNORECASE,
)
SAYS_WHY = re.compile(
    r"error|fail|cannot|could not|not found|no such|denied|refused|exception|panic|traceback|killed|fatal|unable to"
    r"|exit(?:ed)? (?:with |code)|missing|unexpected|invalid|\bE:",
    re.IGNORECASE,
)
TIMED = re.compile(r"^\d{4}-\d\d-\d\dT[\d:.]+Z?\s+")
ANSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")


@dataclass(frozen=True)
class Cause:
    """One reason of a failure.

    `what` says what happened and `hint` what to do next; `heals` is whether the next plain deployment gets over it
    without any other change; `quote` is the line that it was read from.
    """

    id: str
    what: str
    hint: str
    quote: str
    kind: Kind = "failed"
    heals: bool = False


@dataclass(frozen=True)
class Rule:
    """How one cause is told from its text; groups of the pattern stand in `what` and `hint` as {0}, {1}."""

    id: str
    pattern: re.Pattern[str]
    what: str
    hint: str
    kind: Kind = "failed"
    heals: bool = False


def _rule(id_: str, pattern: str, what: str, hint: str, kind: Kind = "failed", *, heals: bool = False) -> Rule:
    return Rule(id_, re.compile(pattern, re.IGNORECASE | re.DOTALL), what, hint, kind, heals)


AGAIN = "Run the same command again: it goes on from what is there."
# The more a text says about its cause, the earlier its rule: the first that fits is taken.
PROVIDER = (
    _rule(
        "build-failed",
        r"Execution Environment failed to build: execution environment failed to create",
        "The platform could not build the image of the environment.",
        "Its build log stands above. Try the Dockerfile here: invoke build --fresh",
    ),
    _rule(
        "build-slow",
        r"Execution Environment failed to build: execution environment is not ready",
        "The platform did not finish the image of the environment in time.",
        "Deploy again, it goes on waiting; or give it longer: DATAROBOT_TIMEOUT_MINUTES.",
        "timeout",
        heals=True,
    ),
    _rule(
        "app-failed",
        r"Custom Application is not ready: application failed to create",
        "The application did not come up on the platform.",
        "Its log stands above. When it came up here, something differs there: variables, network, memory.",
    ),
    _rule(
        "app-slow",
        r"Custom Application is not ready: application is not ready",
        "The application was not ready in time.",
        "Look at its log: invoke logs. Or give it longer: DATAROBOT_TIMEOUT_MINUTES.",
        "timeout",
        heals=True,
    ),
    _rule(
        "app-gone",
        r"Missing Resource State After Update",
        "Something that this deployment updates is not on the platform any more: somebody removed it.",
        "Deploy again: what is missing is made anew. A new application has another address.",
        heals=True,
    ),
    _rule(
        "app-name-taken",
        r"Application name must be unique, and name '([^']*)' is already in use",
        "The platform has another application that is called {0}.",
        "If it is a leftover of this stack, the next deployment removes it. Otherwise choose another APP_NAME.",
    ),
    _rule(
        "source-name-taken",
        r"application source name '([^']*)' is already in use",
        "The platform has another application source that is called {0}.",
        "Deploy again: this tool lets each source have a name of its own.",
        heals=True,
    ),
    _rule(
        "credential-name-taken",
        r"Credential name must be unique, and name '([^']*)' is already in use",
        "The platform has another credential that is called {0}.",
        "Remove or rename that one in DataRobot (Credentials), or choose another APP_NAME.",
    ),
    _rule(
        "environment-in-use",
        r"409 Conflict.*Execution environment is in use",
        "Something still runs on the execution environment, so the platform keeps it.",
        "Remove what else uses it in DataRobot, then run the same command again.",
    ),
    _rule(
        "use-case-gone",
        r"useCases/([0-9a-f]+)/customApplications/\S* not found",
        "There is no use case {0} that this token can see.",
        "Correct APP_USE_CASES (or useCases of the stack's file).",
    ),
    _rule(
        "environment-version-gone",
        r"Error getting Execution Environment Version: \S+ not found",
        "A version of the execution environment was removed on the platform by hand.",
        "invoke destroy, then deploy again. The provider cannot read past it.",
    ),
    _rule(
        "bundle-unknown",
        r"422 Unprocessable.*resourceLabel",
        "The platform does not know the resource bundle.",
        "Choose another APP_BUNDLE. Are resource bundles switched on in your organisation?",
    ),
    _rule(
        "file-too-large",
        r"413 |422 Unprocessable.*too large",
        "The platform refuses a file because of its size.",
        "See what ships: invoke stage. Keep large files out with .deployignore.",
    ),
    _rule(
        "refused-data",
        r"422 Unprocessable Entity (\{.*?\})\s*$",
        "The platform refuses what it was sent: {0}",
        "Correct the setting that it names. Nothing else helps: the same data is refused again.",
    ),
    _rule(
        "key-scope-unknown",
        r"invalid level: (\S+?), choices",
        "There is no key scope {0}.",
        "APP_KEY_SCOPE is viewer, user or admin.",
    ),
    _rule(
        "no-token",
        r"Api Key cannot be an empty string",
        "Pulumi got no token.",
        "Set DATAROBOT_API_TOKEN in .env.",
        "denied",
    ),
    _rule(
        "token-refused",
        r"access denied to |401 Unauthorized",
        "The platform does not know this token any more (401).",
        "Put a key that is valid into .env (DATAROBOT_API_TOKEN), and deploy again.",
        "denied",
    ),
    _rule(
        "not-permitted",
        r"(GET|POST|PATCH|PUT|DELETE) request (\S+) : response 403 Forbidden (?:\{\"message\": \"([^\"]*)\")?",
        "The token may not do this on the platform (403): {0} {1}. {2}",
        "Use a key of an account that has this permission, or ask an administrator for it.",
        "denied",
    ),
    _rule(
        "too-many",
        r"429 Too Many Requests",
        "The platform takes no more requests for the moment (429).",
        f"Wait a minute. {AGAIN}",
        heals=True,
    ),
    _rule(
        "platform-down",
        r"response (50[0234]) ([A-Z][A-Za-z ]+)",
        "The platform itself is in trouble ({0} {1}).",
        f"Wait a little. {AGAIN} When it stays, it is for the platform's administrators.",
        heals=True,
    ),
    _rule(
        "no-address",
        r"unsupported protocol scheme|invalid URL",
        "DATAROBOT_ENDPOINT is no address.",
        "Expected: https://app.datarobot.com/api/v2",
    ),
    _rule(
        "unreachable",
        r"connection refused|no such host|network is unreachable|no route to host",
        "The platform cannot be reached from here.",
        "Check DATAROBOT_ENDPOINT and the network (proxy, VPN): invoke doctor",
    ),
    _rule(
        "untrusted",
        r"x509: |certificate (?:signed by|verify|is not)",
        "The certificate of the platform is not trusted here.",
        "Name your organisation's certificates with SSL_CERT_FILE.",
    ),
    _rule(
        "cut",
        r"(?<!checkpoint): EOF\b|connection reset|broken pipe|unexpected EOF|i/o timeout|context deadline exceeded"
        r"|TLS handshake",
        "The connection to the platform broke off in the middle of a request.",
        AGAIN,
        heals=True,
    ),
    _rule(
        "not-an-api",
        r"Error creating .*: (\S+) not found",
        "The platform has no {0}.",
        "Is DATAROBOT_ENDPOINT the address of the API? Expected: https://app.datarobot.com/api/v2",
    ),
    _rule(
        "file-gone",
        r"(?:Error calculating files hashes - open|Error getting Docker context - stat) (.+?): no such file",
        "A file that was to be sent has vanished: {0}",
        AGAIN,
        heals=True,
    ),
    _rule(
        "attribute",
        r"Attribute (\S+) value must be one of: (\[.*?\]), got: (\"[^\"]*\")",
        "The provider does not take {2} for {0}.",
        "It takes one of {1}.",
    ),
    _rule(
        "imported",
        r"previously-imported resources that still specify an ID may not be replaced",
        "A resource that was imported would have to be replaced, which Pulumi refuses.",
        "Take its import declaration out of the program, and deploy again.",
    ),
    _rule(
        "pending",
        r"has pending operations|pending CREATE operations",
        "An earlier run was killed in the middle of a step, and its end is not known.",
        "Read anew what is there, then deploy: invoke refresh",
    ),
    _rule(
        "no-plugin",
        r"no resource plugin|could not find plugin|plugin \S+ not found",
        "Pulumi has no plugin for DataRobot.",
        "See what there is: invoke doctor. Behind a firewall install it from a file (docs/deploy-to-datarobot.md).",
    ),
)
# What logs of builds and of applications say; here the last match counts for little, the rank for all.
LOGS = (
    _rule(
        "architecture",
        r"exec format error",
        "The image is for another kind of processor.",
        "The platform runs linux/amd64: take a base image for that.",
    ),
    _rule(
        "memory",
        r"out of memory|OOMKilled|JavaScript heap|(?m:^Killed$)"
        r"|(?:exit(?:ed with)?|non-zero)(?: code| status)?:? 137\b",
        "It ran out of memory.",
        "Take a larger APP_BUNDLE, or use less.",
    ),
    _rule(
        "disk", r"no space left on device", "The disk there was full.", "Ship less (invoke stage), or a smaller image."
    ),
    _rule(
        "lockfile",
        r"lockfile had changes, but lockfile is frozen",
        "bun.lock does not fit package.json.",
        "Run bun install, and commit bun.lock.",
    ),
    _rule(
        "module",
        r"(?:Cannot find (?:module|package)|Could not resolve:?) [\"'`]([^\"'`]+)[\"'`]",
        "The module {0} is missing.",
        "Is it a dependency in package.json (not of development only), and does its file ship? invoke stage",
    ),
    _rule(
        "copy",
        r"(?:failed to compute cache key|COPY failed|ADD failed)[^\n]*?(?:stat |[\"'])(/?[\w./-]+)",
        "The Dockerfile copies {0}, which is not in the environment's folder.",
        "Put it there, or correct the path.",
    ),
    _rule(
        "network",
        r"Temporary failure (?:in name resolution|resolving)|Could not resolve host|ENOTFOUND|EAI_AGAIN|ETIMEDOUT",
        "It could not reach a host on the network.",
        "Builds and apps of the platform may reach less than this machine: a mirror, a proxy?",
    ),
    _rule(
        "package",
        r"Unable to locate package (\S+)|No match for argument: (\S+)",
        "There is no system package {0}.",
        "Correct its name in the Dockerfile; run apt-get update in the same step.",
    ),
    _rule(
        "program",
        r"sh: (?:line )?\d*:? ?([\w./-]+): (?:command )?not found|exec: \"([\w./-]+)\": executable file not",
        "The program {0} is not in the image.",
        "Install it in the Dockerfile.",
    ),
    _rule(
        "port",
        r"EADDRINUSE|address already in use|port \d+ (?:is )?in use",
        "The port is taken by another process of the app.",
        "Start one server only, on 0.0.0.0:8080.",
    ),
    _rule(
        "refused",
        r"(?:status|HTTP|answered|response)\D{0,12}\b(401|403)\b|\b(401) Unauthorized|\b(403) Forbidden",
        "The platform refused the app's token.",
        "Does start-app.sh load the .env, and may the token read what the app needs? invoke doctor",
    ),
    _rule(
        "silent",
        r"was not ready within ([\d.]+ ?s)|readiness probe failed|liveness probe failed",
        "The app did not answer the probe of the platform in time.",
        "Long work belongs into build-app.sh; the server has to listen on 0.0.0.0:8080 soon.",
    ),
    _rule(
        "syntax",
        r"(SyntaxError: [^\n]+|syntax error[^\n]*)",
        "The code cannot be read: {0}",
        "Correct it; invoke smoke shows the same.",
    ),
    _rule(
        "file",
        r"ENOENT[^\n]*?'([^'\n]+)'|([\w./-]+): No such file or directory",
        "The file {0} is not there.",
        "Does it ship? invoke stage. Is it made by build-app.sh?",
    ),
    _rule(
        "permission",
        r"EACCES|permission denied",
        "A file or port may not be used by the app's user.",
        "Write to /opt/code or /tmp only, and use ports above 1024.",
    ),
)


def causes(diagnostics: Iterable[str], logs: Iterable[str] = ()) -> tuple[Cause, ...]:
    """Give the causes that the texts name: what the platform's logs say first, as they lie deeper, then the provider.

    Each cause comes once. Empty when no text is known.
    """
    found: dict[str, Cause] = {}
    for text in diagnostics:
        if (cause := _first(PROVIDER, text)) is not None:
            found.setdefault(cause.id, cause)
    deeper = {cause.id: cause for text in logs if (cause := _first(LOGS, text)) is not None}
    order = [rule.id for rule in (*LOGS, *PROVIDER)]
    return tuple(sorted({**deeper, **found}.values(), key=lambda cause: order.index(cause.id)))


def unknown(diagnostics: Iterable[str]) -> tuple[str, ...]:
    """Give the texts that no rule knows; what only says that something failed is none."""
    return tuple(
        text for text in diagnostics if _first(PROVIDER, text) is None and text.strip() not in {"", *SAYS_NOTHING}
    )


SAYS_NOTHING = ("update failed", "preview failed", "refresh failed", "destroy failed")


def _first(rules: Sequence[Rule], text: str) -> Cause | None:
    for rule in rules:
        if match := rule.pattern.search(text):
            groups = [group for group in match.groups() if group is not None]
            fill = [*groups, *([""] * 3)]
            quote = _line_of(text, match.start())
            return Cause(
                rule.id,
                " ".join(rule.what.format(*fill).split()),
                rule.hint.format(*fill),
                quote,
                rule.kind,
                rule.heals,
            )
    return None


def _line_of(text: str, at: int) -> str:
    start = text.rfind("\n", 0, at) + 1
    end = text.find("\n", at)
    return text[start : end if end >= 0 else len(text)].strip()


def lines_that_matter(text: str, most: int = MOST_LINES) -> tuple[str, ...]:
    """Give at most `most` lines of a log: its end, and the first line that says why where that is not part of the end.

    Blank lines, progress of downloads, colours and time stamps are left out; `…` stands for what was.
    """
    lines = [TIMED.sub("", ANSI.sub("", line)).rstrip() for line in text.splitlines()]
    lines = [line for line in lines if line.strip() and not NOISE.search(line)]
    if len(lines) <= most:
        return tuple(lines)
    first = next((number for number, line in enumerate(lines) if SAYS_WHY.search(line)), None)
    if first is None or first >= len(lines) - most:
        return ("…", *lines[1 - most :])
    begin = lines[first : first + AROUND]
    return (*begin, "…", *lines[len(begin) + 1 - most :])
