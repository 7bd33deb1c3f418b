"""Record what the terminal shows of a deployment's life: `python tests/transcript/run.py` (a few minutes).

It writes docs/transcript.md, the pictures docs/terminal-*.svg and docs/smoke-report.png. Everything is real: the
toolkit of this checkout, copied into a fresh folder, with its own local platform, the container engine, Pulumi and
Chromium. Of what is shown only the paths of this machine and the keys of links that sign in are replaced.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "infra")]

from playwright.sync_api import sync_playwright  # noqa: E402
from rich.text import Text  # noqa: E402

from tests.stack.checkout import Checkout  # noqa: E402
from tests.transcript import terminal  # noqa: E402
from tests.transcript.terminal import Shown, Typed  # noqa: E402
from toolkit.browsing.finding import find_chromium  # noqa: E402

DOCS = ROOT / "docs"
PAGE = DOCS / "transcript.md"
HOME = "/path/to"
YES, CTRL_C = b"y\n", b"\x03"
# Only the platform tells an app its own address, so smoke cannot see it; the platform's probe is no visitor.
SOUND = "    fetch: app,\n"
BROKEN = (
    "    fetch: (request) =>\n"
    '      process.env.DR_CUSTOM_APP_EXTERNAL_URL && request.headers.has("x-user-email")\n'
    '        ? new Response("no", { status: 500 })\n        : app(request),\n'
)
HEAD = """# What the terminal shows

This page was recorded with `nox -s transcript`: real commands on a terminal of 80 columns, with the app that ships with
the toolkit, a local platform, a container engine, Pulumi and Chromium. Only paths and the keys of sign-in links are
replaced. The tools and the base image were there before.

