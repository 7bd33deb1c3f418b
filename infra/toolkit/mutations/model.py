"""A way to break an app: what it changes, and which checks may say so."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

Files = Mapping[str, str]
"""Text files of the built app by their path below the working directory."""

Change = Callable[[Files], dict[str, str | None] | None]
"""Gives the files to write (None as text: remove), or None when the mutation does not apply to this app."""


@dataclass(frozen=True)
class Mutation:
    """One way to break an app; `caught_by` names the checks of which one has to fail or warn."""

    name: str
    change: Change
    caught_by: frozenset[str]
    patience: float = 40.0
    seen_in_source: bool = False
