"""The only room that draws: lines, tables and progress on a terminal, plain lines elsewhere, JSON for programs.

People's output goes to standard output, or to standard error when a command prints JSON.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console as Rich
from rich.markup import escape
from rich.table import Table

from toolkit.errors import ConfigurationError, ToolkitError
from toolkit.report import SmokeReport

JSON_VERSION = 1
MARKS = {"ok": "[green]ok    [/]", "failed": "[red]failed[/]"}
SIGNS = {"create": "[green]+[/]", "update": "[yellow]~[/]", "replace": "[magenta]±[/]", "delete": "[red]-[/]"}
STEPS = {"create-replacement": "create", "delete-replaced": "delete"}
OPERATIONS = ("create", "update", "replace", "delete", "same")


class Console:
    """Draws what a command does. With `as_json` every event is a line of JSON on standard output."""

    def __init__(self, *, as_json: bool = False, verbose: bool = False) -> None:
        self.as_json = as_json
        self.verbose = verbose
        self._rich = Rich(stderr=as_json, highlight=False, soft_wrap=True)
        self._header = ""

    @property
    def interactive(self) -> bool:
        """Whether a person can be asked."""
        return sys.stdin.isatty() and self._rich.is_terminal and not self.as_json

    def event(self, event: Mapping[str, Any]) -> None:
        """Show one event of a command."""
        if self.as_json and event["event"] != "line":
            print(json.dumps({"version": JSON_VERSION, **event}), flush=True)  # noqa: T201
        kind = event["event"]
        if kind == "phase":
            self._phase(event)
        elif kind == "line":
            self._below(f"[dim]{escape(event['text'])}[/]")
        elif kind == "preview":
            self._below(f"preview: {counts(event['changes'])}")
        elif kind in {"done", "failed"} and event["op"] not in {"same", "read"}:
            operation = STEPS.get(event["op"], event["op"])
            if event["type"].startswith("datarobot:"):
                verb = "failed" if kind == "failed" else event["op"]
                self._below(f"{SIGNS.get(operation, ' ')} {escape(_kind(event['type']))} [dim]{verb}[/]")
        elif kind == "diagnostic" and event["severity"] == "warning" and self.verbose:
            self._below(f"[yellow]{escape(event['text'].strip())}[/]")

    def _phase(self, event: Mapping[str, Any]) -> None:
        """Show how a phase ended; that it began is shown only when something comes in between."""
        name = f"{event['name']:<18}"
        if event["status"] == "start":
            self._header = f"[bold]{name}[/][dim]{escape(event.get('detail', ''))}[/]"
            return
        self._header = ""
        mark = MARKS[event["status"]]
        self._rich.print(f"[bold]{name}[/]{mark} {escape(event.get('detail', ''))} [dim]({event['seconds']:.1f} s)[/]")

    def _below(self, text: str) -> None:
        """Show a line that belongs to the phase that runs."""
        if self._header:
            self._rich.print(self._header.rstrip())
            self._header = ""
        self._rich.print(f"    {text}")

    def line(self, text: str = "") -> None:
        """Print a line of text as it is."""
        self._rich.print(escape(text))

    def document(self, data: Mapping[str, Any]) -> None:
        """Print one JSON document for programs."""
        print(json.dumps({"version": JSON_VERSION, **data}, indent=2), flush=True)  # noqa: T201

    def result(self, data: Mapping[str, Any]) -> None:
        """Print the last line of a stream of JSON lines."""
        if self.as_json:
            print(json.dumps({"version": JSON_VERSION, "event": "result", **data}), flush=True)  # noqa: T201

    def table(self, title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Draw a table."""
        drawn = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
        for number, column in enumerate(columns):
            drawn.add_column(column, overflow="fold", no_wrap=False, ratio=None if number == 0 else 1)
        for row in rows:
            drawn.add_row(*(escape(cell) for cell in row))
        self._rich.print(drawn)

    def report(self, report: SmokeReport) -> None:
        """Show a smoke report: what failed and what is doubtful in full, one line for each family that passed."""
        families: dict[str, list[str]] = {}
        for check in report.checks:
            families.setdefault(check.family, []).append(check.status)
            if check.status in {"fail", "warn"}:
                colour = "red" if check.status == "fail" else "yellow"
                self._rich.print(f"[{colour}]{check.status}[/] [bold]{escape(check.title)}[/] [dim]{check.id}[/]")
                for text in (check.detail, *check.evidence):
                    for line in filter(None, text.splitlines()):
                        self._rich.print(f"     {escape(line)}")
                if check.hint:
                    self._rich.print(f"     [cyan]next:[/] {escape(check.hint)}")
        for family, statuses in families.items():
            if set(statuses) <= {"pass"}:
                self._rich.print(f"[green]pass[/] {family} [dim]({_number(len(statuses), 'check')})[/]")
            elif "skip" in statuses and not {"fail", "warn"} & set(statuses):
                self._rich.print(f"[dim]skip {family}[/]")
        colour = {"pass": "green", "warn": "yellow", "fail": "red"}[report.verdict]
        self._rich.print(f"[{colour} bold]{report.verdict}[/] in {report.seconds:.1f} s")

    def error(self, error: ToolkitError, *, details: bool = True) -> None:
        """Show an error: what happened, the evidence, and the next step."""
        rich = Rich(stderr=True, highlight=False, soft_wrap=True)
        rich.print(f"[red bold]error:[/] {escape(error.message)}")
        for line in error.details if details else ():
            rich.print(f"  {escape(line)}")
        if error.hint:
            rich.print(f"[cyan]next:[/] {escape(error.hint)}")

    def ask(self, question: str) -> bool:
        """Ask for a yes. Without a terminal that is an error, never a silent yes or no."""
        if not self.interactive:
            raise ConfigurationError(
                f"{question} There is no terminal to ask on.", hint="Say yes beforehand with --yes."
            )
        return self._rich.input(f"{escape(question)} [y/N] ").strip().lower() in {"y", "yes"}


def counts(changes: Mapping[str, int]) -> str:
    """Put numbers of operations into words."""
    words = [f"{changes[operation]} to {operation}" for operation in OPERATIONS[:-1] if changes.get(operation)]
    unchanged = changes.get("same", 0)
    return ", ".join([*words, *([f"{unchanged} unchanged"] if unchanged else [])]) if words else "no changes"


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _kind(resource_type: str) -> str:
    return resource_type.rsplit(":", 1)[-1]
