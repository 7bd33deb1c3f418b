"""Secrets in files: each kind is found with file and line and never shown; ordinary code is left alone."""

from __future__ import annotations

import base64
import random
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from toolkit import leaks
from toolkit.leaks import Leak
from toolkit.settings import Secret

Find = Callable[..., list[Leak]]

# Put together here, so that no scanner (ours neither) takes this file for a leak.
RANDOM = "NjY0ZTJk" + "MWJjNzlhNDU2" + "OmEvYitjZDEyMzQ1Njc4OTAxMg"
HEX = "9f86d081884c7d65" + "9a2feaa0c55ad015"
DASHES = "-" * 5
PEM = f"{DASHES}BEGIN RSA PRIVATE " + f"KEY{DASHES}"
MATERIAL = "MIIEowIBAAKCAQEAx7VtqmYb8cq1Jt2yR4mYIuTzK1aF3pQ9s0dLwEhVnXoGbCj"
KNOWN = "sk+live/0123456789:abcdef=="


def look(path: str, local: Path, known: Iterable[Secret], *, allowed: bool = False) -> list[Leak]:
    with local.open("rb") as stream:
        return list(leaks.find(path, stream, known, allowed=allowed))


@pytest.fixture
def leaked(tmp_path: Path) -> Find:
    """Write a file and give what is found in it."""

    def find(content: str | bytes, name: str = "src/config.ts", known: tuple[str, ...] = ()) -> list[Leak]:
        local = tmp_path / "file"
        local.write_bytes(content.encode() if isinstance(content, str) else content)
        return look(name, local, [Secret(value) for value in known])

    return find


PLANTED = {
    "pem": ("a private key", f"{PEM}\n{MATERIAL}\n"),
    "pem, header alone": ("a private key", PEM),
    "pem in a string": ("a private key", f'const key = "{PEM}\\n{MATERIAL}\\n"'),
    "pem in yaml": ("a private key", f"key: |\n  {PEM}\n  {MATERIAL}\n"),
    "pem of openssh": ("a private key", f"{DASHES}BEGIN OPENSSH PRIVATE " + f"KEY{DASHES}\nb3Blbn\n"),
    "aws": ("an AWS access key", "aws_id = " + "AKIA" + "IOSFODNN7EXAMPLE"),
    "jwt": ("a JSON web token", "x = '" + "eyJhbGciOiJIUzI1NiJ9" + ".eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmN'"),
    "datarobot": (
        "a DataRobot API key",
        "call(" + "NjVhYmMxMjNkZWY0NTY3ODkwYWJjZGVm" + "OktlZXBUaGlzQXdheUZyb21HaXQ=" + ")",
    ),
    "gitlab": ("a GitLab token", "x glpat" + "-a1B2c3D4e5F6g7H8i9J0"),
    "slack": ("a Slack token", "x xoxb" + "-123456789012-abcdefghijkl"),
    "stripe": ("a Stripe key", "x sk_li" + "ve_a1B2c3D4e5F6g7H8"),
    "npm": ("an npm token", "x npm" + "_" + "a1B2c3D4e5F6" * 3),
    "github": ("a GitHub token", "url = https://ghp_" + "a1B2" * 9 + "@github.com"),
    "github, fine": ("a GitHub token", "github_pat_" + "11ABCDEFG0" * 4),
    "pulumi": ("a Pulumi token", "pul-" + "0123456789abcdef" * 2 + "01234567"),
    "npmrc": ("a registry token", "//registry.example/:_auth" + "Token=abcdefgh-ijkl"),
    "npmrc, bare": ("a registry token", "_auth" + "=dXNlcjpwYXNz"),
    "dotenv": ("a token-shaped value", f"DATAROBOT_API_TOKEN={RANDOM}"),
    "dotenv, exported": ("a token-shaped value", f"export API_KEY='{HEX}'"),
    "typescript": ("a token-shaped value", f'const apiToken: string = "{RANDOM}==";'),
    "json": ("a token-shaped value", f'  "client_secret": "{HEX}",'),
    "yaml": ("a token-shaped value", f"password: {HEX}"),
    "object": ("a token-shaped value", f"fetch(url, {{apiKey: `{HEX}`}})"),
    "index": ("a token-shaped value", f"headers['x-access-key'] = '{HEX}'"),
    "bearer": ("a token-shaped value", f'"Authorization": "Bearer {RANDOM}"'),
    "hashed by hand": ("a token-shaped value", "TOKEN=" + "abcdefghijklmnopqrstuvwxyz" + "0123456789"),
}


@pytest.mark.parametrize(("rule", "text"), PLANTED.values(), ids=PLANTED.keys())
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_each_kind_is_found_with_its_line_and_never_shown(leaked: Find, rule: str, text: str, end: str) -> None:
    planted = end.join(["// first", "", *text.split("\n")]) + end
    (leak,) = leaked(planted)
    line = 4 if text.startswith("key: |") else 3
    assert leak == Leak("src/config.ts", line, rule)
    assert str(leak) == f"src/config.ts:{line}: {rule}"
    for secret in (RANDOM, HEX, MATERIAL, "EXAMPLE"):
        assert secret not in str(leak) + repr(leak)


