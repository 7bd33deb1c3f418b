from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.apps.contexts import context
from toolkit.checks import build, jsonc, names, source
from toolkit.image.model import BuildFacts, HookFailed


def test_sound_hooks_pass(tmp_path: Path) -> None:
    assert source.hooks(context(tmp_path)).status == "pass"


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("exec bun index.ts\n", "does not begin with a line that names its interpreter"),
        ("\n#!/bin/sh\n", "does not begin with a line that names its interpreter"),
        ("#!/bin/sh\r\nexec bun index.ts\r\n", "Windows line endings"),
        ("", "does not begin"),
    ],
)
def test_a_start_hook_that_cannot_be_run_is_told(tmp_path: Path, script: str, words: str) -> None:
    check = source.hooks(context(tmp_path, {"start-app.sh": script}))
    assert check.status == "fail"
    assert words in check.title
    assert check.evidence == ("start-app.sh:1",)


def test_a_build_that_printed_errors_is_doubtful(tmp_path: Path) -> None:
    log = ("bun install", "/bin/sh: 2: ./build-app.sh: npm: not found", "done")
    check = build.output(context(tmp_path, build_log=log))
    assert (check.status, check.evidence) == ("warn", (log[1],))
    assert build.output(context(tmp_path, build_log=("0 errors", "404 pages not found: none"))).status == "pass"


@pytest.mark.parametrize(
    ("hook", "exited", "evidence"),
    [
        ("#!/bin/sh\nexit 0\nbun x\n", True, ("build-app.sh:2  exit 0",)),
        ("#!/bin/sh\n[ -d dist ] && exit 0\nbun x\n", False, ()),  # it went on
        ("#!/bin/sh\n[ -d dist ] || exit 1\nbun x\nexit 0\n", True, ()),
        ("#!/bin/sh\nreturn\nbun x\n", False, ("build-app.sh:2  return",)),
    ],
)
def test_where_a_build_ended_early_is_known(tmp_path: Path, hook: str, exited: bool, evidence: tuple[str, ...]) -> None:
    check = build.output(context(tmp_path, {"build-app.sh": hook}, build=BuildFacts(exited=exited)))
    assert (check.status, check.evidence) == ("pass", evidence)


# --- package.json and bun.lock ----------------------------------------------------------------------------------------

PACKAGE = {"name": "app", "dependencies": {"react": "19.3.1", "left": "^1.2.0"}, "devDependencies": {"types": "1.0.0"}}
LOCKED = """{
  "lockfileVersion": 1,
  "workspaces": {
    "": {
      "name": "app",
      "dependencies": {
        "left": "^1.2.0",
        "react": "19.3.1",
      },
      "devDependencies": {
        "types": "1.0.0",
      },
    },
  },
  "packages": {
    "left": ["left@1.2.3", "", {}, "sha512-x=="],
  }
}
"""


def test_without_dependencies_there_is_nothing_to_compare(tmp_path: Path) -> None:
    assert source.package(context(tmp_path)).status == "pass"
    assert source.lockfile(context(tmp_path)).status == "pass"


def test_package_and_lock_that_agree_pass(tmp_path: Path) -> None:
    found = context(tmp_path, {"package.json": json.dumps(PACKAGE), "bun.lock": LOCKED})
    assert source.package(found).status == "pass"
    assert source.lockfile(found).title == "package.json and bun.lock agree"


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff{PACKAGE}",
        "// the app\n{PACKAGE}",
        '{"dependencies": {"react": "link:../x",}, /* and\nmore */ "numbers": [1, -2.5e3, true, null, "\\u0041//"]}\n',
    ],
)
def test_package_json_is_read_as_bun_reads_it(text: str, tmp_path: Path) -> None:
    links = {"dependencies": {"react": "link:../x"}, "numbers": [1, -2500.0, True, None, "A//"]}
    text = text.replace("{PACKAGE}", json.dumps(links, indent="\t"))
    assert jsonc.loads(text) == links
    assert "react is link:../x" in source.package(context(tmp_path, {"package.json": text})).title


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{'dependencies': {}}", "Expecting property name enclosed in double quotes"),
        ("{dependencies: {}}", "Expecting property name enclosed in double quotes"),
        ('{"a": f()}', "Expecting value"),
        ('{"a": 1}, 2', "Extra data"),
        ('{"a": ...b}', "Expecting value"),
        ('{"a": 1', "Expecting ',' delimiter"),
        ('{"a"}', "Expecting ':' delimiter"),
        ("", "Expecting value"),
        ("[" * 3000, "Nested too deeply"),
        ('{"a":' * 3000, "Nested too deeply"),
        ("/**/ " + '{"a":' * 3000 + "1" + "}" * 3000, "Nested too deeply"),
        ('{"a": 1,,}', "Expecting property name enclosed in double quotes"),
        ('{"a": [,]}', "Expecting value"),
        ("{,}", "Expecting property name enclosed in double quotes"),
    ],
)
def test_a_package_json_that_bun_cannot_read_is_named(text: str, words: str, tmp_path: Path) -> None:
    check = source.package(context(tmp_path, {"package.json": text}))
    assert (check.status, check.evidence) == ("fail", ("package.json:1",))
    assert words in check.title


