"""What betrays a secret in a text, and texts without it."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from dataclasses import replace
from urllib.parse import quote

from toolkit.report import Check
from toolkit.settings import Secret
from toolkit.settings import masked as without

SHOWN_PART = 10  # this many first characters of a token in a log are enough to call it leaked
LEAST = 8  # characters of a secret: what is shorter may stand in any text
_REST = r"[\w.~+/%=-]*"


def marks_of(value: str, *, beginning: int = SHOWN_PART) -> list[bytes]:
    """What betrays a token: its beginning, and its base64 at each of the three alignments."""
    found = {value[:beginning].encode(), quote(value, safe="")[:beginning].encode()}
    if len(value) >= 12:
        for shift in range(3):
            encoded = base64.b64encode(b"\0" * shift + value.encode()).decode()
            found.add(encoded[4 if shift else 0 :].rstrip("=")[:-1].encode())
    return sorted(found)


def telling_beginning(value: str) -> int:
    """How many first characters tell a token in a page; more when they may as well be words ("placeholder-…")."""
    start = value[:SHOWN_PART]
    random = any(letter.isdigit() for letter in start) or not (start.islower() or start.isupper())
    return SHOWN_PART if random else 2 * SHOWN_PART


class Masks:
    """Hides secrets in texts: `tokens` also in part and encoded, as programs print them, `others` as they are."""

    def __init__(self, tokens: Iterable[Secret | None] = (), others: Iterable[Secret] = ()) -> None:
        values = [token.reveal() for token in tokens if token is not None]
        marks = [
            re.escape(mark.decode()) + _REST
            for value in values
            if len(value) >= LEAST
            for mark in marks_of(value, beginning=telling_beginning(value))
        ]
        self._pattern = re.compile("|".join(marks)) if marks else None
        self._others = tuple(others)

    def text(self, text: str) -> str:
        """Give the text without the secrets."""
        text = without(text, self._others)
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
