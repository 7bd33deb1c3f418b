"""The stand-in for the Pulumi plugin `pulumi-resource-datarobot` 0.10.43.

Where the real plugin cannot be downloaded, an executable of its name runs `python -m
toolkit.emulator.provider ADDRESS` and the Pulumi engine takes it for the real one: same requests to the
platform in the same order, same decisions about updates and replacements, same state, same sentences in
errors. It is only ever used for the stack `local`.

It speaks the engine's gRPC protocol directly. `pulumi.provider.experimental` cannot say what the real plugin
says: it always claims a detailed diff, answers Configure without supportsAutonamingConfiguration, keeps the
resource's name and the naming options from Check, and turns an error into "Unexpected <class ...>". It also
has to import all of `pulumi`, 0.4 seconds at every start of the plugin; the protocol's generated modules
alone take a tenth of that (see `_protocol`).

Environment variables (set by whoever starts Pulumi): DATAROBOT_API_TOKEN, DATAROBOT_ENDPOINT,
DATAROBOT_TRACE_CONTEXT, DATAROBOT_TIMEOUT_MINUTES as with the real plugin, and DATAROBOT_STANDIN_BEHAVIOUR
`recorded` (default; a source without key scope is replaced on every changed input, as 0.10.43 does) or
`in-place` (every change of a source is an update); DATAROBOT_STANDIN_POLL_SECONDS and
DATAROBOT_STANDIN_RETRY_SECONDS, the first pause between two looks (0.25; the real plugin takes 1) and before
the first repetition of a failed request (1).
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import secrets
import sys
import threading
import time
import types
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped, import-not-found, unused-ignore]
from google.protobuf import empty_pb2  # type: ignore[import-untyped, import-not-found, unused-ignore]

from toolkit.emulator.provider_application import CustomApplication
from toolkit.emulator.provider_credential import ApiTokenCredential, UseCase
from toolkit.emulator.provider_environment import ExecutionEnvironment
from toolkit.emulator.provider_plan import Behaviour, Planned, Values, inputs_from_state, plan, problems
from toolkit.emulator.provider_resource import OperationFailed, PlanProblem, Resource
from toolkit.emulator.provider_rest import VERSION, Platform, Timing
from toolkit.emulator.provider_source import ApplicationSource
from toolkit.emulator.provider_values import decode, encode

DEFAULT_ENDPOINT = "https://app.datarobot.com/api/v2"
SERVICE = "pulumirpc.ResourceProvider"
FIND_ENVIRONMENT = "datarobot:index/getExecutionEnvironment:getExecutionEnvironment"
CONFIG_SECRETS = frozenset({"apikey", "endpoint"})
NAME_HEX = 7


class Refused(Exception):
    """A call that ends with an error; the text is what the user sees."""


def _protocol() -> tuple[types.ModuleType, types.ModuleType]:
    """The generated modules of the engine's protocol, without running `pulumi/__init__.py` and all that it imports."""
    if "pulumi" not in sys.modules:
        spec = importlib.util.find_spec("pulumi")
        if spec is None or not spec.submodule_search_locations:
            raise ModuleNotFoundError("pulumi is not installed in this Python environment")
        folder = spec.submodule_search_locations[0]
        for name in ("pulumi", "pulumi.runtime", "pulumi.runtime.proto"):
            package = types.ModuleType(name)
            package.__path__ = [str(Path(folder, *name.split(".")[1:]))]
            sys.modules[name] = package
    return (
        importlib.import_module("pulumi.runtime.proto.provider_pb2"),
        importlib.import_module("pulumi.runtime.proto.plugin_pb2"),
    )