def test_a_lock_without_packages_is_read_too(tmp_path: Path) -> None:
    lock = LOCKED[: LOCKED.index('  "packages"')] + "}\n"
    found = context(tmp_path, {"package.json": json.dumps(PACKAGE), "bun.lock": lock})
    assert source.lockfile(found).title == "package.json and bun.lock agree"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"react": "19.3.1"}, "left is in bun.lock only"),
        ({"react": "19.3.1", "left": "^1.2.0", "new": "1"}, "new 1 is not in bun.lock"),
        ({"react": "18.0.0", "left": "^1.2.0"}, "react is 18.0.0 in package.json and 19.3.1 in bun.lock"),
    ],
)
@pytest.mark.parametrize(
    ("install", "status"),
    [("bun install", "warn"), ("bun install --frozen-lockfile", "fail"), ("bun ci", "fail"), ("# bun ci", "warn")],
)
def test_a_lock_that_disagrees_is_told(
    tmp_path: Path, change: dict[str, str], words: str, install: str, status: str
) -> None:
    package = json.dumps({**PACKAGE, "dependencies": change})
    files = {"package.json": package, "bun.lock": LOCKED, "build-app.sh": f"#!/bin/sh\n{install}\n"}
    check = source.lockfile(context(tmp_path, files))
    assert (check.status, check.title) == (status, f"package.json and bun.lock disagree: {words}")


def test_no_lock_is_no_defect_and_a_broken_one_is(tmp_path: Path) -> None:
    files = {"package.json": json.dumps(PACKAGE)}
    assert source.lockfile(context(tmp_path, files)).status == "pass"
    for broken in ("", "{", "[]", '{"workspaces": {}}', "<<<<<<< HEAD\n{}"):
        assert source.lockfile(context(tmp_path, {**files, "bun.lock": broken})).status == "fail", broken


@pytest.mark.parametrize(
    "version",
    ["file:../shared", "../shared", "link:shared", "file:/opt/shared", "~/shared", "file:./vendor/gone", "C:\\shared"],
)
def test_a_dependency_that_does_not_ship_is_told(tmp_path: Path, version: str) -> None:
    package = json.dumps({"dependencies": {"shared": version}}, indent=2)
    check = source.package(context(tmp_path, {"package.json": package}))
    assert (check.status, check.title) == ("fail", f"The dependency shared is {version}, which does not ship")
    assert check.evidence == (f"package.json:3  {version}",)


@pytest.mark.parametrize("version", ["1.0.0", "^2", "*", "latest", "npm:other@1", "github:a/b", "https://x.test/a.tgz"])
def test_a_dependency_from_elsewhere_is_fine(tmp_path: Path, version: str) -> None:
    package = json.dumps({"dependencies": {"shared": version}})
    assert source.package(context(tmp_path, {"package.json": package})).status == "pass"


@pytest.mark.parametrize("version", ["file:./vendor/shared", "file:vendor/shared", "./vendor/shared"])
def test_a_dependency_that_ships_is_fine(tmp_path: Path, version: str) -> None:
    files = {"package.json": json.dumps({"dependencies": {"s": version}}), "vendor/shared/package.json": "{}"}
    assert source.package(context(tmp_path, files)).status == "pass"


