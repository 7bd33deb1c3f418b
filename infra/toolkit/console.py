"""The only room that draws: lines, tables and progress on a terminal, plain lines elsewhere, JSON for programs.

People's output goes to standard output, or to standard error when a command prints JSON.
"""

from __future__ import annotations

import json
import re
import sys
import traceback
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Console as Rich
from rich.table import Table
from rich.text import Text

from toolkit import plan as planning
from toolkit.checks.merge import worst_first
from toolkit.errors import ConfigurationError, ToolkitError
from toolkit.plan import Plan
from toolkit.report import Check, SmokeReport

JSON_VERSION = 1
STILL_SEEN = 200  # lines above that somebody at a terminal still has before their eyes
SHORT = 0.5  # seconds of a resource that are not worth telling
Part = str | tuple[str, str]  # text, or text with its style
MARKS = {"ok": ("ok    ", "green"), "failed": ("failed", "red")}
SIGNS = {"create": ("+", "green"), "update": ("~", "yellow"), "replace": ("±", "magenta"), "delete": ("-", "red")}
STATUSES = {"pass": "green", "warn": "yellow", "fail": "red"}
# What text of others (logs of builds, names of files) must not do: steer the terminal. Tabs and line ends may stay.
CONTROL = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[@-Z\\-_]?|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
)
# Output of programs that was shown on the terminal while it came, by whichever console of this process.
_seen: deque[str] = deque(maxlen=STILL_SEEN)


