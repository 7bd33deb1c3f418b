"""The child in the deploy environment: what it is given, how it is talked to, and that it never outlives us."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit import deadruns
from toolkit.errors import ToolMissing
from toolkit.limits import TimeIsOver
from toolkit.settings import Secret, masked
from toolkit.tools import Plugin, Tool

Event = dict[str, Any]
# Seconds, 7 in all as GitHub gives them: Pulumi may finish or undo its step, then it has to stop, then it is killed and
# its lock removed.
CANCEL_GRACE, KILL_GRACE, UNLOCK_GRACE = 3.5, 0.8, 1.5
PATIENT_GRACE = 30.0  # seconds to remove the lock when nobody waits for the end
# What the settings decide; whatever the shell says about these is already in the settings.
DECIDED = {
    "PULUMI_ACCESS_TOKEN",
    "PULUMI_BACKEND_URL",
    "PULUMI_CONFIG",
    "PULUMI_CONFIG_PASSPHRASE",
    "PULUMI_CONFIG_PASSPHRASE_FILE",
    "PULUMI_STACK",
}
HERE = ("127.0.0.1", "localhost", "::1")
SHOWN_NOWHERE = ("DATAROBOT_API_TOKEN", "PULUMI_ACCESS_TOKEN")


@dataclass(frozen=True)
class Driver:
    """What every call needs: interpreter of the deploy environment, CLI, plugin, folders, and the child's environment.

    `environ` holds endpoint, token, state backend and passphrase; nothing else reaches Pulumi. `runs` is where the runs
    that died here are noted (`deadruns`), when others have the state, too.
    """

    python: Path
    pulumi: Tool
    plugin: Plugin
    infra: Path
    work_dir: Path
    stack: str
    environ: Mapping[str, str]
    runs: Path | None = None

    @property
    def described(self) -> str:
        """Versions and origins of CLI and plugin, in words."""
        stand_in = " (stand-in)" if self.plugin.stand_in else ""
        return f"{self.pulumi.version} ({self.pulumi.origin}), provider {self.plugin.version}{stand_in}"


class Interrupted(Exception):
    """Somebody has ended the child; `in_order` says whether Pulumi could finish or undo its step."""

    def __init__(self, in_order: bool) -> None:
        super().__init__()
        self.in_order = in_order


@dataclass(frozen=True)
class Talk:
    """What the child has said: all its events, and the words that tell its end when no event does."""

    events: tuple[Event, ...]
    last_words: str


class Warm:
    """A child that is started before anybody talks to it: it imports Pulumi while other things are done.

    It may also be asked ahead (`ask`); whoever talks to it afterwards hears everything from the beginning. One that
    nobody talks to has to be ended (`end`). Raises ToolMissing when it does not start.
    """

    def __init__(self, driver: Driver) -> None:
        self.process = _child(driver)
        self.last_words = _collect(self.process)
        self.request: Mapping[str, Any] | None = None
        self.talking = threading.Lock()  # only one at a time
        self.wanted = False
        self.answered = False
        self.heard: list[Event] = []
        self.secrets = [Secret(driver.environ.get(name, "")) for name in SHOWN_NOWHERE]

    def ask(self, request: Mapping[str, Any], settled: Callable[[Event], bool]) -> None:
        """Send the request, and read until the child waits; it may go on at once when that is `settled`."""
        with self.talking:
            if self.wanted:
                return  # whoever is in charge came first
            self.request = request
            _send(self.process, json.dumps(request))
            for event in self.events():
                self.heard.append(event)
                if event["event"] == "state":
                    if settled(event):
                        self.answered = True
                        _send(self.process, "go")
                    return

    def take(self) -> None:
        """Be in charge of the child from now on, after whoever talks to it has heard the answer."""
        with self.talking:
            self.wanted = True

    def events(self) -> Iterator[Event]:
        """Read what the child says, line by line, until it ends."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            yield _parse(masked(line, self.secrets))

    def end(self) -> None:
        """End the child whom nobody wants any more: the end of its input tells it, and Pulumi, to stop."""
        with suppress(OSError, ValueError):
            self.process.stdin.close()  # type: ignore[union-attr]
        threading.Thread(target=_drain, args=(self.process.stdout,), daemon=True).start()
        if self.request is None:  # it may not read its input yet
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGINT)
        if not _ended(self.process, CANCEL_GRACE):  # it has changed nothing yet, and holds no lock
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            _ended(self.process, KILL_GRACE)
        self.close()

    def close(self) -> None:
        """Wait for the end of the child, and close what led to it."""
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            with suppress(OSError, ValueError):
                stream.close()  # type: ignore[union-attr]


