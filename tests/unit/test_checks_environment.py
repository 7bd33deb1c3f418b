from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path

import pytest

from tests.apps.contexts import ENDPOINT, FULL, RESTRICTED, START, context, crawled, serving
from toolkit.checks import environment
from toolkit.fetch import Response
from toolkit.processes import Listener
from toolkit.report import Check
from toolkit.settings import Secret

KEY = "DATAROBOT_API_TOKEN"


def script(*lines: str, shell: str = "#!/bin/sh") -> dict[str, str]:
    return {"start-app.sh": "\n".join([shell, *lines]) + "\n"}


def no_part_of_a_token(check: Check) -> bool:
    return not any(token[:5] in repr(check) for token in (FULL, RESTRICTED))


@pytest.mark.parametrize(
    ("value", "status", "words"),
    [
        (FULL, "pass", "holds the full token"),
        ("", "fail", "is empty"),
        (f"'{FULL}'", "fail", "quotes or blanks"),
        (f"{FULL}\r", "fail", "quotes or blanks"),
        ("something else", "fail", "neither the full token nor the restricted one"),
        (RESTRICTED, "fail", "restricted token"),
        (None, "fail", "has no DATAROBOT_API_TOKEN"),
    ],
)
def test_every_value_is_told_apart(tmp_path: Path, value: str | None, status: str, words: str) -> None:
    held = {"PATH": "/bin"} if value is None else {"PATH": "/bin", KEY: value}
    check = environment.token(context(tmp_path, inside=serving(held)))
    assert check.status == status
    assert words in check.title
    assert no_part_of_a_token(check)


@pytest.mark.parametrize(
    ("before", "behind", "status", "words"),
    [
        (FULL, FULL, "pass", "holds the full token"),
        (FULL, None, "pass", "holds the full token"),  # a database, say
        (
            FULL,
            RESTRICTED,
            "warn",
            "Behind the serving process, bun api.ts (port 3001) runs with the",
        ),
        (
            RESTRICTED,
            FULL,
            "warn",
            "The serving process holds the restricted token, bun api.ts (port 3001) behind",
        ),
        (RESTRICTED, RESTRICTED, "fail", "The app runs with the platform's restricted token"),
    ],
)
def test_a_server_behind_the_one_that_the_platform_asks_counts_too(
    tmp_path: Path, before: str, behind: str | None, status: str, words: str
) -> None:
    inside = serving({KEY: before})
    other = Listener("127.0.0.1", 3001, 9, "bun api.ts", {"PATH": "/bin", **({KEY: behind} if behind else {})})
    check = environment.token(context(tmp_path, inside=replace(inside, listeners=(*inside.listeners, other))))
    assert (check.status, check.title.startswith(words) or words in check.title) == (status, True)
    assert no_part_of_a_token(check)


@pytest.mark.parametrize(
    ("files", "words", "line"),
    [
        (script("exec bun index.ts"), "start-app.sh does not load .env", "start-app.sh"),
        (script("# . ./.env", "exec bun index.ts"), "start-app.sh does not load .env", "start-app.sh"),
        (script("bun --env-file=.env index.ts"), "--env-file does not replace", "start-app.sh:2"),
        (script("set -a", "source ./.env", "exec bun x"), "`source` does not exist in sh", "start-app.sh:3"),
        (script(". .env", "exec bun x"), "`. .env` searches PATH", "start-app.sh:2"),
        (script("(set -a; . ./.env)", "exec bun x"), "in a subshell", "start-app.sh:2"),
        (script("bun index.ts &", ". ./.env", "wait"), "after the server was started", "start-app.sh:3"),
        (
            script(". ./.env", f"{KEY}=$SAVED", "exec bun x"),
            "sets it again after it loaded .env",
            "start-app.sh:3",
        ),
        (
            {**script("sh ./load.sh", "exec bun x"), "load.sh": "set -a\n. ./.env\n"},
            "load.sh loads .env in a process of its own",
            "start-app.sh:2",
        ),
        (script("[ -f .env ] && echo found", "exec bun x"), "mentions .env, but does not load it", "start-app.sh:2"),
    ],
)
def test_why_the_restricted_token_is_still_there(tmp_path: Path, files: dict[str, str], words: str, line: str) -> None:
    check = environment.token(context(tmp_path, files, inside=serving({KEY: RESTRICTED})))
    assert check.status == "fail"
    assert check.title.startswith("The app runs with the platform's restricted token: ")
    assert words in check.title
    assert line in check.evidence


