"""Requests by chance for everything that the published description names: what comes back is as it is described there.

Each operation meets ids that exist and ids that do not, query values of every kind, and bodies of known and unknown
fields. No answer is a failure of the server, and every refusal has the described form.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.contract.local_platform import local_platform
from toolkit.emulator.fields import CHECKS

METHODS = ("get", "post", "patch", "delete")
REQUESTS = 700
ODD_IDS = ("x", "%2e%2e", "a b", "ü", "0" * 24, "-1", "null", "6540000000000000000000zz")
NOT_EMULATED = 501
TEXTS = st.one_of(st.sampled_from(["", "a", "\u00fc", "x" * 300, "cpu.small", "viewer", "true", "[]", "{}"]), st.text())
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), TEXTS)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3))
FIELDS = st.sampled_from([*CHECKS, "runtimeParameters", "runtimeParametersValues", "dockerImageUri", "resources"])
BODIES = st.one_of(
    st.dictionaries(FIELDS, VALUES, max_size=5), st.fixed_dictionaries({"name": TEXTS}), VALUES, st.just(...)
)


@dataclass
class Known:
    """The platform, its description, and ids that it has given."""

    api: httpx.Client
    description: dict[str, Any]
    ids: list[str] = field(default_factory=lambda: ["0" * 24])
    statuses: Counter[int] = field(default_factory=Counter)
    operations: set[tuple[str, str]] = field(default_factory=set)

    @property
    def all_operations(self) -> list[tuple[str, str]]:
        return [(method, path) for path, found in self.description["paths"].items() for method in found]


@pytest.fixture(scope="module")
def known() -> Iterator[Known]:
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        platform = stack.enter_context(local_platform(Path(folder)))
        platform.runner.at_once = True
        api = stack.enter_context(platform.client())
        api.base_url = platform.url
        yield Known(api, api.get("/__emulator__/openapi.json").json())


def test_the_description_is_openapi(known: Known) -> None:
    assert known.description["openapi"].startswith("3.1")
    for method, path in known.all_operations:
        operation = known.description["paths"][path][method]
        assert method in METHODS
        named = {one["name"] for one in operation["parameters"] if one["in"] == "path"}
        assert all(f"{{{name}}}" in path for name in named)
        assert path.count("{") == len(named)


def test_every_answer_is_as_described(known: Known) -> None:
    refusal = known.description["components"]["schemas"]["Error"]

    @settings(
        max_examples=REQUESTS,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(data=st.data())
    def ask(data: st.DataObject) -> None:
        method, path = data.draw(st.sampled_from(known.all_operations))
        operation = known.description["paths"][path][method]
        params: dict[str, str] = {}
        for one in operation["parameters"]:
            if one["in"] == "path":
                number = data.draw(st.integers(0, 39))  # which one that is depends on what was made before
                chosen = known.ids[-1 - number % len(known.ids)] if number < 32 else ODD_IDS[number - 32]
                path = path.replace(f"{{{one['name']}}}", chosen)
            elif data.draw(st.booleans()):
                params[one["name"]] = data.draw(st.integers(-1, 200).map(str) | TEXTS)
        body = data.draw(BODIES) if method in ("post", "patch") else ...
        given_body = {} if body is ... else {"json": body}
        answer = known.api.request(method.upper(), path, params=params, **given_body)
        shown = f"{method} {path} {params} {body!r}: {answer.status_code} {answer.text[:300]}"
        assert answer.status_code < 500 or answer.status_code == NOT_EMULATED, shown
        known.statuses[answer.status_code] += 1
        known.operations.add((method, operation["operationId"]))
        if answer.status_code >= 400:
            jsonschema.validate(answer.json(), refusal)
        else:
            assert str(answer.status_code) in operation["responses"] or answer.status_code == 303, shown
        if answer.content:
            assert answer.headers["Content-Type"] in ("application/json", "application/octet-stream", "application/zip")
        if answer.status_code in (201, 202):
            made = answer.json()
            known.ids.extend(made[key] for key in ("id", "credentialId") if key in made)

    ask()
    assert sum(known.statuses.values()) >= REQUESTS
    assert len(known.operations) == len(known.all_operations), "not every operation was asked for"
    assert known.statuses[200] + known.statuses[201] > 50, known.statuses