class Console:
    """Draws what a command does. With `as_json` every event is a line of JSON on standard output.

    `quiet` shows of the events only what failed; `verbose` also Pulumi's warnings, and causes of errors.
    """

    def __init__(self, *, as_json: bool = False, verbose: bool = False, quiet: bool = False) -> None:
        self.as_json = as_json
        self.verbose = verbose
        self.quiet = quiet
        self._rich = Rich(stderr=as_json, highlight=False, soft_wrap=True)
        self._header: tuple[Part, ...] = ()
        self._begun: dict[str, float] = {}  # when Pulumi began with each resource

    @property
    def interactive(self) -> bool:
        """Whether a person can be asked."""
        return sys.stdin is not None and sys.stdin.isatty() and self._rich.is_terminal and not self.as_json

    def event(self, event: Mapping[str, Any]) -> None:
        """Show one event of a command."""
        kind = event["event"]
        if self.as_json and kind != "line":
            self._json(event)
        if self.quiet and event.get("status") != "failed" and kind not in ("failed", "platform-failed"):
            return
        if kind == "phase":
            self._phase(event)
        elif kind == "line":
            self._below((event["text"], "dim"))
            if self._rich.is_terminal:
                _seen.append(event["text"].strip())
        elif kind in {"done", "failed"} and event.get("op") not in {"same", "read"}:
            self._resource(event)
        elif kind == "platform-failed":
            self._below((event["text"], "bold red"))
        elif kind == "heartbeat" and not self._rich.is_terminal:
            self._below(f"… {event['text']}")
        elif kind == "start":
            self._begun[_step(event)] = event.get("at", 0.0)
        elif kind == "plan":
            for text in _told(planning.Files(**event["files"]), event["upload_files"], event["upload_bytes"]):
                self._below((text, "dim"))
        elif kind == "diagnostic" and event.get("severity") == "warning" and self.verbose:
            self._below((event["text"].strip(), "yellow"))

    def _phase(self, event: Mapping[str, Any]) -> None:
        """Show how a phase ended; that it began is shown only when something comes in between."""
        name = (f"{event['name']:<18}", "bold")
        detail = event.get("detail", "")
        if event["status"] == "start":
            self._header = (name, (detail, "dim")) if detail else ((event["name"], "bold"),)
            return
        self._header = ()
        self._print(
            name,
            MARKS[event["status"]],
            f" {detail} " if detail else " ",
            (f"({event['seconds']:.1f} s)", "dim"),
            hang=25,
        )

    def _resource(self, event: Mapping[str, Any]) -> None:
        """Show what happens to a resource of the platform, and why; Pulumi's own are of no interest.

        A replacement has three steps; the one called `replace` stands for them.
        """
        operation, kind = event.get("op", ""), event.get("type", "")
        if not kind.startswith("datarobot:") or operation in planning.STEPS:
            return
        verb = "failed" if event["event"] == "failed" else operation
        why = planning.reasons(event) if verb in ("update", "replace") else ""
        told = ": ".join(
            filter(
                None, (verb, "; ".join(filter(None, (why, "" if verb == "failed" else planning.consequence(event)))))
            )
        )
        begun, ended = self._begun.pop(_step(event), 0.0), event.get("at", 0.0)
        took = f" ({ended - begun:.1f} s)" if begun and ended - begun >= SHORT else ""
        self._below(SIGNS.get(operation, " "), f" {_kind(kind)} ", (told + took, "dim"), hang=6)

    def _below(self, *parts: Part, hang: int = 4) -> None:
        """Show a line that belongs to the phase that runs."""
        if self._header:
            self._print(*self._header)
            self._header = ()
        self._print("    ", *parts, hang=hang)

    def line(self, text: str = "") -> None:
        """Print a line of text as it is."""
        self._print(text)

    def plan(self, plan: Plan) -> None:
        """Show what a deployment would send: uploads, and the requests to the platform."""
        if not plan.changes:
            return
        for text in _told(plan.files, plan.upload_files, plan.upload_bytes):
            self._print(text)
        self._print(f"requests to the platform: {len(plan.calls)} (waits count as one)")
        for call in plan.calls:
            self._print((f"    {call.method:<6} {call.path}", "dim"))
        if plan.address_changes:
            self._print(("The address of the application changes.", "yellow"))
        elif plan.restarts:
            self._print("The application restarts; its address stays.")

    def document(self, data: Mapping[str, Any]) -> None:
        """Print one JSON document for programs."""
        self._json(data, indent=2)

    def result(self, data: Mapping[str, Any]) -> None:
        """Print the last line of a stream of JSON lines."""
        if self.as_json:
            self._json({"event": "result", **data})

    def table(self, title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Draw a table: as wide as the terminal, or (without one) a line for each row, of whatever length."""
        if not self._rich.is_terminal:
            self._plain_table(title, [columns, *rows])
            return
        drawn = Table(title=title or None, title_justify="left", box=None, pad_edge=False, header_style="bold")
        for column in columns:
            drawn.add_column(column, overflow="fold")
        for row in rows:
            drawn.add_row(*(self._text(self._rich, cell) for cell in row))
        self._rich.print(drawn)

    def _plain_table(self, title: str, rows: Sequence[Sequence[str]]) -> None:
        cells = [[" ".join(cell.split("\n")) for cell in row] for row in rows]
        widths = [max(len(row[number]) for row in cells) for number in range(len(cells[0]))]
        if title:
            self._print(title)
        for row in cells:
            self._print("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())

    def findings(self, rows: Iterable[tuple[str, str, str, str]]) -> None:
        """Show findings: name, status (ok, warning, error), what was found, and the next step where there is one."""
        colours = {"ok": "green", "warning": "yellow", "error": "bold red"}
        for name, status, detail, hint in rows:
            self._print((f"{name:<11}", "bold"), (f"{status:<8}", colours[status]), detail, hang=19)
            if hint:
                self._print(f"{'':<19}", ("next:", "cyan"), f" {hint}", hang=25)

    def report(self, report: SmokeReport) -> None:
        """Show a smoke report: what failed and what is doubtful in full, one line for each family that passed."""
        for check in worst_first(report.checks):
            marked = (check.status, STATUSES[check.status])
            self._print(marked, " ", (check.title, "bold"), " ", (check.id, "dim"), hang=5)
            self._indented(check.detail)
            for line in _unseen(check.evidence, self._rich):
                self._print(f"     {line}")
            if check.hint:
                self._indented(check.hint, ("next:", "cyan"), " ")
        for check in report.checks:
            if check.accepted:
                self._print(("accepted", "dim"), f" {check.title} ", (check.id, "dim"))
                self._indented(check.accepted, ("reason:", "cyan"), " ")
        for note in report.notes:
            self._print(("note", "yellow"), f" {note}")
        for family, checks in _by_family(report.checks).items():
            asked = [check for check in checks if check.status != "skip"]
            if asked and not any(check.counts for check in checks):
                accepted = sum(bool(check.accepted) for check in checks)
                words = number(len(asked), "check") + (f", {accepted} accepted" if accepted else "")
                self._print(("pass", "green"), f" {family} ", (f"({words})", "dim"))
            elif not asked:
                reasons = {check.title for check in checks}
                self._print((f"skip {family}" + (f": {reasons.pop()}" if len(reasons) == 1 else ""), "dim"))
        self._print((report.verdict, f"bold {STATUSES[report.verdict]}"), f" in {report.seconds:.1f} s")

    def _indented(self, text: str, *head: Part) -> None:
        """Print a paragraph below a finding: folded at words on a terminal, a line each elsewhere."""
        for line in filter(None, text.splitlines()):
            self._print("     ", *head, line, hang=5)
            head = ()

    def error(self, error: ToolkitError, *, details: bool = True) -> None:
        """Show an error: what happened, the evidence, and the next step."""
        rich = Rich(stderr=True, highlight=False, soft_wrap=True)
        self._print(("error:", "bold red"), f" {error.message}", to=rich, hang=7)
        for line in _unseen(error.details if details else (), rich):
            self._print(f"  {line}", to=rich)
        if error.hint:
            self._print(("next:", "cyan"), f" {error.hint}", to=rich, hang=6)

    def trace(self, error: BaseException) -> None:
        """Show where an error comes from, with its causes: for whoever looks for a mistake of the tool."""
        rich = Rich(stderr=True, highlight=False, soft_wrap=True)
        for line in "".join(traceback.format_exception(error)).splitlines():
            self._print((f"  {line}", "dim"), to=rich)

    def ask(self, question: str) -> bool:
        """Ask for a yes. Without a terminal that is an error, never a silent yes or no."""
        if not self.interactive:
            raise ConfigurationError(
                f"{question} There is no terminal to ask on.", hint="Say yes beforehand with --yes."
            )
        try:
            answer = self._rich.input(self._text(self._rich, f"{question} [y/N] "))
        except EOFError:
            self._print()
            return False
        return answer.strip().lower() in {"y", "yes"}

    def ask_name(self, question: str, name: str) -> bool:
        """Ask for the name of a protected stack: whoever types it has read it. Without a terminal that is an error."""
        if not self.interactive:
            raise ConfigurationError(
                f"{question} The stack {name} is protected, and there is no terminal to type its name on.",
                hint=f"Say so beforehand with --confirm {name} (--yes is not enough here).",
            )
        try:
            answer = self._rich.input(self._text(self._rich, f"{question} Type the name of the stack to go on: "))
        except EOFError:
            self._print()
            return False
        return answer.strip() == name

    def _json(self, data: Mapping[str, Any], indent: int | None = None) -> None:
        print(json.dumps({"version": JSON_VERSION, **data}, indent=indent, default=str), flush=True)  # noqa: T201

    def _print(self, *parts: Part, to: Rich | None = None, hang: int | None = None) -> None:
        """Print a line; on a terminal that is too narrow for it, go on below column `hang` (default: its indentation).

        Lines break between words only: what is to be copied, like a URL, stays whole.
        """
        rich = to or self._rich
        text = self._text(rich, *parts)
        if rich.is_terminal and text.cell_len > rich.width and "\n" not in text.plain:
            indented = len(text.plain) - len(text.plain.lstrip(" -"))
            text = _folded(rich, text, indented if hang is None else hang)
        rich.print(text)

    @staticmethod
    def _text(rich: Rich, *parts: Part) -> Text:
        """Put parts together. Nothing in them is markup, and what the output cannot show is escaped."""
        text = Text()
        for part in parts:
            words, style = (part, "") if isinstance(part, str) else part
            shown = CONTROL.sub("", words).encode(rich.encoding, "backslashreplace").decode(rich.encoding)
            text.append(shown, style)
        return text


def _unseen(texts: Iterable[str], rich: Rich) -> Iterator[str]:
    """Give the lines of these texts; without those that stand above already, where they go to a terminal too."""
    for text in texts:
        for line in filter(None, text.splitlines()):
            if not (rich.is_terminal and line.strip() in _seen):
                yield line


def _folded(rich: Rich, text: Text, hang: int) -> Text:
    """Fold a text at words to the width of the terminal, its further lines indented by `hang` columns."""
    hang = hang if hang < rich.width // 2 else 0
    head, rest = text.divide([hang])
    breaks, begin = [], 0
    for word in re.finditer(r"\([\d.]+ s\)|\S+", rest.plain):  # a time stays in one piece
        if word.start() > begin and cell_len(rest.plain[begin : word.end()]) > rich.width - hang:
            begin = word.start()
            breaks.append(begin)
    lines = rest.divide(breaks)
    for line in lines:
        line.rstrip()
    return head.append_text(Text("\n" + " " * hang).join(lines))


def _by_family(checks: Iterable[Check]) -> dict[str, list[Check]]:
    families: dict[str, list[Check]] = {}
    for check in checks:
        families.setdefault(check.family, []).append(check)
    return families


def number(count: int, noun: str) -> str:
    """Put a count into words: 1 file, 2 files."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _told(files: planning.Files, upload_files: int, upload_bytes: int) -> list[str]:
    """Say which files differ, and what is uploaded."""
    size = f"{number(upload_files, 'file')}, {upload_bytes / 1000:.0f} kB" if upload_files else "none"
    return [*([f"files: {files}"] if str(files) else []), f"uploads: {size}"]


def _step(event: Mapping[str, Any]) -> str:
    return f"{event.get('op')} {event.get('type')} {event.get('name')}"


def _kind(resource_type: str) -> str:
    return resource_type.rsplit(":", 1)[-1]
