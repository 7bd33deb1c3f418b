"""Draw docs/rooms.svg from the layers of pyproject.toml: `python docs/rooms.py`."""

from __future__ import annotations

import tomllib
from pathlib import Path
from xml.sax.saxutils import escape

ROOT = Path(__file__).resolve().parents[1]
DOES = {
    "commands": "what each command does",
    "console": "the only room that draws",
    "deploy": "stage, build, smoke, preview, up, verify",
    "beside": "made ready while the app is smoked",
    "converge": "preview, ask, carry out, tidy up",
    "proof": "the URL serves this release",
    "shelf": "releases to go back to",
    "history": "what was deployed, and by whom",
    "observe": "what is there; drift; copies",
    "driving": "Pulumi made ready",
    "doctor": "what is in the way, and what to do",
    "gate": "first smoke",
    "preflight": "what is asked before",
    "recovery": "what earlier runs left",
    "evidence": "what the platform says",
    "watching": "the platform meanwhile",
    "staging": "the release: what ships, and its name",
    "statefiles": "where the state is; locks",
    "reports": "JUnit and a page",
    "prove": "break an app, look who notices",
    "accepted": "findings a person accepts",
    "smoke": "run a release, ask everything",
    "stack": "what Pulumi is told, and its answer",
    "child": "the process that Pulumi runs in",
    "automation": "the child: Pulumi's API",
    "emulator": "the local platform",
    "examination": "ask a started app everything",
    "replica": "a second container",
    "waiting": "not yet, or dead?",
    "record": "what was asked, and when",
    "checks": "one file per family of checks",
    "verify": "is this release serving?",
    "front": "proxy below the prefix",
    "crawl": "follow every URL",
    "browsing": "use the app in Chromium",
    "container": "run the app",
    "mutations": "known ways to break it",
    "judging": "what an answer is worth",
    "places": "where a URL leads",
    "report": "checks and verdict",
    "image": "build both images",
    "processes": "what runs in a container",
    "upstream": "kept connections to an app",
    "references": "URLs in HTML, CSS, scripts",
    "fetch": "ask one URL",
    "speaking": "what a port speaks",
    "backup": "copies of the state",
    "bench": "folders, environment, events",
    "explain": "causes and next steps",
    "plan": "what a deployment will do",
    "retained": "releases on the platform",
    "releases": "proved releases, kept",
    "baseimage": "pull, mirror, stand-in",
    "source": "stage and digest",
    "datarobot": "client of the REST API",
    "archive": "the same bytes each time",
    "selection": "which files ship",
    "engine": "which container engine",
    "tools": "find or make Pulumi",
    "program": "the Pulumi program",
    "runtime_env": "the app's .env",
    "leaks": "find secrets in files",
    "stackconfig": "inputs and outputs of a stack",
    "options": "how to run and judge",
    "settings": "environment, .env, defaults; Secret",
    "bundles": "CPU and memory by name",
    "limits": "how long phases may take",
    "errors": "message, hint, exit code",
    "stamps": "which files have not changed",
    "deadruns": "runs that have died",
    "liveness": "does a process live?",
    "sidecars": "what a killed Pulumi leaves",
}
# The first room of a row, and what the rows from there on are for, with their colour.
ZONES = {
    "commands": ("see and decide", "#e8f1fd"),
    "deploy": ("recipe", "#e8f1fd"),
    "gate": ("steps", "#fdf3e2"),
    "accepted": ("prove and act", "#e9f6ef"),
    "checks": ("judge", "#e9f6ef"),
    "front": ("run", "#e9f6ef"),
    "baseimage": ("gather", "#fdf3e2"),
    "engine": ("find", "#fdf3e2"),
    "stackconfig": ("plain facts", "#f3eefb"),
}
LEFT, RIGHT, TOP, ROW, BOX, GAP = 150.0, 1096.0, 92, 66, 52, 12.0


def draw(layers: list[list[str]]) -> str:
    """Give the picture of the layers, the highest first. Raises KeyError for a room that DOES does not know."""
    height = TOP + ROW * len(layers) + 40
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1120 {height}" width="1120" height="{height}" role="img"'
        ' aria-labelledby="title desc" font-family="system-ui, -apple-system, \'Segoe UI\', sans-serif">',
        '  <title id="title">The rooms of infra/toolkit, from top to bottom</title>',
        '  <desc id="desc">Each row is a layer. A room may import from the rows below it; '
        "rooms of one row do not know each other.</desc>",
        "  <style>",
        "    .room { font-size: 16px; font-weight: 600; fill: #14212f }",
        "    .does { font-size: 12px; fill: #45505d }",
        "    .note { font-size: 13px; fill: #45505d }",
        "    .head { font-size: 18px; font-weight: 600; fill: #14212f }",
        "  </style>",
        f'  <rect x="0.5" y="0.5" width="1119" height="{height - 1}" rx="12" fill="#ffffff" stroke="#d3d9e0"/>',
        '  <text class="head" x="24" y="38">Rooms of infra/toolkit</text>',
        '  <text class="note" x="24" y="62">A room imports from the rows below it, never from above. '
        "Rooms of one row do not know each other.</text>",
    ]
    colour = "#ffffff"
    for number, rooms in enumerate(layers):
        y = TOP + ROW * number
        zone, colour = ZONES.get(rooms[0], ("", colour))
        if zone:
            lines.append(f'  <text class="note" x="24" y="{y + 31}">{zone}</text>')
        width = (RIGHT - LEFT - GAP * (len(rooms) - 1)) / len(rooms)
        for place, room in enumerate(rooms):
            x = LEFT + place * (width + GAP)
            middle = f'x="{x + width / 2:.0f}" text-anchor="middle"'
            lines += [
                f'  <rect x="{x:.0f}" y="{y}" width="{width:.0f}" height="{BOX}" rx="8" fill="{colour}"'
                ' stroke="#b9c4d0"/>',
                f'  <text class="room" data-layer="{number}" y="{y + 22}" {middle}>{room}</text>',
                f'  <text class="does" y="{y + 40}" {middle}>{escape(DOES[room])}</text>',
            ]
    end = TOP + ROW * len(layers) - ROW + BOX
    lines += [
        f'  <path d="M136 98 V{end - 10}" stroke="#5b6675" stroke-width="2" fill="none"/>',
        f'  <path d="M130 {end - 12} L136 {end - 2} L142 {end - 12} z" fill="#5b6675"/>',
        f'  <text class="note" x="24" y="{height - 20}">tasks.py and infra/__main__.py stand above all of them. '
        "A machine checks the picture and the imports.</text>",
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def layers() -> list[list[str]]:
    """Give the layers that import-linter checks."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    return [[room.strip().removeprefix("toolkit.") for room in row.split("|")] for row in contracts[0]["layers"]]


if __name__ == "__main__":
    (ROOT / "docs" / "rooms.svg").write_text(draw(layers()))