def talk(
    driver: Driver,
    request: Mapping[str, Any],
    hear: Callable[[Event], Callable[[Event], str] | None],
    *,
    warm: Warm | None = None,
) -> Talk:
    """Let the child do what `request` says. `hear` gets each event, and gives what answers it where that is wanted.

    The child is `warm`, if that was asked for the same or for nothing. It is never left behind; when it had to be
    killed after it said that Pulumi `locks` the stack, the lock is removed. Raises Interrupted after Ctrl-C,
    ToolMissing when the child does not start, and what `hear` raises.
    """
    child = warm or Warm(driver)
    events: list[Event] = []
    locked: list[float] = []
    try:
        child.take()
        if child.request not in (None, request):
            child.end()
            child = Warm(driver)
        if child.request is None:
            _send(child.process, json.dumps(request))
        for event in itertools.chain(child.heard, child.events()):
            events.append(event)
            if event["event"] == "locks" and driver.runs:
                locked.append(deadruns.begin(driver.runs))
            if (reply := hear(event)) and not (event["event"] == "state" and child.answered):
                _answer(child.process, event, reply)
    except BaseException as error:
        unlocked = in_order = _end(child.process)
        child.close()
        if not in_order and any(event["event"] == "locks" for event in events):
            unlocked = _unlock(driver, PATIENT_GRACE if isinstance(error, TimeIsOver) else UNLOCK_GRACE)
        _settle(driver, locked, unlocked=unlocked)
        if isinstance(error, KeyboardInterrupt):
            raise Interrupted(in_order) from None
        raise
    child.process.wait()
    last_words = masked(child.last_words(), child.secrets) or _ending(child.process.returncode)
    child.close()
    _settle(driver, locked, unlocked=child.process.returncode == 0 or any(map(is_refusal, events)))
    return Talk(tuple(events), last_words)


def is_refusal(event: Event) -> bool:
    """Whether an event says that somebody else has the lock: then Pulumi never had it."""
    return event.get("kind") == "locked" or "currently locked by" in str(event.get("text"))


def environment(
    parent: Mapping[str, str],
    driver_tools: tuple[Tool, Plugin],
    *,
    endpoint: str,
    token: str,
    backend: Mapping[str, str],
) -> dict[str, str]:
    """Give the environment of the child: what programs need to run, then the platform, then the state backend; pure."""
    pulumi, plugin = driver_tools
    kept = (
        "HOME",
        "LANG",
        "LC_ALL",
        "TMPDIR",
        "USER",
        "XDG_CACHE_HOME",
        "XDG_CONFIG_HOME",
        "DATAROBOT_TIMEOUT_MINUTES",
    )
    prefixes = ("PULUMI_", "AWS_", "AZURE_", "GOOGLE_", "SSL_", "DATAROBOT_STANDIN_")
    proxies = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
    child = {
        key: value
        for key, value in parent.items()
        if key in kept
        or key in proxies
        or key.endswith("_CA_CERTS")
        or (key.startswith(prefixes) and key not in DECIDED)
    }
    folders = [str(plugin.folder)] if plugin.folder else []
    child["PATH"] = os.pathsep.join([*folders, str(pulumi.path.parent), parent.get("PATH", os.defpath)])
    child.update(
        DATAROBOT_ENDPOINT=endpoint,
        DATAROBOT_API_TOKEN=token,
        PULUMI_SKIP_UPDATE_CHECK="true",
        PULUMI_AUTOMATION_API_SKIP_VERSION_CHECK="true",
        PULUMI_DEBUG_GRPC="",
        # A refresh tells what is other than the state says. What is other than the program wants it would ask of the
        # provider, which reads the files that were sent then: on another machine they are not there.
        PULUMI_ENABLE_LEGACY_REFRESH_DIFF="true",
        PYTHONUNBUFFERED="1",
        PYTHONDONTWRITEBYTECODE=parent.get("PYTHONDONTWRITEBYTECODE", ""),
    )
    if any(child.get(name) for name in proxies):
        # The CLI, the program and the plugin talk to each other on this machine, which is no business of a proxy.
        around = child.get("NO_PROXY") or child.get("no_proxy") or ""
        child["NO_PROXY"] = child["no_proxy"] = ",".join(dict.fromkeys([*filter(None, around.split(",")), *HERE]))
    child.update(backend)
    return {key: value for key, value in child.items() if value != ""}


