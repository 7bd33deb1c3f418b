"""Mutations of an app, and the judgement of what smoke makes of them."""

from __future__ import annotations

import pytest

from tests.apps.bun_apps import BASE
from toolkit.mutations.all import MUTATIONS
from toolkit.mutations.model import Mutation
from toolkit.mutations.pages import entry
from toolkit.prove import Proof, ProofReport, judge
from toolkit.report import Check, SmokeReport, failed, passed, warned

FILES = {**BASE, **{path.replace("public/", "dist/"): text for path, text in BASE.items() if "public/" in path}}
MUTATION = Mutation("x", lambda _files: None, frozenset({"front.prefix"}))


def report(*checks: Check) -> SmokeReport:
    return SmokeReport({}, 0.0, checks, {})


def test_there_are_enough_mutations_with_names_of_their_own() -> None:
    assert len({mutation.name for mutation in MUTATIONS}) == len(MUTATIONS) >= 40


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_every_mutation_applies_to_the_base_app_and_changes_it(mutation: Mutation) -> None:
    change = mutation.change(FILES)
    assert change
    assert all(FILES.get(path) != text for path, text in change.items())


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_no_mutation_applies_to_an_app_without_files(mutation: Mutation) -> None:
    assert mutation.change({}) is None


def test_the_page_that_opens_is_the_built_one() -> None:
    assert entry({"index.html": "", "src/index.html": "", "dist/index.html": ""}) == "dist/index.html"


def test_only_new_answers_count() -> None:
    old = warned("lifecycle.sigterm", "ignores SIGTERM", hint="h")
    assert judge(MUTATION, report(old), report(old)).outcome == "survived"


def test_the_right_check_is_preferred_and_another_one_is_another_cause() -> None:
    assets, prefix = failed("front.assets", "a", hint="h"), failed("front.prefix", "p", hint="h")
    whole = report(passed("front.assets", "fine"))
    assert judge(MUTATION, whole, report(assets, prefix)) == Proof("x", "caught", prefix)
    assert judge(MUTATION, whole, report(assets)).outcome == "other cause"


def test_the_rate_counts_what_applies() -> None:
    proofs = (Proof("a", "caught"), Proof("b", "survived"), Proof("c", "does not apply"))
    assert ProofReport(proofs).rate == 0.5
    assert ProofReport(()).rate == 1.0
