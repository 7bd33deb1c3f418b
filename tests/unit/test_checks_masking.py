from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.apps.contexts import context
from toolkit.accepted import Acceptance
from toolkit.checks.masking import Masks
from toolkit.record import Record
from toolkit.report import Check, failed
from toolkit.settings import Secret

TOKEN = "NjVmMDAwMDAwMDAw.abc-DEF/123="


@pytest.mark.parametrize(
    "shown",
    [
        f"token is {TOKEN}!",
        f"first ten {TOKEN[:10]}",
        f"the first {TOKEN[:8]}...",
        f"the end {TOKEN[12:]}",
        f"cut {base64.b64encode(TOKEN.encode()).decode()[:30]}",
        quote(TOKEN, safe=""),
        base64.b64encode(TOKEN.encode()).decode(),
        base64.b64encode(b"Bearer " + TOKEN.encode()).decode(),
        json.dumps({"token": TOKEN}),
    ],
)
def test_no_part_of_a_token_is_told(shown: str) -> None:
    text = Masks((Secret(TOKEN), None)).text(shown)
    assert "****" in text
    for part in (TOKEN[:8], TOKEN[14:], base64.b64encode(TOKEN.encode()).decode()[8:24], quote(TOKEN[10:], safe="")):
        assert part not in text


def test_other_secrets_are_hidden_as_they_are_and_words_stay() -> None:
    masks = Masks(
        (Secret("placeholder-of-a-token-1234"), Secret("correct horse battery staple"), Secret("Prod-password"))
    )
    assert masks.text("the Prod-password is no password, and no Prod") == "the **** is no password, and no Prod"
    assert masks.text("placeholder-of-a-token-1234, or placeholder-x") == "****, or placeholder-x"
    assert masks.text("placeholder-of-a-token-12 (cut)") == "**** (cut)"
    assert masks.text("correct horse battery staple; a correct horse") == "****; a correct horse"
    assert Masks((Secret("s3cr3t-of-the-app-0123456789"),)).text("--db=s3cr3t-of-the-ap") == "--db=****"


def test_a_short_or_empty_secret_hides_nothing() -> None:
    assert Masks((Secret(""), Secret("a"), Secret("short"))).text("a short b") == "a short b"


def test_answers_are_told_without_secrets_in_the_report_and_on_the_way(tmp_path: Path) -> None:
    events: list[dict[str, Any]] = []
    record = Record(frozenset(), events.append, Masks((Secret(TOKEN),)))
    record.ask(
        context(tmp_path),
        lambda _context: failed(
            "start.listens", f"exited: {TOKEN}", f"in {TOKEN}", evidence=[f"log {TOKEN}"], hint=f"not {TOKEN}"
        ),
    )
    (check,) = record.checks
    assert (check.title, check.detail, check.evidence, check.hint) == (
        "exited: ****",
        "in ****",
        ("log ****",),
        "not ****",
    )
    assert events[0]["title"] == "exited: ****"


def test_only_what_nobody_has_accepted_counts_as_failed(tmp_path: Path) -> None:
    record = Record(frozenset(), lambda _event: None, Masks(), [Acceptance("crawl.links", "known", "old")])

    def ask(answer: Check) -> bool:
        record.ask(context(tmp_path), lambda _context: answer)
        return record.failed

    assert not ask(failed("crawl.links", "./old answers 404"))
    assert ask(failed("crawl.links", "./new answers 404"))