def test_bash_may_say_source(tmp_path: Path) -> None:
    files = script("source .env", "bun x", shell="#!/bin/bash")
    assert "does not exist" not in environment.token(context(tmp_path, files, inside=serving({KEY: RESTRICTED}))).title


def test_code_that_loads_env_itself_cannot_be_seen_from_outside(tmp_path: Path) -> None:
    files = script("exec bun index.ts") | {"load.ts": 'const text = await Bun.file("./.env").text();\n'}
    check = environment.token(context(tmp_path, files, inside=serving({KEY: RESTRICTED})))
    assert (check.status, check.evidence) == ("warn", ("load.ts:1",))


LOADS = "start-app.sh does not load .env"
KEEPS = "replaces nothing that is set"
UNSEEN = "cannot be seen from outside"


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ('import dotenv from "dotenv";\ndotenv.config({\n  path: ".env",\n  override: true,\n});', UNSEEN),
        ('import { config } from "dotenv";\nconfig({ override: true });', UNSEEN),
        (
            'const f = new URL(".env", import.meta.url);\nfor (const line of readFileSync(f).split("x")) use(line);',
            UNSEEN,
        ),
        ('readFileSync(\n  join(here, ".env"),\n  "utf8",\n);', UNSEEN),
        ('import dotenv from "dotenv";\ndotenv.config({ path: ".env" });', KEEPS),
        ('import "dotenv/config";', KEEPS),
        ("process.loadEnvFile();", KEEPS),
        ("// dotenv is not used: Bun loads .env\nserve();", LOADS),
        ('const hidden = [".env", ".git"]; serve((path) => hidden.includes(path) ? none : Bun.file(path));', LOADS),
        ('if (path === "/.env") return none; return new Response(Bun.file(path));', LOADS),
    ],
)
def test_how_code_loads_env_decides(tmp_path: Path, code: str, said: str) -> None:
    files = script("exec bun index.ts") | {"load.ts": code}
    check = environment.token(context(tmp_path, files, inside=serving({KEY: RESTRICTED})))
    assert said in check.title
    assert check.status == ("warn" if said == UNSEEN else "fail")


def test_without_env_in_the_release_that_is_the_cause(tmp_path: Path) -> None:
    check = environment.token(context(tmp_path, ships_env=False, inside=serving({KEY: RESTRICTED})))
    assert check.title.startswith("The app ships no .env")


def test_a_token_that_comes_as_a_parameter_has_to_be_taken_over(tmp_path: Path) -> None:
    name = "MLOPS_RUNTIME_PARAM_DATAROBOT_API_TOKEN"
    check = environment.token(context(tmp_path, ships_env=False, parameter=name, inside=serving({KEY: RESTRICTED})))
    assert check.status == "fail"
    assert f"does not take over {name}" in check.title
    check = environment.token(context(tmp_path, ships_env=False, parameter=name, inside=serving({KEY: FULL})))
    assert check.status == "pass"


def test_without_a_full_token_nothing_is_judged(tmp_path: Path) -> None:
    assert environment.token(context(tmp_path, full_token=None)).status == "skip"


@pytest.mark.parametrize("token", [FULL, RESTRICTED])
@pytest.mark.parametrize("shape", ["{0}", "{0:.10}…", "Basic {1}"])
def test_tokens_in_logs_and_bodies_are_found_and_not_repeated(tmp_path: Path, token: str, shape: str) -> None:
    text = shape.format(token, base64.b64encode(f"user:{token}".encode()).decode())
    logged = environment.leaks(context(tmp_path, logs=("fine", f"with {text}")))
    assert (logged.status, logged.evidence) == ("fail", ("log line 2",))
    assert "in its log" in logged.title
    served = environment.leaks(context(tmp_path, crawled=crawled(bodies={"a.js": f"\n\nx='{text}'".encode()})))
    assert (served.status, served.evidence) == ("fail", ("./a.js:3",))
    assert no_part_of_a_token(logged) and no_part_of_a_token(served)


def test_a_build_that_inlines_the_environment_is_a_leak(tmp_path: Path) -> None:
    body = b'const token = "placeholder-of-DATAROBOT_API_TOKEN";'
    check = environment.leaks(context(tmp_path, crawled=crawled(bodies={"a.js": body})))
    assert (check.status, check.evidence) == ("fail", ("./a.js:1",))


