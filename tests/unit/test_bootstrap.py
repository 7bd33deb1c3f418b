"""bootstrap: on machines of every kind, each of them a folder of stand-in programs around the real script."""

from __future__ import annotations

import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

PYTHON = Path(sys.executable).resolve()
TOOLS = (
    "cat",
    "dirname",
    "env",
    "grep",
    "mkdir",
    "mv",
    "nohup",
    "rm",
    "rmdir",
    "sed",
    "setsid",
    "sh",
    "sleep",
    "tail",
    "touch",
    "true",
    "uname",
)
SITE = f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"

FAKE_UV = """#!/bin/sh
echo "uv $* compiled=${{UV_COMPILE_BYTECODE:-0}}" >>"{log}"
if [ -e "{hold}" ]; then sleep 1; fi
if [ "$1" = venv ]; then
  for last; do :; done
  if [ -e "{cut}-venv" ]; then rm "{cut}-venv"; mkdir -p "$last/bin"; touch "$last/bin/activate"; kill -9 $PPID; fi
  exec {python} -m venv --without-pip "$last"
fi
if [ -e "{cut}-install" ]; then rm "{cut}-install"; kill -9 $PPID; fi
if [ -e "{refuse}" ]; then echo "uv: no network" >&2; exit 2; fi
"""

# A Python whose virtual environments hold stand-ins of pip and uv.
FAKE_PYTHON = """#!/bin/sh
if [ "$1 $2" = "-m venv" ]; then
  echo "venv $3" >>"{log}"
  {python} -m venv --without-pip "$3"
  for name in pip uv; do
    mkdir -p "$3/{site}/$name"
    cat "{modules}/$name" >"$3/{site}/$name/__main__.py"
  done
  exit
fi
exec {python} "$@"
"""

FAKE_MODULE = """
import pathlib, sys
log, refuse = pathlib.Path({log!r}), pathlib.Path({refuse!r} + "-{name}")
with log.open("a") as stream:
    stream.write("{name} " + " ".join(sys.argv[1:]) + "\\n")
sys.exit("{name}: no network" if refuse.exists() else 0)
"""

FAKE_DOCKERD = """#!{python} -IS
import os, pathlib, signal, socket, sys, time
log, sock, ailing = pathlib.Path({log!r}), {sock!r}, pathlib.Path({ailing!r})
with log.open("a") as stream:
    stream.write("dockerd " + " ".join(sys.argv[1:]) + "\\n")
print("dockerd says hello", file=sys.stderr, flush=True)
if ailing.exists():
    sys.exit("failed to start daemon: iptables: permission denied")
pathlib.Path({pid!r}).write_text(str(os.getpid()))
time.sleep({delay})
pathlib.Path(sock).unlink(missing_ok=True)
server = socket.socket(socket.AF_UNIX)
server.bind(sock)
server.listen()
signal.alarm(60)
while True:
    with server.accept()[0] as client:
        client.recv(1000)
        client.sendall(b"HTTP/1.0 200 OK\\r\\n\\r\\nOK")
"""

FAKE_APT = """#!/bin/sh
echo "apt-get $*" >>"{log}"
case "$*" in *install*) ;; *) exit 0 ;; esac
if read -r line; then echo "apt-get asked and got: $line" >>"{log}"; fi
echo "apt-get says hello"
if [ -e "{refuse}-apt" ]; then echo "E: Unable to locate package"; exit 100; fi
case "$*" in *docker.io*) cat "{dockerd}" >"{sbin}/dockerd"; chmod 755 "{sbin}/dockerd" ;; esac
case "$*" in *python3*) cat "{plain}" >"{bin}/python3"; chmod 755 "{bin}/python3" ;; esac
"""

FAKE_ENGINE = """
import pathlib
def connect(environ, home, timeout):
    class Client:
        def close(self): pass
    with pathlib.Path({log!r}).open("a") as stream:
        stream.write("search\\n")
    if not pathlib.Path({found!r}).exists():
        error = RuntimeError("No container engine answers.")
        error.details = ("unix:///nowhere: connection refused",)
        raise error
    return Client(), None
"""


