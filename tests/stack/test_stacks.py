"""What a stack decides: how the app gets its token, what is protected, and what may be deployed without a proof."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import httpx
import pytest

from tests.stack.checkout import SERVER, Checkout

pytestmark = [pytest.mark.stack, pytest.mark.engine]

TELLS = SERVER.replace(
    'return new Response("not here"',
    'if (pathname === "/who") return new Response(new Bun.CryptoHasher("sha256")'
    '.update(process.env.DATAROBOT_API_TOKEN ?? "").digest("hex"));\n  return new Response("not here"',
)


@pytest.fixture
def checkout(checkout: Checkout, root: Path) -> Checkout:
    script = (root / "custom_application" / "start-app.sh").read_text()
    checkout.write("custom_application/start-app.sh", script.replace("bun index.ts", "bun server.ts"))
    checkout.write("custom_application/server.ts", TELLS)
    return checkout


def _credentials(checkout: Checkout) -> list[dict[str, str]]:
    platform = checkout.platform()
    answer = httpx.get(
        f"{platform['endpoint']}/credentials/",
        headers={"Authorization": f"Bearer {platform['token']}"},
        trust_env=False,
    )
    return list(answer.json()["data"])


def _has_the_full_token(checkout: Checkout, url: str) -> str:
    token = str(checkout.platform()["token"])
    answer = httpx.get(f"{url}who", headers={"Authorization": f"Bearer {token}"}, trust_env=False)
    assert answer.text == hashlib.sha256(token.encode()).hexdigest()
    return token


def test_a_token_as_a_credential_is_rotated_and_a_protected_stack_is_left_alone(checkout: Checkout) -> None:
    env = {"RUNTIME_ENV": "credential"}
    first = checkout.deploy(**env)
    assert first["changes"] == {"create": 4}
    assert not (checkout.root / ".toolkit" / "stage" / "local" / "source" / ".env").exists()
    old = _has_the_full_token(checkout, first["outputs"]["app_url"])
    state = b"".join(path.read_bytes() for path in (checkout.root / ".toolkit" / "state").rglob("*") if path.is_file())
    assert old.encode() not in state
    assert checkout.deploy(**env)["changes"] == {"same": 4}

    # Another token: one deployment, the same application.
    assert checkout.invoke("emulator.stop").code == 0
    tokens = checkout.root / ".toolkit" / "emulator" / "tokens.json"
    tokens.write_text(json.dumps({**json.loads(tokens.read_text()), "full": "another-full-token-0123456789abcdef"}))
    rotated = checkout.deploy(**env)
    assert rotated["outputs"]["app_id"] == first["outputs"]["app_id"]
    assert rotated["outputs"]["app_url"] == first["outputs"]["app_url"]
    assert rotated["changes"]["update"] == 1
    assert _has_the_full_token(checkout, rotated["outputs"]["app_url"]) != old
    assert len(_credentials(checkout)) == 1

    # Unproved: asked, and told in the history.
    checkout.write("custom_application/notes.txt", "another note\n")
    refused = checkout.invoke("deploy", "--stack", "local", "--skip-smoke", **env)
    assert refused.code == 2
    assert "--yes" in refused.stderr
    skipped = checkout.invoke("deploy", "--stack", "local", "--skip-smoke", "--yes", **env)
    assert skipped.code == 0, skipped.stderr
    assert "nobody has proved this release" in skipped.stdout
    history = json.loads(checkout.invoke("history", "--stack", "local", "--json").stdout)["updates"]
    assert "smoke skipped" in history[0]["message"]
    assert "smoke skipped" not in history[1]["message"]
    assert checkout.invoke("preview", "--stack", "local", "--exit-code", **env).code == 0

    # Protected: nothing without its name.
    file = checkout.root / "infra" / "Pulumi.local.yaml"
    file.write_text(file.read_text() + "\n  bun-to-datarobot:protected: true\n")
    checkout.write("custom_application/notes.txt", "a third note\n")
    preview = checkout.invoke("preview", "--stack", "local", "--exit-code", "--json", **env)
    assert preview.code == 11
    assert preview.last["plan"]["files"]["changed"] == ["notes.txt"]
    assert preview.last["exit_code"] == 11
    for command in (("deploy", "--yes"), ("destroy", "--yes"), ("deploy", "--skip-smoke", "--confirm", "local")):
        result = checkout.invoke(command[0], "--stack", "local", *command[1:], **env)
        assert result.code == 2, result.stdout + result.stderr
        assert "protected" in result.stderr
    assert checkout.invoke("destroy", "--stack", "local", "--confirm", "local", **env).code == 0
    assert _credentials(checkout) == []
