"""What all commands share: errors become exit codes, settings of the stack, the bench that they work on."""

from __future__ import annotations

import errno
import functools
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, cast

from invoke.exceptions import Exit

from toolkit import engine as engines
from toolkit import settings as configuration
from toolkit import stackconfig, tools
from toolkit.bench import Bench
from toolkit.console import Console
from toolkit.errors import Cancelled, ConfigurationError, Stopped, ToolkitError
from toolkit.settings import Settings
from toolkit.tools import Places

P = ParamSpec("P")
DEFAULT_STACK = "dev"


def command(function: Callable[Concatenate[Path, P], None]) -> Callable[Concatenate[Path, P], None]:
    """Wrap a command: expected errors become a message and an exit code, a signal becomes exit code 8."""

    @functools.wraps(function)
    def run(root: Path, *args: P.args, **options: P.kwargs) -> None:
        for wanted in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(wanted) is not signal.SIG_IGN:  # as nohup has it
                signal.signal(wanted, _interrupt)
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, _typed)
        try:
            try:
                function(root, *args, **options)
            except Stopped as stopped:
                raise stopped.error from None
            except KeyboardInterrupt:
                hint = "Run the same command again: it goes on from what is there."
                raise Cancelled("Cancelled.", hint=hint) from None
            except engines.FAILURES as error:
                raise engines.failure(error) from error
            except OSError as error:
                raise _file_problem(error) from error
        except ToolkitError as error:
            Console().error(error)
            if options.get("debug"):
                Console().trace(error)
            if options.get("as_json") or options.get("json_to") == "-":
                Console(as_json=True).result({"ok": False, "exit_code": error.exit_code, "error": error.message})
            raise Exit(code=error.exit_code) from None

    return cast(Callable[Concatenate[Path, P], None], run)


def _interrupt(_number: int, _frame: Any) -> None:
    raise KeyboardInterrupt


def _typed(number: int, frame: Any) -> None:
    """End the line on which the terminal shows ^C."""
    if sys.stderr is not None and sys.stderr.isatty():
        os.write(sys.stderr.fileno(), b"\n")
    _interrupt(number, frame)


def make_bench(root: Path, console: Console) -> Bench:
    """Give what a command works with: the folders of this checkout and person, and events that go to `console`."""
    home = Path.home()
    places = Places(root, home, tools.cache_folder(os.environ, home), root / ".toolkit")
    return Bench(places, dict(os.environ), console.event)


def quiet(console: Console) -> Console:
    """Give a console that shows no progress: for commands whose answer is the only output."""

    class Quiet(Console):
        def event(self, event: Mapping[str, Any]) -> None:
            del event

    return Quiet(as_json=console.as_json)


def load_settings(
    root: Path,
    stack: str,
    *,
    needs_platform: bool,
    overrides: Mapping[str, str] | None = None,
    env_file: str = "",
    remember: bool = True,
) -> Settings:
    """Load the settings of a stack; a stack that was named is remembered as the last one used, unless not wanted."""
    remembered = root / ".toolkit" / "last-stack"
    environ = {**os.environ, **{key: value for key, value in (overrides or {}).items() if value}}
    dotenv = Path(env_file) if env_file else root / ".env"
    chosen = stackconfig.check_stack_name(
        stack or configuration.stack_of(environ, dotenv) or _read(remembered) or DEFAULT_STACK
    )
    if env_file and not dotenv.is_file():
        raise ConfigurationError(f"There is no file {env_file}.", hint="Name a file with KEY=value lines.")
    file = _read(root / "infra" / f"Pulumi.{chosen}.yaml")
    settings = configuration.load(
        environ,
        dotenv,
        stack=chosen,
        root=root,
        defaults=stackconfig.file_settings(file),
        protected=stackconfig.is_protected(file),
    )
    if needs_platform:
        configuration.require_platform(settings)
    if stack and remember:
        remembered.parent.mkdir(parents=True, exist_ok=True)
        remembered.write_text(chosen + "\n")
    return settings


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def control() -> Any:
    """Import what starts and stops the local platform (with httpx) only where it is needed."""
    from toolkit.emulator import control

    return control


def _file_problem(error: OSError) -> ConfigurationError:
    """Say what is wrong with a file or the disk; what no person can act on keeps its traceback."""
    hints = {
        errno.ENOSPC: "The disk is full: free some space, for example with invoke clean.",
        errno.EDQUOT: "Your quota of disk space is used up: free some space.",
        errno.EROFS: "This checkout is read-only, and the toolkit keeps its state in .toolkit/: clone it elsewhere.",
        errno.EACCES: "Is this checkout writable for you? The toolkit keeps its state in .toolkit/.",
        errno.EPERM: "Is this checkout writable for you? The toolkit keeps its state in .toolkit/.",
        errno.ENOENT: "Name a file that is there.",
        errno.ENOTDIR: "Something is in the way there that is no folder: move it.",
        errno.EEXIST: "Something is in the way there: move it.",
        errno.EISDIR: "A folder is in the way there: move it.",
    }
    if error.errno not in hints:
        raise error
    where = f": {error.filename}" if error.filename else ""
    return ConfigurationError(f"{error.strerror}{where}", hint=hints[error.errno])


def local_settings(root: Path, data: str, port: int) -> Settings:
    """Load the settings of the stack local; `data` and `port` (0: any) beat those of the local platform."""
    overrides = {"EMULATOR_DATA": str(Path(data).resolve()) if data else "", "EMULATOR_PORT": str(port) if port else ""}
    return load_settings(root, stackconfig.LOCAL, needs_platform=False, overrides=overrides, remember=False)


def agreed(console: Console, settings: Settings, question: str, *, yes: bool, confirm: str) -> bool:
    """Ask before something changes. A protected stack wants its name: typed, or beforehand in `confirm`.

    Raises ConfigurationError when `confirm` names another stack, or when there is nobody to ask.
    """
    if confirm and confirm != settings.stack:
        raise ConfigurationError(
            f"--confirm says {confirm}, but this is the stack {settings.stack}.",
            hint="Name the same stack in both: --stack NAME --confirm NAME",
        )
    if confirm:
        return True
    if settings.protected:
        return console.ask_name(question, settings.stack)
    return yes or console.ask(question)
