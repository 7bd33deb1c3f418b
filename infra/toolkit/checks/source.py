"""Source: are the two hooks there, as the platform reads them?"""

from __future__ import annotations

import re

from toolkit.checks.context import Context
from toolkit.report import Check, failed, passed

START = "start-app.sh"
BUILD = "build-app.sh"


def hooks(context: Context) -> Check:
    """start-app.sh is the container's command: it must be there and name its interpreter (platform-contract 3)."""
    paths = {file.path for file in context.staged.files}
    if START not in paths:
        nested = [path for path in sorted(paths) if path.endswith(f"/{START}")]
        return failed(
            "source.hooks",
            f"There is no {START} at the root of the app",
            "The platform runs ./start-app.sh in the image's working directory.",
            evidence=nested,
            hint=f"Add {START} with the first line #!/bin/sh that execs the server.",
        )
    first = context.text_of(START).split("\n", 1)[0]
    if not re.match(r"#!\s*/\S+", first):
        return failed(
            "source.hooks",
            f"{START} does not begin with a line that names its interpreter",
            f"Expected #!/bin/sh (or another absolute path), found {first.strip()[:60]!r}.",
            evidence=[f"{START}:1"],
            hint="Make #!/bin/sh the very first line.",
        )
    if first.endswith("\r"):
        return failed(
            "source.hooks",
            f"{START} has Windows line endings: its interpreter is not found",
            evidence=[f"{START}:1"],
            hint="Save it with LF line endings.",
        )
    return passed("source.hooks", "the hooks are there", "" if BUILD in paths else f"no {BUILD}: nothing is built")
