"""The Pulumi program: execution environment, application source, application.

Two facts about the provider shape it (provider 0.10.43, recorded):
- Without a key scope a source is *replaced* on every change of its inputs, and the new one is created before the old
  one is deleted. A source with a fixed name would meet its own name (409). So the source has no explicit name: Pulumi
  makes one, `<resource name>-<7 hex digits>`, which stays as long as the source is updated in place.
- An id is saved only when all of a create went well: what a failed one leaves behind is found again by the stack's
  mark. It is in the state before anything is created.
- The application is updated in place by PATCH whatever happens to the source, so its id and URL stay.
"""

from __future__ import annotations

import pulumi
import pulumi_datarobot as datarobot

from toolkit import stackconfig
from toolkit.stackconfig import StackInputs


class Mark(pulumi.ComponentResource):
    """The stack's mark, in the state and nowhere else."""

    def __init__(self, mark: str) -> None:
        super().__init__(stackconfig.MARK_TYPE, mark)


def declare(inputs: StackInputs, token: str = "") -> None:
    """Declare the resources of a stack and export its outputs. Runs inside a Pulumi program.

    With a `token_parameter` the token becomes a credential, which the application gets as a runtime parameter. A token
    that changes makes a new credential (the provider cannot update one); the old one goes last, so its name is free.
    """
    environment = datarobot.ExecutionEnvironment(
        "environment",
        name=f"{inputs.base_name}-environment",
        programming_language="other",
        use_cases=["customApplication"],
        docker_context_path=inputs.context_archive,
        description=stackconfig.marking(inputs.mark) or None,
        opts=pulumi.ResourceOptions(depends_on=[Mark(inputs.mark)] if inputs.mark else None),
    )
    parameters = None
    if inputs.token_parameter:
        credential = datarobot.ApiTokenCredential(inputs.credential_name, api_token=pulumi.Output.secret(token))
        parameters = [
            datarobot.ApplicationSourceRuntimeParameterValueArgs(
                key=inputs.token_parameter, type="credential", value=credential.id
            )
        ]
    source = datarobot.ApplicationSource(
        inputs.source_name,
        base_environment_version_id=environment.version_id,
        files=[list(pair) for pair in inputs.files],
        resources=datarobot.ApplicationSourceResourcesArgs(
            resource_label=inputs.bundle,
            replicas=inputs.replicas,
            session_affinity=True,
            service_web_requests_on_root_path=True,
            health_endpoint_path=inputs.health_path or None,
        ),
        runtime_parameter_values=parameters,
        required_key_scope_level=inputs.key_scope or None,
    )
    application = datarobot.CustomApplication(
        "application",
        name=inputs.base_name,
        source_version_id=source.version_id,
        allow_auto_stopping=inputs.allow_auto_stopping,
        required_key_scope_level=inputs.key_scope or None,
        use_case_ids=list(inputs.use_cases) or None,
        # Another key scope replaces the application, whose name is free only when the old one is gone.
        opts=pulumi.ResourceOptions(delete_before_replace=True),
    )
    pulumi.export("app_id", application.id)
    pulumi.export("app_url", application.application_url)
    pulumi.export("execution_environment_id", environment.id)
    pulumi.export("execution_environment_version_id", environment.version_id)
    pulumi.export("source_version_id", source.version_id)
