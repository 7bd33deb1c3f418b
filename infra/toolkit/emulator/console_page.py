"""The page at the root of the local platform: what is there, and what was asked of it. Read-only."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Any

from toolkit.emulator.fields import NotFound
from toolkit.emulator.store import Body, Store

STYLE = """
:root { color-scheme: light dark; --line: light-dark(#e3e6ea, #303743); --soft: light-dark(#667085, #98a2b3) }
body { font: 15px/1.5 system-ui, sans-serif; margin: 0; background: light-dark(#f5f6f8, #15181d);
  color: light-dark(#1c2430, #e6e9ee) }
header { padding: 1.25rem 2rem; border-bottom: 1px solid var(--line); background: light-dark(#fff, #1b2027) }
header h1 { font-size: 1.15rem; margin: 0 } header p { margin: .15rem 0 0; color: var(--soft) }
main { padding: 1rem 2rem 3rem; display: grid; gap: 1.25rem; max-width: 72rem }
section { background: light-dark(#fff, #1b2027); border: 1px solid var(--line); border-radius: 10px; overflow-x: auto }
h2 { font-size: .95rem; margin: 0; padding: .8rem 1rem; border-bottom: 1px solid var(--line) }
table { border-collapse: collapse; width: 100% } td, th { text-align: left; padding: .45rem 1rem; white-space: nowrap }
th { font-weight: 500; color: var(--soft) } tr + tr td { border-top: 1px solid var(--line) }
.state { display: inline-block; padding: 0 .55em; border-radius: 1em; font-size: .85em; background: #8883 }
.running, .success { background: #16a34a33 } .failed { background: #dc262633 }
.initializing, .processing, .submitted { background: #d9770633 }
code { font-size: .9em; color: var(--soft) } p.none { padding: .8rem 1rem; margin: 0; color: var(--soft) }
"""


def draw(store: Store, requests: Iterable[Body], endpoint: str) -> str:
    """Draw the page: applications, environments and sources from the store, then the last requests."""
    applications = [
        (_link(one["id"], one["name"]), _state(one["status"]), _code(one["id"]), _text(one["updatedAt"][:19]))
        for one in store.find("application", newest_first=True, limit=100)[0]
    ]
    environments = [
        (_text(one["name"]), _state(_build(store, one)), _code(one["id"]), _text(one["created"][:19]))
        for one in store.find("environment", newest_first=True, limit=100)[0]
    ]
    sources = [
        (_text(one["name"]), _text(_version(store, one)), _code(one["id"]), _text(one["updatedAt"][:19]))
        for one in store.find("source", newest_first=True, limit=100)[0]
    ]
    asked = [
        (
            _text(one["at"][11:19]),
            _text(one["method"]),
            _code(one["path"]),
            _text(one["status"]),
            _text(f"{one['ms']} ms"),
        )
        for one in requests
    ]
    content = "".join(
        [
            _section("Applications", ("name", "state", "id", "changed"), applications),
            _section("Execution environments", ("name", "build", "id", "created"), environments),
            _section("Application sources", ("name", "latest version", "id", "changed"), sources),
            _section("Last requests", ("time", "method", "path", "status", "took"), asked),
        ]
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Local DataRobot</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f'<meta http-equiv="refresh" content="5"><style>{STYLE}</style></head><body><header><h1>Local DataRobot</h1>'
        f"<p>An emulator on this machine. Its API: <code>{_text(endpoint)}</code></p></header>"
        f"<main>{content}</main></body></html>"
    )


def _section(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return f"<section><h2>{title}</h2><p class='none'>None yet.</p></section>"
    head = "".join(f"<th scope='col'>{column}</th>" for column in columns)
    lines = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<section><h2>{title}</h2><table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></section>"


def _build(store: Store, environment: Body) -> str:
    try:
        return str(store.get("environmentVersion", environment["latestVersion"] or "")["buildStatus"])
    except NotFound:
        return "no version"


def _version(store: Store, source: Body) -> str:
    try:
        found = store.get("sourceVersion", source["latestVersion"] or "")
    except NotFound:
        return "none"
    return f"{found['label']}, {len(found['items'])} files"


def _text(value: Any) -> str:
    return html.escape(str(value))


def _code(value: Any) -> str:
    return f"<code>{_text(value)}</code>"


def _state(value: str) -> str:
    return f'<span class="state {_text(value)}">{_text(value)}</span>'


def _link(application_id: str, name: str) -> str:
    return f'<a href="/custom_applications/{_text(application_id)}/">{_text(name)}</a>'
