from __future__ import annotations

import dataclasses
import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from toolkit import tools
from toolkit.errors import Cancelled, ToolMissing
from toolkit.tools import Places


def _program(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n" + script)
    path.chmod(0o755)
    return path


@pytest.fixture
def places(tmp_path: Path) -> Places:
    found = Places(tmp_path / "root", tmp_path / "home", tmp_path / "cache", tmp_path / "root" / ".toolkit")
    for folder in (found.root / "infra", found.home, found.state):
        folder.mkdir(parents=True)
    (found.root / "infra" / "requirements.txt").write_text("pulumi==1\n")
    return found


def _environ(tmp_path: Path) -> dict[str, str]:
    return {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin"}


def test_a_pulumi_on_path_that_is_new_enough_is_used(tmp_path: Path, places: Places) -> None:
    path = _program(tmp_path / "bin" / "pulumi", "echo v3.260.1\n")
    assert tools.find_pulumi(places, _environ(tmp_path)) == tools.Tool(path, "3.260.1", "PATH")


def test_an_old_pulumi_on_path_is_passed_over_for_the_one_built_earlier(tmp_path: Path, places: Places) -> None:
    _program(tmp_path / "bin" / "pulumi", "echo v3.9.9\n")
    built = _program(places.cache / "pulumi-3.250.0" / "bin" / "pulumi", "echo v3.250.0\n")
    found = tools.find_pulumi(places, _environ(tmp_path))
    assert found is not None
    assert (found.path, found.origin) == (built, "built from its Go module earlier")


def test_where_the_installer_puts_pulumi_is_looked_at(tmp_path: Path, places: Places) -> None:
    path = _program(places.home / ".pulumi" / "bin" / "pulumi", "echo v3.250.0\n")
    found = tools.find_pulumi(places, _environ(tmp_path))
    assert found is not None
    assert found.path == path


def test_without_installer_and_build_the_error_says_what_to_do(tmp_path: Path, places: Places) -> None:
    _program(places.deploy_python, "echo 'urlopen error: no such host' >&2; exit 1\n")
    _program(tmp_path / "bin" / "go", 'case "$1" in env) echo go1.26.1;; *) echo no module >&2; exit 3;; esac\n')
    lines: list[str] = []
    with pytest.raises(ToolMissing) as caught:
        tools.ensure_pulumi(places, _environ(tmp_path), on_line=lines.append)
    assert "go ended with exit code 3" in caught.value.message
    assert caught.value.details == ("no module",)
    assert "Pulumi's installer cannot be had: urlopen error: no such host" in lines


def test_the_cli_is_built_from_the_committed_module(tmp_path: Path, places: Places) -> None:
    _program(places.deploy_python, "exit 1\n")
    script = (
        'case "$1" in env) echo go1.26.1;; build) pwd > "$OUT"; echo "$@" >> "$OUT"; '
        'mkdir -p "$GOMODCACHE" "$GOCACHE"; shift; '
        'while [ "$1" != -o ]; do shift; done; printf "#!/bin/sh\\necho v3.250.0\\n" > "$2"; chmod +x "$2";; esac\n'
    )
    _program(tmp_path / "bin" / "go", script)
    out = tmp_path / "out"
    found = tools.ensure_pulumi(places, {**_environ(tmp_path), "OUT": str(out)})
    assert (found.version, found.origin) == ("3.250.0", "built from its Go module")
    folder, arguments = out.read_text().splitlines()
    assert folder == str(tools.CLI_MODULE)
    assert "-mod=readonly" in arguments
    assert arguments.endswith("github.com/pulumi/pulumi/pkg/v3/cmd/pulumi")
    assert [path.name for path in places.cache.iterdir()] == ["pulumi-3.250.0"], "what only the build needed is gone"
    assert tools.ensure_pulumi(places, _environ(tmp_path)).origin == "built from its Go module earlier"


def test_two_checkouts_build_it_once_and_the_second_waits(tmp_path: Path, places: Places) -> None:
    _program(places.deploy_python, "exit 1\n")
    script = (
        'case "$1" in env) echo go1.26.1;; build) echo built >>"$OUT"; mkdir -p "$GOMODCACHE"; sleep 1; '
        'test -d "$GOMODCACHE" || exit 1; shift; '
        'while [ "$1" != -o ]; do shift; done; printf "#!/bin/sh\\necho v3.250.0\\n" > "$2"; chmod +x "$2";; esac\n'
    )
    _program(tmp_path / "bin" / "go", script)
    environ = {**_environ(tmp_path), "OUT": str(tmp_path / "out")}
    lines: list[str] = []
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(tools.ensure_pulumi, places, environ, on_line=lines.append) for _ in range(2)]
    origins = sorted(one.result().origin for one in both)
    assert origins == ["built from its Go module", "built from its Go module earlier"]
    assert (tmp_path / "out").read_text() == "built\n"
    assert lines.count("Another checkout is building Pulumi; waiting for it") == 1


def test_a_build_that_failed_keeps_what_it_has_for_the_next_try(tmp_path: Path, places: Places) -> None:
    _program(places.deploy_python, "exit 1\n")
    script = 'case "$1" in env) echo go1.26.1;; build) mkdir -p "$GOMODCACHE/cache" "$GOCACHE"; exit 1;; esac\n'
    _program(tmp_path / "bin" / "go", script)
    with pytest.raises(ToolMissing):
        tools.ensure_pulumi(places, _environ(tmp_path))
    assert (places.cache / "pulumi-3.250.0-build" / "modules" / "cache").is_dir()


def test_the_caches_of_somebody_who_builds_with_go_are_used(tmp_path: Path, places: Places) -> None:
    _program(places.deploy_python, "exit 1\n")
    script = 'case "$1" in env) echo go1.26.1;; build) mkdir -p "$GOMODCACHE" "$GOCACHE"; exit 1;; esac\n'
    _program(tmp_path / "bin" / "go", script)
    own = {"GOMODCACHE": str(tmp_path / "own-modules"), "GOCACHE": str(tmp_path / "own-compiled")}
    with pytest.raises(ToolMissing):
        tools.ensure_pulumi(places, {**_environ(tmp_path), **own})
    assert (tmp_path / "own-modules").is_dir()
    assert (tmp_path / "own-compiled").is_dir()
    assert not (places.cache / "pulumi-3.250.0-build").exists()


def test_the_committed_module_pins_the_version() -> None:
    assert f"github.com/pulumi/pulumi/pkg/v3 v{tools.PULUMI_VERSION}" in (tools.CLI_MODULE / "go.mod").read_text()


def test_only_the_local_stack_may_fall_back_on_the_stand_in(tmp_path: Path, places: Places) -> None:
    pulumi = tools.Tool(
        _program(tmp_path / "bin" / "pulumi", "echo 'error: 403 HTTP error' >&2; exit 1\n"), "3", "PATH"
    )
    with pytest.raises(ToolMissing, match="403 HTTP error") as caught:
        tools.ensure_plugin(places, _environ(tmp_path), pulumi, may_stand_in=False)
    assert "pulumi plugin install resource datarobot 0.10.43" in caught.value.hint
    plugin = tools.ensure_plugin(places, _environ(tmp_path), pulumi, may_stand_in=True)
    assert plugin.stand_in
    assert "403 HTTP error" in plugin.origin
    assert plugin.folder is not None
    assert os.access(plugin.folder / tools.PLUGIN, os.X_OK)


def test_asking_for_the_stand_in_on_another_stack_does_not_help(tmp_path: Path, places: Places) -> None:
    pulumi = tools.Tool(_program(tmp_path / "bin" / "pulumi", "exit 1\n"), "3", "PATH")
    with pytest.raises(ToolMissing):
        tools.ensure_plugin(places, _environ(tmp_path), pulumi, choice="stand-in", may_stand_in=False)


def test_a_failed_download_is_not_tried_again_at_once(tmp_path: Path, places: Places) -> None:
    script = f"echo tried >> '{tmp_path}/tries'; echo 'error: offline' >&2; exit 1\n"
    pulumi = tools.Tool(_program(tmp_path / "bin" / "pulumi", script), "3", "PATH")
    for _ in range(2):
        assert tools.ensure_plugin(places, _environ(tmp_path), pulumi, may_stand_in=True).stand_in
    assert (tmp_path / "tries").read_text().split() == ["tried"]
    old = time.time() - tools.RETRY_DOWNLOAD_AFTER - 10
    os.utime(places.state / "plugin-download-failed", (old, old))
    tools.ensure_plugin(places, _environ(tmp_path), pulumi, may_stand_in=True)
    assert (tmp_path / "tries").read_text().split() == ["tried", "tried"]


def test_a_download_that_works_gives_the_real_plugin(tmp_path: Path, places: Places) -> None:
    target = places.home / ".pulumi" / "plugins" / "resource-datarobot-v0.10.43" / tools.PLUGIN
    script = f"mkdir -p '{target.parent}' && printf real > '{target}' && chmod +x '{target}'\n"
    pulumi = tools.Tool(_program(tmp_path / "bin" / "pulumi", script), "3", "PATH")
    plugin = tools.ensure_plugin(places, _environ(tmp_path), pulumi, may_stand_in=True)
    assert (plugin.stand_in, plugin.origin) == (False, "installed by Pulumi")


def test_a_stand_in_on_path_is_never_taken_for_the_real_plugin(tmp_path: Path, places: Places) -> None:
    plugin = tools.stand_in(places, "why")
    assert tools.find_plugin(places, {"PATH": str(plugin.folder)}) is None


def test_a_folder_with_a_quote_in_its_name_has_a_stand_in_too(tmp_path: Path, places: Places) -> None:
    odd = dataclasses.replace(places, root=tmp_path / "it's here")
    _program(odd.deploy_python, 'echo "$@"\n')
    plugin = tools.stand_in(odd, "why")
    assert plugin.folder is not None
    done = subprocess.run([plugin.folder / tools.PLUGIN, "x"], capture_output=True, text=True, check=False)
    assert done.stdout == "-m toolkit.emulator.provider x\n"


def test_the_deploy_environment_is_made_again_only_when_its_requirements_changed(places: Places) -> None:
    _program(places.deploy_python, "exit 0\n")
    stamp = places.deploy_python.parents[1] / f".made-from-{tools._digest(places.root / 'infra' / 'requirements.txt')}"
    stamp.touch()
    assert tools.ensure_deploy_python(places, {}) == places.deploy_python
    (places.root / "infra" / "requirements.txt").write_text("pulumi==2\n")
    (places.root / "noxfile.py").write_text("raise SystemExit('nox was started')\n")
    with pytest.raises(ToolMissing, match="deploy environment"):
        tools.ensure_deploy_python(places, {"PATH": os.environ["PATH"]})


def test_a_pulumi_is_asked_for_its_version_once_as_long_as_it_is_the_same_file(tmp_path: Path, places: Places) -> None:
    asked = tmp_path / "asked"
    path = _program(tmp_path / "bin" / "pulumi", f"echo x >>{asked}; echo v3.250.0\n")
    for _ in range(3):
        assert tools.find_pulumi(places, _environ(tmp_path)) == tools.Tool(path, "3.250.0", "PATH")
    assert asked.read_text().count("x") == 1
    _program(path, f"echo x >>{asked}; echo v3.251.0 # another one\n")
    found = tools.find_pulumi(places, _environ(tmp_path))
    assert found is not None
    assert (found.version, asked.read_text().count("x")) == ("3.251.0", 2)


def test_a_pulumi_that_was_killed_while_it_was_asked_is_not_built_anew(tmp_path: Path, places: Places) -> None:
    once = tmp_path / "once"
    path = _program(tmp_path / "bin" / "pulumi", f"test -e {once} || {{ touch {once}; kill -9 $$; }}; echo v3.250.0\n")
    assert tools.find_pulumi(places, _environ(tmp_path)) == tools.Tool(path, "3.250.0", "PATH")


HANGS = 'case "$1" in version) echo v3.250.0;; *) sleep 60;; esac\n'


@pytest.mark.parametrize("way", ["installer", "download"])
def test_what_hangs_is_ended_with_the_command(tmp_path: Path, places: Places, way: str) -> None:
    program = _program(places.deploy_python if way == "installer" else tmp_path / "bin" / "pulumi", HANGS)
    tool = tools.Tool(program, tools.PULUMI_VERSION, "a test")
    with ThreadPoolExecutor(1) as pool:
        if way == "installer":
            made = pool.submit(lambda: str(tools.ensure_pulumi(places, _environ(tmp_path))))
        else:
            made = pool.submit(lambda: str(tools.ensure_plugin(places, _environ(tmp_path), tool, may_stand_in=True)))
        time.sleep(0.5)
        started = time.monotonic()
        places.stop.set()
        with pytest.raises(Cancelled):
            made.result()
        assert time.monotonic() - started < 2


def test_what_hangs_has_a_limit(tmp_path: Path, places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "DOWNLOADS_WITHIN", 0.3)
    tool = tools.Tool(_program(tmp_path / "bin" / "pulumi", HANGS), tools.PULUMI_VERSION, "a test")
    with pytest.raises(ToolMissing, match="no answer within 0 s"):
        tools.ensure_plugin(places, _environ(tmp_path), tool, may_stand_in=False)
