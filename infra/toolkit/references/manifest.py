"""The URLs that a web app manifest names."""

from __future__ import annotations

import json

from toolkit.references.model import Kind, Lines, Reference


def manifest_references(text: str) -> list[Reference] | None:
    """Give the URLs of a web manifest, or None when it is not a JSON object."""
    try:
        data = json.loads(text)
    except ValueError:
        return None
    if not isinstance(data, dict):
        return None
    lines = Lines(text)
    found: list[Reference] = []

    def add(value: object, kind: Kind, via: str) -> None:
        if isinstance(value, str) and value:
            found.append(Reference(value, kind, lines.of(f'"{value}"'), via, against="self"))

    def images(owner: dict[str, object], key: str) -> None:
        entries = owner.get(key)
        for entry in entries if isinstance(entries, list) else ():
            if isinstance(entry, dict):
                add(entry.get("src"), Kind.IMAGE, f"manifest {key}")

    add(data.get("start_url"), Kind.LINK, "manifest start_url")
    add(data.get("scope"), Kind.LINK, "manifest scope")
    images(data, "icons")
    images(data, "screenshots")
    shortcuts = data.get("shortcuts")
    for shortcut in shortcuts if isinstance(shortcuts, list) else ():
        if isinstance(shortcut, dict):
            add(shortcut.get("url"), Kind.LINK, "manifest shortcuts")
            images(shortcut, "icons")
    return found