HARMLESS = [
    "const tokenizer = createTokenizer(source, { version: 2 });",
    "const tokenizerForTheLongestExpressionsOfLanguageVersion2 = tokenizer;",
    "const token = process.env.DATAROBOT_API_TOKEN;",
    "headers: { Authorization: `Bearer ${process.env.DATAROBOT_API_TOKEN}` }",
    "DATAROBOT_API_TOKEN=",
    'DATAROBOT_API_TOKEN="${DATAROBOT_API_TOKEN_OF_PRODUCTION_1234567890}"',
    "DATAROBOT_API_TOKEN=<your token>",
    "DATAROBOT_API_TOKEN=your-datarobot-api-token-goes-right-here",
    'test("answers 401 when the token = restricted, in 2 of 3 cases", () => {',
    'const SECRET_NAME = "datarobot-api-token-of-the-viewer-app-v2";',
    "const secretKey = config.someVeryLongObject1.someVeryLongProperty2;",
    'import token from "./tokens/4f3a2b1c9d8e7f605a4b3c2d1e0f9a8b.js";',
    '"token_page.js": "assets/token_page-4f3a2b1c9d8e7f605a4b3c2d.js",',
    '"integrity": "sha512-4f3a2b1c9d8e7f605a4b3c2d1e0f9a8b4f3a2b1c9d8e7f605a4b3c2d1e0f9a8b=="',
    "this._password = somePasswordOfTheUser;",
    "  _auth = await authenticate(user);",
    "if (text.startsWith('" + f"{DASHES}BEGIN PRIVATE " + f"KEY{DASHES}')) return decode(text);",
    "const pem = `" + f"{DASHES}BEGIN PRIVATE " + f"KEY{DASHES}\n" + "${body}\n`;",
    'const pem = "' + f"{DASHES}BEGIN PRIVATE " + f'KEY{DASHES}\\n" + body;',
    f"{DASHES}BEGIN CERTIFICATE{DASHES}\nMIIEowIBAAKCAQEAx7Vtqm\n",
    f"{DASHES}BEGIN PUBLIC KEY{DASHES}\nMIIEowIBAAKCAQEAx7Vtqm\n",
    "--color-token-primary: #4f3a2b1c;",
    "commit 9f86d081884c7d659a2feaa0c55ad0159f86d081",
    "const id = '9f86d081884c7d659a2feaa0c55ad015';",
    "password: string; token?: string; apiKey: string | undefined;",
    "passwordPlaceholder: 'At least 8 characters, 1 digit and 1 capital letter'",
    "nextPageToken=eyJwIjoyfQ",
    'const tokenEndpoint = "/api/v2/oauth2/default/v1/token/refresh";',
    'passwordResetPath: "api/v1/users/password-reset/step2/confirm",',
    "const apiKeyId = '550e8400-e29b-41d4-a716-446655440000';",
    '"js-tokens": "sha512-RdJUflcE3cUzKiMqQgsCu06FPu9UdIJO0beYbPhHN4k6apgJtifcoCtT9bcxOpYBtpD2kCM6Sbzg4CausW/PKQ==",',
    '"tokenizer.json": "9f86d081884c7d659a2feaa0c55ad0159f86d081",',
    'const authTokenUrl = "https-only/v2/login/oauth2/v3/access-token-for-x";',
    "a.token=b.token,c.secret=d?e:f;var g={api_key:h,token:i};" * 500,
    "token-" * 20_000,
    "=" * 200_000,
    "token=" + "a" * 100_000,
    "",
]


@pytest.mark.parametrize("text", HARMLESS, ids=[text[:40] for text in HARMLESS])
def test_ordinary_code_is_no_false_alarm(leaked: Find, text: str) -> None:
    assert leaked(text) == []


def test_lock_files_are_full_of_hashes(leaked: Find) -> None:
    line = f'    "some-token": ["some-token@1.0.0", "", {{}}, "sha512-{RANDOM}"], "token": "{HEX}"\n'
    assert leaked(line * 50, "bun.lock") == []
    assert leaked(line * 50, "packages/web/package-lock.json") == []
    assert leaked(line, "bun.lock.ts") != []
    assert [leak.line for leak in leaked(line + KNOWN, "bun.lock", (KNOWN,))] == [2]


@pytest.mark.parametrize(
    "name", ["id_rsa", "keys/id_ed25519", "certificate.p12", ".netrc", "a/b.pfx", "x.jks", "y.keystore"]
)
def test_key_files_are_told_by_their_names(leaked: Find, name: str) -> None:
    (leak,) = leaked(b"\0\1\2", name)
    assert str(leak) == f"{name}: a key file"


