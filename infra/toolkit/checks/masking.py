"""What betrays a secret in a text, and texts without it."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from urllib.parse import quote

from toolkit.report import Check
from toolkit.settings import Secret

SHOWN_PART = 10  # this many first characters of a token in a log are enough to call it leaked
LEAST = 8  # characters of a secret: what is shorter may stand in any text
PIECE = 12  # characters of a piece of a secret that tells it
ENCODED = 16  # characters of the base64 of a secret that tell it
_REST = r"[\w.~+/%=-]*"


def marks_of(value: str, *, beginning: int = SHOWN_PART) -> list[bytes]:
    """What betrays a token: its beginning, and its base64 at each of the three alignments."""
    found = {value[:beginning].encode(), quote(value, safe="")[:beginning].encode(), *_encoded(value)}
    return sorted(found)


def _encoded(value: str) -> Iterator[bytes]:
    if len(value) >= 12:
        for shift in range(3):
            encoded = base64.b64encode(b"\0" * shift + value.encode()).decode()
            yield encoded[4 if shift else 0 :].rstrip("=")[:-1].encode()


def telling_beginning(value: str) -> int:
    """How many first characters tell a token in a page; more when they may as well be words ("placeholder-…")."""
    return SHOWN_PART if _is_telling(value) else 2 * SHOWN_PART


def _is_telling(value: str) -> bool:
    """Whether something begins unlike a word."""
    start = value[:SHOWN_PART]
    return any(letter.isdigit() for letter in start) or not (start.islower() or start.isupper())


class Masks:
    """Hides secrets in texts, also in part and encoded, as programs like to print them.

    A secret that looks like words is hidden as a whole only, and what is cut off after many characters of it.
    """

    def __init__(self, secrets: Iterable[Secret | None] = ()) -> None:
        values = [secret.reveal() for secret in secrets if secret is not None]
        marks = {mark for value in values if len(value) >= LEAST for mark in _marks(value)}
        patterns = (re.escape(mark) + _REST for mark in sorted(marks, key=len, reverse=True))
        self._pattern = re.compile("|".join(patterns)) if marks else None

    def text(self, text: str) -> str:
        """Give the text without the secrets."""
        return self._pattern.sub("****", text) if self._pattern else text

    def check(self, check: Check) -> Check:
        """Give an answer as it may be told: what an app prints becomes part of titles and evidence."""
        return replace(
            check,
            title=self.text(check.title),
            detail=self.text(check.detail),
            evidence=tuple(map(self.text, check.evidence)),
            hint=self.text(check.hint),
        )


def _marks(value: str) -> Iterator[str]:
    """What a text that tells a secret has in it: the whole, and pieces that do not look like words."""
    quoted = quote(value, safe="")
    for written in {value, quoted}:
        yield written
        for start in range(len(written) - PIECE + 1):
            piece = written[start : start + PIECE]
            if _is_telling(piece):
                yield piece
    if _is_telling(value):
        yield value[:LEAST]
    elif len(value) >= 2 * SHOWN_PART:
        yield value[: 2 * SHOWN_PART]
    yield from (encoded.decode()[:ENCODED] for encoded in _encoded(value))
