"""Settings: who beats whom, every problem at once, and never a secret on screen."""

from __future__ import annotations

import copy
import dataclasses
import json
import traceback
from pathlib import Path
from typing import Any

import pytest

from toolkit.errors import ConfigurationError
from toolkit.settings import KEYS, Secret, Settings, load, require_platform, stack_of

TOKEN = "NjZmYWtlMTIzNDU2Nzg5MGFiY2RlZjpQbGVhc2VEb05vdFNob3dNZQ=="
ENDPOINT = "https://app.datarobot.com/api/v2"


def read(
    environ: dict[str, str] | None = None, *, stack: str = "dev", root: Path = Path("/checkout"), **more: Any
) -> Settings:
    return load(environ or {}, more.pop("dotenv", None), stack=stack, root=root, **more)


def problems(environ: dict[str, str], **more: Any) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        read(environ, **more)
    assert caught.value.hint
    return caught.value.details


# --- who beats whom ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "file", "stack_file", "expected"),
    [
        ("a-environ", "b-file", "c-stack", "a-environ"),
        ("", "b-file", "c-stack", "b-file"),
        (None, "b-file", "c-stack", "b-file"),
        (None, "", "c-stack", "c-stack"),
        (None, None, "c-stack", "c-stack"),
        (None, None, None, "dr-nb-admin-viewer"),
        ("", "", "", "dr-nb-admin-viewer"),
    ],
)
def test_environment_beats_file_beats_stack_beats_default(
    tmp_path: Path, environ: str | None, file: str | None, stack_file: str | None, expected: str
) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text("" if file is None else f"APP_NAME={file}\n")
    found = read(
        {} if environ is None else {"APP_NAME": environ},
        dotenv=dotenv,
        defaults={} if stack_file is None else {"APP_NAME": stack_file},
    )
    assert found.app_name == expected


def test_the_defaults_alone_are_good() -> None:
    found = read()
    assert found.app == Path("/checkout/custom_application")
    assert found.environment == Path("/checkout/custom_environment")
    assert found.emulator_data == Path("/checkout/.toolkit/emulator")
    assert found.toolkit_dir == Path("/checkout/.toolkit")
    assert (found.token, found.endpoint, found.access_token, found.passphrase) == (None, None, None, None)
    assert (found.bundle.id, found.replicas, found.runtime_env, found.provider) == (
        "cpu.8xlarge",
        1,
        "generated",
        "auto",
    )
    assert (found.emulator_port, found.timeout_minutes, found.app_env) == (0, 30, {})


def test_every_key_of_the_list_is_read() -> None:
    asked: set[str] = set()

    class Watched(dict[str, str]):
        def get(self, key: str, default: Any = None) -> Any:
            asked.add(key)
            return super().get(key, default)

    load(Watched(), None, stack="dev", root=Path("/checkout"))
    assert {key.name for key in KEYS} - asked == {"PULUMI_STACK"}  # that one chooses the stack before


def test_folders_are_absolute_and_may_lie_elsewhere(tmp_path: Path) -> None:
    found = read({"APP_DIR": "../other app", "ENVIRONMENT_DIR": "/srv/env"}, root=tmp_path / "here")
    assert found.app == tmp_path / "other app"
    assert found.environment == Path("/srv/env")


# --- the file ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        f"DATAROBOT_API_TOKEN={TOKEN}\nAPP_NAME=other\n",
        f"DATAROBOT_API_TOKEN={TOKEN}\r\nAPP_NAME=other\r\n",
        f"\ufeffDATAROBOT_API_TOKEN={TOKEN}\nAPP_NAME=other",
        f"export DATAROBOT_API_TOKEN='{TOKEN}'\n# comment\n\nAPP_NAME = \"other\"  # comment\n",
    ],
    ids=["plain", "windows", "byte order mark", "exported, quoted, commented"],
)
def test_a_file_from_any_editor_is_read(tmp_path: Path, text: str) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_bytes(text.encode())
    found = read(dotenv=dotenv)
    assert found.token == Secret(TOKEN)
    assert found.app_name == "other"