def test_words_that_begin_like_a_wordy_token_are_no_leak_in_a_page(tmp_path: Path) -> None:
    wordy = Secret("placeholder-token-for-a-smoke-test")
    body = {"a.css": b"::placeholder{color:red}"}
    assert environment.leaks(context(tmp_path, full_token=wordy, crawled=crawled(bodies=body))).status == "pass"
    whole = {"a.js": b"'placeholder-token-for-a-smoke-test'"}
    assert environment.leaks(context(tmp_path, full_token=wordy, crawled=crawled(bodies=whole))).status == "fail"


def test_without_a_leak_it_passes(tmp_path: Path) -> None:
    logs = ("token loaded", f"token of {len(FULL)} characters", "token ****")
    check = environment.leaks(context(tmp_path, logs=logs, crawled=crawled(bodies={"": b"<p>token</p>"})))
    assert check.status == "pass"


def test_an_env_file_that_can_be_downloaded_is_a_failure(tmp_path: Path) -> None:
    def answer(status: int, body: str) -> Check:
        return environment.private(context(tmp_path, private=(Response(START + ".env", status, {}, body.encode()),)))

    assert answer(200, "DATAROBOT_ENDPOINT='x'\n").status == "fail"
    assert answer(200, f"T={FULL}").status == "fail"
    assert answer(200, "<!doctype html>").status == "pass"
    assert answer(404, "").status == "pass"


def test_a_path_that_leads_out_of_the_folder_counts_too(tmp_path: Path) -> None:
    answers = (
        Response(START + ".env", 404, {}, b""),
        Response(START + "..%2f.env", 200, {}, f"DATAROBOT_API_TOKEN={FULL}".encode()),
    )
    check = environment.private(context(tmp_path, private=answers))
    assert (check.status, check.evidence) == ("warn", ("./..%2f.env",))


def test_the_source_of_the_server_is_told_when_it_is_handed_out(tmp_path: Path) -> None:
    app = context(tmp_path)
    assert environment.server_files(app) == ["start-app.sh", "build-app.sh", "index.ts"]
    assert environment.private_paths(app)[:2] == [".env", "..%2f.env"]
    source = app.text_of("index.ts").encode()
    page = Response(START + "start-app.sh", 200, {}, b"<!doctype html>")
    check = environment.private(context(tmp_path, private=(page, Response(START + "index.ts", 200, {}, source))))
    assert (check.status, check.evidence) == ("warn", ("./index.ts",))
    assert environment.private(context(tmp_path, private=(page,))).status == "pass"
    hook = b"#!/bin/sh\nexport DATAROBOT_ENDPOINT=https://host/api/v2\nexec bun index.ts\n"
    handed = Response(START + "start-app.sh", 200, {}, hook)
    files = {"start-app.sh": hook.decode(), "index.ts": "serve()\n"}
    check = environment.private(context(tmp_path / "hook", files, private=(handed,)))
    assert (check.status, check.evidence) == ("warn", ("./start-app.sh",))


@pytest.mark.parametrize(
    ("held", "title"),
    [
        ({"DATAROBOT_ENDPOINT": ENDPOINT, "NODE_ENV": "production"}, ""),
        ({"DATAROBOT_ENDPOINT": ENDPOINT + "/"}, ""),
        ({"DATAROBOT_ENDPOINT": "https://staging.datarobot.test/api/v2"}, ""),  # what .env says
        ({"DATAROBOT_ENDPOINT": ""}, "DATAROBOT_ENDPOINT is empty in the serving process"),
        ({"PATH": "/bin"}, "The serving process has no DATAROBOT_ENDPOINT"),
        ({"DATAROBOT_ENDPOINT": "http://localhost:8000"}, "DATAROBOT_ENDPOINT is http://localhost:8000"),
        ({"DATAROBOT_ENDPOINT": ENDPOINT, "NODE_ENV": "development"}, "The server runs with NODE_ENV=development"),
    ],
)
def test_the_settings_of_the_serving_process(tmp_path: Path, held: dict[str, str], title: str) -> None:
    shipped = {".env": "DATAROBOT_ENDPOINT='https://staging.datarobot.test/api/v2'\n"}
    check = environment.settings(context(tmp_path, shipped, inside=serving(held)))
    assert check.status == ("warn" if title else "pass")
    assert check.title.startswith(title)
