"""A session with the DataRobot SDK, run in its own environment: asserts what the SDK makes of the answers."""

# ruff: noqa
import os
import sys
import datarobot as dr
from datarobot.errors import ClientError

context = sys.argv[1]
client = dr.Client(endpoint=os.environ["DATAROBOT_ENDPOINT"], token=os.environ["DATAROBOT_API_TOKEN"])


def refused(status, call, *words):
    try:
        call()
    except ClientError as error:
        assert error.status_code == status, error
        assert all(word in str(error) for word in words), error
    else:
        raise AssertionError(f"not refused with {status}")


# Environments
env = dr.ExecutionEnvironment.create(name="Bun", description="straße", use_cases=["customApplication"])
assert env.latest_version is None and env.programming_language == "other"
version = dr.ExecutionEnvironmentVersion.create(env.id, context, label="one", description="first", max_wait=60)
assert version.build_status == "success" and version.label == "one"
assert version.get_build_log()[0] == "built"
env.refresh()
assert env.latest_version and env.latest_version.id == version.id
assert env.latest_successful_version and env.latest_successful_version.id == version.id
env.update(name="Bun 2", description="other")
assert dr.ExecutionEnvironment.get(env.id).name == "Bun 2"
assert [one.id for one in dr.ExecutionEnvironment.list(search_for="Bun 2")] == [env.id]
assert [one.id for one in dr.ExecutionEnvironmentVersion.list(env.id)] == [version.id]
version.download("downloaded.zip")
assert os.path.getsize("downloaded.zip") > 20
assert [one.role for one in env.get_access_list()] == ["OWNER"]

# Sources: without a version the model of the SDK does not accept them, as on the platform
raw = client.post("customApplicationSources/", data={"name": "Shop"}).json()
assert raw["latestVersion"] is None
made = client.post(
    f"customApplicationSources/{raw['id']}/versions/", data={"label": "v1", "baseEnvironmentVersionId": version.id}
).json()
uploaded = client.build_request_with_file(
    "PATCH", f"customApplicationSources/{raw['id']}/versions/{made['id']}/", "start-app.sh", content=b"#!/bin/sh\n"
).json()
from datarobot.models.custom_application import CustomApplication
from datarobot.models.custom_application_source import CustomApplicationSource

source = CustomApplicationSource.get(raw["id"])
assert [one.id for one in CustomApplicationSource.list()] == [source.id]
assert CustomApplicationSource.get_by_name("Shop").id == source.id
source.update_resources(resource_label="cpu.medium", replicas=2, session_affinity=True)
assert CustomApplicationSource.get(source.id).get_resources()["replicas"] == 2
assert len(source.get_versions()) == 1 and source.get_version(made["id"])["label"] == "v1"
item = source.get_version(made["id"])["items"][0]
assert source.get_file(made["id"], item["id"])["content"] == "#!/bin/sh\n"
refused(409, lambda: client.post("customApplicationSources/", data={"name": "Shop"}), "already in use")

# Applications
app = source.create_application(name="Shop app", resources={"replicas": 1, "resourceLabel": "cpu.small"})
assert app.is_running and app.name == "Shop app" and app.custom_application_source_id == source.id
assert CustomApplication.get_by_name("Shop app").id == app.id
assert [one.id for one in CustomApplication.list()] == [app.id]
assert app.get_resources()["resource_label"] == "cpu.small"
assert "logs" in app.get_logs() and app.get_details()
refused(409, lambda: source.create_application(name="Shop app"), "already in use")
refused(409, env.delete)

# Credentials
credential = dr.Credential.create_basic("Key", "user", "parole-parole")
assert credential.credential_type == "basic"
token = client.post("credentials/", data={"name": "T", "credentialType": "api_token", "apiToken": "x"}).json()
assert "apiToken" not in token
found = dr.Credential.get(token["credentialId"])
found.update(description="new")
assert {one.name for one in dr.Credential.list()} == {"Key", "T"}
refused(409, lambda: dr.Credential.create_basic("Key", "user", "parole"), "already in use")
found.delete()
refused(404, lambda: dr.Credential.get(token["credentialId"]))

# Use cases
case = dr.UseCase.create(name="Churn", description="d")
client.post(f"useCases/{case.id}/applications/{app.id}/", data={})
case.update(name="Churn 2")
case = dr.UseCase.get(case.id)
assert case.name == "Churn 2" and case.applications_count == 1 and case.members
assert len(dr.UseCase.list()) == 1
client.delete(f"useCases/{case.id}/applications/{app.id}/")
dr.UseCase.delete(case.id)
refused(404, lambda: dr.UseCase.get(case.id))

# Errors
refused(404, lambda: CustomApplication.get("0123456789abcdef01234567"))
refused(422, lambda: client.post("executionEnvironments/", data={"name": ""}), "name")
try:
    client.get("projects/")
except dr.errors.ServerError as error:
    assert error.status_code == 501 and "not emulated" in str(error), error
else:
    raise AssertionError("projects/ is not emulated")
try:
    dr.Client(endpoint=os.environ["DATAROBOT_ENDPOINT"], token="wrong")
except (ClientError, ValueError):
    pass
else:
    raise AssertionError("a wrong token was accepted")
dr.Client(endpoint=os.environ["DATAROBOT_ENDPOINT"], token=os.environ["DATAROBOT_API_TOKEN"])

app.delete(hard_delete=True)
source.delete(hard_delete=True)
env.delete()
refused(404, lambda: dr.ExecutionEnvironment.get(env.id))
print("all good")