class Provider:
    """The calls of the engine, one method each."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        resources: tuple[Resource, ...] = (
            ExecutionEnvironment(),
            ApplicationSource(),
            CustomApplication(),
            ApiTokenCredential(),
            UseCase(),
        )
        self._resources = {resource.kind.token: resource for resource in resources}
        self._environ = environ
        self._behaviour = _behaviour(environ)
        self._cancelled = threading.Event()
        self._platform: Platform | None = None
        self._messages, self._plugin = _protocol()

    def methods(self) -> dict[str, tuple[Callable[[Any], Any], Any]]:
        """Method name to implementation and request type; the engine takes every other method for unimplemented."""
        messages = self._messages
        return {
            "GetPluginInfo": (self.get_plugin_info, empty_pb2.Empty),
            "CheckConfig": (self.check_config, messages.CheckRequest),
            "DiffConfig": (self.diff_config, messages.DiffRequest),
            "Configure": (self.configure, messages.ConfigureRequest),
            "Invoke": (self.invoke, messages.InvokeRequest),
            "Check": (self.check, messages.CheckRequest),
            "Diff": (self.diff, messages.DiffRequest),
            "Create": (self.create, messages.CreateRequest),
            "Read": (self.read, messages.ReadRequest),
            "Update": (self.update, messages.UpdateRequest),
            "Delete": (self.delete, messages.DeleteRequest),
            "Cancel": (self.cancel, empty_pb2.Empty),
        }

    def get_plugin_info(self, _request: Any) -> Any:
        """Claim the version whose behaviour is recorded."""
        return self._plugin.PluginInfo(version=VERSION)

    def check_config(self, request: Any) -> Any:
        """Echo the configuration; token and endpoint become secrets."""
        return self._messages.CheckResponse(inputs=encode(decode(request.news), CONFIG_SECRETS))

    def diff_config(self, request: Any) -> Any:
        """A changed token or endpoint updates the provider and replaces nothing."""
        old, new = decode(request.old_inputs), decode(request.news)
        changed = [name for name in sorted(CONFIG_SECRETS) if old.get(name) != new.get(name)]
        update = self._messages.PropertyDiff(kind=self._messages.PropertyDiff.UPDATE, inputDiff=True)
        return self._messages.DiffResponse(detailedDiff=dict.fromkeys(changed, update), hasDetailedDiff=bool(changed))

    def configure(self, request: Any) -> Any:
        """Take token and endpoint from the stack's configuration or the environment; the platform is not asked."""
        given = decode(request.args)
        token = given.get("apikey") or self._environ.get("DATAROBOT_API_TOKEN", "")
        if not token:
            raise Refused("Unable to find Api Key: Api Key cannot be an empty string")
        endpoint = given.get("endpoint") or self._environ.get("DATAROBOT_ENDPOINT") or DEFAULT_ENDPOINT
        trace = self._environ.get("DATAROBOT_TRACE_CONTEXT", "")
        self._platform = Platform(str(endpoint), str(token), _timing(self._environ), self._cancelled, trace)
        return self._messages.ConfigureResponse(
            supportsPreview=True, acceptResources=True, supports_autonaming_configuration=True
        )

    def invoke(self, request: Any) -> Any:
        """The one data source: getExecutionEnvironment."""
        if request.tok != FIND_ENVIRONMENT:
            raise Refused(f"the stand-in provider does not know the function {request.tok}")
        found = ExecutionEnvironment().find(self._configured(), str(decode(request.args).get("name")))
        return self._messages.InvokeResponse(**{"return": encode(found)})

    def check(self, request: Any) -> Any:
        """Refuse what the schema refuses; complete a missing name."""
        resource = self._resource(request)
        inputs, old = decode(request.news), decode(request.olds)
        if inputs.get("name") is None and any(attribute.name == "name" for attribute in resource.kind.attributes):
            name = self._automatic_name(request, old)
            inputs |= {"name": name} if name else {}
        name = request.name or _name_of(request.urn)
        failures = [self._messages.CheckFailure(reason=reason) for reason in problems(resource.kind, name, inputs)]
        return self._messages.CheckResponse(inputs=encode(inputs, resource.kind.secrets), failures=failures)

    def diff(self, request: Any) -> Any:
        """What would change: names only, as the real plugin answers."""
        resource, old, new = self._resource(request), decode(request.olds), decode(request.news)
        for name in request.ignoreChanges:
            new = {key: value for key, value in new.items() if key != name}
            new |= {name: old[name]} if name in old else {}
        planned = self._plan(resource, new, old)
        changes = self._messages.DiffResponse.DIFF_SOME if planned.diffs else self._messages.DiffResponse.DIFF_NONE
        if planned.replaces:
            changes = self._messages.DiffResponse.DIFF_SOME
        return self._messages.DiffResponse(replaces=planned.replaces, diffs=planned.diffs, changes=changes)

    def create(self, request: Any) -> Any:
        """Make a resource, or in a preview say what is known of it."""
        resource = self._resource(request)
        planned = self._plan(resource, decode(request.properties), None)
        if request.preview:
            return self._messages.CreateResponse(properties=encode(planned.values, resource.kind.secrets))
        state = resource.create(self._configured(), planned.values)
        return self._messages.CreateResponse(id=str(state["id"]), properties=encode(state, resource.kind.secrets))

    def read(self, request: Any) -> Any:
        """Bring a resource up to date; one that is gone has no id, but `X.get` gets an empty resource."""
        resource = self._resource(request)
        before = decode(request.properties)
        state = resource.read(self._configured(), before | {"id": request.id})
        if state is None:
            from_get = request.HasField("properties") and not before
            nothing = encode({})
            return self._messages.ReadResponse(id=request.id if from_get else "", properties=nothing, inputs=nothing)
        inputs = inputs_from_state(resource.kind, state, decode(request.inputs))
        secret = resource.kind.secrets
        return self._messages.ReadResponse(
            id=request.id, properties=encode(state, secret), inputs=encode(inputs, secret)
        )

    def update(self, request: Any) -> Any:
        """Change a resource, or in a preview say what is known of it."""
        resource, old, new = self._resource(request), decode(request.olds), decode(request.news)
        planned = self._plan(resource, new, old)
        if request.preview:
            return self._messages.UpdateResponse(properties=encode(planned.values, resource.kind.secrets))
        state = resource.update(self._configured(), planned.values, old | {"id": request.id}, new)
        return self._messages.UpdateResponse(properties=encode(state, resource.kind.secrets))

    def delete(self, request: Any) -> Any:
        """Delete a resource."""
        self._resource(request).delete(self._configured(), decode(request.properties) | {"id": request.id})
        return empty_pb2.Empty()

    def cancel(self, _request: Any) -> Any:
        """End all waiting; the engine calls this at the end of every run."""
        self._cancelled.set()
        return empty_pb2.Empty()

    def _configured(self) -> Platform:
        if self._platform is None:
            raise Refused("the provider is not configured yet")
        return self._platform

    def _resource(self, request: Any) -> Resource:
        token = request.urn.split("::")[2].split("$")[-1]
        if token not in self._resources:
            known = ", ".join(sorted(name.rpartition(":")[2] for name in self._resources))
            raise Refused(f"the stand-in provider knows {known}, not {token}: use the real provider for it")
        return self._resources[token]

    def _plan(self, resource: Resource, config: Values, prior: Values | None) -> Planned:
        return plan(resource.kind, config, prior, resource.facts(config), self._behaviour)

    def _automatic_name(self, request: Any, old: Mapping[str, Any]) -> str | None:
        """The old name, else what the stack's naming options ask for, else `<resource>-<7 hex>`."""
        if isinstance(old.get("name"), str):
            return str(old["name"])
        if request.HasField("autonaming"):
            if request.autonaming.mode == self._messages.CheckRequest.AutonamingOptions.DISABLE:
                return None
            return str(request.autonaming.proposed_name)
        seed = request.randomSeed
        drawn = hashlib.sha256(seed).hexdigest() if seed else secrets.token_hex(NAME_HEX)
        return f"{request.name or _name_of(request.urn)}-{drawn[:NAME_HEX]}"


