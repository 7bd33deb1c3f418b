"""Start: does the app come up, where the platform looks for it, and does it stay up?"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from toolkit.checks import names, shell, source
from toolkit.checks.buildlog import CONSEQUENCE
from toolkit.checks.context import PORT, Context, Sources
from toolkit.checks.shell import End
from toolkit.container import ContainerState
from toolkit.processes import Listener
from toolkit.report import Check, failed, passed, skipped, warned

_KILLED = 137  # an engine that knows it was for memory says so (oom_killed); Podman does not always
_SIGNALS = {129: "SIGHUP", 130: "SIGINT", 131: "SIGQUIT", 132: "SIGILL", 134: "SIGABRT", 135: "SIGBUS", 136: "SIGFPE"}
_SIGNALS |= {137: "SIGKILL", 139: "SIGSEGV", 141: "SIGPIPE", 143: "SIGTERM"}
_NOT_RUN = re.compile(r"exec user process caused.*no such file|start-app\.sh\S* no such file", re.IGNORECASE)
_BASHISM = re.compile(
    r"(?:-app\.sh: (?:line )?\d+|\bsh: \d+: \S*-app\.sh): (?:.*: )?"
    r"(?:(?:source|\[\[|function|declare|shopt|pushd|\(\(): not found|Bad substitution|Illegal option"
    r"|Syntax error: (?:\"\(\"|redirection) unexpected|\.env: not found)"
)
BASHISM = (
    "/bin/sh is dash there: `. ./.env` instead of source or `. .env`, `[ ]` instead of `[[ ]]`, no arrays. "
    "Or begin with #!/bin/bash."
)
_ERROR = re.compile(r"\berror\b|\w+Error\b|not found|\bpanic\b|\bfatal\b", re.IGNORECASE)
_SAYS_WHY = re.compile(r"(?:(?i:\w*error|fatal|panic)|E[A-Z]{4,})\b.{0,40}:")
_INVALID_PATH, _INVALID_WHY = re.compile(r'"?path"?: \[ "([^"]+)"'), re.compile(r'"?message"?: "([^"]+)"')
_FRAME = re.compile(r"\s*\d+ \||\s*at \S|\s*\^+\s*$|Bun v\d")  # of the source, or of the stack
_READ = re.compile(r"^\s*(?:if\s+|while\s+|!\s*)*read\s+[-\w]")
_FED = re.compile(r"^[ \t]*while\b.*?^[ \t]*done[ \t]*<[^\n]*", re.MULTILINE | re.DOTALL)
_AMPERSAND = re.compile(r"^\s*[^#\s].*[^&>|]&(?:\s|$)|^\s*(?:nohup|setsid)\s")
_ANY = ("0.0.0.0", "::")
NOT_SHIPPED = "Let build-app.sh make {}: what is built is built on the platform. Or give it another name."
_GOES_ON = "start-app.sh must end with `exec` of the server, and the server must go on running."
_LOG_LINES = 12
_TELLING = 12  # characters of a line that tell where it comes from
MUCH_LOG = 20 * 10**6  # bytes
SLOW = 45.0  # seconds; known is only that the platform gives up after two to five minutes (platform-contract 3)


def listens(context: Context) -> Check:
    """Something answers HTTP on port 8080 of every address of the container."""
    waited = context.waited
    if waited.response is not None and waited.seconds > SLOW:
        return warned(
            "start.listens",
            f"It takes {waited.seconds:.0f} s until the app answers on port {PORT}",
            "The platform gives an app a few minutes, and its machine may be slower than this one.",
            evidence=context.logs[:_LOG_LINES],
            hint="Do long work (install, build, downloads) in build-app.sh, or after the server has begun to listen.",
        )
    if waited.response is not None:
        return passed("start.listens", f"answers on port {PORT}", f"{waited.seconds:.1f} s after its start")
    if not waited.state.running:
        return _exited(context)
    right = [listener for listener in waited.inside.listeners if listener.port == PORT and listener.address in _ANY]
    if waited.spoken:
        return failed(
            "start.listens",
            f"The app speaks {waited.spoken} on port {PORT}, and the platform asks in plain HTTP/1.1",
            "The platform ends TLS itself, before the app.",
            evidence=[*map(_shown, right), *context.logs[-_LOG_LINES:]],
            hint=f"Serve plain HTTP/1.1 on port {PORT}: Bun.serve without `tls`, or node:http.",
        )
    if right or (waited.accepted and not waited.inside.listeners):
        return failed(
            "start.listens",
            f"The app accepts connections on port {PORT} but does not answer",
            f"GET {context.probe_path} got no answer within {waited.seconds:.0f} s.",
            evidence=[*map(_shown, right), *context.logs[-_LOG_LINES:]],
            hint="Look for a handler that never finishes, or for work that blocks the server at start.",
        )
    if waited.inside.listeners:
        return _elsewhere(context)
    title, hint = "The app does not listen on any port", "Long work (install, build) belongs into build-app.sh."
    if repeated := _repeated(context.logs):
        title, hint = f"The app starts over and over: {repeated}", "Correct what the last lines of its log say."
    elif paths := waited.inside.unix_sockets:
        title = f"The app listens on the Unix socket {paths[0]} instead of port {PORT}"
        hint = f"Listen on TCP: Bun.serve({{ hostname: '0.0.0.0', port: {PORT} }}), without `unix`."
    elif script := _reading(context):
        return _waits_for_input(script, context)
    elif (said := last(context.logs)) and _SAYS_WHY.match(said):
        title, hint = f"{title}: {said}", "Correct what the last lines of its log say."
    return failed(
        "start.listens",
        title,
        f"Expected 0.0.0.0:{PORT}; its processes run, but no TCP port is open after {waited.seconds:.0f} s.",
        evidence=[
            *(f"process {one.pid}: {one.command[:100]}" for one in waited.inside.processes),
            *context.logs[-_LOG_LINES:],
        ],
        hint=f"Does start-app.sh start the server? {hint}",
    )


def _repeated(logs: tuple[str, ...]) -> str:
    """The error that a loop around the server brings again and again."""
    errors = Counter(line.strip() for line in logs if _ERROR.search(line) and not _FRAME.match(line))
    line, times = errors.most_common(1)[0] if errors else ("", 0)
    return line[:160] if times > 2 else ""


def _reading(context: Context) -> str:
    """`start-app.sh:line` where the hook reads from its standard input; nothing when it does not, or from a file."""
    script = _FED.sub(lambda loop: "\n" * loop[0].count("\n"), context.text_of(source.START))
    for number, line in enumerate(script.split("\n"), 1):
        if _READ.search(line) and "<" not in line:
            return f"{source.START}:{number}"
    return ""


def _waits_for_input(place: str, context: Context) -> Check:
    return failed(
        "start.listens",
        "start-app.sh waits for input, and nobody is there to give it",
        "The platform starts it without a terminal: whatever it reads is at its end at once.",
        evidence=[place, *context.logs[-_LOG_LINES:]],
        hint="Take the answer from an environment variable, with a default.",
    )


def _exited(context: Context) -> Check:
    state, seconds = context.waited.state, context.waited.seconds
    if source.hooks(context).status == "fail":
        return skipped("start.listens", "start-app.sh cannot be run (source.hooks)")
    if _NOT_RUN.search("\n".join([state.error, *context.logs[-3:]])):
        interpreter = context.text_of(source.START).split("\n", 1)[0].removeprefix("#!").strip()
        return failed(
            "start.listens",
            f"start-app.sh cannot be run: the image has no {interpreter}",
            "Its first line names an interpreter that must be in the environment's image.",
            evidence=[f"{source.START}:1", *context.logs[-3:]],
            hint="Use #!/bin/sh, or install the interpreter in the environment's Dockerfile.",
        )
    shown = last(context.logs)
    if state.oom_killed:
        return failed(
            "start.listens",
            "The app ran out of memory and was killed",
            f"{seconds:.1f} s after its start; the bundle gives it {context.memory // 2**20} MB.",
            evidence=context.logs[-_LOG_LINES:],
            hint="Choose a larger bundle with APP_BUNDLE, or let the app need less memory.",
        )
    hint = "Correct what the last lines of its log say."
    if state.exit_code <= 1 and (place := _reading(context)) and not _ERROR.search("\n".join(context.logs)):
        return _waits_for_input(place, context)
    ended = _own_end(context)
    place = _background(context)
    if ended is not None and ended.certain and not place:
        return _ended_itself(ended, context)
    if state.exit_code == 0:
        hint = _GOES_ON
        if place:
            return _ended_before_it("start.listens", place, context)
    if otherwise := names.named_otherwise(context.logs, context.paths):
        wanted, path = otherwise
        shown = f"it asks for {wanted}, but the file is called {path}"
        hint = f"They differ {names.difference(wanted, path)}: on the platform these are two files. Write it as it is."
    elif bashism(context.logs):
        hint = BASHISM
    elif path := next((path for path in unshipped(context) if re.search(rf"[\"'/ ]{re.escape(path)}/", shown)), ""):
        shown += f"; {path} does not ship"
        hint = NOT_SHIPPED.format(path)
    elif ended is not None and not place:
        return _ended_itself(ended, context)
    return failed(
        "start.listens",
        f"The app exited {how(state)}" + (f": {shown}" if shown else ""),
        f"{seconds:.1f} s after its start; expected a process that goes on running and serves.",
        evidence=context.logs[-_LOG_LINES:],
        hint=hint,
    )


def _own_end(context: Context) -> End | None:
    """The `exit` or `return` of start-app.sh that ends it with the code that it ended with, if there is one.

    One that some condition decides about counts only when the last word of the log, if any, is the hook's own.
    """
    script, said = context.text_of(source.START), last(context.logs)
    ends = [end for end in shell.early_ends(script) if end.code in (context.waited.state.exit_code, None)]
    its_own = said[:_TELLING] in script
    return next((end for end in ends if end.certain), next(iter(ends), None) if its_own else None)


def _ended_itself(end: End, context: Context) -> Check:
    place, said = f"{source.START}:{end.line}", last(context.logs)
    title = f"start-app.sh ends at line {end.line} ({end.text}), before it starts the server"
    if not end.certain:
        title = f"The app exited {how(context.waited.state)}, it seems by {place} ({end.text})"
    return failed(
        "start.listens",
        title + (f": {said}" if said else ""),
        f"{context.waited.seconds:.1f} s after its start; what follows that line did not run.",
        evidence=[f"{place}  {end.text}", *context.logs[-_LOG_LINES:]],
        hint="Let start-app.sh come to the `exec` of the server: remove that line, or what leads there.",
    )


def _ended_before_it(check: str, place: str, context: Context) -> Check:
    return failed(
        check,
        "start-app.sh ends while the server runs in the background, and the container ends with it",
        "The platform's container lives as long as start-app.sh does.",
        evidence=[place, *context.logs[-_LOG_LINES:]],
        hint="End start-app.sh with `exec` of the server, without &.",
    )


def _background(context: Context) -> str:
    """`start-app.sh:line` of the last command that is put into the background; nothing when there is none."""
    lines = context.text_of(source.START).split("\n")
    found = [number for number, line in enumerate(lines, 1) if _AMPERSAND.search(line)]
    return f"{source.START}:{found[-1]}" if found else ""


def bashism(lines: Iterable[str]) -> bool:
    """Whether a shell complains of what only bash understands: /bin/sh of the image is dash."""
    return any(_BASHISM.search(line) for line in lines)


def _elsewhere(context: Context) -> Check:
    listeners = context.waited.inside.listeners
    same_port = [listener for listener in listeners if listener.port == PORT]
    shown = same_port or list(listeners)
    found = ", ".join(f"{listener.address}:{listener.port}" for listener in shown[:3])
    if same_port:
        title = f"The app listens on {found} only, where nobody outside the container reaches it"
        hint = "Bind 0.0.0.0, for example Bun.serve({ hostname: '0.0.0.0', port: 8080 })."
    else:
        title = f"The app listens on {found} instead of port {PORT}"
        hint = f"Listen on port {PORT}: use process.env.PORT with {PORT} as the default."
    return failed(
        "start.listens",
        title,
        f"Expected 0.0.0.0:{PORT}.",
        evidence=[*map(_shown, listeners[:5]), *context.logs[-5:]],
        hint=hint,
    )


def _shown(listener: Listener) -> str:
    owner = f"process {listener.pid}: {listener.command[:100]}" if listener.pid else "process unknown"
    return f"{listener.address}:{listener.port} ({owner})"


def log(context: Context) -> Check:
    """A log of that size hides what is worth reading, and slows the app down."""
    if context.log_size <= MUCH_LOG:
        return passed("start.log", "its log is of a reasonable size")
    return warned(
        "start.log",
        f"The app wrote more than {MUCH_LOG // 10**6} MB to its log within seconds",
        "The platform keeps the last part of it only, and writing so much slows the app down.",
        evidence=context.logs[-5:],
        hint="Log less: one line for what is worth knowing, no loops that log.",
    )


def how(state: ContainerState) -> str:
    """Put the end of a container into words."""
    if state.exit_code == _KILLED:
        return f"by SIGKILL (exit code {_KILLED}), as when memory runs out"
    if state.exit_code in _SIGNALS:
        return f"by {_SIGNALS[state.exit_code]} (exit code {state.exit_code})"
    meanings = {126: " (not executable)", 127: " (command not found)"}
    return f"with code {state.exit_code}{meanings.get(state.exit_code, '')}"


def last(logs: tuple[str, ...]) -> str:
    """The line of the log that most likely says why: the last one that is an error, or speaks of one, else the last.

    Who started the program has the last word, but does not know the reason. An error that goes on below is told with
    the first of it.
    """
    lines = [line.strip() for line in logs if line.strip() and not _FRAME.match(line)]
    reasons = [number for number, line in enumerate(lines) if not CONSEQUENCE.match(line)]
    errors = [number for number in reasons if _SAYS_WHY.match(lines[number])]
    errors = errors or [number for number in reasons if _ERROR.search(lines[number])]
    likely = errors or reasons or range(len(lines))
    return _whole(lines[likely[-1]], lines[likely[-1] + 1 :])[:160] if likely else ""


def _whole(line: str, below: Sequence[str]) -> str:
    """Give a line that ends in the middle (as of a list of what is invalid) with what comes next."""
    if line.endswith(("[", "{")):
        rest = " ".join(below[: _LOG_LINES - 1])
        parts = [found[1] for pattern in (_INVALID_PATH, _INVALID_WHY) if (found := pattern.search(rest))]
        return ": ".join([line.rstrip("[{: "), *parts]) if parts else line
    return f"{line} {below[0]}" if line.endswith(":") and below else line


def probe(context: Context) -> Check:
    """Kubernetes asks with its own user agent and without any header of a visitor (platform-contract 3)."""
    response = context.waited.response
    if response is None:
        return skipped("start.probe", context.down)
    path = context.probe_path
    title = f"The platform's probe GET {path} is answered with {response.status}"
    if 200 <= response.status < 400:
        return passed("start.probe", title[:1].lower() + title[1:])
    hint = f"Answer GET {path} with 200 for everybody; the platform lets only signed-in visitors through anyway."
    if response.status in (404, 500) and (lost := _not_made(context)):
        title += f": {lost} does not ship, and build-app.sh did not make it"
        hint = NOT_SHIPPED.format(lost)
    elif response.status >= 500 and (said := last(context.logs)) and _SAYS_WHY.match(said):
        title += f": {said}"
    return failed(
        "start.probe",
        title,
        "Expected 2xx or 3xx, without sign-in and without headers: otherwise the platform calls the app failed.",
        evidence=context.logs[-5:],
        hint=hint,
    )


def unshipped(context: Sources) -> list[str]:
    """Folders of the app that never ship by their name, though a server may be meant to serve them (toolkit.source)."""
    kept = [left.path for left in context.staged.left_out if left.reason.startswith("never ships: ")]
    return [path for path in kept if not path.rsplit("/", 1)[-1].startswith((".", "__", "node_modules"))]


def _not_made(context: Context) -> str:
    """The first folder that does not ship and is not in the running container either."""
    return next((path for path in unshipped(context) if context.app.exec(["test", "-e", path])[0] == 1), "")


def stable(context: Context) -> Check:
    """It still runs after the first requests."""
    if context.waited.response is None or context.state is None:
        return skipped("start.stable", context.down or "not looked at")
    if context.blocked:
        return failed(
            "start.stable",
            f"The app stopped answering: its probe GET {context.probe_path} gets no answer any more"
            f" {context.ran:.0f} s after the first one",
            "It still runs. The platform asks again and again, and restarts what does not answer.",
            evidence=context.logs[-_LOG_LINES:],
            hint="Look for what blocks the server: an endless loop, a synchronous call, a lock that nobody gives back.",
        )
    if context.state.running:
        return passed("start.stable", "still running after the first requests", f"{context.ran:.1f} s after its first")
    if context.state.exit_code == 0 and (place := _background(context)):
        return _ended_before_it("start.stable", place, context)
    cause = "ran out of memory" if context.state.oom_killed else f"exited {how(context.state)}"
    return failed(
        "start.stable",
        f"The app {cause} while it was being used" + (f": {last(context.logs)}" if context.logs else ""),
        f"{context.ran:.1f} s after its first answer." if context.ran else "",
        evidence=context.logs[-_LOG_LINES:],
        hint=_GOES_ON
        if context.state.exit_code == 0
        else "Look at the last lines of its log: a request ends the process, at once or a while later.",
    )
