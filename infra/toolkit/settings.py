"""Settings: the environment beats `.env`, `.env` beats the stack's file, that beats the default. All problems at once.

`KEYS` is the single list of them; `.env.template` shows the same ones.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Literal, TypeVar, cast
from urllib.parse import SplitResult, unquote, urlsplit

from dotenv.parser import parse_stream

from toolkit import bundles, limits
from toolkit.bundles import DEFAULT_BUNDLE, Bundle
from toolkit.errors import ConfigurationError

LOCAL = "local"
THIS_MACHINE = re.compile(r"(.+\.)?localhost\.?|host\.docker\.internal\.?", re.IGNORECASE)
HOST = re.compile(r"\w([\w-]*\w)?(\.\w([\w-]*\w)?)*\.?")
ENDPOINT_EXAMPLE = "https://app.datarobot.com/api/v2"
PLACEHOLDER = re.compile(r"^your[_-]|^<.*>$|^x{6,}$|changeme|actual_token|token_here", re.IGNORECASE)
APP_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
# Names that bash or dash keep for themselves: a line in `.env` would fail there, or be lost without a word.
SHELLS_OWN = frozenset(
    [
        "UID",
        "EUID",
        "PPID",
        "BASHOPTS",
        "SHELLOPTS",
        "BASHPID",
        "RANDOM",
        "SRANDOM",
        "OPTIND",
        "HISTCMD",
        "SECONDS",
        "LINENO",
        "GROUPS",
        "FUNCNAME",
        "DIRSTACK",
        "EPOCHSECONDS",
        "EPOCHREALTIME",
        "PIPESTATUS",
        "_",
        "SHLVL",
        "COMP_WORDBREAKS",
    ]
)
SECRET_NAME = re.compile(r"TOKEN|SECRET|PASS|KEY|CREDENTIAL|AUTH", re.IGNORECASE)
ENV_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
ALWAYS_THERE = {"DATAROBOT_API_TOKEN", "DATAROBOT_ENDPOINT"}
ADDRESS = re.compile(r"https?://[^@?#\s]+")  # without a login in it
SHORTEST_SECRET = 8
KEY_SCOPES = ("viewer", "user", "admin")

BrowserChoice = Literal["auto", "on", "off"]
RuntimeEnvMode = Literal["generated", "verbatim", "credential"]
RUNTIME_ENV_MODES = ("generated", "verbatim", "credential")
ProviderChoice = Literal["auto", "real", "stand-in"]
T = TypeVar("T")


class Secret:
    """A string that prints as stars; `reveal()` gives the value where it is really needed."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Give the value."""
        return self._value

    def __str__(self) -> str:
        return "****"

    def __repr__(self) -> str:
        return "Secret('****')"

    def __format__(self, spec: str) -> str:
        return format("****", spec)

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        mine, yours = (value.encode(errors="surrogatepass") for value in (self._value, other._value))
        return hmac.compare_digest(mine, yours)

    def __hash__(self) -> int:
        return hash(self._value)


@dataclass(frozen=True)
class Key:
    """One setting: its name, default, what it means, and whether its value is a secret."""

    name: str
    default: str
    comment: str
    secret: bool = False


