"""Pulumi's own installer and its plugin download, with a fake of what they download from; the real code runs."""

from __future__ import annotations

import io
import os
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from toolkit import tools
from toolkit.tools import Places, Tool

pytestmark = pytest.mark.stack

# Stands in for the web: the installer's one download is answered by this file's text instead of a server.
SITE = """
import io, urllib.request

def urlopen(request, *rest, **options):
    url = request if isinstance(request, str) else request.full_url
    assert url == "https://get.pulumi.com/install.sh", url
    return io.BytesIO(open({script!r}, "rb").read())

urllib.request.urlopen = urlopen
"""
INSTALLER = """#!/bin/sh
set -eu
while [ $# -gt 0 ]; do
  case $1 in --install-root) root=$2; shift ;; --version) version=$2; shift ;; esac
  shift
done
mkdir -p "$root/bin"
printf '#!/bin/sh\\necho v%s\\n' "$version" >"$root/bin/pulumi"
chmod +x "$root/bin/pulumi"
"""


@pytest.fixture
def home(tmp_path: Path, places: Places) -> Places:
    """Folders with a home of their own; the deploy environment is the real one."""
    return Places(places.root, tmp_path / "home", tmp_path / "cache", tmp_path / "state")


def test_pulumis_installer_is_used_where_it_can_be_had(home: Places, tmp_path: Path, deploy_python: Path) -> None:
    (tmp_path / "install.sh").write_text(INSTALLER)
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(SITE.format(script=str(tmp_path / "install.sh")))
    environ = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(tmp_path / "site")}
    lines: list[str] = []
    found = tools.ensure_pulumi(home, environ, on_line=lines.append)
    assert (found.version, found.origin) == (tools.PULUMI_VERSION, "installed by Pulumi's installer")
    assert found.path.is_relative_to(home.home / ".pulumi")
    assert lines == [f"Installing Pulumi {tools.PULUMI_VERSION} with Pulumi's installer"]


def test_without_the_network_the_installer_says_so_at_once(home: Places, deploy_python: Path) -> None:
    reason = tools.install_pulumi(home, {"PATH": "/usr/bin:/bin", "HTTPS_PROXY": "http://127.0.0.1:9"})
    assert reason is not None
    assert "urlopen error" in reason


class Downloads(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.server.archive)))  # type: ignore[attr-defined]
        self.end_headers()
        self.wfile.write(self.server.archive)  # type: ignore[attr-defined]

    def log_message(self, *_arguments: object) -> None:
        return


@pytest.fixture
def downloads() -> Iterator[ThreadingHTTPServer]:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        content = b"#!/bin/sh\necho a plugin\n"
        member = tarfile.TarInfo(tools.PLUGIN)
        member.mode, member.size = 0o755, len(content)
        tar.addfile(member, io.BytesIO(content))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Downloads)
    server.asked, server.archive = [], stream.getvalue()  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_the_plugin_is_downloaded_by_pulumi_and_then_used(
    home: Places, pulumi_cli: Path, downloads: ThreadingHTTPServer
) -> None:
    environ = {"PATH": "/usr/bin:/bin", "PULUMI_HOME": str(home.home)}
    plugin = tools.ensure_plugin(
        home,
        environ,
        Tool(pulumi_cli, tools.PULUMI_VERSION, "a test"),
        may_stand_in=True,
        server=f"http://127.0.0.1:{downloads.server_port}",
    )
    assert (plugin.stand_in, plugin.origin) == (False, "installed by Pulumi")
    assert downloads.asked  # type: ignore[attr-defined]
    assert f"resource-datarobot-v{tools.PROVIDER_VERSION}" in downloads.asked[0]  # type: ignore[attr-defined]


def test_offline_the_local_stack_gets_the_stand_in_with_the_reason(home: Places, pulumi_cli: Path) -> None:
    environ = {**os.environ, "PULUMI_HOME": str(home.home), "PATH": "/usr/bin:/bin"}
    plugin = tools.ensure_plugin(
        home,
        environ,
        Tool(pulumi_cli, tools.PULUMI_VERSION, "a test"),
        may_stand_in=True,
        server="http://127.0.0.1:9",
    )
    assert plugin.stand_in
    assert plugin.origin.startswith("stand-in: the real plugin cannot be downloaded: ")