@dataclass
class Machine:
    """A checkout, and the only programs that there are."""

    folder: Path
    checkout: Path
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def bin(self) -> Path:
        return self.folder / "bin"

    @property
    def log(self) -> list[str]:
        """What the stand-ins were asked to do."""
        path = self.folder / "log"
        return path.read_text().splitlines() if path.exists() else []

    def forget(self) -> None:
        (self.folder / "log").unlink(missing_ok=True)

    def flag(self, name: str) -> None:
        (self.folder / name).touch()

    def program(self, name: str, text: str, folder: str = "bin") -> None:
        path = self.folder / folder / name
        path.write_text(text)
        path.chmod(0o755)

    def start(self, *words: str, **environ: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [self.bin / "sh", self.checkout / "bootstrap", *words],
            cwd="/",
            env={"PATH": str(self.bin), "HOME": str(self.folder), **self.environ, **environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*words, **environ)
        out, err = process.communicate(timeout=60)
        return subprocess.CompletedProcess(words, process.returncode, out, err)


def make(folder: Path, root: Path) -> Machine:
    machine = Machine(folder, folder / "a check'out")
    for name in ("bin", "sbin", "run", "modules"):
        (folder / name).mkdir()
    (machine.checkout / "infra" / "toolkit").mkdir(parents=True)
    (machine.checkout / "infra" / "toolkit" / "__init__.py").touch()
    (machine.checkout / "requirements.txt").write_text("# pinned\nrich==15.0.0\nuv==0.13.9\n")
    text = (root / "bootstrap").read_text()
    for path, inside in (
        ("/var/run/docker", "run/docker"),
        ("/run/systemd/system", "run/systemd"),
        ("/usr/sbin /sbin", "sbin"),
        ("/etc/ssl/certs/ca-certificates.crt", "run/ca.crt"),
        ("/sys/kernel/security/apparmor", "run/apparmor"),
    ):
        assert path in text
        text = text.replace(path, str(folder / inside))
    rest = text.replace(str(folder), "<folder>").replace("#!/bin/sh", "")
    assert not re.findall(r"(?<![\w.>])/(?:usr|var|run|s?bin)\b", rest)
    (machine.checkout / "bootstrap").write_text(text)
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found, tool
        (machine.bin / tool).symlink_to(found)
    marks = {
        "python": PYTHON,
        "site": SITE,
        "modules": folder / "modules",
        "log": str(folder / "log"),
        "hold": folder / "hold",
        "cut": folder / "cut",
        "refuse": str(folder / "refuse"),
        "found": str(folder / "found"),
        "ailing": str(folder / "ailing"),
        "sock": str(folder / "run/docker.sock"),
        "pid": str(folder / "run/docker.pid"),
        "dockerd": folder / "modules" / "dockerd",
        "plain": folder / "modules" / "python3",
        "sbin": folder / "sbin",
        "bin": folder / "bin",
        "delay": 0.3,
    }
    (machine.checkout / "infra" / "toolkit" / "engine.py").write_text(FAKE_ENGINE.format(**marks))
    (folder / "modules" / "dockerd").write_text(FAKE_DOCKERD.format(**marks))
    (folder / "modules" / "python3").write_text(f'#!/bin/sh\nexec {PYTHON} "$@"\n')
    (folder / "modules" / "apt-get").write_text(FAKE_APT.format(**marks))
    (folder / "modules" / "python-with-venv").write_text(FAKE_PYTHON.format(**marks))
    for name in ("pip", "uv"):
        (folder / "modules" / name).write_text(FAKE_MODULE.format(name=name, **marks))
    machine.program("uv", FAKE_UV.format(**marks))
    machine.program("python3", (folder / "modules" / "python3").read_text())
    machine.program("id", '#!/bin/sh\ncase $1 in -u) echo 0 ;; *) echo "somebody" ;; esac\n')
    return machine


@pytest.fixture
def machine(root: Path) -> Iterator[Machine]:
    """A machine with Python and uv, without an engine and without apt-get. (Its sockets need a short path.)"""
    with tempfile.TemporaryDirectory(prefix="b.") as name:
        folder = Path(name).resolve()
        yield make(folder, root)
        for pid_file in (folder / "run" / "docker.pid", folder / "a check'out" / ".toolkit/engine/dockerd.pid"):
            if pid_file.exists() and pid_file.read_text().strip() not in ("", str(os.getpid())):
                try:
                    os.kill(int(pid_file.read_text()), signal.SIGTERM)
                except ProcessLookupError:
                    continue


def debian(machine: Machine) -> None:
    """Give the machine apt-get; `sbin` gets what it installs."""
    machine.program("apt-get", (machine.folder / "modules" / "apt-get").read_text())
    (machine.bin / "chmod").symlink_to(shutil.which("chmod") or "")


@pytest.fixture
def engine(machine: Machine) -> Iterator[None]:
    """An engine that answers on the default socket."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(machine.folder / "run/docker.sock"))
    server.listen()

    def serve() -> None:
        while True:
            try:
                client, _ = server.accept()
            except OSError:
                return
            with client:
                client.recv(1000)
                client.sendall(b"HTTP/1.0 200 OK\r\n\r\nOK")

    thread = threading.Thread(target=serve)
    thread.start()
    yield
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join()


# --- words ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["--help", "-h"])
def test_help_explains_and_makes_nothing(machine: Machine, word: str) -> None:
    done = machine.run(word, "anything")
    assert (done.returncode, done.stderr, machine.log) == (0, "", [])
    assert done.stdout.startswith("Usage: ./bootstrap")
    for thing in ("--no-engine", "PYTHON", "Exit codes", ".venv", "docker.io"):
        assert thing in done.stdout
    assert not (machine.checkout / ".venv").exists()


@pytest.mark.parametrize(("words", "shown"), [((), "no command"), (("--odd", "true"), "unknown option --odd")])
def test_wrong_usage(machine: Machine, words: tuple[str, ...], shown: str) -> None:
    done = machine.run(*words)
    assert (done.returncode, done.stdout, machine.log) == (2, "", [])
    assert shown in done.stderr
    assert "\nnext: " in done.stderr


def test_the_command_gets_its_words_the_environment_and_the_root(machine: Machine) -> None:
    shown = 'printf "%s|" "$PWD" "$VIRTUAL_ENV" "$(command -v python)" "$@"'
    done = machine.run("--no-engine", "--", "sh", "-c", shown, "x", "a b", "", "*", "--help")
    assert done.returncode == 0
    venv = machine.checkout / ".venv"
    assert done.stdout.split("|")[:-1] == [
        str(machine.checkout), str(venv), str(venv / "bin/python"), "a b", "", "*", "--help"
    ]  # fmt: skip


def test_the_exit_code_and_the_input_are_the_commands(machine: Machine) -> None:
    assert machine.run("--no-engine", "sh", "-c", "exit 7").returncode == 7
    done = subprocess.run(
        [machine.bin / "sh", machine.checkout / "bootstrap", "--no-engine", "cat"],
        env={"PATH": str(machine.bin)},
        input="for the command",
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "for the command"


def test_a_command_that_is_not_there(machine: Machine) -> None:
    done = machine.run("--no-engine", "frobnicate")
    assert done.returncode == 2
    assert "there is no command frobnicate" in done.stderr


# --- the environment --------------------------------------------------------------------------------------------------


def test_it_is_made_once_and_a_second_run_is_silent_and_quick(machine: Machine, engine: None) -> None:
    first = machine.run("true")
    assert first.returncode == 0
    assert first.stderr.count("\n") == 1
    assert "making .venv with Python 3." in first.stderr
    assert "\x1b" not in first.stderr
    assert [line.split()[:2] for line in machine.log] == [["uv", "venv"], ["uv", "pip"]]
    assert machine.log[1].endswith("compiled=1")
    machine.forget()
    started = time.monotonic()
    second = machine.run("true")
    assert time.monotonic() - started < 2
    assert (second.returncode, second.stdout, second.stderr, machine.log) == (0, "", "", [])


def test_changed_requirements_are_installed_into_what_is_there(machine: Machine) -> None:
    machine.run("--no-engine", "true")
    (machine.checkout / ".venv" / "mine").touch()
    machine.forget()
    (machine.checkout / "requirements.txt").write_text("rich==15.0.1\n")
    done = machine.run("--no-engine", "true")
    assert done.returncode == 0
    assert "up to date" in done.stderr
    assert [line.split()[:2] for line in machine.log] == [["uv", "pip"]]
    assert (machine.checkout / ".venv" / "mine").exists()
    machine.forget()
    machine.run("--no-engine", "true")
    assert machine.log == []


@pytest.mark.parametrize("moment", ["venv", "install"])
def test_a_run_that_was_killed_leaves_nothing_that_is_trusted(machine: Machine, moment: str) -> None:
    machine.flag(f"cut-{moment}")
    assert machine.run("--no-engine", "true").returncode == -signal.SIGKILL
    (machine.checkout / ".venv" / "half").touch()
    machine.forget()
    done = machine.run("--no-engine", "python", "-c", "print('works')")
    assert (done.returncode, done.stdout) == (0, "works\n")
    assert [line.split()[:2] for line in machine.log] == [["uv", "venv"], ["uv", "pip"]]
    assert not (machine.checkout / ".venv" / "half").exists()


def test_a_run_that_was_killed_while_it_brought_up_to_date_is_not_trusted(machine: Machine) -> None:
    machine.run("--no-engine", "true")
    (machine.checkout / "requirements.txt").write_text("rich==15.0.1\n")
    machine.flag("cut-install")
    assert machine.run("--no-engine", "true").returncode == -signal.SIGKILL
    machine.forget()
    assert machine.run("--no-engine", "true").returncode == 0
    assert [line.split()[:2] for line in machine.log] == [["uv", "venv"], ["uv", "pip"]]


def test_a_checkout_that_was_moved_gets_a_new_environment(machine: Machine) -> None:
    machine.run("--no-engine", "true")
    moved = machine.checkout.rename(machine.folder / "moved")
    machine.checkout = moved
    machine.forget()
    done = machine.run("--no-engine", "sh", "-c", "command -v python")
    assert done.stdout == f"{moved}/.venv/bin/python\n"
    assert machine.log[0].startswith("uv venv")


def test_an_environment_of_another_python_is_made_anew(machine: Machine) -> None:
    machine.run("--no-engine", "true")
    stamp = machine.checkout / ".venv" / ".made-from"
    lines = stamp.read_text().splitlines()
    stamp.write_text(f"{lines[0]}\n3.10 {lines[1].split(' ', 1)[1]}\n")
    machine.forget()
    assert machine.run("--no-engine", "true").returncode == 0
    assert machine.log[0].startswith("uv venv")


def test_the_base_is_never_the_environment_itself(machine: Machine) -> None:
    machine.run("--no-engine", "true")
    (machine.checkout / ".venv" / ".made-from").unlink()
    active = f"{machine.checkout}/.venv/bin:{machine.bin}"
    done = machine.run("--no-engine", "python", "-c", "print('works')", PATH=active)
    assert (done.returncode, done.stdout) == (0, "works\n"), done.stderr


def test_two_runs_at_once_make_it_once(machine: Machine) -> None:
    machine.flag("hold")
    first = machine.start("--no-engine", "true")
    deadline = time.monotonic() + 20
    while not machine.log and time.monotonic() < deadline:
        time.sleep(0.02)
    second = machine.start("--no-engine", "true")
    errors = [process.communicate(timeout=60)[1] for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0)
    assert [line.split()[:2] for line in machine.log] == [["uv", "venv"], ["uv", "pip"]]
    assert "waiting" not in errors[0]
    assert "another run" in errors[1]


def test_without_uv_pip_fetches_uv_which_does_the_rest(machine: Machine) -> None:
    (machine.bin / "uv").unlink()
    machine.program("python3", (machine.folder / "modules" / "python-with-venv").read_text())
    assert machine.run("--no-engine", "true").returncode == 0
    assert [line.split()[:2] for line in machine.log] == [
        ["venv", f"{machine.checkout}/.venv".split()[0]], ["pip", "install"], ["uv", "pip"]
    ]  # fmt: skip
    assert machine.log[1].endswith(" uv==0.13.9")
    assert machine.log[2].endswith("--requirement requirements.txt")


@pytest.mark.parametrize("refused", ["pip", "uv"])
def test_where_uv_cannot_be_had_pip_does_it(machine: Machine, refused: str) -> None:
    (machine.bin / "uv").unlink()
    machine.program("python3", (machine.folder / "modules" / "python-with-venv").read_text())
    machine.flag(f"refuse-{refused}")
    done = machine.run("--no-engine", "true")
    assert machine.log[-1].startswith("pip install")
    assert machine.log[-1].endswith("--requirement requirements.txt")
    assert done.returncode == (0 if refused == "uv" else 10)


def test_uv_on_the_path_that_fails_is_followed_by_pip(machine: Machine) -> None:
    machine.flag("refuse")
    machine.program("python3", (machine.folder / "modules" / "python-with-venv").read_text())
    done = machine.run("--no-engine", "true")
    assert done.returncode == 0
    assert "uv: no network" in done.stderr
    assert "trying with pip" in done.stderr
    assert machine.log[-1].startswith("uv pip install")


def test_packages_that_cannot_be_installed_are_an_error_and_no_half_thing(machine: Machine) -> None:
    (machine.bin / "uv").unlink()
    machine.program("python3", (machine.folder / "modules" / "python-with-venv").read_text())
    machine.flag("refuse-pip")
    for _ in range(2):
        done = machine.run("--no-engine", "true")
        assert done.returncode == 10
        assert "pip: no network" in done.stderr
        assert "next: look at the network" in done.stderr
        assert not (machine.checkout / ".venv" / ".made-from").exists()
    (machine.folder / "refuse-pip").unlink()
    assert machine.run("--no-engine", "true").returncode == 0


def test_a_checkout_that_cannot_be_written(machine: Machine) -> None:
    (machine.checkout / ".toolkit").write_text("root may write anywhere, but not below a file")
    done = machine.run("--no-engine", "true")
    assert done.returncode == 2
    assert f"cannot be written to: {machine.checkout}" in done.stderr
    assert machine.log == []


# --- Python -----------------------------------------------------------------------------------------------------------


def old_python(machine: Machine, name: str = "python3") -> None:
    machine.program(name, '#!/bin/sh\ncase $1 in -V) echo "Python 3.9.2" ;; *) exit 1 ;; esac\n')


def test_an_old_python_is_named_with_what_to_install(machine: Machine) -> None:
    old_python(machine)
    debian(machine)  # would only give the same one again
    done = machine.run("--no-engine", "true")
    assert done.returncode == 10
    assert "Python 3.11 or newer is needed; python3 is Python 3.9.2.\n" in done.stderr
    assert "apt-get install python3" in done.stderr
    assert "PYTHON=" in done.stderr
    assert machine.log == []


def test_a_newer_one_beside_an_old_one_is_taken(machine: Machine) -> None:
    plain = (machine.bin / "python3").read_text()
    old_python(machine)
    machine.program("python3.12", plain)
    assert machine.run("--no-engine", "true").returncode == 0
    assert f"--python {machine.bin}/python3.12" in machine.log[0]


def test_python_can_be_named(machine: Machine) -> None:
    machine.program("my python", (machine.bin / "python3").read_text(), "run")
    chosen = str(machine.folder / "run" / "my python")
    assert machine.run("--no-engine", "true", PYTHON=chosen).returncode == 0
    assert f"--python {chosen}" in machine.log[0]


@pytest.mark.parametrize("name", ["python-old", "python-none"])
def test_a_named_python_that_is_no_good_is_not_replaced_silently(machine: Machine, name: str) -> None:
    old_python(machine, "python-old")
    done = machine.run("--no-engine", "true", PYTHON=name)
    assert done.returncode == 10
    assert machine.log == []
    assert ("python-old is Python 3.9.2" in done.stderr) == (name == "python-old")


def test_no_python_at_all(machine: Machine) -> None:
    (machine.bin / "python3").unlink()
    done = machine.run("--no-engine", "true")
    assert done.returncode == 10
    assert "no Python was found" in done.stderr


def test_no_python_on_debian_is_installed(machine: Machine) -> None:
    (machine.bin / "python3").unlink()
    debian(machine)
    done = machine.run("--no-engine", "true")
    assert done.returncode == 0, done.stderr
    assert "installing with apt-get: python3 python3-venv" in done.stderr


# --- the engine -------------------------------------------------------------------------------------------------------


def test_an_engine_that_answers_is_left_alone(machine: Machine, engine: None) -> None:
    debian(machine)
    machine.run("--no-engine", "true")
    machine.forget()
    assert machine.run("true").returncode == 0
    assert machine.log == []


def test_an_engine_that_the_toolkit_finds_elsewhere_is_enough(machine: Machine) -> None:
    debian(machine)
    machine.run("--no-engine", "true")
    machine.forget()
    machine.flag("found")
    done = machine.run("true")
    assert (done.returncode, done.stderr, machine.log) == (0, "", ["search"])


def test_without_engine_and_apt_it_says_what_to_install(machine: Machine) -> None:
    done = machine.run("true")
    assert done.returncode == 10
    assert "No container engine answers.\n  unix:///nowhere: connection refused" in done.stderr
    assert "next: start Docker or Podman, or install it" in done.stderr


def test_on_other_systems_it_names_what_there_is(machine: Machine) -> None:
    (machine.bin / "uname").unlink()
    machine.program("uname", "#!/bin/sh\necho Darwin\n")
    done = machine.run("true")
    assert done.returncode == 10
    assert "Docker Desktop" in done.stderr


@pytest.mark.parametrize("how", ["host", "context", "file"])
def test_an_engine_asked_for_by_name_is_not_replaced_by_another(machine: Machine, engine: None, how: str) -> None:
    debian(machine)
    environ = {"host": {"DOCKER_HOST": "tcp://nowhere:1"}, "context": {"DOCKER_CONTEXT": "other"}, "file": {}}[how]
    if how == "file":
        (machine.folder / ".docker").mkdir()
        (machine.folder / ".docker" / "config.json").write_text('{"currentContext": "other"}')
    done = machine.run("true", **environ)
    assert done.returncode == 10
    assert "next: start the engine that DOCKER_HOST or the docker context names" in done.stderr
    assert not any(line.startswith(("apt-get", "dockerd")) for line in machine.log)


def test_on_debian_the_engine_is_installed_started_and_kept(machine: Machine) -> None:
    debian(machine)
    done = machine.run("sh", "-c", "echo ran")
    assert (done.returncode, done.stdout) == (0, "ran\n"), done.stderr
    assert "installing with apt-get: docker.io iptables debootstrap ca-certificates" in done.stderr
    assert "starting dockerd (log: " in done.stderr
    asked = [line for line in machine.log if line.startswith(("apt-get", "dockerd"))]
    assert [line.split()[1] for line in asked[:1]] == ["update"]
    assert len(asked) == 3
    assert " install -y " in asked[1]
    assert "docker.io iptables debootstrap ca-certificates" in asked[1]
    state = machine.checkout / ".toolkit"
    assert "apt-get says hello" in (state / "apt.log").read_text()
    assert "dockerd says hello" in (state / "engine" / "dockerd.log").read_text()
    os.kill(int((state / "engine" / "dockerd.pid").read_text()), 0)
    machine.forget()
    again = machine.run("true")
    assert (again.returncode, again.stderr, machine.log) == (0, "", [])


def test_where_the_kernel_has_apparmor_its_parser_is_installed_too(machine: Machine) -> None:
    """Without it dockerd starts, and no container does."""
    debian(machine)
    (machine.folder / "run" / "apparmor").mkdir()
    assert machine.run("true").returncode == 0
    assert any(line.startswith("apt-get") and line.endswith(" apparmor") for line in machine.log)


def test_an_installed_engine_is_only_started(machine: Machine) -> None:
    debian(machine)
    machine.program("dockerd", (machine.folder / "modules" / "dockerd").read_text(), "sbin")
    for name in ("iptables", "debootstrap"):
        machine.program(name, "#!/bin/sh\n", "sbin")
    (machine.folder / "run" / "ca.crt").touch()
    (machine.folder / "run" / "docker.pid").write_text("99999999")  # of a daemon that is long gone
    done = machine.run("true")
    assert done.returncode == 0, done.stderr
    assert not any(line.startswith("apt-get") for line in machine.log)


def test_an_installed_engine_is_started_without_apt_too(machine: Machine) -> None:
    machine.program("dockerd", (machine.folder / "modules" / "dockerd").read_text(), "sbin")
    assert machine.run("true").returncode == 0


def test_a_daemon_that_is_just_starting_is_waited_for(machine: Machine) -> None:
    machine.program("dockerd", (machine.folder / "modules" / "dockerd").read_text(), "sbin")
    machine.run("--no-engine", "true")
    with subprocess.Popen([machine.folder / "sbin" / "dockerd"], stderr=subprocess.DEVNULL) as daemon:
        while not (machine.folder / "run" / "docker.pid").exists():
            time.sleep(0.01)
        done = machine.run("true")
        daemon.terminate()
    assert done.returncode == 0, done.stderr
    assert "waiting for dockerd" in done.stderr or done.stderr == ""
    assert len([line for line in machine.log if line.startswith("dockerd")]) == 1


def test_a_daemon_that_dies_is_told_from_one_that_is_slow(machine: Machine) -> None:
    machine.program("dockerd", (machine.folder / "modules" / "dockerd").read_text(), "sbin")
    machine.flag("ailing")
    started = time.monotonic()
    done = machine.run("true")
    assert time.monotonic() - started < 15
    assert done.returncode == 10
    assert "iptables: permission denied" in done.stderr
    assert "dockerd has ended" in done.stderr
    assert "privileged" in done.stderr
    (machine.folder / "ailing").unlink()
    assert machine.run("true").returncode == 0


def test_apt_that_fails_is_shown_and_can_be_repeated(machine: Machine) -> None:
    debian(machine)
    machine.flag("refuse-apt")
    done = machine.run("true")
    assert done.returncode == 10
    assert "E: Unable to locate package" in done.stderr
    assert "apt-get could not install docker.io" in done.stderr
    (machine.folder / "refuse-apt").unlink()
    assert machine.run("true").returncode == 0


def test_apt_that_complains_of_something_else_is_no_obstacle(machine: Machine) -> None:
    debian(machine)
    machine.program(
        "apt-get", (machine.bin / "apt-get").read_text() + 'echo "E: another package is broken"; exit 100\n'
    )
    machine.program("iptables", "#!/bin/sh\n", "sbin")
    done = machine.run("true")
    assert done.returncode == 0, done.stderr
    assert "apt-get complains, but what is needed is there" in done.stderr


def test_an_installation_that_was_interrupted_is_finished_first(machine: Machine) -> None:
    debian(machine)
    machine.program("dpkg", f'#!/bin/sh\necho "dpkg $*" >>"{machine.folder}/log"\n[ "$1" != --audit ] || echo half\n')
    assert machine.run("true").returncode == 0
    words = [line for line in machine.log if line.startswith(("dpkg", "apt-get"))]
    assert words[:3] == ["dpkg --audit", "dpkg --configure -a", "apt-get update -qq"]


def test_with_systemd_systemd_starts_it(machine: Machine) -> None:
    debian(machine)
    (machine.folder / "run" / "systemd").mkdir()
    machine.program(
        "systemctl",
        f'#!/bin/sh\necho "systemctl $*" >>"{machine.folder}/log"\n{machine.folder}/sbin/dockerd >/dev/null 2>&1 &\n',
    )
    done = machine.run("true")
    assert done.returncode == 0, done.stderr
    assert "systemctl start docker" in machine.log


def somebody(machine: Machine, *, sudo: bool) -> None:
    machine.program("id", "#!/bin/sh\ncase $1 in -u) echo 1000 ;; -gn) echo staff ;; *) echo somebody ;; esac\n")
    if sudo:
        machine.program(
            "sudo",
            f'#!/bin/sh\n[ "$1" = -n ] || exit 1\nshift 2\necho "sudo $*" >>"{machine.folder}/log"\nexec "$@"\n',
        )
    else:
        machine.program("sudo", "#!/bin/sh\necho 'sudo: a password is required' >&2\nexit 1\n")


def test_with_sudo_it_is_installed_for_this_users_group(machine: Machine) -> None:
    debian(machine)
    somebody(machine, sudo=True)
    done = machine.run("true")
    assert done.returncode == 0, done.stderr
    assert any(line.startswith("sudo apt-get ") and "docker.io" in line for line in machine.log)
    assert "dockerd --group=staff" in machine.log


@pytest.mark.parametrize(("word", "keeps"), [("right", True), ("wrong", True), ("right", False)])
def test_sudo_asks_for_its_password_at_a_terminal_once(machine: Machine, word: str, keeps: bool) -> None:
    """Where it keeps no word of it, nothing can be done either: each step would ask again."""
    right = word == "right" and keeps
    debian(machine)
    somebody(machine, sudo=False)
    machine.program(
        "sudo",
        f"""#!/bin/sh
echo "sudo $*" >>"{machine.folder}/log"
if [ "$1" = -v ]; then
  printf 'Password: ' >&2
  read -r word
  [ "$word" = right ] || exit 1
  {"touch" if keeps else "true"} "{machine.folder}/known"
  exit 0
fi
[ -e "{machine.folder}/known" ] || {{ echo "sudo: a password is required" >&2; exit 1; }}
shift 2
exec "$@"
""",
    )
    ours, theirs = pty.openpty()
    os.write(ours, f"{word}\n".encode())
    process = subprocess.Popen(
        [machine.bin / "sh", machine.checkout / "bootstrap", "true"],
        cwd="/",
        env={"PATH": str(machine.bin), "HOME": str(machine.folder)},
        stdin=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    code, said = process.wait(60), _read(ours)
    assert [line for line in machine.log if line.startswith("sudo -v")] == ["sudo -v"]
    assert "root rights" in said
    assert code == (0 if right else 10), said
    assert ("dockerd --group=staff" in machine.log) is right
    assert right or "next: start Docker or Podman" in said


def _read(terminal: int) -> str:
    """What a terminal shows whose programs have ended."""
    shown = b""
    with suppress(OSError):  # at its end, on Linux
        while part := os.read(terminal, 65536):
            shown += part
    os.close(terminal)
    return shown.decode()


def test_without_root_rights_nothing_is_tried(machine: Machine) -> None:
    debian(machine)
    somebody(machine, sudo=False)
    done = machine.run("true")
    assert done.returncode == 10
    assert "password" not in done.stderr
    assert "next: start Docker or Podman" in done.stderr
    assert not any(line.startswith("apt-get") for line in machine.log)
