"""Runs in the deploy environment: drives Pulumi's Automation API for `test_provider_recordings.py`.

Reads one JSON command per line on standard input and answers each with one JSON line on standard output.
`open` makes a stack for a folder; `up`, `preview`, `refresh` and `destroy` run it with a program that is
described by the command's `resources` and `outputs`: a reference like {"$": "env.version_id"} stands for
another resource's output.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import pulumi
import pulumi_datarobot as datarobot
from pulumi import automation

COLOUR = re.compile(r"<\{%[^%]*%\}>")


def resolve(value: Any, made: dict[str, Any]) -> Any:
    if isinstance(value, dict) and set(value) == {"$"}:
        name, _, attribute = value["$"].partition(".")
        return getattr(made[name], attribute)
    if isinstance(value, dict) and set(value) == {"secret"}:
        return pulumi.Output.secret(value["secret"])
    if isinstance(value, dict):
        return {key: resolve(item, made) for key, item in value.items()}
    if isinstance(value, list):
        return [resolve(item, made) for item in value]
    return value


def program_for(resources: list[dict[str, Any]], outputs: dict[str, Any]) -> Any:
    async def program() -> None:
        made: dict[str, Any] = {}
        for resource in resources:
            name, kind = resource["name"], getattr(datarobot, resource["type"])
            arguments = resolve(resource.get("args", {}), made)
            depends = [made[other] for other in resource.get("after", ())]
            options = pulumi.ResourceOptions(**resource.get("options", {}), depends_on=depends or None)
            if resource.get("invoke"):
                made[name] = kind(**arguments)
            elif "get" in resource:
                made[name] = kind.get(name, resource["get"], opts=options)
            else:
                made[name] = kind(name, opts=options, **arguments)
                if name == "env" and any(other["name"] == "cred" for other in resources):
                    # environment and credential do not depend on each other: one order for every run
                    await made[name].urn.future()
        ids = [resource.id for resource in made.values() if isinstance(resource, pulumi.CustomResource)]
        for name, value in outputs.items():
            # outputs wait for every resource: a failed step then never has half of them
            both = pulumi.Output.all(resolve(value, made), *ids)
            pulumi.export(name, both.apply(lambda values: values[0]))

    return program


class Driver:
    def __init__(self) -> None:
        self.stack: Any = None
        self.backend = Path()

    def open(self, command: dict[str, Any]) -> dict[str, Any]:
        project = Path(command["project"])
        self.backend = Path(command["backend"])
        project.mkdir(parents=True, exist_ok=True)
        self.backend.mkdir(parents=True, exist_ok=True)
        os.chdir(project)
        settings = automation.ProjectSettings(
            name="demo", runtime="python", backend=automation.ProjectBackend(url=f"file://{self.backend}")
        )
        self.stack = automation.create_or_select_stack(
            stack_name="dev",
            project_name="demo",
            program=lambda: None,
            opts=automation.LocalWorkspaceOptions(
                work_dir=str(project),
                pulumi_home=command["home"],
                project_settings=settings,
                env_vars=command["env"],
            ),
        )
        # up and destroy would ask the CLI for outputs and history; the test reads the state itself
        self.stack.outputs = dict
        self.stack.info = lambda *_arguments: {"kind": "not asked"}
        return {}

    def run(self, command: dict[str, Any]) -> dict[str, Any]:
        events: list[dict[str, Any]] = []
        problem = None
        self.stack.workspace.env_vars |= command["env"]
        for key, (value, secret) in command.get("config", {}).items():
            self.stack.set_config(key, automation.ConfigValue(value, secret))
        program = program_for(command["resources"], command["outputs"])
        self.stack.workspace.program = program
        options: dict[str, Any] = {"on_event": lambda event: events.append(event.__dict__), "color": "never"}
        if command["do"] == "up":
            options |= {"program": program, "parallel": 1, "refresh": command.get("refresh") or None}
        elif command["do"] == "preview":
            options |= {"program": program, "parallel": 1}
        else:
            options |= {"parallel": 1}
        try:
            getattr(self.stack, command["do"])(**options)
        except automation.CommandError as error:
            problem = str(error)
        return {"problem": problem, **self.seen(events), "state": self.state()}

    def seen(self, events: list[dict[str, Any]]) -> dict[str, Any]:
        steps: list[dict[str, Any]] = []
        diagnostics: list[dict[str, Any]] = []
        summary: dict[str, int] = {}
        for event in events:
            if event.get("resource_pre_event"):
                steps.append(step(event["resource_pre_event"].metadata))
            if event.get("res_op_failed_event"):
                steps.append({**step(event["res_op_failed_event"].metadata), "failed": True})
            if event.get("res_outputs_event"):
                outcome = step(event["res_outputs_event"].metadata)
                steps.append({**outcome, "outcome": True})
            if event.get("diagnostic_event"):
                diagnostic = event["diagnostic_event"]
                text = COLOUR.sub("", diagnostic.message)
                diagnostics.append({"severity": diagnostic.severity, "message": text, "urn": diagnostic.urn})
            if event.get("summary_event"):
                changes = event["summary_event"].resource_changes
                summary = {getattr(key, "value", str(key)): count for key, count in changes.items()}
        return {"steps": steps, "diagnostics": diagnostics, "summary": summary}

    def state(self) -> list[dict[str, Any]]:
        path = self.backend / ".pulumi/stacks/demo/dev.json"
        latest = json.loads(path.read_text())["checkpoint"]["latest"] if path.exists() else {}
        resources = latest.get("resources") or []
        return list(resources)


def step(metadata: Any) -> dict[str, Any]:
    found = {"op": getattr(metadata.op, "value", str(metadata.op)), "urn": metadata.urn}
    for name in ("keys", "diffs"):
        if getattr(metadata, name):
            found[name] = list(getattr(metadata, name))
    if metadata.detailed_diff:
        found["detailedDiff"] = {
            name: {
                "kind": getattr(diff.diff_kind, "value", str(diff.diff_kind)),
                "inputDiff": diff.input_diff,
            }
            for name, diff in metadata.detailed_diff.items()
        }
    return found


def main() -> None:
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    sys.stdout = sys.stderr
    driver = Driver()
    for line in sys.stdin:
        command = json.loads(line)
        answer = driver.open(command) if command["do"] == "open" else driver.run(command)
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
    os._exit(0)  # a program that failed may have left threads waiting


if __name__ == "__main__":
    main()