KEYS = (
    Key("DATAROBOT_API_TOKEN", "", "Your API key with full permissions (reads all use cases and notebooks).", True),
    Key("DATAROBOT_ENDPOINT", "", f"Address of the platform's API, for example {ENDPOINT_EXAMPLE}"),
    Key("APP_NAME", "dr-nb-admin-viewer", "What the resources on the platform are called; the stack is added."),
    Key("APP_DIR", "custom_application", "Folder of the app, relative to this file."),
    Key("ENVIRONMENT_DIR", "custom_environment", "Folder of the environment's Dockerfile, relative to this file."),
    Key("APP_ENV_KEYS", "", "More variables that the app gets in its .env, separated by commas."),
    Key(
        "RUNTIME_ENV",
        "generated",
        "How the app gets its token: generated or verbatim (.env), or credential.",
    ),
    Key("APP_BUNDLE", DEFAULT_BUNDLE, "CPU and memory of the app, from cpu.nano to cpu.8xlarge (2 CPUs, 14 GB)."),
    Key("APP_REPLICAS", "1", "How many replicas of the app run (1 to 4)."),
    Key("APP_HEALTH_PATH", "", "Path that the platform probes instead of /, for example /healthz."),
    Key("APP_AUTO_STOP", "true", "Whether the platform may pause the app while nobody visits it: true or false."),
    Key("APP_KEY_SCOPE", "", "Lets the app act for its visitors with keys of this scope: viewer, user or admin."),
    Key("APP_USE_CASES", "", "Ids of the use cases that the app is listed in, separated by commas."),
    Key("SMOKE_BROWSER", "auto", "Whether a browser uses the app in smoke tests: auto (when there is one), on, off."),
    Key("SMOKE_SETTLE_SECONDS", "3", "How long an app has to stay up in smoke tests after its first answer (seconds)."),
    Key("BUN_IMAGE", "", "Image to use for oven/bun where its registry cannot be reached (a mirror)."),
    Key("PULUMI_STACK", "", "Stack that is used when --stack is not given."),
    Key(
        "PULUMI_BACKEND_URL",
        "",
        "Where Pulumi keeps its state, for a team: s3://, gs://, azblob://, file://, https://.",
    ),
    Key("PULUMI_ACCESS_TOKEN", "", "Token for Pulumi Cloud, when the state is kept there.", True),
    Key("PULUMI_CONFIG_PASSPHRASE", "", "Passphrase of the state; without one it is made once, under .toolkit/.", True),
    Key("PULUMI_CONFIG_PASSPHRASE_FILE", "", "File with that passphrase."),
    Key("EMULATOR_DATA", ".toolkit/emulator", "Folder of the local platform's data, relative to this file."),
    Key("EMULATOR_PORT", "0", "Port of the local platform; 0: the one it had last time, at first 8085 or a free one."),
    Key("DATAROBOT_PROVIDER", "auto", "Pulumi plugin for the stack local: auto, real or stand-in."),
    Key("DATAROBOT_TIMEOUT_MINUTES", "30", "How long Pulumi waits for a build or a start (minutes)."),
    Key("VERIFY_SECONDS", "120", "How long the URL may take to serve the new release (seconds)."),
    Key("PHASE_SECONDS", "", "Other limits for phases of a deployment, for example smoke=300,deploy=5400 (seconds)."),
)


@dataclass(frozen=True)
class Settings:
    """Everything a command is told. Paths are absolute; `runtime_endpoint` is what the app in its container is told.

    `phase_seconds` is how long each phase of a deployment may take. `protected` says that whatever changes the stack
    wants its name typed, and that nothing unproved is deployed to it.
    """

    stack: str
    root: Path
    app: Path
    environment: Path
    app_name: str
    token: Secret | None
    endpoint: str | None
    runtime_endpoint: str | None
    bundle: Bundle
    replicas: int
    health_path: str
    auto_stop: bool
    key_scope: str
    use_cases: tuple[str, ...]
    app_env: Mapping[str, str] = field(repr=False)
    runtime_env: RuntimeEnvMode
    browser: BrowserChoice
    settle_seconds: int
    bun_image: str
    backend_url: str = field(repr=False)
    access_token: Secret | None
    passphrase: Secret | None
    passphrase_file: Path | None
    emulator_data: Path
    emulator_port: int
    provider: ProviderChoice
    timeout_minutes: int
    verify_seconds: int
    phase_seconds: Mapping[str, int]
    protected: bool = False

    @property
    def toolkit_dir(self) -> Path:
        """Where everything local is kept: caches, reports, state, the local platform."""
        return self.root / ".toolkit"

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """All secrets that are known here: none of them may be in a file that ships."""
        named = [Secret(value) for key, value in self.app_env.items() if is_secret(key, value)]
        return tuple(secret for secret in (self.token, self.access_token, self.passphrase, *named) if secret)


def is_secret(name: str, value: str) -> bool:
    """Whether a variable holds a secret: it is called so, and does not only say where to get one (AUTH_URL)."""
    return SECRET_NAME.search(name) is not None and not ADDRESS.fullmatch(value)


