"""A small client of the platform's REST API: what a deployment has to ask around Pulumi (platform-contract 1)."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import TracebackType
from typing import Any, Literal
from urllib.parse import quote, urlsplit

import httpx

from toolkit.errors import ConfigurationError, PermissionDenied, TimedOut, ToolkitError
from toolkit.settings import Secret, is_this_machine

LONGEST_QUOTE = 1000
SIGN_IN = re.compile(r"sign-?in|login|auth|sso|saml", re.IGNORECASE)
PATIENCE, CONNECT = 10.0, 3.0  # seconds
PAUSES = (0.3, 1.0)  # seconds before a question is asked again
PASSING = {429, 500, 502, 503, 504}  # what a platform says that is in trouble for a moment
LARGEST_PAGE = 100
READ_USE_CASES, READ_NOTEBOOKS = "use case read", "notebook read"


Kind = Literal["application", "source", "environment", "credential"]
ROUTES: Mapping[Kind, str] = {
    "application": "customApplications/",
    "source": "customApplicationSources/",
    "environment": "executionEnvironments/",
    "credential": "credentials/",
}


class PlatformError(ToolkitError):
    """The platform answered a request with an error that has no class of its own."""

    exit_code = 5


class NotThere(PlatformError):
    """The platform has no such thing (404)."""


class Client:
    """Calls the platform at `endpoint` (`https://host/api/v2`) with `token`; use it as a context manager.

    An answer is waited for `patience` seconds. Without it that is PATIENCE, and where the platform is in trouble for a
    moment, or a connection breaks, what changes nothing is asked again.
    """

    def __init__(
        self,
        endpoint: str,
        token: Secret,
        *,
        patience: float | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.endpoint = endpoint.rstrip("/")
        self._token = token
        self._pauses = PAUSES if patience is None else ()
        self._patience = patience = PATIENCE if patience is None else patience
        try:
            parts = urlsplit(self.endpoint)
            here = is_this_machine(parts.hostname or "")
            self._client = httpx.Client(
                base_url=self.endpoint + "/",
                headers={"Authorization": f"Bearer {token.reveal()}", "Accept": "application/json"},
                timeout=httpx.Timeout(patience, connect=min(patience, CONNECT)),
                follow_redirects=False,
                # A proxy is for the world: with one, the local platform's token would leave this machine.
                trust_env=not here,
                # Reading the certificates of the world takes longer than many a request, and plain HTTP needs none.
                verify=not (here and parts.scheme == "http"),
                transport=transport,
            )
        except (httpx.InvalidURL, ValueError) as error:
            raise self._no_api(f"is no address ({error})") from None

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def check_access(self) -> str:
        """Check that endpoint and token are good for this app; give the platform's version.

        Raises ConfigurationError for a wrong endpoint, PermissionDenied (401, and 403 with the permission that lacks),
        TimedOut when nothing answers.
        """
        asked = (
            ("version/", ""),
            ("useCases/?limit=1", READ_USE_CASES),
            (self._gateway("nbx/notebooks/?limit=1"), READ_NOTEBOOKS),
        )
        with ThreadPoolExecutor(len(asked), "access") as pool:  # a slow platform is waited for once
            answers = [pool.submit(self._get, path, permission=lacks, probes=True) for path, lacks in asked]
        version = answers[0].result()
        if "versionString" not in version:
            raise self._no_api("answers, but not like DataRobot's API")
        for answer in answers[1:]:
            answer.result()
        return str(version["versionString"])

    def feature(self, name: str) -> bool | None:
        """Say whether a feature is switched on for this account (platform-contract 1.8); None when nobody says."""
        asked = {"entitlements": [{"name": name}]}
        with suppress(PlatformError):
            told = self._send("POST", "entitlements/evaluate/", permission="", probes=False, json=asked)
            for one in told.get("entitlements") or ():
                if one.get("name") == name and isinstance(one.get("value"), bool):
                    return bool(one["value"])
        return None

    def application(self, application_id: str) -> Mapping[str, Any]:
        """Give an application (platform-contract 1.4)."""
        return self.get(f"customApplications/{application_id}/")

    def applications(self, name: str) -> list[Mapping[str, Any]]:
        """Give the applications that are called exactly `name`."""
        return list(self.get(f"customApplications/?name={quote(name, safe='')}").get("data", []))

    def applications_of(self, source_id: str) -> list[Mapping[str, Any]]:
        """Give the applications that run any version of a source."""
        found = self.get(f"customApplications/?customApplicationSourceId={quote(source_id, safe='')}").get("data", [])
        return [application for application in found if application.get("customApplicationSourceId") == source_id]

    def account(self) -> str:
        """Give the id of the token's owner."""
        return str(self.get("account/info/").get("uid") or "")

    def environments_marked(self, words: str) -> list[Mapping[str, Any]]:
        """Give the own execution environments with `words` in their description."""
        found = self._pages(f"{ROUTES['environment']}?searchFor={quote(words, safe='')}&isOwn=true&")
        return [one for one in found if words in str(one.get("description") or "")]

    def sources_marked(self, part: str) -> list[Mapping[str, Any]]:
        """Give the application sources with `part` in their name; the platform cannot search for it."""
        return [one for one in self._pages(f"{ROUTES['source']}?") if part in str(one.get("name") or "")]

    def credentials_marked(self, part: str) -> list[Mapping[str, Any]]:
        """Give the credentials with `part` in their name (platform-contract 1.6).

        An account that may not list them has none of ours.
        """
        try:
            found = list(self._pages(f"{ROUTES['credential']}?"))
        except (NotThere, PermissionDenied):
            return []
        return [{**one, "id": one.get("credentialId")} for one in found if part in str(one.get("name") or "")]

    def put_source(self, name: str, path: str, content: bytes) -> str:
        """Make an application source with one file, which no application runs; give its id."""
        route = ROUTES["source"]
        made = str(self._send("POST", route, permission="", probes=False, json={"name": name})["id"])
        versions = f"{route}{made}/versions/"
        version = self._send("POST", versions, permission="", probes=False, json={"label": "v1"})["id"]
        files = [("file", (path.rsplit("/", 1)[-1], content)), ("filePath", (None, path))]
        self._send("PATCH", f"{versions}{version}/", permission="", probes=False, files=files)
        return made

    def source_file(self, source: Mapping[str, Any], path: str) -> str:
        """Give the text of a file of a source's latest version; empty when there is none of this name."""
        version = source.get("latestVersion") or {}
        for item in version.get("items") or ():
            if item.get("filePath") == path:
                found = f"{ROUTES['source']}{source['id']}/versions/{version['id']}/items/{item['id']}/"
                return str(self.get(found).get("content") or "")
        return ""

    def has(self, kind: Kind, id: str) -> bool:  # noqa: A002
        """Say whether the platform has something."""
        try:
            self.get(f"{ROUTES[kind]}{id}/")
        except NotThere:
            return False
        return True

    def delete(self, kind: Kind, id: str) -> None:  # noqa: A002
        """Remove something; when it is gone already, that is no error."""
        with suppress(NotThere):
            self._send("DELETE", f"{ROUTES[kind]}{id}/", permission="", probes=False)

    def application_logs(self, application_id: str) -> Mapping[str, Any]:
        """Give `logs`, and `buildLog`, `buildStatus`, `buildError` where there are any."""
        return self.get(f"customApplications/{application_id}/logs/")

    def environment_versions(self, environment_id: str) -> list[Mapping[str, Any]]:
        """Give the versions of an execution environment, as the platform orders them."""
        return list(self.get(f"executionEnvironments/{environment_id}/versions/").get("data", []))

    def environments(self, name: str) -> list[Mapping[str, Any]]:
        """Give the execution environments that are called exactly `name`."""
        found = self.get(f"executionEnvironments/?searchFor={quote(name, safe='')}&isOwn=true").get("data", [])
        return [environment for environment in found if environment.get("name") == name]

    def build_log(self, environment_id: str, version_id: str) -> Mapping[str, Any]:
        """Give `log` and `error` of the build of an environment's version."""
        return self.get(f"executionEnvironments/{environment_id}/versions/{version_id}/buildLog/")

    def get(self, path: str, *, permission: str = "") -> Mapping[str, Any]:
        """Ask for `path` and give the JSON object that comes back; errors as `check_access` says.

        PlatformError when the platform has no such thing (404), or is in trouble itself.
        """
        return self._get(path, permission=permission, probes=False)

    def _pages(self, path: str) -> Iterator[Mapping[str, Any]]:
        """Give the items of a list, page by page; `path` ends with what further parameters follow."""
        offset = 0
        while True:
            page = self.get(f"{path}offset={offset}&limit={LARGEST_PAGE}")
            found = list(page.get("data", []))
            yield from found
            offset += len(found)
            if not found or not page.get("next"):
                return

    def _get(self, path: str, *, permission: str = "", probes: bool) -> Mapping[str, Any]:
        return self._send("GET", path, permission=permission, probes=probes)

    def _send(self, method: str, path: str, *, permission: str, probes: bool, **body: Any) -> Mapping[str, Any]:
        try:
            response = self._ask(method, path, **body)
        except httpx.TimeoutException as error:
            raise TimedOut(
                f"{self._host} does not answer within {self._patience:g} s.",
                hint="Check DATAROBOT_ENDPOINT and the network (proxy, VPN).",
            ) from error
        except (httpx.TransportError, httpx.InvalidURL, UnicodeError) as error:
            raise ConfigurationError(
                f"DATAROBOT_ENDPOINT {self.endpoint} cannot be reached: {str(error) or type(error).__name__}",
                hint="Check the host name and the network (proxy, VPN). Expected: https://app.datarobot.com/api/v2",
            ) from error
        return self._judge(response, permission, probes)

    def _ask(self, method: str, path: str, **body: Any) -> httpx.Response:
        for pause in self._pauses if method == "GET" else ():
            with suppress(httpx.NetworkError, httpx.RemoteProtocolError):
                response = self._client.request(method, path, **body)
                if response.status_code not in PASSING:
                    return response
            time.sleep(pause)
        return self._client.request(method, path, **body)

    def _judge(self, response: httpx.Response, permission: str, probes: bool) -> Mapping[str, Any]:
        status, path = response.status_code, response.request.url.path
        if status == 401:
            raise PermissionDenied(
                f"{self._host} does not know this token (401).",
                hint="Set DATAROBOT_API_TOKEN in .env to a key of your account: DataRobot, 'API keys and tools'.",
            )
        if status == 403:
            lacking = f" It lacks the permission: {permission}." if permission else ""
            raise PermissionDenied(
                f"{self._host} refuses {path} for this token (403).{lacking}",
                hint="Use a key of an account that may read all use cases and notebooks of the organisation.",
            )
        if status == 204:
            return {}
        try:
            data = response.json()
        except ValueError:
            data = None
        if response.is_redirect:
            raise self._no_api(f"answers {status} for {path} and {_destination(response)}")
        if status == 404 and (probes or data is None):
            raise self._no_api(f"answers {status} for {path}")
        if status == 404:
            raise NotThere(
                f"{self._host} has no {path} (404).",
                hint="Was it removed by hand, or is this another account? Deploying again makes it anew.",
            )
        if response.is_error:
            raise PlatformError(
                f"{self._host} answered {status} for {path}: {self._quote(data, response)}",
                hint="Try again; when it stays, it is for the platform's administrators.",
            )
        if data is None:
            raise self._no_api(f"answers {status} with {response.headers.get('content-type', 'no type')}")
        return data if isinstance(data, dict) else {"data": data}

    def _quote(self, data: object, response: httpx.Response) -> str:
        """Give what the platform said about an error, without the token in it."""
        if isinstance(data, dict) and "message" in data:
            text = " ".join(str(data[key]) for key in ("message", "errors") if data.get(key))
        else:
            text = response.reason_phrase if data is None else str(data)
        return text.replace(self._token.reveal(), "****")[:LONGEST_QUOTE]

    def _no_api(self, what: str) -> ConfigurationError:
        return ConfigurationError(
            f"DATAROBOT_ENDPOINT {self.endpoint} {what}.",
            hint="It has to be the address of the API, for example https://app.datarobot.com/api/v2",
        )

    @property
    def _host(self) -> str:
        return urlsplit(self.endpoint).netloc

    def _gateway(self, path: str) -> str:
        """Give the address of a route beside the API, which hangs directly below the host (platform-contract 1.8)."""
        parts = urlsplit(self.endpoint)
        return f"{parts.scheme}://{parts.netloc}/api-gw/{path}"


def _destination(response: httpx.Response) -> str:
    """Say where a redirect leads, without its query: an edge that wants people to sign in is the usual reason."""
    parts = urlsplit(str(response.headers.get("location", "")))
    if SIGN_IN.search(parts.path):
        return f"wants a sign-in ({parts.netloc}{parts.path}): something in front of the API keeps programs out"
    return f"sends to {parts.netloc}{parts.path}"
