"""The cause of a failed build, found in what popular tools really print."""

from __future__ import annotations

import pytest

from toolkit.checks import buildlog, names

PATHS = ("package.json", "src/main.ts", "src/index.html")
SCRIPT = 'error: script "build" exited with code 1'
VITE = """\
vite v8.3.8 building client environment for production...
transforming...
✓ 4 modules transformed.
✗ Build failed in 58ms
error during build:
Build failed with 1 error:

[UNRESOLVED_IMPORT] Could not resolve './Ap' in src/main.ts
   ╭─[ src/main.ts:1:17 ]
   │
 1 │ import App from "./Ap";
   │                 ───┬──
   │                    ╰──── Module not found.
   │
   │ Help: 'src/main.ts' is imported by the following path:
   │         - src/main.ts
   │         - index.html
───╯

    at aggregateBindingErrorsIntoJsError (file:///opt/code/node_modules/rolldown/dist/shared/error.mjs:50:18)
    at unwrapBindingResult (file:///opt/code/node_modules/rolldown/dist/shared/error.mjs:20:128)
    at #build (file:///opt/code/node_modules/rolldown/dist/shared/rolldown.mjs:146:34)
    at async buildEnvironment (file:///opt/code/node_modules/vite/dist/node/chunks/node.js:34787:66)
    at async Object.build (file:///opt/code/node_modules/vite/dist/node/chunks/node.js:35208:19)
    at async CAC.<anonymous> (file:///opt/code/node_modules/vite/dist/node/cli.js:789:3) {
  errors: [Getter/Setter]
}
"""
VITE_5 = """\
vite v5.4.0 building for production...
x Build failed in 15ms
error during build:
[vite]: Rollup failed to resolve import "lodash" from "/opt/code/src/main.ts".
This is most likely unintended because it can break your application at runtime.
"""
ESBUILD = """\
✘ [ERROR] Could not resolve "./Ap"

    src/main.ts:1:16:
      1 │ import App from "./Ap";
        ╵                 ~~~~~~

1 error
"""
TSC = """\
$ tsc --noEmit
src/main.ts(1,17): error TS2307: Cannot find module './Ap' or its corresponding type declarations.
src/main.ts(9,1): error TS2304: Cannot find name 'x'.
"""
TSC_PRETTY = "src/main.ts:1:17 - error TS2307: Cannot find module './Ap'.\n\nFound 1 error in src/main.ts:1\n"
WEBPACK = """\
assets by status 0 bytes [cached] 1 asset
./src/main.ts 42 bytes [built] [code generated]

ERROR in ./src/main.ts 1:0-23
Module not found: Error: Can't resolve './Ap' in '/opt/code/src'
resolve './Ap' in '/opt/code/src'
  using description file: /opt/code/package.json (relative path: ./src)

webpack 5.113.0 compiled with 1 error in 171 ms
"""
ROLLUP = """\

src/main.js → o2.js...
[!] RollupError: Could not resolve "./Ap" from "src/main.js"
src/main.js
    at getRollupError (/opt/code/node_modules/rollup/dist/shared/parseAst.js:326:41)
"""
PARCEL = """\
Building...
🚨 Build failed.

@parcel/core: Failed to resolve './Ap' from './src/main.ts'

  /opt/code/src/main.ts:1:17
  > 1 | import App from "./Ap";
"""
BUN = """\
1 | import App from "./Ap";
                    ^
error: Could not resolve: "./Ap"
    at /opt/code/src/main.ts:1:17

Bun v1.4.4 (Linux x64)
"""
NEXT = """\
Failed to compile.

./src/main.ts
Module not found: Can't resolve './Ap'

https://nextjs.org/docs/messages/module-not-found

> Build failed because of webpack errors
"""
NPM = """\
npm error code EUSAGE
npm error
npm error `npm ci` can only install with an existing package-lock.json
"""


@pytest.mark.parametrize(
    ("log", "said"),
    [
        (VITE, "[UNRESOLVED_IMPORT] Could not resolve './Ap' in src/main.ts (src/main.ts:1)"),
        (VITE_5, '[vite]: Rollup failed to resolve import "lodash" from "/opt/code/src/main.ts".'),
        (ESBUILD, '✘ [ERROR] Could not resolve "./Ap" (src/main.ts:1)'),
        (
            TSC,
            "src/main.ts(1,17): error TS2307: Cannot find module './Ap' or its corresponding type declarations.",
        ),
        (TSC_PRETTY, "src/main.ts:1:17 - error TS2307: Cannot find module './Ap'."),
        (WEBPACK, "Module not found: Error: Can't resolve './Ap' in '/opt/code/src' (src/main.ts:1)"),
        (ROLLUP, '[!] RollupError: Could not resolve "./Ap" from "src/main.js"'),
        (PARCEL, "@parcel/core: Failed to resolve './Ap' from './src/main.ts' (src/main.ts:1)"),
        (BUN, 'error: Could not resolve: "./Ap" (src/main.ts:1)'),
        (NEXT, "Module not found: Can't resolve './Ap' (src/main.ts)"),
        (NPM, "npm error `npm ci` can only install with an existing package-lock.json"),
        ("$ bun x\n", SCRIPT),
        ("sh: 1: next: not found\n", "sh: 1: next: not found"),
    ],
    ids=[
        "vite",
        "vite-5",
        "esbuild",
        "tsc",
        "tsc-pretty",
        "webpack",
        "rollup",
        "parcel",
        "bun",
        "next",
        "npm",
        "-",
        "sh",
    ],
)
def test_the_cause_is_found_below_whatever_follows_from_it(log: str, said: str) -> None:
    found = buildlog.reason([*log.splitlines(), SCRIPT], PATHS)
    assert str(found) == said
    assert any(found.text in line for line in found.around)
    assert not any("node_modules" in line for line in found.around)


def test_a_log_without_any_error_has_no_reason() -> None:
    found = buildlog.reason([f"line {number}" for number in range(50)], PATHS)
    assert str(found) == ""
    assert found.around == tuple(f"line {number}" for number in range(30, 50))


def test_what_is_shown_is_around_the_cause_however_much_follows() -> None:
    log = ["before", "error: no such table", *(f"line {number}" for number in range(100)), SCRIPT]
    found = buildlog.reason(log, PATHS)
    assert found.around[:2] == ("before", "error: no such table")
    assert len(found.around) == buildlog.SHOWN


@pytest.mark.parametrize("log", [WEBPACK, NEXT, PARCEL, VITE])
def test_whatever_bundles_a_file_of_another_case_is_found(log: str) -> None:
    assert names.named_otherwise(log.splitlines(), ["src/ap.tsx"]) == ("./Ap", "src/ap.tsx")


def test_the_place_is_in_the_file_of_the_longest_name() -> None:
    log = ["error: Unexpected =", "    at /opt/code/src/index.ts:3:1"]
    for paths in (["index.ts", "src/index.ts"], ["src/index.ts", "index.ts"]):
        assert buildlog.reason(log, paths).place == "src/index.ts:3"