def test_a_dollar_in_the_file_is_a_dollar(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text("HOME_OF=x\nFOO='a${HOME_OF}$b'\nAPP_ENV_KEYS=FOO\n")
    assert read(dotenv=dotenv).app_env == {"FOO": "a${HOME_OF}$b"}


def test_a_file_in_another_encoding_is_named(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_bytes("APP_NAME=caf\xe9\n".encode("latin-1"))
    with pytest.raises(ConfigurationError) as caught:
        read(dotenv=dotenv)
    assert str(dotenv) in caught.value.message
    assert "UTF-8" in caught.value.message


def test_a_line_that_is_no_setting_is_named_by_its_number_alone(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text(f"APP_NAME=other\n# fine\n'{TOKEN}\n\nAPP_REPLICAS=9\n")
    found = problems({}, dotenv=dotenv)
    assert any(str(dotenv) + ":3" in line for line in found)
    assert any("APP_REPLICAS" in line for line in found)
    assert TOKEN not in "".join(found)


def test_a_missing_file_is_as_good_as_an_empty_one(tmp_path: Path) -> None:
    assert read(dotenv=tmp_path / "none") == read()


# --- problems ---------------------------------------------------------------------------------------------------------


def test_all_problems_come_at_once_with_key_found_and_expected() -> None:
    wrong = {
        "DATAROBOT_API_TOKEN": f"'{TOKEN}'",
        "DATAROBOT_ENDPOINT": "app.datarobot.com",
        "APP_NAME": "my app",
        "APP_BUNDLE": "cpu.9xlarge",
        "APP_REPLICAS": "5",
        "RUNTIME_ENV": "secret",
        "EMULATOR_PORT": "65536",
        "DATAROBOT_PROVIDER": "fake",
        "DATAROBOT_TIMEOUT_MINUTES": "soon",
        "APP_ENV_KEYS": "UNSET, 1ODD",
    }
    with pytest.raises(ConfigurationError) as caught:
        read(wrong)
    details = caught.value.details
    assert caught.value.message.startswith(f"{len(details)} settings are wrong")
    assert len(details) == len(wrong) + 1
    assert {line.split(":")[0] for line in details} == set(wrong)
    for key in ("DATAROBOT_ENDPOINT", "APP_NAME", "APP_BUNDLE", "APP_REPLICAS", "RUNTIME_ENV", "EMULATOR_PORT"):
        line = next(line for line in details if line.startswith(key))
        assert wrong[key] in line, line
        assert "Expected" in line or "Use one of" in line, line
    assert TOKEN not in "".join(details)


def test_one_problem_is_counted_as_one() -> None:
    with pytest.raises(ConfigurationError, match=r"^One setting is wrong\.$"):
        read({"APP_REPLICAS": "0"})


@pytest.mark.parametrize("name", ["APP_REPLICAS", "EMULATOR_PORT", "DATAROBOT_TIMEOUT_MINUTES"])
@pytest.mark.parametrize("text", ["-1", "1.5", " 1", "1e0", "9999999", "\u0661", "one"])
def test_numbers_are_whole_and_plain(name: str, text: str) -> None:
    assert problems({name: text}) != ()


@pytest.mark.parametrize("text", ["1", "2", "3", "4"])
def test_replicas(text: str) -> None:
    assert read({"APP_REPLICAS": text}).replicas == int(text)


@pytest.mark.parametrize("name", ["a", "My-App_2", "x" * 63])
def test_names_of_apps(name: str) -> None:
    assert read({"APP_NAME": name}).app_name == name


@pytest.mark.parametrize("name", ["-a", "_a", "a b", "a/b", "x" * 64, "caf\xe9", "a\n"])
def test_odd_names_of_apps_are_refused(name: str) -> None:
    assert len(problems({"APP_NAME": name})) == 1


@pytest.mark.parametrize("path", ["/", "/healthz", "/api/health?deep=1"])
def test_health_paths(path: str) -> None:
    assert read({"APP_HEALTH_PATH": path}).health_path == path


@pytest.mark.parametrize("path", ["healthz", "http://x/healthz", "/a b", "/\r\nX: y", "/ü"])
def test_odd_health_paths_are_refused(path: str) -> None:
    assert len(problems({"APP_HEALTH_PATH": path})) == 1


def test_how_the_platform_treats_the_app() -> None:
    found = read({"APP_AUTO_STOP": "false", "APP_KEY_SCOPE": "viewer", "APP_USE_CASES": f"{'a' * 24}, {'1' * 24}"})
    assert (found.auto_stop, found.key_scope, found.use_cases) == (False, "viewer", ("a" * 24, "1" * 24))
    assert len(problems({"APP_AUTO_STOP": "no", "APP_KEY_SCOPE": "owner", "APP_USE_CASES": "mine"})) == 3


# --- the token --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "token",
    [
        "<your token>",
        "your-api-token",
        "YOUR_API_TOKEN",
        "your_datarobot_api_token_here",
        "xxxxxxxxxxxx",
        "changeme",
        "<TOKEN>",
    ],
)
def test_placeholders_are_refused(token: str) -> None:
    assert len(problems({"DATAROBOT_API_TOKEN": token})) == 1


@pytest.mark.parametrize(
    ("token", "word"),
    [
        (f" {TOKEN}", "white space"),
        (f"{TOKEN}\n", "white space"),
        (f"{TOKEN[:9]} {TOKEN[9:]}", "white space"),
        (f'"{TOKEN}"', "quotation mark"),
        (f"'{TOKEN}", "quotation mark"),
        (f"Bearer {TOKEN}", "Bearer"),
        (f"bearer:{TOKEN}", "Bearer"),
        (f"Token {TOKEN}", "Token"),
        (f"{TOKEN}\u200b", "character"),
        (f"{TOKEN}\xe9", "character"),
        (f"{TOKEN}\udcff", "character"),
        (f"{TOKEN}\x7f", "character"),
        (f"DATAROBOT_API_TOKEN={TOKEN}", "name"),
    ],
)
def test_a_token_copied_badly_is_named_but_not_shown(token: str, word: str) -> None:
    (line,) = problems({"DATAROBOT_API_TOKEN": token})
    assert line.startswith("DATAROBOT_API_TOKEN: ")
    assert word.lower() in line.lower()
    assert TOKEN not in line
    assert TOKEN[:9] not in line


@pytest.mark.parametrize("token", [TOKEN, "abc", "a" * 300, "~!@#$%^&*()_+|{}:?-=[];,./", "xxxYYYxxx", "bearing123"])
def test_printable_tokens_are_taken(token: str) -> None:
    found = read({"DATAROBOT_API_TOKEN": token}).token
    assert found is not None
    assert found.reveal() == token


# --- the endpoint -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("https://app.datarobot.com/api/v2", ENDPOINT),
        ("https://app.datarobot.com/api/v2/", ENDPOINT),
        ("https://app.datarobot.com/api/v2//", ENDPOINT),
        ("https://app.datarobot.com//api//v2", ENDPOINT),
        ("https://app.datarobot.com/api", ENDPOINT),
        ("https://app.datarobot.com/api/", ENDPOINT),
        ("https://app.datarobot.com", ENDPOINT),
        ("https://app.datarobot.com/", ENDPOINT),
        (" https://app.datarobot.com/api/v2 ", ENDPOINT),
        ("HTTPS://APP.DataRobot.com/api/v2", ENDPOINT),
        ("https://app.eu.datarobot.com/api/v2", "https://app.eu.datarobot.com/api/v2"),
        ("http://datarobot.corp:8443/api/v2", "http://datarobot.corp:8443/api/v2"),
        ("https://10.1.2.3", "https://10.1.2.3/api/v2"),
        ("https://[2001:db8::1]:444", "https://[2001:db8::1]:444/api/v2"),
    ],
)
def test_endpoints_are_made_alike(text: str, endpoint: str) -> None:
    found = read({"DATAROBOT_ENDPOINT": text})
    assert found.endpoint == endpoint
    assert found.runtime_endpoint == endpoint


