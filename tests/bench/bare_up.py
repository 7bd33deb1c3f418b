"""What a short script of one's own would do: run the same program with the Automation API's `up`."""

import json
import sys
import tempfile
from pathlib import Path

from pulumi import automation

from toolkit import stackconfig
from toolkit.program import declare

root, pulumi_root = Path(sys.argv[1]), sys.argv[2]
inputs = stackconfig.from_json(json.loads((root / ".toolkit" / "stage" / "local" / "inputs.json").read_text()))
with tempfile.TemporaryDirectory() as folder:
    workspace = automation.LocalWorkspace(
        work_dir=folder,
        program=lambda: declare(inputs),
        project_settings=automation.ProjectSettings(
            name=stackconfig.PROJECT, runtime="python", main=str(root / "infra")
        ),
        pulumi_command=automation.PulumiCommand(root=pulumi_root),
    )
    result = automation.Stack.create_or_select("local", workspace).up()
    print(result.summary.resource_changes)
