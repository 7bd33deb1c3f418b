"""Staging: what ships, what stays and why, and a digest that knows content and nothing else."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from toolkit import leaks, source, stamps
from toolkit.errors import ConfigurationError
from toolkit.runtime_env import RuntimeEnv
from toolkit.selection import EXCLUDED
from toolkit.settings import Secret
from toolkit.source import HOOKS, NotShippable, StagedSource, choose, stage

START, BUILD = "#!/bin/sh\nexec bun index.ts\n", "bun install\n"
HEX = "9f86d081884c7d65" + "9a2feaa0c55ad015"
Tree = dict[str, str | bytes]


def write(folder: Path, tree: Tree) -> Path:
    for name, content in tree.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


@pytest.fixture
def app(tmp_path: Path) -> Path:
    return write(
        tmp_path / "app", {"start-app.sh": START, "build-app.sh": BUILD, "index.ts": "serve()\n", "src/a.ts": "a\n"}
    )


def names(staged: StagedSource) -> list[str]:
    return [file.path for file in staged.files]


def problems(app: Path, target: Path, **options: object) -> tuple[str, ...]:
    """What keeps the app from shipping; nothing may have been copied then."""
    before = sorted(target.rglob("*")) if target.exists() else []
    with pytest.raises(ConfigurationError) as caught:
        stage(app, target, **options)  # type: ignore[arg-type]
    assert sorted(target.rglob("*")) == before
    assert [path for path in target.parent.glob(".*") if path.name.startswith(f".{target.name}.")] == []
    assert caught.value.exit_code == 2
    assert caught.value.hint
    return caught.value.details


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "out" / "stage"


def left(staged: StagedSource) -> dict[str, str]:
    return {one.path: one.reason for one in staged.left_out}


# --- what ships -------------------------------------------------------------------------------------------------------


def test_files_are_copied_with_modes_sorted_by_path(app: Path, target: Path) -> None:
    (app / "start-app.sh").chmod(0o777)
    (app / "index.ts").chmod(0o600)
    staged = stage(app, target)
    assert names(staged) == ["build-app.sh", "index.ts", "src/a.ts", "start-app.sh"]
    assert [file.mode for file in staged.files] == [0o644, 0o644, 0o644, 0o755]
    for file in staged.files:
        assert file.local == target / file.path
        assert file.local.read_bytes() == (app / file.path).read_bytes()
        assert file.local.stat().st_mode & 0o777 == file.mode
    assert staged.total_bytes == sum(len((app / name).read_bytes()) for name in names(staged))
    assert target.stat().st_mode & 0o755 == 0o755 or target.stat().st_mode & 0o700 == 0o700


@pytest.mark.parametrize("name", EXCLUDED)
def test_the_guides_exclusions_never_ship(app: Path, target: Path, name: str) -> None:
    write(app, {f"{name}/x.ts": "x", f"src/{name}/y.ts": "y", f"{name}.ts": "kept", f"my{name}/z.ts": "kept"})
    staged = stage(app, target)
    assert [path for path in names(staged) if name in path] == sorted([f"{name}.ts", f"my{name}/z.ts"])
    reason = f"never ships: {name}"
    assert left(staged) == {name: reason, f"src/{name}": reason}


def test_all_of_the_guides_exclusions_are_there() -> None:
    guide = ".venv node_modules .git .github .vscode .idea dist reference uploads coverage .pytest_cache __pycache__"
    assert sorted(EXCLUDED) == sorted(guide.split())


def test_the_words_among_them_exclude_folders_and_not_files(app: Path, target: Path) -> None:
    write(app, {".git": "gitdir: elsewhere\n", "src/coverage": "a page of this name\n"})
    staged = stage(app, target)
    assert set(left(staged)) == {".git"}
    assert "src/coverage" in names(staged)


def test_an_excluded_link_out_of_the_folder_does_no_harm(app: Path, target: Path, tmp_path: Path) -> None:
    (app / "node_modules").symlink_to(tmp_path)
    assert "node_modules" in left(stage(app, target))


def test_the_env_of_the_folder_never_ships(app: Path, target: Path) -> None:
    write(app, {".env": f"TOKEN={HEX}\n", "src/.env": f"TOKEN={HEX}\n", ".env.template": "TOKEN=\n"})
    staged = stage(app, target)
    assert ".env" not in names(staged)
    assert set(left(staged)) == {".env", "src/.env"}
    assert ".env.template" in names(staged)
    assert not (target / ".env").exists()


def test_the_generated_env_ships(app: Path, target: Path) -> None:
    write(app, {".env": "OLD=1\n"})
    staged = stage(app, target, runtime_env=RuntimeEnv(b"NEW='1'\n", "generated"), known_secrets=[Secret("NEW='1'xx")])
    file = next(file for file in staged.files if file.path == ".env")
    assert file.local.read_bytes() == b"NEW='1'\n"
    assert file.local.stat().st_mode & 0o777 == 0o600
    assert file.mode == 0o644
    assert names(staged) == sorted(names(staged))
    assert staged.digest != stage(app, target, runtime_env=RuntimeEnv(b"NEW='2'\n", "generated")).digest
    assert stage(app, target, runtime_env=RuntimeEnv(None, "")).digest == stage(app, target).digest


def test_hidden_and_odd_but_good_names_ship(app: Path, target: Path) -> None:
    odd = [".bunfig", "a b.txt", "日本語.txt", "é.txt", "#x#", "-rf", "100%.css", "[id].ts", "a'b", 'a"b', "$x", "a:b"]
    write(app, dict.fromkeys(odd, "x"))
    assert set(odd) <= set(names(stage(app, target)))


def test_empty_files_ship_and_empty_folders_do_not(app: Path, target: Path) -> None:
    write(app, {"empty.txt": ""})
    (app / "nothing" / "in" / "here").mkdir(parents=True)
    staged = stage(app, target)
    assert "empty.txt" in names(staged)
    assert not (target / "nothing").exists()


# --- .deployignore ----------------------------------------------------------------------------------------------------


def test_deployignore_leaves_out_and_says_by_which_line(app: Path, target: Path) -> None:
    write(
        app,
        {
            ".deployignore": "# what stays here\n\n*.md\n!README.md\n/docs/\n  \nfoo/**/bar\n",
            "README.md": "kept",
            "NOTES.md": "x",
            "src/deep.md": "x",
            "docs/a.txt": "x",
            "src/docs/a.txt": "kept",
            "foo/a/b/bar": "x",
            "foo/bar/c": "x",
        },
    )
    staged = stage(app, target)
    assert left(staged) == {
        ".deployignore": "never ships: it says what does not ship",
        "NOTES.md": ".deployignore line 3: *.md",
        "src/deep.md": ".deployignore line 3: *.md",
        "docs": ".deployignore line 5: /docs/",
        "foo/a/b/bar": ".deployignore line 7: foo/**/bar",
        "foo/bar": ".deployignore line 7: foo/**/bar",
    }
    assert {"README.md", "src/docs/a.txt"} <= set(names(staged))


def test_deployignore_from_another_editor(app: Path, target: Path) -> None:
    write(app, {".deployignore": "\ufeff*.md\r\n*.txt\r\n", "a.md": "x", "b.txt": "x"})
    assert left(stage(app, target)) == {
        ".deployignore": "never ships: it says what does not ship",
        "a.md": ".deployignore line 1: *.md",
        "b.txt": ".deployignore line 2: *.txt",
    }


def test_deployignore_cannot_bring_back_what_never_ships(app: Path, target: Path) -> None:
    write(app, {".deployignore": "!node_modules\n!.env\n", "node_modules/x": "x", ".env": "X=1"})
    assert {"node_modules", ".env"} <= set(left(stage(app, target)))


def test_deployignore_makes_problems_go_away(app: Path, target: Path, tmp_path: Path) -> None:
    write(app, {"secret.txt": f"password={HEX}\n"})
    (app / "out").symlink_to(tmp_path)
    os.mkfifo(app / "pipe")
    assert len(problems(app, target)) == 3
    write(app, {".deployignore": "secret.txt\nout\npipe\n"})
    assert {"secret.txt", "out", "pipe"} <= set(left(stage(app, target)))


def test_deployignore_that_is_no_text_is_named(app: Path, target: Path) -> None:
    write(app, {".deployignore": b"*.md\n\xff\xfe\n"})
    with pytest.raises(ConfigurationError) as caught:
        stage(app, target)
    assert str(app / ".deployignore") in caught.value.message


# --- digest -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda app: (app / "index.ts").write_text("serve(1)\n"),
        lambda app: (app / "index.ts").rename(app / "main.ts"),
        lambda app: (app / "src" / "a.ts").rename(app / "a.ts"),
        lambda app: (app / "index.ts").chmod(0o755),
        lambda app: (app / "empty").touch(),
        lambda app: (app / "added.ts").write_text("x"),
        lambda app: (app / "src" / "a.ts").unlink(),
        lambda app: (app / "index.ts").write_text("serve()"),
    ],
    ids=["a byte", "a name", "a folder", "a mode", "an empty file", "a new file", "a file less", "a line end"],
)
def test_the_digest_knows_every_change(app: Path, target: Path, change: Callable[[Path], object]) -> None:
    before = stage(app, target).digest
    change(app)
    assert stage(app, target).digest != before


def test_moving_bytes_between_names_and_contents_changes_the_digest(app: Path, target: Path) -> None:
    digests = set()
    for tree in ({"x": "yz"}, {"xy": "z"}, {"x": "y", "z": ""}, {"x": "", "y": "z"}):
        other = write(app.parent / f"app{len(digests)}", {"start-app.sh": START, "build-app.sh": BUILD, **tree})
        digests.add(stage(other, target).digest)
    assert len(digests) == 4


def test_the_digest_knows_nothing_but_content(app: Path, target: Path, tmp_path: Path) -> None:
    before = stage(app, target)
    tree = {str(path.relative_to(app)): path.read_bytes() for path in app.rglob("*") if path.is_file()}
    shuffled = list(tree.items())
    random.Random(1).shuffle(shuffled)
    old_mask = os.umask(0o077)
    try:
        other = write(tmp_path / "elsewhere" / "renamed", dict(shuffled))
        for path in other.rglob("*"):
            os.utime(path, (1, 1))
        (other / "empty-folder").mkdir()
        write(other, {".env": "X=1", ".deployignore": "*.nothing\n"})
        after = stage(other, tmp_path / "other-target")
    finally:
        os.umask(old_mask)
    assert after.digest == before.digest
    assert len(before.digest) == 64
    assert [(file.path, file.mode) for file in after.files] == [(file.path, file.mode) for file in before.files]


# --- links and other things -------------------------------------------------------------------------------------------


def test_links_inside_the_folder_ship_as_what_they_point_to(app: Path, target: Path) -> None:
    (app / "linked.ts").symlink_to("src/a.ts")
    (app / "also").symlink_to("src")
    (app / "src" / "up.ts").symlink_to(app / "index.ts")
    staged = stage(app, target)
    assert {"linked.ts", "also/a.ts", "also/up.ts", "src/up.ts"} <= set(names(staged))
    assert not any(path.is_symlink() for path in target.rglob("*"))
    assert (target / "also/up.ts").read_text() == "serve()\n"


def test_the_app_folder_itself_may_be_a_link(app: Path, target: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(app)
    assert stage(link, target).digest == stage(app, target).digest


@pytest.mark.parametrize("to", ["/etc/hostname", "../outside.txt", "../app-other", "/", ".."])
def test_a_link_that_leaves_the_folder_is_refused(app: Path, target: Path, to: str) -> None:
    write(app.parent, {"outside.txt": "x", "app-other/x": "x"})
    (app / "src" / "link").symlink_to(to if to.startswith("/") else f"../{to}")
    assert problems(app, target) == ("src/link: a link that leaves the app's folder",)


def test_a_link_that_leaves_by_way_of_another_is_refused(app: Path, target: Path, tmp_path: Path) -> None:
    write(tmp_path, {"outside/x": "x"})
    (app / "one").symlink_to(tmp_path / "outside")
    (app / "two").symlink_to("one/x")
    assert len(problems(app, target)) == 2


def test_links_to_nothing_and_in_circles_are_refused(app: Path, target: Path) -> None:
    (app / "gone").symlink_to("nothing.ts")
    (app / "self").symlink_to("self")
    (app / "src" / "loop").symlink_to("..")
    (app / "src" / "again").symlink_to(".")
    assert sorted(problems(app, target)) == [
        "gone: a link to nothing",
        "self: a link that leads in a circle",
        "src/again: a link to a folder that it lies in",
        "src/loop: a link to a folder that it lies in",
    ]


def test_two_folders_that_link_to_each_other_are_refused(app: Path, target: Path) -> None:
    write(app, {"a/x": "x", "b/x": "x"})
    (app / "a" / "b").symlink_to("../b")
    (app / "b" / "a").symlink_to("../a")
    assert all("a link to a folder that it lies in" in line for line in problems(app, target))


def test_a_link_cannot_smuggle_in_what_never_ships(app: Path, target: Path) -> None:
    write(app, {".env": f"TOKEN={HEX}", "node_modules/pkg/index.js": "x", ".git/config": "x", "src/secret.ts": "s"})
    (app / "settings.txt").symlink_to(".env")
    (app / "vendor").symlink_to("node_modules/pkg")
    (app / "history").symlink_to(".git/config")
    assert sorted(problems(app, target)) == [
        "history: a link to .git/config, which never ships",
        "settings.txt: a link to .env, which never ships",
        "vendor: a link to node_modules/pkg, which never ships",
    ]


def test_pipes_and_sockets_are_refused(app: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(app / "src" / "pipe")
    monkeypatch.chdir(app)
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("sock")
        assert sorted(problems(app, target)) == [
            "sock: neither a file nor a folder",
            "src/pipe: neither a file nor a folder",
        ]


def test_names_that_others_cannot_write_are_refused(app: Path, target: Path) -> None:
    for name in (b"a\nb", b"c\\d", b"\xff\xfe", "e\u0301.txt".encode()):
        Path(os.fsdecode(os.path.join(os.fsencode(app), name))).write_text("x")
    found = problems(app, target)
    assert len(found) == 4
    assert all(line.isprintable() for line in found)
    for word in ("control character", "backslash", "UTF-8", "Unicode"):
        assert any(word in line for line in found), word


def test_names_that_differ_only_in_case_are_refused_nowhere(app: Path, target: Path) -> None:
    write(app, {"Readme": "1", "README": "2"})
    assert {"Readme", "README"} <= set(names(stage(app, target)))


# --- hooks ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hook", ["start-app.sh", "build-app.sh"])
def test_a_missing_hook_is_named(app: Path, target: Path, hook: str) -> None:
    (app / hook).unlink()
    assert problems(app, target) == (f"{hook}: is missing; the platform needs it at the top of the app's folder",)
    write(app, {f"src/{hook}": START})
    assert len(problems(app, target)) == 1


def test_a_hook_that_does_not_ship_is_named(app: Path, target: Path) -> None:
    write(app, {".deployignore": "*.sh\n"})
    assert [line.split(";")[0] for line in problems(app, target)] == [
        "build-app.sh: does not ship",
        "start-app.sh: does not ship",
    ]


def test_a_hook_that_is_a_folder_is_named(app: Path, target: Path) -> None:
    (app / "start-app.sh").unlink()
    write(app, {"start-app.sh/x": "x"})
    assert any(line.startswith("start-app.sh:") for line in problems(app, target))


def test_windows_line_ends_are_named_with_the_line(app: Path, target: Path) -> None:
    write(app, {"start-app.sh": b"#!/bin/sh\nset -a\n. ./.env\r\nexec bun x\r\n", "bin/tool.sh": b"#!/bin/sh\r\n"})
    write(app, {"page.html": b"<html>\r\n", "fine.sh": b"echo 'a\rb'\n"})
    assert sorted(problems(app, target)) == [
        "bin/tool.sh:1: ends like a Windows line (CRLF); save the file with LF",
        "start-app.sh:3: ends like a Windows line (CRLF); save the file with LF",
    ]


@pytest.mark.parametrize(
    "text", ["exec bun index.ts\n", "", "# !/bin/sh\n", "#! \n", "\ufeff#!/bin/sh\n", "\n#!/bin/sh\n"]
)
def test_start_app_needs_a_shebang(app: Path, target: Path, text: str) -> None:
    write(app, {"start-app.sh": text})
    (line,) = problems(app, target)
    assert line.startswith("start-app.sh:1:")


def test_a_byte_order_mark_is_called_by_its_name(app: Path, target: Path) -> None:
    write(app, {"start-app.sh": "\ufeff#!/bin/sh\n", "build-app.sh": "\ufeffset -e\n"})
    assert all("byte order mark" in line for line in problems(app, target))
    assert len(problems(app, target)) == 2


@pytest.mark.parametrize("text", ["#!/bin/sh\n", "#!/usr/bin/env bash\n", "#! /bin/sh -e\n"])
def test_good_shebangs(app: Path, target: Path, text: str) -> None:
    write(app, {"start-app.sh": text})
    assert "start-app.sh" in names(stage(app, target))


# --- everything at once, nothing lost ---------------------------------------------------------------------------------


def test_all_problems_come_at_once(app: Path, target: Path) -> None:
    (app / "build-app.sh").unlink()
    (app / "gone").symlink_to("nothing")
    write(app, {"start-app.sh": "x\r\n", "src/keys.ts": f"\nconst apiKey = '{HEX}';\n", "a.pem": "x", "id_rsa": "x"})
    found = problems(app, target)
    assert len(found) == 6
    assert "src/keys.ts:2: a token-shaped value" in found
    assert HEX not in "".join(found)


def test_a_known_secret_is_found_by_value(app: Path, target: Path) -> None:
    write(app, {"src/a.ts": "x\nconnect('plain-words-as-a-passphrase')\n"})
    secret = Secret("plain-words-as-a-passphrase")
    assert problems(app, target, known_secrets=[secret]) == ("src/a.ts:2: the value of a token from the settings",)


def test_what_is_no_secret_after_all_can_be_said(app: Path, target: Path) -> None:
    write(
        app, {"a.ts": f"const apiKey = '{HEX}'; // toolkit: allow-secret\n", "data/b.json": f'{{"token": "{HEX}"}}\n'}
    )
    assert problems(app, target) == ("data/b.json:1: a token-shaped value",)
    write(app, {".deployignore": "# toolkit: allow-secret data/*.json\n"})
    assert {"a.ts", "data/b.json"} <= set(names(stage(app, target)))
    assert len(problems(app, target, known_secrets=[Secret(HEX)])) == 2


def test_hooks_in_a_folder_below_are_pointed_to(app: Path, target: Path) -> None:
    for hook in ("start-app.sh", "build-app.sh"):
        (app / "src" / hook).write_text((app / hook).read_text())
        (app / hook).unlink()
    assert [line for line in problems(app, target) if "src/start-app.sh" in line]


def test_a_missing_folder_is_named(tmp_path: Path, target: Path) -> None:
    with pytest.raises(ConfigurationError, match="There is no folder"):
        stage(tmp_path / "none", target)
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="file is no folder"):
        stage(tmp_path / "file", target)


def test_an_empty_folder_is_named(tmp_path: Path, target: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigurationError, match="The folder .*/empty is empty"):
        stage(tmp_path / "empty", target)
    write(tmp_path / "empty", {"dist/index.html": "x"})
    with pytest.raises(ConfigurationError, match="Nothing in .* would ship") as caught:
        stage(tmp_path / "empty", target)
    assert caught.value.details == ("dist: never ships: dist",)


def test_the_target_is_replaced_as_a_whole(app: Path, target: Path) -> None:
    stage(app, target)
    write(target, {"old.ts": "x", "src/b.ts": "x"})
    stage(app, target)
    assert sorted(str(path.relative_to(target)) for path in target.rglob("*") if path.is_file()) == [
        "build-app.sh",
        "index.ts",
        "src/a.ts",
        "start-app.sh",
    ]


@pytest.mark.parametrize(
    ("error", "shown"),
    [(KeyboardInterrupt(), KeyboardInterrupt), (OSError(28, "No space left on device"), ConfigurationError)],
)
def test_an_interrupted_copy_keeps_the_old_target(
    app: Path, target: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, shown: type[BaseException]
) -> None:
    stage(app, target)
    write(app, {"index.ts": "changed\n"})
    copied = []

    def failing(descriptor: int, mode: int) -> None:
        copied.append(mode)
        if len(copied) == 3:
            raise error

    monkeypatch.setattr(os, "fchmod", failing)
    with pytest.raises(shown) as caught:
        stage(app, target)
    if shown is ConfigurationError:
        assert "No space left on device" in str(caught.value)
    assert (target / "index.ts").read_text() == "serve()\n"
    assert (target / "start-app.sh").read_text() == START
    assert [path.name for path in target.parent.iterdir()] == [target.name]


def test_a_swap_that_is_interrupted_leaves_the_old_target(
    app: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage(app, target)
    write(app, {"index.ts": "changed\n"})
    real = Path.rename
    for moment in (1, 2, 3):
        calls = []

        def failing(self: Path, to: Path, calls: list[Path] = calls, moment: int = moment) -> Path:
            calls.append(self)
            if len(calls) == moment:
                raise KeyboardInterrupt
            return real(self, to)

        monkeypatch.setattr(Path, "rename", failing)
        with pytest.raises(KeyboardInterrupt):
            stage(app, target)
        monkeypatch.undo()
        assert sorted(path.name for path in target.iterdir()) == ["build-app.sh", "index.ts", "src", "start-app.sh"]
        assert [path.name for path in target.parent.iterdir()] == [target.name]
    assert stage(app, target).root == target


def test_runs_at_the_same_time_do_not_mix(app: Path, target: Path) -> None:
    write(app, {f"src/{number}.ts": f"{number}\n" for number in range(50)})
    expected = stage(app, target).digest
    with ThreadPoolExecutor(8) as pool:
        assert {staged.digest for staged in pool.map(lambda _: stage(app, target), range(40))} == {expected}
    assert source.digest(stage(app, target).files) == expected
    assert [path.name for path in target.parent.iterdir()] == [target.name]


def test_what_a_killed_run_left_is_removed(app: Path, target: Path) -> None:
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    write(target.parent, {f".stage.{gone.pid}.abc.draft/new/x": "x", f".stage.{os.getpid()}.abc.draft/new/x": "x"})
    stage(app, target)
    assert sorted(path.name for path in target.parent.iterdir()) == [f".stage.{os.getpid()}.abc.draft", "stage"]


def test_a_folder_that_cannot_be_written_is_named(app: Path, tmp_path: Path) -> None:
    write(tmp_path, {"file": "x"})
    with pytest.raises(ConfigurationError, match=r"cannot be copied to .*/file") as caught:
        stage(app, tmp_path / "file" / "stage")
    assert caught.value.hint


def test_files_and_folders_that_cannot_be_read_are_named(
    app: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (app / "closed").mkdir()
    real_open, real_scan = Path.open, os.scandir

    def closed_file(self: Path, *rest: Any, **more: Any) -> Any:
        if self == app / "index.ts":
            raise PermissionError(13, "Permission denied")
        return real_open(self, *rest, **more)

    def closed_folder(path: Any) -> Any:
        if str(path) == str(app / "closed"):
            raise PermissionError(13, "Permission denied")
        return real_scan(path)

    monkeypatch.setattr(Path, "open", closed_file)
    monkeypatch.setattr(os, "scandir", closed_folder)
    with pytest.raises(ConfigurationError) as caught:
        stage(app, target)
    assert caught.value.details == (
        "closed/: the folder cannot be read (Permission denied)",
        "index.ts: cannot be read (Permission denied)",
    )


def test_thousands_of_files_take_little_time(app: Path, target: Path) -> None:
    line = "export const value = { token: request.headers.get('authorization') };\n"
    for folder in range(200):
        write(app, {f"src/{folder}/{number}.ts": line * 20 for number in range(20)})
    write(app, {".deployignore": "*.md\n/docs/\n!README.md\nfoo/**/bar\n"})
    started = time.process_time()
    staged = stage(app, target)
    assert len(staged.files) == 4004
    assert time.process_time() - started < 8  # measured: 0.7 s


@pytest.mark.parametrize("below", ["build/stage", ".toolkit/stage/dev/source", "out"])
def test_a_target_below_the_app_does_not_ship_itself(app: Path, below: str) -> None:
    write(app, {".toolkit/passphrase": "x"})
    inside = app / below
    first = stage(app, inside)
    assert stage(app, inside).digest == first.digest
    assert names(first) == ["build-app.sh", "index.ts", "src/a.ts", "start-app.sh"]


def test_the_digest_is_that_of_the_copies(app: Path, target: Path) -> None:
    staged = stage(app, target)
    assert source.digest(staged.files) == staged.digest
    assert source.digest(reversed(staged.files)) == staged.digest


# --- without reading again what has not changed -----------------------------------------------------------------------


@pytest.fixture
def settled(app: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let files count as settled at once."""
    monkeypatch.setattr(stamps, "SETTLED", -1)
    return app