@pytest.mark.parametrize(
    "text",
    [
        "app.datarobot.com",
        "app.datarobot.com/api/v2",
        "https//app.datarobot.com",
        "https:/app.datarobot.com",
        "htps://app.datarobot.com",
        "ftp://app.datarobot.com/api/v2",
        "https://",
        "https://app.datarobot.com/api/v1",
        "https://app.datarobot.com/api/v2/version/",
        "https://app.datarobot.com/account/developer-tools",
        "https://app.datarobot.com/api/v2?x=1",
        "https://app.datarobot.com/api/v2#x",
        "https://app.datarobot.com:port",
        "https://app.datarobot.com:99999",
        "https://[::1",
        "https://app.data robot.com",
        "https://app..datarobot.com",
        "<endpoint>",
        "https://<your-host>/api/v2",
    ],
)
def test_other_endpoints_are_named_with_an_example(text: str) -> None:
    (line,) = problems({"DATAROBOT_ENDPOINT": text})
    assert line.startswith("DATAROBOT_ENDPOINT: ")
    assert text.split("?")[0] in line
    assert ENDPOINT in line


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST",
        "localhost.",
        "dr.localhost",
        "127.0.0.1",
        "127.1",
        "127.8.9.10",
        "2130706433",
        "0",
        "0.0.0.0",
        "[::1]",
        "[::]",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:127.0.0.1]",
        "host.docker.internal",
    ],
)
@pytest.mark.parametrize("port", ["", ":8080"])
def test_this_machine_is_refused_except_by_the_local_stack(host: str, port: str) -> None:
    (line,) = problems({"DATAROBOT_ENDPOINT": f"http://{host}{port}/api/v2"})
    assert "this machine" in line
    assert "local" in line
    assert read({"DATAROBOT_ENDPOINT": f"http://{host}{port}/api/v2"}, stack="local").endpoint is None