"""


@dataclass(frozen=True)
class Scene:
    """A command, what is changed before it, and the exit code that it has to end with."""

    name: str
    title: str
    text: str
    command: str
    code: int = 0
    change: Callable[[Checkout], None] = lambda _checkout: None
    typed: Sequence[Typed] = ()


def _replace(checkout: Checkout, name: str, old: str, new: str) -> None:
    path = checkout.root / "custom_application" / name
    before = path.read_text()
    assert old in before, f"{name} does not say {old!r} any more"
    path.write_text(before.replace(old, new))


def _new_title(checkout: Checkout) -> None:
    _replace(checkout, "src/index.html", "<title>Notebook admin viewer", "<title>Use cases and notebooks")


def _break_release(checkout: Checkout) -> None:
    _replace(checkout, "server/serve.ts", SOUND, BROKEN)


def _break_build(checkout: Checkout) -> None:
    _replace(checkout, "server/serve.ts", BROKEN, SOUND)
    _replace(checkout, "src/main.tsx", 'from "./App.tsx"', 'from "./Ap.tsx"')


def _mend_build(checkout: Checkout) -> None:
    _replace(checkout, "src/main.tsx", 'from "./Ap.tsx"', 'from "./App.tsx"')
    _replace(checkout, "src/index.html", "<title>Use cases", "<title>All use cases")


DEPLOY = "invoke deploy --stack local"
ASKED = "[y/N] "
SCENES = (
    Scene("doctor-before", "Before the first deployment", "Is everything there?", "invoke doctor --stack local"),
    Scene("first", "The first deployment", "`--yes` answers the question beforehand.", f"{DEPLOY} --yes"),
    Scene("smoke", "The smoke test alone", "It always runs, and writes a report.", "invoke smoke --stack local"),
    Scene("unchanged", "Nothing has changed", "The same command again.", f"{DEPLOY} --yes"),
    Scene(
        "changed",
        "A change",
        "The title of the page is another one. Without `--yes` it asks.",
        DEPLOY,
        change=_new_title,
        typed=(Typed(ASKED, YES),),
    ),
    Scene(
        "broken",
        "A release that turns out bad",
        "This server answers 500 to everybody whom the platform has signed in, which no test on this machine can see. "
        "The proof sees it, and the release from before serves again.",
        f"{DEPLOY} --yes",
        code=6,
        change=_break_release,
    ),
    Scene(
        "build",
        "A build that fails",
        "A file imports another one that is not there.",
        f"{DEPLOY} --yes",
        code=4,
        change=_break_build,
    ),
    Scene(
        "cancelled",
        "Ctrl-C in the middle",
        "The import is right again, and the title changes once more. Ctrl-C comes while the platform works.",
        f"{DEPLOY} --yes",
        code=8,
        change=_mend_build,
        typed=(Typed("\x1b[1mdeploy ", CTRL_C),),
    ),
    Scene("again", "The deployment after that", "The same command goes on from what is there.", f"{DEPLOY} --yes"),
    Scene("rollback", "Back to the release before", "", "invoke rollback --stack local", typed=(Typed(ASKED, YES),)),
    Scene("history", "What was done", "", "invoke history --stack local"),
    Scene("status", "What is there", "", "invoke status --stack local"),
    Scene("doctor", "Is everything as it should be?", "", "invoke doctor --stack local"),
    Scene("destroy", "Removing it", "", "invoke destroy --stack local", typed=(Typed(ASKED, YES),)),
)
PICTURES = {
    "terminal-deploy.svg": "first",
    "terminal-smoke.svg": "build",
    "terminal-rollback.svg": "broken",
}


@dataclass
class Recording:
    """The scenes that were played, in a checkout of their own."""

    checkout: Checkout
    shown: dict[str, Shown] = field(default_factory=dict)

    def play(self, scene: Scene) -> None:
        """Play one scene. Another exit code than the expected one is an AssertionError with all that was shown."""
        scene.change(self.checkout)
        environ = self.checkout.environ(SMOKE_BROWSER="auto", TERM="xterm-256color", LANG="C.UTF-8", LOGNAME="you")
        for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "CI"):
            environ.pop(name, None)
        command = [sys.executable, "-m", *scene.command.split()]
        shown = terminal.run(command, shown=scene.command, cwd=self.checkout.root, env=environ, typed=scene.typed)
        shown = Shown(shown.command, shown.code, anonymous(shown.written, self.checkout.root))
        print(f"$ {scene.command}", *shown.lines, f"({shown.code})\n", sep="\n", flush=True)
        assert shown.code == scene.code, f"{scene.name}: exit code {shown.code}, not {scene.code}"
        self.shown[scene.name] = shown


def anonymous(written: bytes, checkout: Path) -> bytes:
    """Replace the paths of this machine and the keys of sign-in links."""
    for path, shown in ((str(checkout), f"{HOME}/bun-to-datarobot"), (str(ROOT), HOME), (str(Path.home()), HOME)):
        written = written.replace(path.encode(), shown.encode())
    return re.sub(rb"(sign-in\?key=)[\w-]+", rb"\1...", written)


def page(recording: Recording) -> str:
    """Give the page of all scenes."""
    parts = [HEAD]
    for scene in SCENES:
        shown = recording.shown[scene.name]
        words = textwrap.fill(scene.text, 120) + "\n\n" if scene.text else ""
        ended = f"\nExit code {shown.code}.\n" if shown.code else ""
        picture = next((name for name, of in PICTURES.items() if of == scene.name), "")
        drawn = f"\n![{scene.title}, on a terminal]({picture})\n" if picture else ""
        text = "\n".join([f"$ {scene.command}", *shown.lines])
        parts.append(f"## {scene.title}\n\n{words}```text\n{text}\n```\n{ended}{drawn}\n")
    return "".join(parts).rstrip() + "\n"


def pictures(recording: Recording) -> None:
    """Draw the terminal, and take the picture of the last smoke report that passed."""
    for name, scene in PICTURES.items():
        shown = recording.shown[scene]
        command = Text(f"$ {shown.command}", style="bold")
        (DOCS / name).write_text(terminal.picture("bun-to-datarobot", [command, *shown.rows], Path(name).stem))


def report_picture(report: Path) -> None:
    """Take the picture of a smoke report in Chromium."""
    chromium = find_chromium(os.environ)
    assert chromium is not None, "there is no Chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(chromium), args=["--no-sandbox"])
        seen = browser.new_page(viewport={"width": 1280, "height": 800}, color_scheme="light")
        seen.goto(report.as_uri())
        seen.screenshot(path=DOCS / "smoke-report.png")
        browser.close()


def main() -> int:
    """Play all scenes and write page and pictures."""
    with tempfile.TemporaryDirectory(prefix="transcript-") as folder:
        checkout = Checkout.copy(ROOT, Path(folder, "bun-to-datarobot"), with_app=True)
        checkout.env = {"DATAROBOT_PROVIDER": "stand-in", "VERIFY_SECONDS": "8", "SMOKE_SETTLE_SECONDS": "3"}
        # So that no image of an earlier recording is found again.
        checkout.write("custom_environment/recorded.txt", f"{time.time()}\n")
        recording = Recording(checkout)
        try:
            for scene in SCENES:
                recording.play(scene)
                if scene.name == "smoke":
                    report_picture(checkout.root / ".toolkit" / "smoke" / "report.html")
        finally:
            checkout.close()
    PAGE.write_text(page(recording))
    pictures(recording)
    return 0


if __name__ == "__main__":
    sys.exit(main())