def _name_of(urn: str) -> str:
    return urn.rpartition("::")[2]


def _behaviour(environ: Mapping[str, str]) -> Behaviour:
    wanted = environ.get("DATAROBOT_STANDIN_BEHAVIOUR") or Behaviour.RECORDED.value
    for behaviour in Behaviour:
        if behaviour.value == wanted:
            return behaviour
    options = " or ".join(behaviour.value for behaviour in Behaviour)
    raise SystemExit(f"DATAROBOT_STANDIN_BEHAVIOUR must be {options}, not {wanted!r}")


def _timing(environ: Mapping[str, str]) -> Timing:
    usual = Timing()
    minutes = environ.get("DATAROBOT_TIMEOUT_MINUTES", "")
    return Timing(
        poll=float(environ.get("DATAROBOT_STANDIN_POLL_SECONDS") or usual.poll),
        retry=float(environ.get("DATAROBOT_STANDIN_RETRY_SECONDS") or usual.retry),
        give_up=int(minutes) * 60.0 if minutes.isdigit() and int(minutes) > 0 else usual.give_up,
    )


def _handler(method: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    """Turn expected errors into plain gRPC errors of code Unknown, as the real plugin does."""

    def call(request: Any, context: Any) -> Any:
        try:
            return method(request)
        except (Refused, PlanProblem, OperationFailed) as error:
            return context.abort(grpc.StatusCode.UNKNOWN, str(error))

    return call


def _leave_with_parent(parent: int) -> None:
    """A plugin whose engine was killed must not stay behind."""
    while os.getppid() == parent:
        time.sleep(2)
    os._exit(0)


def serve(environ: Mapping[str, str]) -> None:
    """Offer the provider on a free loopback port, whose number the engine reads from standard output."""
    handlers = {
        name: grpc.unary_unary_rpc_method_handler(
            _handler(method),
            request_deserializer=request.FromString,
            response_serializer=lambda response: response.SerializeToString(),
        )
        for name, (method, request) in Provider(environ).methods().items()
    }
    size = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1), ("grpc.so_reuseport", 0)]
    server = grpc.server(ThreadPoolExecutor(max_workers=16), options=size)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    threading.Thread(target=_leave_with_parent, args=(os.getppid(),), daemon=True).start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    server.wait_for_termination()


def main() -> None:
    """Run as a plugin. The arguments (the engine's address and flags) are not needed."""
    try:
        serve(os.environ)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