@pytest.mark.parametrize(
    ("text", "place"), [("{\n// no {\n/* no */ no\n}", "package.json:3"), ("[]", "package.json:1")]
)
def test_a_package_file_that_cannot_be_read_is_told(tmp_path: Path, text: str, place: str) -> None:
    check = source.package(context(tmp_path, {"package.json": text}))
    assert (check.status, check.evidence) == ("fail", (place,))


def test_what_is_much_is_doubtful(tmp_path: Path) -> None:
    found = context(tmp_path)
    assert source.size(found).status == "pass"
    much = replace(found, staged=replace(found.staged, total_bytes=source.MUCH + 1))
    check = source.size(much)
    assert check.status == "warn"
    assert ".deployignore" in check.hint


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "paths", "found"),
    [
        ("./Logo.png", ["img/logo.png"], "img/logo.png"),
        ("img/Logo.png", ["public/img/logo.png", "logo.png"], "public/img/logo.png"),
        ("./logo.png", ["logo.png", "Logo.png"], ""),
        ("caf%C3%A9.css", ["cafe\u0301.css"], "cafe\u0301.css"),
        ("other.png", ["logo.png"], ""),
        ("", ["logo.png"], ""),
    ],
)
def test_names_of_another_form(wanted: str, paths: list[str], found: str) -> None:
    assert names.same_but_for_form(wanted, paths) == found


@pytest.mark.parametrize(
    "line",
    [
        "error: Cannot find module './Server' from '/opt/code/index.ts'",
        'error: Could not resolve: "./Server.ts"',
        "ENOENT: no such file or directory, open './Server.ts'",
    ],
)
def test_a_missing_file_that_is_there_under_another_name_is_the_cause(tmp_path: Path, line: str) -> None:
    error = HookFailed("build-app.sh failed with exit code 1.", details=("bun build", line))
    found = context(tmp_path, {"server.ts": ""})
    check = build.hook(found, error)
    assert check.status == "fail"
    assert "but the file is called server.ts" in check.title
    assert "upper and lower case" in check.hint


def test_the_hook_that_failed_says_its_first_error(tmp_path: Path) -> None:
    error = HookFailed("build-app.sh failed with exit code 1.", hint="read", details=("a", "error: no such thing", "b"))
    check = build.hook(context(tmp_path), error)
    assert check.title == "build-app.sh failed with exit code 1: error: no such thing"
    assert check.evidence == error.details
    assert build.hook(context(tmp_path)).status == "pass"


@pytest.mark.parametrize("said", ['ResolveMessage: Could not resolve: "./Ap.tsx"', "SyntaxError: Unexpected end"])
def test_why_a_script_failed_comes_before_that_it_failed(tmp_path: Path, said: str) -> None:
    script = 'error: script "build" exited with code 1'
    error = HookFailed("build-app.sh failed with exit code 1.", details=("$ bun build.ts", said, script))
    assert build.hook(context(tmp_path), error).title.endswith(f"exit code 1: {said}")
    alone = HookFailed("build-app.sh failed with exit code 1.", details=("$ bun build.ts", script))
    assert build.hook(context(tmp_path), alone).title.endswith(f"exit code 1: {script}")


@pytest.mark.parametrize(
    "line",
    [
        "/bin/sh: 2: ./build-app.sh: source: not found",
        "./build-app.sh: 3: [[: not found",
        './build-app.sh: 4: Syntax error: "(" unexpected',
        "./build-app.sh: 5: set: Illegal option -o pipefail",
        "./build-app.sh: 6: Bad substitution",
    ],
)
def test_what_only_bash_understands_gets_its_own_hint(tmp_path: Path, line: str) -> None:
    check = build.hook(context(tmp_path), HookFailed("build-app.sh failed with exit code 2.", details=(line,)))
    assert "/bin/sh is dash" in check.hint


def test_a_program_that_is_missing_is_no_bashism(tmp_path: Path) -> None:
    error = HookFailed("build-app.sh failed.", hint="x", details=("./build-app.sh: 3: npm: not found",))
    assert build.hook(context(tmp_path), error).hint == "x"


def test_a_warning_of_a_build_that_went_well_is_no_error(tmp_path: Path) -> None:
    log = ("Module not found: Can't resolve 'encoding' in '/opt/code/node_modules/node-fetch/lib'", "Compiled")
    check = build.output(context(tmp_path, build_log=log))
    assert (check.status, check.evidence) == ("pass", ())