def load(
    environ: Mapping[str, str],
    dotenv: Path | None,
    *,
    stack: str,
    root: Path,
    defaults: Mapping[str, str] | None = None,
    protected: bool = False,
) -> Settings:
    """Read the settings of `stack`; `defaults` and `protected` come from the stack's committed file.

    The stack `local` ignores endpoint and token: it only ever talks to the local platform. Raises ConfigurationError
    whose details name every problem with key, what was found (never a secret) and what is expected.
    """
    problems: list[str] = []
    file = _read(dotenv, problems) if dotenv is not None and dotenv.is_file() else {}
    base = {key.name: key.default for key in KEYS}

    def get(name: str) -> str:
        for source in (environ, file, defaults or {}):
            if source.get(name):
                return str(source[name])
        return base[name]

    def parse(name: str, reader: Callable[[str], T], fallback: T) -> T:
        try:
            return reader(get(name))
        except ConfigurationError as error:
            problems.append(f"{name}: {error.message} {error.hint}".strip())
            return fallback

    def below(name: str) -> Path:
        return (root / Path(get(name)).expanduser()).resolve()

    is_local = stack == LOCAL
    token = None if is_local else parse("DATAROBOT_API_TOKEN", _token, None)
    endpoint = None if is_local else parse("DATAROBOT_ENDPOINT", _endpoint, None)
    app_env: dict[str, str] = {}
    for name in [word.strip() for word in get("APP_ENV_KEYS").split(",") if word.strip()]:
        value = environ.get(name, file.get(name))
        if name in ALWAYS_THERE:
            continue  # they are in the app's .env anyway, with what this stack says and not what .env says
        if not ENV_KEY.fullmatch(name):
            shown = f"{name.split('=')[0]}=…" if "=" in name else name
            problems.append(f"APP_ENV_KEYS: {shown!r} is not the name of a variable. Expected: names, without values.")
        elif name in SHELLS_OWN or name.startswith("BASH_"):
            problems.append(f"APP_ENV_KEYS: {name} is a variable of the shell's own. Use another name.")
        elif name.startswith("PULUMI_"):
            problems.append(f"APP_ENV_KEYS: {name}: what begins with PULUMI_ never gets into the app. Take it out.")
        elif value is None:
            problems.append(f"APP_ENV_KEYS: {name} is named there but set nowhere. Set it in .env, or take it out.")
        else:
            app_env[name] = value
    passphrase_file = get("PULUMI_CONFIG_PASSPHRASE_FILE")
    timeout_minutes = parse("DATAROBOT_TIMEOUT_MINUTES", _whole(1, 24 * 60), 30)
    verify_seconds = parse("VERIFY_SECONDS", _whole(1, 3600), 120)
    found = Settings(
        stack=stack,
        root=root,
        app=below("APP_DIR"),
        environment=below("ENVIRONMENT_DIR"),
        app_name=parse("APP_NAME", _app_name, ""),
        token=token,
        endpoint=endpoint,
        runtime_endpoint=endpoint,
        bundle=parse("APP_BUNDLE", bundles.find, bundles.BUNDLES[DEFAULT_BUNDLE]),
        replicas=parse("APP_REPLICAS", _whole(1, 4), 1),
        health_path=parse("APP_HEALTH_PATH", _health_path, ""),
        auto_stop=parse("APP_AUTO_STOP", _one_of("true", "false"), "true") == "true",
        key_scope=parse("APP_KEY_SCOPE", _one_of("", *KEY_SCOPES), ""),
        use_cases=parse("APP_USE_CASES", _ids, ()),
        app_env=app_env,
        runtime_env=cast(RuntimeEnvMode, parse("RUNTIME_ENV", _one_of(*RUNTIME_ENV_MODES), "generated")),
        browser=cast(BrowserChoice, parse("SMOKE_BROWSER", _one_of("auto", "on", "off"), "auto")),
        settle_seconds=parse("SMOKE_SETTLE_SECONDS", _whole(1, 300), 3),
        bun_image=get("BUN_IMAGE"),
        backend_url=_backend(get("PULUMI_BACKEND_URL"), root),
        access_token=_secret(get("PULUMI_ACCESS_TOKEN")),
        passphrase=_secret(get("PULUMI_CONFIG_PASSPHRASE")),
        passphrase_file=below("PULUMI_CONFIG_PASSPHRASE_FILE") if passphrase_file else None,
        emulator_data=below("EMULATOR_DATA"),
        emulator_port=parse("EMULATOR_PORT", _whole(0, 65535), 0),
        provider=cast(ProviderChoice, parse("DATAROBOT_PROVIDER", _one_of("auto", "real", "stand-in"), "auto")),
        timeout_minutes=timeout_minutes,
        verify_seconds=verify_seconds,
        phase_seconds=limits.by_phase(
            parse(limits.SETTING, limits.read, {}), timeout_minutes=timeout_minutes, verify_seconds=verify_seconds
        ),
        protected=protected,
    )
    if problems:
        secrets = [secret for key in KEYS if key.secret and len(secret := get(key.name)) >= SHORTEST_SECRET]
        problems = [_without(secrets, problem) for problem in problems]
        count = "One setting is" if len(problems) == 1 else f"{len(problems)} settings are"
        raise ConfigurationError(
            f"{count} wrong.", hint="Correct .env (or the environment, which beats it).", details=tuple(problems)
        )
    return found


