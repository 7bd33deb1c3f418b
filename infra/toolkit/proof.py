"""Prove after a deployment that the public URL serves this very release."""

from __future__ import annotations

import time
from collections.abc import Mapping
from urllib.parse import urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

from toolkit import preflight, verify
from toolkit.bench import Bench
from toolkit.errors import PermissionDenied, ToolkitError, VerificationFailed
from toolkit.settings import Settings
from toolkit.stackconfig import StackOutputs

AGAIN = 3.0  # seconds before a platform that is in trouble is asked again


def require(settings: Settings, outputs: StackOutputs, served: Mapping[str, str], bench: Bench) -> int:
    """Ask the public URL for what smoke saw; give how many files were equal. Raises VerificationFailed."""
    assert settings.token
    deadline = time.monotonic() + settings.verify_seconds
    with bench.phase("verify", outputs.app_url) as say:
        if running := _running(settings, outputs, deadline):
            raise VerificationFailed(
                f"The application runs the source version {running}, not {outputs.source_version_id} of this release.",
                hint=f"Somebody else published another version. Deploy again: invoke deploy --stack {settings.stack}",
            )
        result = verify.verify(
            outputs.app_url,
            served,
            token=settings.token,
            deadline=deadline,
            proxy=_proxy_for(outputs.app_url, bench.environ),
            ca_bundle=bench.environ.get("SSL_CERT_FILE"),
        )
        verify.require(result)
        say(f"this very release is serving: {len(result.matched)} of {len(served)} files equal")
    return len(result.matched)


def _running(settings: Settings, outputs: StackOutputs, deadline: float) -> str:
    """As `runs_another_version`; a platform that is in trouble is asked again until `deadline`."""
    from toolkit.datarobot import NotThere  # brings httpx along, which a smoke test can do without

    while True:
        try:
            return runs_another_version(settings, outputs)
        except (NotThere, PermissionDenied):
            raise
        except ToolkitError as error:
            if time.monotonic() + AGAIN > deadline:
                raise VerificationFailed(
                    f"Which version serves cannot be asked: {error.message}", hint=error.hint, details=error.details
                ) from error
        time.sleep(AGAIN)


def runs_another_version(settings: Settings, outputs: StackOutputs) -> str:
    """Give the source version that the application runs when it is not the one of the outputs."""
    with preflight.platform_client(settings) as client:
        running = str(client.application(outputs.app_id).get("customApplicationSourceVersionId"))
    return running if running != outputs.source_version_id else ""


def _proxy_for(url: str, environ: Mapping[str, str]) -> str:
    """Give the proxy that the environment names for `url`; empty for none."""
    parts = urlsplit(url)
    no_proxy = environ.get("NO_PROXY") or environ.get("no_proxy") or ""
    host = parts.hostname or ""
    if host in ("127.0.0.1", "localhost") or proxy_bypass_environment(host, {"no": no_proxy}):
        return ""
    name = f"{parts.scheme}_proxy"
    return environ.get(name) or environ.get(name.upper()) or ""
