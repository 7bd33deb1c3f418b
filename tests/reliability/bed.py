"""A checkout with a tiny app and a local platform that builds and runs nothing, for commands that go wrong on purpose.

The commands are the toolkit's own recipes with the real Pulumi engine and provider plugin. Two steps are left out, for
they would take all the time and are tested elsewhere: the smoke test, and the look at the public URL.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "infra")]

from tests.stack.checkout import DOCKERFILE, Checkout  # noqa: E402
from toolkit import deploy, gate, preflight, tools, verify  # noqa: E402
from toolkit import settings as configuration  # noqa: E402
from toolkit.bench import Bench  # noqa: E402
from toolkit.datarobot import Client  # noqa: E402
from toolkit.emulator import control  # noqa: E402
from toolkit.errors import Cancelled, ToolkitError  # noqa: E402
from toolkit.report import SmokeReport  # noqa: E402
from toolkit.stack import StackMissing  # noqa: E402
from toolkit.tools import Places  # noqa: E402
from toolkit.verify import Answered, VerifyResult  # noqa: E402

COMMANDS = ("deploy", "update", "destroy")
FAST = {
    "DATAROBOT_PROVIDER": "stand-in",
    "DATAROBOT_STANDIN_POLL_SECONDS": "0.02",
    "DATAROBOT_STANDIN_RETRY_SECONDS": "0.02",
}
LISTS = {
    "CustomApplication": "customApplications/",
    "ApplicationSource": "customApplicationSources/",
    "ExecutionEnvironment": "executionEnvironments/",
}


@dataclass(frozen=True)
class Ran:
    """How a command ended: its exit code, what it said as an error, and all its lines."""

    code: int
    error: str
    lines: tuple[str, ...]


@dataclass
class Bed:
    """A checkout in `root`, and what tests do with it. `more` are settings beside the usual ones."""

    root: Path
    more: dict[str, str] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)

    @property
    def toolkit(self) -> Path:
        return self.root / ".toolkit"

    @property
    def data(self) -> Path:
        return Path(self.more.get("EMULATOR_DATA") or self.toolkit / "emulator")

    @property
    def environ(self) -> dict[str, str]:
        return {**FAST, **self.more}

    @property
    def bench_places(self) -> Places:
        home = Path.home()
        return Places(self.root, home, tools.cache_folder(os.environ, home), self.toolkit)

    @property
    def bench(self) -> Bench:
        return Bench(self.bench_places, {**os.environ, **self.environ}, self._hear)

    def _hear(self, event: Mapping[str, Any]) -> None:
        if event["event"] == "line":
            self.lines.append(str(event["text"]))

    def settings(self) -> configuration.Settings:
        return configuration.load(self.environ, self.root / ".env", stack="local", root=self.root, defaults={})

    def deploy(self) -> None:
        """Deploy as `invoke deploy --yes` does, but without smoke and without a look at the URL."""
        with _without_smoke():
            deploy.deploy(self.settings(), self.bench, confirm=lambda _changes: True, roll_back=False)

    def destroy(self) -> None:
        """Destroy as `invoke destroy --yes` does: nothing to destroy is no error."""
        try:
            deploy.destroy(self.settings(), self.bench, confirm=lambda _found: True)
        except StackMissing:
            self.lines.append("nothing to destroy")

    def run(self, command: str) -> Ran:
        """Run `deploy`, `update` (which is `deploy`, too) or `destroy`; an expected error is an answer."""
        self.lines = []
        action: Callable[[], None] = self.destroy if command == "destroy" else self.deploy
        try:
            action()
        except KeyboardInterrupt:
            return Ran(Cancelled.exit_code, "cancelled", tuple(self.lines))
        except ToolkitError as error:
            return Ran(error.exit_code, "\n".join([error.message, *error.details]), tuple(self.lines))
        return Ran(0, "", tuple(self.lines))

    def ask(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        return control.ask(self.data, method, path, body)

    def change(self) -> None:
        """What an update is here: a file more, and another Dockerfile."""
        (self.root / "custom_application" / "added.txt").write_text("new\n")
        (self.root / "custom_environment" / "Dockerfile").write_text(DOCKERFILE + "ENV CHANGED=yes\n")

    def prepare(self, command: str) -> None:
        """Bring back what `command` starts from: nothing for `deploy`, a deployed app otherwise."""
        (self.root / "custom_application" / "added.txt").unlink(missing_ok=True)
        (self.root / "custom_environment" / "Dockerfile").write_text(DOCKERFILE)
        self.forget()
        if command == "deploy":
            self.ask("POST", "reset")
        else:
            if not self.kept.exists():
                self.ask("POST", "reset")
                self.immediate()
                ran = self.run("deploy")
                assert ran.code == 0, ran.error
                self.ask("POST", "snapshots", {"name": "deployed"})
                shutil.copytree(self.toolkit / "state", self.kept)
            self.ask("POST", "snapshots/deployed/restore")
            shutil.copytree(self.kept, self.toolkit / "state", dirs_exist_ok=True)
        self.immediate()
        if command == "update":
            self.change()

    def beside(self, folder: Path, **more: str) -> Bed:
        """Make the checkout of somebody else, with the same platform and the same state."""
        shared = {
            "EMULATOR_DATA": str(self.data),
            "PULUMI_BACKEND_URL": self.more.get("PULUMI_BACKEND_URL") or (self.toolkit / "state").resolve().as_uri(),
            "PULUMI_CONFIG_PASSPHRASE_FILE": str(self.toolkit / "passphrase"),
        }
        return Bed(Checkout.copy(ROOT, folder).root, {**shared, **self.more, **more})

    @property
    def kept(self) -> Path:
        return self.root / "deployed-state"

    def forget(self) -> None:
        """Forget the state of the stack, and what was staged."""
        for name in ("state", "pulumi", "stage", "releases"):
            shutil.rmtree(self.toolkit / name, ignore_errors=True)

    def immediate(self) -> None:
        """Let the platform build and start at once; it has no faults."""
        self.ask("DELETE", "faults")
        self.ask("PUT", "settings", {"builds": "immediate", "starts": "immediate"})

    def calls(self) -> int:
        """How many calls of the platform's API were made since it was emptied or brought back."""
        return sum("/__emulator__/" not in one["path"] for one in self.requests())

    def requests(self) -> list[dict[str, Any]]:
        """All requests that the platform remembers."""
        return list(self.ask("GET", "requests")["requests"])

    def platform(self) -> dict[str, list[str]]:
        """The ids of what is on the platform."""
        settings = preflight.with_local_platform(self.settings(), self.bench)
        assert settings.endpoint and settings.token
        with Client(settings.endpoint, settings.token) as client:
            return {kind: [one["id"] for one in client.get(path)["data"]] for kind, path in LISTS.items()}

    def _latest(self) -> dict[str, Any]:
        path = self.toolkit / "state" / ".pulumi" / "stacks" / "bun-to-datarobot" / "local.json"
        latest = json.loads(path.read_text())["checkpoint"]["latest"] if path.exists() else None
        return dict(latest or {})

    def outputs(self) -> dict[str, str]:
        """What the stack exports."""
        roots = [one for one in self._latest().get("resources") or [] if one["type"] == "pulumi:pulumi:Stack"]
        return dict(roots[0].get("outputs") or {}) if roots else {}

    def state(self) -> tuple[dict[str, list[str]], int]:
        """The ids in the state of the stack, and the number of operations that are not ended."""
        found: dict[str, list[str]] = {kind: [] for kind in LISTS}
        latest = self._latest()
        for resource in latest.get("resources") or []:
            kind = resource["type"].rsplit(":", 1)[-1]
            if kind in found:
                found[kind].append(resource["id"])
        return found, len(latest.get("pending_operations") or [])

    def locks(self) -> list[Path]:
        return [path for path in (self.toolkit / "state").rglob("locks/**/*.json") if path.is_file()]

    def trouble(self, command: str) -> str:
        """Say what of orphans, duplicates, open operations and locks is there after `command`; empty when nothing."""
        wanted = 0 if command == "destroy" else 1
        there, (known, pending) = self.platform(), self.state()
        found = [f"{len(ids)} of {kind}" for kind, ids in there.items() if len(ids) != wanted]
        if any(sorted(there[kind]) != sorted(known[kind]) for kind in LISTS):
            found.append(f"platform {there}, state {known}")
        if pending:
            found.append(f"{pending} open operations")
        if locks := self.locks():
            found.append(f"{len(locks)} locks")
        return "; ".join(found)


