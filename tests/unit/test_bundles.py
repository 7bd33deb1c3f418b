from __future__ import annotations

import pytest

from toolkit import bundles
from toolkit.errors import ConfigurationError


@pytest.mark.parametrize("name", ["cpu.8xlarge", "CPU_8XL", "cpu_8xlarge", " cpu.8xlarge "])
def test_the_guides_bundle_is_two_cpus_and_fourteen_gigabytes(name: str) -> None:
    found = bundles.find(name)
    assert (found.id, found.cpus, found.memory) == ("cpu.8xlarge", 2, 14 * 1024**3)


def test_an_unknown_bundle_names_those_there_are() -> None:
    with pytest.raises(ConfigurationError, match="cpu.9xlarge") as caught:
        bundles.find("cpu.9xlarge")
    assert "cpu.nano" in caught.value.hint