def pulumi_root(driver: Driver) -> Path:
    """PulumiCommand wants the folder above bin/; a CLI that lies elsewhere is linked into such a folder."""
    folder = driver.pulumi.path.parent
    if folder.name == "bin" and driver.pulumi.path.name == "pulumi":
        return folder.parent
    root = driver.work_dir.parent / "pulumi-cli"
    link = root / "bin" / "pulumi"
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.exists() or link.resolve() != driver.pulumi.path.resolve():
        link.unlink(missing_ok=True)
        link.symlink_to(driver.pulumi.path.resolve())
    return root


def _child(driver: Driver) -> subprocess.Popen[str]:
    try:
        return subprocess.Popen(
            [str(driver.python), "-m", "toolkit.automation"],
            cwd=driver.infra,
            env={**driver.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        raise ToolMissing(
            f"The deploy environment does not start: {error}", hint="Make it anew: nox -s deploy"
        ) from error


def _send(child: subprocess.Popen[str], line: str) -> None:
    assert child.stdin is not None
    try:
        child.stdin.write(line + "\n")
        child.stdin.flush()
    except BrokenPipeError:  # the child has died: what it said last tells why
        with suppress(BrokenPipeError):
            child.stdin.close()  # now, or the end of the block would try to send the rest


def _answer(child: subprocess.Popen[str], event: Event, reply: Callable[[Event], str]) -> None:
    """Tell the child what it waits for; when no answer can be had it stops in order too."""
    answer = "stop"
    try:
        answer = reply(event)
    finally:
        _send(child, answer)


def _collect(child: subprocess.Popen[str]) -> Callable[[], str]:
    """Read the child's standard error beside its output, so that neither pipe fills up."""
    lines: list[str] = []

    def read() -> None:
        assert child.stderr is not None
        lines.extend(child.stderr)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()

    def collected() -> str:
        thread.join(5)
        return "".join(lines)

    return collected


def _end(child: subprocess.Popen[str]) -> bool:
    """Interrupt the child's whole process group (the CLI then finishes its step and unlocks), kill it in the end.

    Gives whether it ended in order. A second interrupt lets the CLI stop in the middle of its step, but unlock. Another
    Ctrl-C goes on to the next, harder signal.
    """
    assert child.stdout is not None
    # Nobody reads the events any more; a full pipe would keep the child from ending.
    threading.Thread(target=_drain, args=(child.stdout,), daemon=True).start()
    for number, patience in ((signal.SIGINT, CANCEL_GRACE), (signal.SIGINT, KILL_GRACE), (signal.SIGKILL, KILL_GRACE)):
        try:
            os.killpg(child.pid, number)
            if _ended(child, patience):
                return number == signal.SIGINT
        except ProcessLookupError:
            return number == signal.SIGINT
        except KeyboardInterrupt:
            continue
    return False


def _settle(driver: Driver, locked: Iterable[float], *, unlocked: bool) -> None:
    """Note that Pulumi has let go of the lock, or that it may have left it."""
    for since in locked:
        assert driver.runs
        deadruns.end(driver.runs, since, in_order=unlocked)


def _unlock(driver: Driver, patience: float) -> bool:
    """Remove the lock of a Pulumi that had to be killed; when that fails, the next run of this folder does it."""
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(
            [str(driver.pulumi.path), "cancel", "--yes", "--stack", driver.stack],
            cwd=driver.work_dir,
            env=dict(driver.environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=patience,
            check=False,
        )
        return done.returncode == 0
    return False


def _drain(stream: Iterable[str]) -> None:
    with suppress(ValueError):  # closed meanwhile
        for _ in stream:
            pass


def _ended(child: subprocess.Popen[str], patience: float) -> bool:
    deadline = time.monotonic() + patience
    while child.poll() is None or _group_lives(child.pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _group_lives(group: int) -> bool:
    """Whether a process of the group still runs. The dead whom nobody has collected yet do not count."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    if not Path("/proc/self/stat").exists():
        return True
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _parent, its_group = path.read_text(errors="replace").rpartition(") ")[2].split()[:3]
            if its_group == str(group) and state not in {"Z", "X"}:
                return True
    return False


def _ending(code: int) -> str:
    if code < 0:
        return f"The deploy environment's Python was ended by {signal.Signals(-code).name} without a word."
    return f"The deploy environment's Python ended with exit code {code} and without a result."


def _parse(line: str) -> Event:
    try:
        event = json.loads(line)
    except ValueError:
        event = None
    if isinstance(event, dict) and isinstance(event.get("event"), str):
        return event
    return {"event": "output", "text": line.rstrip()}