def stack_of(environ: Mapping[str, str], dotenv: Path) -> str:
    """Give the stack that PULUMI_STACK names, in the environment or else in `.env`; empty when neither does."""
    file = _read(dotenv, []) if dotenv.is_file() else {}
    return environ.get("PULUMI_STACK") or file.get("PULUMI_STACK") or ""


def require_platform(settings: Settings) -> None:
    """Raise ConfigurationError unless there is a token and an endpoint to deploy with; the stack `local` needs none."""
    if settings.stack == LOCAL:
        return
    missing = []
    if not settings.token:
        missing.append("DATAROBOT_API_TOKEN is not set. Expected: an API key of your DataRobot account.")
    if not settings.endpoint:
        missing.append(f"DATAROBOT_ENDPOINT is not set. Expected: {ENDPOINT_EXAMPLE}")
    if missing:
        raise ConfigurationError(
            f"The stack {settings.stack!r} needs a DataRobot account.",
            hint="cp .env.template .env and fill them in; or use the local platform, without an account: --stack local",
            details=tuple(missing),
        )


def _read(path: Path, problems: list[str]) -> dict[str, str | None]:
    """Read a `.env`; a line that cannot be understood is a problem, of which only the number is shown."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise ConfigurationError(f"{path}:{line} is not UTF-8.", hint="Save the file in the encoding UTF-8.") from None
    values: dict[str, str | None] = {}
    for binding in parse_stream(StringIO(text)):
        if binding.error:
            blank = len(binding.original.string) - len(binding.original.string.lstrip())
            line = binding.original.line + binding.original.string[:blank].count("\n")
            problems.append(f"{path}:{line} is no line KEY=value. Expected: a quotation mark that opens also closes.")
        elif binding.key is not None:
            values[binding.key] = binding.value
    return values


def masked(text: str, secrets: Iterable[Secret]) -> str:
    """Hide secrets in a text; what is as short as a word of a log is none."""
    return _without([value for secret in secrets if len(value := secret.reveal()) >= SHORTEST_SECRET], text)


def _without(secrets: list[str], text: str) -> str:
    for secret in secrets:
        text = text.replace(secret, "****")
    return text


def _backend(address: str, root: Path) -> str:
    """Give the address of a state; a folder that is named without its place is below the checkout.

    Pulumi would look for it where it works, in a folder that may be removed at any time.
    """
    folder = address.removeprefix("file://")
    if folder == address or folder.startswith(("/", "~")):
        return address
    return (root / unquote(folder)).resolve().as_uri()


def _token(text: str) -> Secret | None:
    if not text:
        return None
    alone = "Copy the key alone."
    if found := re.match(r"(bearer|token)[\s:=]", text, re.IGNORECASE):
        raise ConfigurationError(f"the value begins with {found[1]!r}.", hint=alone)
    if text.startswith("DATAROBOT_API_TOKEN"):
        raise ConfigurationError("the value begins with the name of the setting.", hint=alone)
    if re.search(r"\s", text):
        raise ConfigurationError("the value has white space in or around it.", hint=alone)
    if text[0] in "\"'" or text[-1] in "\"'":
        raise ConfigurationError("the value begins or ends with a quotation mark.", hint=alone)
    if odd := re.search(r"[^\x21-\x7e]", text):
        raise ConfigurationError(f"the value has a character that no key has (U+{ord(odd[0]):04X}).", hint=alone)
    if PLACEHOLDER.search(text):
        raise ConfigurationError("the value is a placeholder.", hint="Put in your own key.")
    return Secret(text)


def _endpoint(text: str) -> str | None:
    """Read the endpoint; a missing /api/v2 is put in, anything else that is odd is named."""
    if not text:
        return None
    expected = f"Expected: {ENDPOINT_EXAMPLE}"
    shown = _shown_address(text)
    parts = _split(text.strip())
    if parts is None or parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigurationError(f"found {shown}, which is no http(s) address.", hint=expected)
    if is_this_machine(parts.hostname):
        raise ConfigurationError(
            f"found {shown}, an address of this machine.", hint="The local platform is the stack local. " + expected
        )
    path = re.sub(r"/+", "/", parts.path).rstrip("/")
    if path not in {"", "/api", "/api/v2"} or parts.query or parts.fragment or "@" in parts.netloc:
        raise ConfigurationError(f"found {shown}: the path of the API is /api/v2.", hint=expected)
    return f"{parts.scheme}://{parts.netloc.lower()}/api/v2"


def _split(text: str) -> SplitResult | None:
    """Take an address apart; None when host or port are none."""
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname or "", parts.port
        if ":" in host:
            ipaddress.IPv6Address(host)
        elif host and not HOST.fullmatch(host):
            return None
    except ValueError:
        return None
    return parts


def is_this_machine(host: str) -> bool:
    """Whether a host name or address, however it is written, means the machine that uses it."""
    if THIS_MACHINE.fullmatch(host):
        return True
    try:
        address = ipaddress.ip_address(host if ":" in host else socket.inet_ntoa(socket.inet_aton(host)))
    except (OSError, ValueError):
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.is_loopback or address.is_unspecified or _is_own(address)


def _is_own(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether an interface of this machine (also a bridge of the engine) has the address: only then it can be bound."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True


def _shown_address(text: str) -> str:
    """Give an address as it may be shown: without a password or a query, and not what rather is a key."""
    if len(text) > 20 and not re.search(r"[.:]", text):
        return f"a value of {len(text)} characters without a host name"
    return repr(re.sub(r"\?.*", "?…", re.sub(r"//.*@", "//****@", text)))


def _app_name(text: str) -> str:
    if not APP_NAME.fullmatch(text):
        raise ConfigurationError(f"found {text!r}.", hint="Expected: letters, digits, '-' and '_', at most 63.")
    return text


def _health_path(text: str) -> str:
    if text and not re.fullmatch(r"/[!-\[\]-~]{0,200}", text):
        raise ConfigurationError(f"found {text!r}.", hint="Expected: a path of the app, for example /healthz.")
    return text


def _ids(text: str) -> tuple[str, ...]:
    ids = tuple(word for word in re.split(r"[,\s]+", text) if word)
    if odd := next((word for word in ids if not re.fullmatch(r"[0-9a-f]{24}", word)), None):
        raise ConfigurationError(f"found {odd!r}.", hint="Expected: ids of 24 hexadecimal digits, as in the address.")
    return ids


def _whole(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,6}", text) or not least <= int(text) <= most:
            raise ConfigurationError(f"found {text!r}.", hint=f"Expected: a whole number from {least} to {most}.")
        return int(text)

    return read


def _one_of(*words: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in words:
            raise ConfigurationError(f"found {text!r}.", hint=f"Expected: {', '.join(filter(None, words))}.")
        return text

    return read


def _secret(text: str) -> Secret | None:
    return Secret(text) if text else None
