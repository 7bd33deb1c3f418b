"""Every text of a failure that was recorded with the real provider has a cause in words; what is unknown is quoted."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path

import pytest

from toolkit import explain

RECORDINGS = Path(__file__).parents[1] / "stack" / "data" / "recordings"
# What each recorded scenario is told as, in the order of its failing steps.
SCENARIOS = {
    "05-file-added-removed": ["source-name-taken"],
    "06-context-changed": ["source-name-taken"],
    "08-replicas": ["source-name-taken"],
    "11-credential": ["source-name-taken"],
    "11b-credential-named-scoped": ["credential-name-taken"],
    "11d-parameter-errors-scoped": ["attribute"],
    "12-key-scope": ["source-name-taken"],
    "12b-key-scope-added": ["key-scope-unknown"],
    "15b-app-deleted-no-refresh": ["app-gone"],
    "15c-source-and-env-deleted-scoped": ["environment-version-gone"],
    "16-foreign-version": ["source-name-taken"],
    "17b-destroy-trouble": ["environment-in-use"],
    "18-build-fails-scoped": ["build-failed", "build-failed"],
    "19-app-fails": ["app-failed", "app-name-taken", "app-name-taken"],
    "19b-app-fails-on-update": ["app-failed", "app-failed"],
    "20-source-name-taken-scoped": ["source-name-taken", "source-name-taken", "source-name-taken"],
    "21-app-name-taken": ["app-name-taken", "app-name-taken", "app-name-taken"],
    "22-unauthorized": ["token-refused", "token-refused", "token-refused"],
    "23-forbidden": ["not-permitted", "not-permitted", "not-permitted"],
    "24-validation": ["bundle-unknown", "source-name-taken", "file-too-large", "refused-data", "refused-data"],
    "25-server-error-get": ["platform-down"],
    "26-rate-limit": ["too-many"],
    "27-unavailable-post": ["platform-down", "platform-down"],
    "28b-dropped-source-post": ["source-name-taken"],
    "28c-dropped-app-post": ["cut"],
    "28d-dropped-app-patch": ["cut"],
    "29-cleanup": ["app-failed"],
    "30-use-cases": ["use-case-gone"],
    "31-import": ["imported", "source-name-taken", "imported", "source-name-taken"],
    "32-config-errors": ["no-token", "no-token", "not-an-api", "no-address", "unreachable"],
    "37-bad-inputs": ["attribute", "attribute", "file-gone", "file-gone", "file-gone", "file-gone", "attribute"],
    "38-language-change": ["source-name-taken"],
}


def _failing(name: str) -> list[list[str]]:
    steps = json.loads((RECORDINGS / f"{name}.json").read_text())["steps"]
    told = [
        [found["message"] for found in step.get("diagnostics", ()) if found.get("severity") == "error"]
        for step in steps
    ]
    return [texts for texts in told if any(text.strip() not in explain.SAYS_NOTHING for text in texts)]


def _all_failing() -> set[str]:
    return {path.stem for path in RECORDINGS.glob("*.json") if _failing(path.stem)}


def test_every_recorded_scenario_that_fails_is_in_the_table() -> None:
    assert _all_failing() == set(SCENARIOS)


@pytest.mark.parametrize("name", SCENARIOS)
def test_what_the_real_provider_said_is_put_into_words(name: str) -> None:
    told = [explain.causes(texts) for texts in _failing(name)]
    assert [" ".join(sorted(cause.id for cause in found)) for found in told] == [
        " ".join(sorted(ids.split())) for ids in SCENARIOS[name]
    ]
    for cause in (cause for found in told for cause in found):
        assert cause.what
        assert cause.hint
        assert "{" not in cause.hint
        assert not cause.what.endswith(" "), cause.what
    assert [text for texts in _failing(name) for text in explain.unknown(texts)] == []


def test_the_table_in_the_documents_is_written_from_the_code(root: Path) -> None:
    written = runpy.run_path(str(root / "docs" / "failures.py"))["draw"]()
    assert (root / "docs" / "failures.md").read_text() == written, "python docs/failures.py"


def test_names_and_reasons_of_the_platform_are_part_of_the_words() -> None:
    (taken,) = explain.causes(_failing("21-app-name-taken")[0])
    assert "demo-app" in taken.what
    (refused,) = explain.causes(_failing("23-forbidden")[0])
    assert refused.what.endswith(
        "POST BASE/api/v2/customApplications/. You do not have permission to create applications"
    )
    assert refused.kind == "denied"
    (data,) = explain.causes(_failing("24-validation")[3])
    assert '{"message": "Invalid field data"}' in data.what


def test_what_the_provider_says_when_its_time_is_over_is_a_time_out() -> None:
    for text in (
        "Custom Application is not ready: application is not ready\n",
        "Execution Environment failed to build: execution environment is not ready\n",
    ):
        (found,) = explain.causes([text])
        assert (found.kind, found.heals) == ("timeout", True)


def test_an_unknown_text_is_quoted_and_not_guessed_at() -> None:
    text = "Error frobbing the quux: it was purple"
    assert explain.causes([text, "update failed\n"]) == ()
    assert explain.unknown([text, "update failed\n", ""]) == (text,)


@pytest.mark.parametrize(
    ("log", "id_", "words"),
    [
        ("error: Cannot find module './nosuch.ts' from '/opt/code/index.ts'", "module", "./nosuch.ts"),
        ("error: lockfile had changes, but lockfile is frozen", "lockfile", "bun.lock"),
        ("exec /usr/bin/bun: exec format error", "architecture", "processor"),
        ("bun run build\nKilled\nbuild-app.sh failed", "memory", "memory"),
        ("Step 3\nThe command '/bin/sh -c x' returned a non-zero code: 137\n", "memory", "memory"),
        ("The application ended with exit code 137.", "memory", "memory"),
        ("E: Unable to locate package libfoo", "package", "libfoo"),
        ("/bin/sh: 1: tailwind: not found", "program", "tailwind"),
        ("error: Failed to start server. Is port 8080 in use? EADDRINUSE", "port", "port"),
        ("COPY failed: file not found in build context: stat missing.txt: no such file", "copy", "missing.txt"),
        ("W: Temporary failure resolving 'registry'", "network", "network"),
        ("write /x: no space left on device", "disk", "full"),
        ("The application was not ready within 120 s: nothing listens.", "silent", "probe"),
        ("SyntaxError: Unexpected token", "syntax", "Unexpected token"),
        ("ENOENT: no such file or directory, open 'data.json'", "file", "data.json"),
        ("GET useCases/ answered 403", "refused", "token"),
    ],
)
def test_logs_of_builds_and_applications_have_causes_too(log: str, id_: str, words: str) -> None:
    (found,) = explain.causes([], [log])
    assert found.id == id_
    assert words in found.what + found.hint


def test_what_the_log_says_comes_before_what_the_provider_says() -> None:
    told = "Custom Application is not ready: application failed to create, review the logs for more details\n"
    found = explain.causes([told, "update failed"], ["ok\nerror: Cannot find module 'left-pad' from x"])
    assert [cause.id for cause in found] == ["module", "app-failed"]
    assert found[0].quote.startswith("error: Cannot find module")


def test_of_a_long_log_the_end_and_the_first_reason_are_shown() -> None:
    noise = [f"{number} | building" for number in range(500)]
    log = "\n".join([*noise, "ERROR: it broke here", *noise, "", "#7 sha256:abc 3 MB", "\x1b[31mended\x1b[0m"])
    shown = explain.lines_that_matter(log)
    assert len(shown) == explain.MOST_LINES
    assert shown[0] == "ERROR: it broke here"
    assert shown[-1] == "ended"
    assert "…" in shown
    short = explain.lines_that_matter("2026-01-02T03:04:05.678Z one\n\ntwo\n")
    assert short == ("one", "two")
    assert len(explain.lines_that_matter("\n".join(noise))) == explain.MOST_LINES


def test_rules_have_one_name_each_and_patterns_do_not_run_away() -> None:
    rules = (*explain.PROVIDER, *explain.LOGS)
    assert len({rule.id for rule in rules}) == len(rules)
    long = "x'\"{ /" * 20_000
    for rule in rules:
        assert rule.pattern.search(long) is None or rule.pattern.pattern
    assert all(re.compile(rule.pattern.pattern) for rule in rules)
