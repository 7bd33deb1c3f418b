"""Make ready what drives a stack: Pulumi, its plugin, and the environment that the child process gets."""

from __future__ import annotations

from toolkit import child, stackconfig, statefiles, tools
from toolkit.bench import Bench
from toolkit.child import Driver
from toolkit.settings import Settings


def driver(settings: Settings, bench: Bench) -> Driver:
    """Make sure that Pulumi and the plugin are there, and give what drives them."""
    python = tools.ensure_deploy_python(bench.places, bench.environ, on_line=bench.line)
    pulumi = tools.ensure_pulumi(bench.places, bench.environ, on_line=bench.line)
    plugin = tools.ensure_plugin(
        bench.places,
        bench.environ,
        pulumi,
        choice=settings.provider,
        may_stand_in=settings.stack == stackconfig.LOCAL,
        on_line=bench.line,
    )
    token = settings.token.reveal() if settings.token else ""
    environ = {**bench.environ, "DATAROBOT_TIMEOUT_MINUTES": str(settings.timeout_minutes)}
    return Driver(
        python=python,
        pulumi=pulumi,
        plugin=plugin,
        infra=settings.root / "infra",
        work_dir=settings.toolkit_dir / "pulumi" / settings.stack,
        stack=settings.stack,
        environ=child.environment(
            environ,
            (pulumi, plugin),
            endpoint=settings.endpoint or "",
            token=token,
            backend=statefiles.state_backend(settings, bench.pulumi_home),
        ),
        runs=statefiles.dead_runs(settings, bench.pulumi_home),
    )