def test_a_password_or_a_token_in_the_endpoint_is_not_shown() -> None:
    (line,) = problems({"DATAROBOT_ENDPOINT": f"https://admin:{TOKEN}@app.datarobot.com/api/v2"})
    assert TOKEN not in line
    (line,) = problems({"DATAROBOT_ENDPOINT": TOKEN})
    assert TOKEN not in line
    (line,) = problems({"DATAROBOT_ENDPOINT": f"https://app.datarobot.com/api/v2?token={TOKEN}"})
    assert TOKEN not in line


def test_a_secret_that_slipped_into_another_key_is_not_shown() -> None:
    wrong = {"DATAROBOT_API_TOKEN": TOKEN, "APP_NAME": f"{TOKEN}", "RUNTIME_ENV": TOKEN, "APP_BUNDLE": TOKEN}
    assert TOKEN not in "".join(problems(wrong))


# --- the stack local --------------------------------------------------------------------------------------------------


def test_the_local_stack_never_sees_the_real_account(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text(f"DATAROBOT_API_TOKEN={TOKEN}\nDATAROBOT_ENDPOINT={ENDPOINT}\n")
    for environ in ({}, {"DATAROBOT_API_TOKEN": TOKEN, "DATAROBOT_ENDPOINT": "nonsense"}):
        found = read(environ, dotenv=dotenv, stack="local")
        assert (found.token, found.endpoint, found.runtime_endpoint, found.app_env) == (None, None, None, {})


@pytest.mark.parametrize("stack", ["local", "dev"])
def test_the_apps_keys_cannot_carry_the_account_or_pulumis_secrets(stack: str) -> None:
    environ = {"DATAROBOT_API_TOKEN": TOKEN, "DATAROBOT_ENDPOINT": ENDPOINT, "FOO": "1"}
    found = read({**environ, "APP_ENV_KEYS": "DATAROBOT_API_TOKEN,FOO,DATAROBOT_ENDPOINT"}, stack=stack)
    assert found.app_env == {"FOO": "1"}
    (line,) = problems({"PULUMI_ACCESS_TOKEN": "pul-1", "APP_ENV_KEYS": "PULUMI_ACCESS_TOKEN"}, stack=stack)
    assert "PULUMI_" in line


# --- variables of the app ---------------------------------------------------------------------------------------------


def test_the_apps_variables_come_from_environment_and_file(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text("A=file\nB=file\nEMPTY=\n")
    found = read({"A": "environ", "APP_ENV_KEYS": " A, B ,,EMPTY,A"}, dotenv=dotenv)
    assert found.app_env == {"A": "environ", "B": "file", "EMPTY": ""}


def test_a_variable_that_is_set_nowhere_is_named() -> None:
    (line,) = problems({"APP_ENV_KEYS": "MISSING"})
    assert "MISSING" in line
    assert ".env" in line


def test_a_value_written_into_the_list_of_keys_is_not_shown() -> None:
    (line,) = problems({"APP_ENV_KEYS": f"API_PASSWORD={TOKEN}"})
    assert TOKEN not in line
    assert "API_PASSWORD" in line


# --- Secret -----------------------------------------------------------------------------------------------------------


def test_a_secret_prints_as_stars_everywhere() -> None:
    secret = Secret(TOKEN)
    shown = [
        str(secret),
        repr(secret),
        f"{secret}",
        f"{secret!r:>20}",
        f"{secret:>60}",
        f"{secret}",
        "%s %r" % (secret, secret),  # noqa: UP031
        repr([secret, {"a": secret}]),
        json.dumps({"a": secret}, default=str),
    ]
    assert all(TOKEN not in text and "****" in text for text in shown)


def test_settings_print_no_secret() -> None:
    environ = {
        "DATAROBOT_API_TOKEN": TOKEN,
        "PULUMI_ACCESS_TOKEN": TOKEN,
        "PULUMI_CONFIG_PASSPHRASE": TOKEN,
        "PULUMI_BACKEND_URL": f"postgres://pulumi:{TOKEN}@db/state",
        "APP_ENV_KEYS": "EXTRA_PASSWORD",
        "EXTRA_PASSWORD": TOKEN,
    }
    found = read(environ)
    assert TOKEN not in repr(found)
    assert TOKEN not in str(found)
    assert found.app_env == {"EXTRA_PASSWORD": TOKEN}


def test_a_traceback_shows_no_secret() -> None:
    def fail(secret: Secret) -> None:
        raise ValueError(f"no good: {secret} {secret!r}")

    try:
        fail(Secret(TOKEN))
    except ValueError as error:
        seen = traceback.TracebackException.from_exception(error, capture_locals=True)
        frames = "".join(f"{frame.locals}" for frame in seen.stack if frame.name == "fail")
        assert TOKEN not in "".join(seen.format_exception_only()) + frames


def test_an_error_while_loading_keeps_no_secret_in_its_chain() -> None:
    try:
        read({"DATAROBOT_API_TOKEN": f"'{TOKEN}'", "DATAROBOT_ENDPOINT": f"https://a:{TOKEN}@b"})
    except ConfigurationError as error:
        assert TOKEN not in "".join(traceback.format_exception(error))


def test_secrets_compare_by_value() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert Secret("\udcff") == Secret("\udcff")
    assert len({Secret("a"), Secret("a")}) == 1
    assert not Secret("")
    assert copy.deepcopy(Secret("a")) == Secret("a")


def test_settings_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        read().stack = "other"  # type: ignore[misc]


# --- require_platform -------------------------------------------------------------------------------------------------


def test_the_local_stack_needs_no_account() -> None:
    require_platform(read(stack="local"))


def test_another_stack_needs_token_and_endpoint() -> None:
    require_platform(read({"DATAROBOT_API_TOKEN": TOKEN, "DATAROBOT_ENDPOINT": ENDPOINT}))
    with pytest.raises(ConfigurationError) as caught:
        require_platform(read())
    assert [line.split()[0] for line in caught.value.details] == ["DATAROBOT_API_TOKEN", "DATAROBOT_ENDPOINT"]
    assert caught.value.exit_code == 2
    assert "--stack local" in caught.value.hint
    with pytest.raises(ConfigurationError) as caught:
        require_platform(read({"DATAROBOT_API_TOKEN": TOKEN}))
    assert [line.split()[0] for line in caught.value.details] == ["DATAROBOT_ENDPOINT"]


@pytest.mark.parametrize("name", ["UID", "RANDOM", "SECONDS", "BASH_ENV"])
def test_names_that_a_shell_keeps_for_itself_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load({"APP_ENV_KEYS": name, name: "1"}, None, stack="local", root=tmp_path)
    assert caught.value.details == (f"APP_ENV_KEYS: {name} is a variable of the shell's own. Use another name.",)


def test_the_stack_is_named_by_the_environment_or_else_by_dotenv(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    assert stack_of({}, dotenv) == ""
    dotenv.write_text("PULUMI_STACK=staging\n")
    assert stack_of({}, dotenv) == "staging"
    assert stack_of({"PULUMI_STACK": "prod"}, dotenv) == "prod"


def test_known_secrets_include_what_the_app_is_given_under_such_a_name(tmp_path: Path) -> None:
    told = {
        "MY_PASSWORD": "hunter2-hunter2",
        "COLOUR": "green",
        "AUTH_URL": "https://sso.example.com/realms/shop",  # where to get one
        "KEY_URL": "https://ann:hunter2@keys.example.com",
        "TOKEN_URL": "https://sso.example.com/?key=0123456789",
    }
    environ = {"APP_ENV_KEYS": ",".join(told), **told}
    found = load(environ, None, stack="local", root=tmp_path).secrets
    assert [secret.reveal() for secret in found] == [told[name] for name in ("MY_PASSWORD", "KEY_URL", "TOKEN_URL")]