def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files of the app that are looked through from now on."""
    seen: list[str] = []
    find = leaks.find
    monkeypatch.setattr(leaks, "find", lambda path, *rest, **more: seen.append(path) or find(path, *rest, **more))
    return seen


def test_where_nothing_is_copied_the_same_ships(app: Path, target: Path, tmp_path: Path) -> None:
    env = RuntimeEnv(b"A=1\n", "generated")
    copied, chosen = stage(app, target, runtime_env=env), choose(app, tmp_path / "room", runtime_env=env)
    assert (chosen.digest, chosen.total_bytes, names(chosen)) == (copied.digest, copied.total_bytes, names(copied))
    assert chosen.files[0].local == tmp_path / "room" / ".env"
    assert chosen.files[2].local == app / "index.ts"
    assert source.digest(chosen.files) == chosen.digest


def test_what_has_not_changed_is_neither_read_nor_copied_again(
    settled: Path, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = tmp_path / "notes"
    first = stage(settled, target, notes=notes)
    inode = (target / "index.ts").stat().st_ino
    seen = reads(monkeypatch)
    assert stage(settled, target, notes=notes) == first
    assert choose(settled, tmp_path / "room", notes=notes).digest == first.digest
    assert seen == []
    assert (target / "index.ts").stat().st_ino == inode


@pytest.mark.parametrize("change", ["content", "same size and time", "mode", "new", "gone", "renamed"])
def test_every_change_is_seen(
    settled: Path, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    notes, file = tmp_path / "notes", settled / "index.ts"
    first = stage(settled, target, notes=notes)
    seen, before = reads(monkeypatch), file.stat()
    if change == "content":
        file.write_text("serve(1)\n")
    elif change == "same size and time":
        file.write_text("SERVE()\n")
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    elif change == "mode":
        file.chmod(0o755)
    elif change == "new":
        (settled / "new.ts").write_text("new\n")
    elif change == "gone":
        file.unlink()
    else:
        file.rename(settled / "other.ts")
    assert choose(settled, tmp_path / "room", notes=notes).digest != first.digest
    second = stage(settled, target, notes=notes)
    assert second.digest != first.digest
    assert source.digest(second.files) == second.digest
    assert {path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file()} == set(names(second))
    assert len(set(seen)) <= 1


def test_a_copy_that_somebody_touched_is_made_again(settled: Path, target: Path, tmp_path: Path) -> None:
    first = stage(settled, target, notes=tmp_path / "notes")
    (target / "index.ts").write_text("ANOTHER\n")
    assert source.digest(stage(settled, target, notes=tmp_path / "notes").files) == first.digest


def test_a_file_that_was_written_just_now_is_read_again(
    app: Path, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage(app, target, notes=tmp_path / "notes")
    seen = reads(monkeypatch)
    stage(app, target, notes=tmp_path / "notes")
    assert sorted(seen) == ["build-app.sh", "index.ts", "src/a.ts", "start-app.sh"]


def test_another_token_or_an_exception_taken_back_makes_all_be_read_again(
    settled: Path, target: Path, tmp_path: Path
) -> None:
    notes = tmp_path / "notes"
    (settled / "index.ts").write_text(f'const token = "{HEX}"\n')
    (settled / ".deployignore").write_text("# toolkit: allow-secret index.ts\n")
    stage(settled, target, notes=notes)
    assert problems(settled, target, notes=notes, known_secrets=[Secret(HEX)])
    (settled / ".deployignore").unlink()
    assert problems(settled, target, notes=notes)
    assert problems(settled, target, notes=notes)  # what is no good is not remembered as good


def test_notes_that_cannot_be_read_are_no_notes(settled: Path, target: Path, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    first = stage(settled, target, notes=notes)
    for noise in (b"", b"{", b"[]", b'{"format": 1}', b'{"format": 99}'):
        for note in notes.iterdir():
            note.write_bytes(noise)
        assert stage(settled, target, notes=notes) == first


def test_a_file_that_is_saved_meanwhile_ships_as_one_whole(
    app: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy, saved = source._copy, []

    def save_first(*rest: Any) -> None:
        if len(saved) < 2:
            saved.append((app / "index.ts").write_text(f"serve({len(saved)})\n"))
        copy(*rest)

    monkeypatch.setattr(source, "_copy", save_first)
    staged = stage(app, target)
    assert (target / "index.ts").read_text() == "serve(1)\n"
    assert source.digest(staged.files) == staged.digest


def test_a_file_that_is_saved_all_the_time_is_named(app: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = source._copy

    def save_first(*rest: Any) -> None:
        (app / "index.ts").write_text(f"serve({time.perf_counter()})\n")
        copy(*rest)

    monkeypatch.setattr(source, "_copy", save_first)
    with pytest.raises(ConfigurationError, match=r"index\.ts was changed while it was being read"):
        stage(app, target)
    assert not target.exists()


def test_a_chosen_file_that_changed_since_is_not_taken_for_it(app: Path, tmp_path: Path) -> None:
    chosen = choose(app, tmp_path / "room")
    (app / "index.ts").write_text("OTHER()\n")
    with pytest.raises(ConfigurationError, match=r"index\.ts was changed"):
        b"".join(next(file for file in chosen.files if file.path == "index.ts").blocks(8))


def test_what_has_shipped_before_is_looked_through_for_known_secrets_only(tmp_path: Path) -> None:
    app = tmp_path / "kept"
    app.mkdir()
    for hook in HOOKS:
        (app / hook).write_text("#!/bin/sh\n")
    (app / "tests.pem").write_text(f"-----BEGIN {'PRIVATE'} KEY-----\nof tests\n")
    with pytest.raises(NotShippable):
        stage(app, tmp_path / "target")
    assert [file.path for file in stage(app, tmp_path / "target", again=True).files] == [*sorted(HOOKS), "tests.pem"]
    (app / "config.ts").write_text("export const key = 'value-of-the-settings'\n")
    with pytest.raises(NotShippable):
        stage(app, tmp_path / "target", again=True, known_secrets=[Secret("value-of-the-settings")])