@pytest.mark.parametrize("name", ["id_rsa.pub", "src/id_rsa/readme.md", "grid_rsa", "p12"])
def test_other_names_are_not(leaked: Find, name: str) -> None:
    assert leaked("nothing", name) == []


# --- known values -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", range(7))
@pytest.mark.parametrize("after", range(4))
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_a_known_value_is_found_in_base64_wherever_it_stands(
    leaked: Find, before: int, after: int, encode: Callable[[bytes], bytes]
) -> None:
    text = encode(b"x" * before + KNOWN.encode() + b"y" * after)
    (leak,) = leaked(b"first\n" + text, known=(KNOWN,))
    assert leak.line == 2
    assert "settings" in leak.rule
    assert leaked(text, known=("another-value-of-the-same-length",)) == []


@pytest.mark.parametrize(
    "form",
    [KNOWN, f"https://x/?t={KNOWN.replace('+', '%2B').replace('/', '%2F').replace(':', '%3A').replace('=', '%3D')}"],
)
def test_a_known_value_is_found_as_it_is_and_in_an_address(leaked: Find, form: str) -> None:
    (leak,) = leaked(f"a\nb\n{form}\n", known=("unrelated-secret", KNOWN))
    assert leak == Leak("src/config.ts", 3, "the value of a token from the settings")


def test_a_known_value_in_a_binary_file_is_found(leaked: Find) -> None:
    (leak,) = leaked(b"\x7fELF\0\0\n\n" + KNOWN.encode(), "bin/tool", (KNOWN,))
    assert leak.line == 3


def test_short_words_are_not_taken_for_secrets(leaked: Find) -> None:
    assert leaked("abc abc test1234", known=("abc", "")) == []
    assert leaked("VzdDEyMz and anything else, c3QxMj", known=("test1234",)) == []
    assert len(leaked("x test1234", known=("test1234",))) == 1


def test_a_known_value_with_bytes_that_are_no_text_is_found(leaked: Find) -> None:
    assert len(leaked(b"x=" + b"secret-\xff-value", known=("secret-\udcff-value",))) == 1


# --- lines ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "place", [0, 1, 19_990, 20_000, leaks.BLOCK - 30, leaks.BLOCK - 5, leaks.BLOCK, 2 * leaks.BLOCK - 9]
)
def test_a_secret_in_a_very_long_line_is_found(leaked: Find, place: int) -> None:
    filler = ("lorem ipsum " * (place // 12 + 1))[:place]
    (leak,) = leaked(f"first\n{filler} api_token='{HEX}' " + "dolor sit " * 50_000)
    assert leak.line == 2


def test_lines_are_counted_over_blocks(leaked: Find) -> None:
    lines = [f"line {number} of a file that is longer than one block" for number in range(60_000)]
    planted = (17, 25_000, 59_999)
    for number in planted:
        lines[number] = f"password={HEX}"
    assert [leak.line for leak in leaked("\n".join(lines))] == [number + 1 for number in planted]


def test_one_line_gives_one_finding(leaked: Find) -> None:
    assert len(leaked(f"password={HEX}; token={RANDOM}; {KNOWN}", known=(KNOWN,))) == 1


def test_a_known_value_is_refused_on_an_allowed_line_and_in_an_allowed_file(tmp_path: Path) -> None:
    local = tmp_path / "file"
    local.write_text(f"x = '{KNOWN}' // toolkit: allow-secret\napiKey = '{HEX}'\n")
    assert [leak.line for leak in look("a.ts", local, [Secret(KNOWN)])] == [1, 2]
    assert [leak.line for leak in look("a.ts", local, [Secret(KNOWN)], allowed=True)] == [1]
    assert look("id_rsa", local, [], allowed=True) == []


def test_a_known_value_in_two_bytes_a_letter_is_found(leaked: Find) -> None:
    assert len(leaked(f"TOKEN={KNOWN}\r\n".encode("utf-16"), known=(KNOWN,))) == 1


def test_a_line_can_be_allowed(leaked: Find) -> None:
    found = leaked(f"a\npassword={HEX} // toolkit: allow-secret\npassword={HEX}\n")
    assert [leak.line for leak in found] == [3]


def test_a_file_full_of_secrets_does_not_take_long(leaked: Find) -> None:
    started = time.process_time()
    found = leaked(f"password={HEX}\n" * 20_000)
    assert len(found) == leaks.ENOUGH
    assert time.process_time() - started < 2


def test_a_large_binary_file_takes_little_time_and_memory(tmp_path: Path) -> None:
    local = tmp_path / "model.bin"
    piece = random.Random(7).randbytes(1_000_000)
    with local.open("wb") as stream:
        for _ in range(50):
            stream.write(piece)
    started = time.process_time()
    assert look("model.bin", local, [Secret(KNOWN)]) == []
    assert time.process_time() - started < 3