_patching = threading.Lock()


@contextmanager
def _without_smoke() -> Iterator[None]:
    passed = SmokeReport({}, 0.0, ())
    seen = VerifyResult("", Answered.APP, (), (), (), 200, "", 0.0)
    with _patching:
        before = gate.prove, verify.verify
        gate.prove, verify.verify = (lambda *_a, **_o: passed), (lambda *_a, **_o: seen)  # type: ignore[assignment]
        try:
            yield
        finally:
            gate.prove, verify.verify = before


@contextmanager
def bed(folder: Path, **more: str) -> Iterator[Bed]:
    """Make a bed in an empty folder; its platform ends with it."""
    made = Bed(Checkout.copy(ROOT, folder / "toolkit").root, more)
    preflight.start_emulator(made.settings(), made.bench)
    try:
        yield made
    finally:
        control.stop(made.data)


def _interrupt(_number: int, _frame: Any) -> None:
    raise KeyboardInterrupt


def main() -> int:
    """Run one command in a bed that is there: for tests that kill it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("root", type=Path)
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("--more", type=json.loads, default={}, help="further settings, as JSON")
    options = parser.parse_args()
    for wanted in (signal.SIGTERM, signal.SIGHUP):  # as commands do (`commands.frame`)
        signal.signal(wanted, _interrupt)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    ran = Bed(options.root, options.more).run(options.command)
    print(ran.error, file=sys.stderr)
    return ran.code


if __name__ == "__main__":
    sys.exit(main())
