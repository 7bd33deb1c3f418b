"""The Pulumi program for `cd infra && pulumi up` by hand; `invoke deploy` runs the same declarations."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pulumi

from toolkit import stackconfig
from toolkit.program import declare

inputs = Path("..", ".toolkit", "stage", pulumi.get_stack(), "inputs.json")
if not inputs.is_file():
    raise pulumi.RunError(f"Nothing is staged for this stack. First: invoke stage --stack {pulumi.get_stack()}")
if not os.environ.get("DATAROBOT_API_TOKEN") and not pulumi.Config("datarobot").get("apikey"):
    raise pulumi.RunError("DATAROBOT_API_TOKEN is not set. First: set -a; . ../.env; set +a")
declare(
    stackconfig.from_json(json.loads(inputs.read_text())),
    os.environ.get("DATAROBOT_API_TOKEN") or pulumi.Config("datarobot").get("apikey") or "",
)
