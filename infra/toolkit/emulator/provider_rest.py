"""The two HTTP clients of the stand-in provider (platform-contract 1.1).

The *API client* sends JSON, keeps connections, repeats a GET on 429 and 5xx, and repeats anything whose
connection broke before an answer came. The *upload client* sends multipart bodies once. Both word their
errors as the real provider does, and neither ever puts the token into one.
"""

from __future__ import annotations

import http.client
import json
import secrets
import select
import socket
import threading
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from toolkit.emulator.provider_files import Upload

VERSION = "0.10.43"
USER_AGENT = f"DataRobotTerraformClient/{VERSION} Terraform-pulumi-terraform-bridge"
RETRIES = 4
LONGEST_PAUSE = 30.0
IDEMPOTENT = ("GET", "HEAD")


class ApiError(Exception):
    """A request failed; the text is what the user sees."""


class NotFoundError(ApiError):
    """The platform answered 404 to the API client."""


class UnauthorizedError(ApiError):
    """The platform answered 401 to the API client."""


class _NoAnswer(Exception):
    """The connection failed before an answer came; the text is Go's."""

    def __init__(self, text: str, *, again: bool = True) -> None:
        super().__init__(text)
        self.again = again


@dataclass(frozen=True)
class Timing:
    """How long the provider waits, in seconds.

    `poll` is the first pause between two looks at a build or an application, `retry` the one before a repetition.
    """

    poll: float = 0.25
    retry: float = 1.0
    longest_poll: float = 10.0
    give_up: float = 30 * 60.0


@dataclass(frozen=True)
class _Answer:
    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes


class Platform:
    """DataRobot's API at `endpoint`, called with `token`.

    `cancelled` is set when the engine gives up; waiting ends then.
    """

    def __init__(self, endpoint: str, token: str, timing: Timing, cancelled: threading.Event, trace: str = "") -> None:
        self.timing = timing
        self.cancelled = cancelled
        self._endpoint = endpoint.removesuffix("/")
        self._token = token
        self._trace = trace
        self._idle: list[http.client.HTTPConnection] = []
        self._lock = threading.Lock()

    def get(self, path: str) -> Any:
        """GET a JSON document."""
        return self._json("GET", path, None)

    def post(self, path: str, body: Any) -> Any:
        """POST `body` and return the JSON that was answered."""
        return self._json("POST", path, body)

    def patch(self, path: str, body: Any) -> Any:
        """PATCH `body`; 204 and 202 need no body."""
        return self._json("PATCH", path, body)

    def delete(self, path: str) -> None:
        """DELETE; an object that is gone already counts as deleted."""
        try:
            self._json("DELETE", path, None)
        except NotFoundError:
            return

    def upload(self, method: str, path: str, fields: Mapping[str, str], files: Sequence[Upload]) -> Any:
        """Send text fields and files as one multipart body, once."""
        url = self._endpoint + path
        boundary = secrets.token_hex(30)
        body = _multipart(boundary, fields, files)
        headers = {
            "User-Agent": "Go-http-client/1.1",
            "Accept": "application/json",
            "Authorization": f"Bearer {self._token}",
            "Content-Type": f"multipart/form-data; boundary={boundary}",
        }
        try:
            answer = self._exchange(method, url, headers, body)
        except _NoAnswer as error:
            raise ApiError(f'could not send request: {method.title()} "{url}": {error}') from error
        if not 200 <= answer.status < 300:
            raise ApiError(_refusal(method, url, answer))
        return _parse(answer.body)

    def close(self) -> None:
        """Close the idle connections."""
        with self._lock:
            while self._idle:
                self._idle.pop().close()

    def wait(self, ready: Callable[[], str]) -> None:
        """Call `ready` until it returns no text; the text of the last look is the error when time is up."""
        pause, waited = self.timing.poll, 0.0
        while problem := ready():
            if waited + pause > self.timing.give_up:
                raise ApiError(problem)
            self._sleep(pause)
            waited += pause
            pause = min(pause * 1.5, self.timing.longest_poll)

    def _sleep(self, seconds: float) -> None:
        if self.cancelled.wait(seconds):
            raise ApiError("context canceled")

    def _json(self, method: str, path: str, body: Any) -> Any:
        url = self._endpoint + path
        content = go_json(body).encode()
        headers = {
            "User-Agent": USER_AGENT,
            "Accept": "application/json",
            "Authorization": f"Bearer {self._token}",
            "Content-Type": "application/json",
            "X-DataRobot-Api-Consumer-Trace": self._trace,
        }
        answer = self._persistent(method, url, headers, content)
        if 300 <= answer.status < 400 and "location" in answer.headers:
            raise ApiError("request was redirected")
        if answer.status == 404:
            raise NotFoundError(f"{url} not found")
        if answer.status == 401:
            raise UnauthorizedError(f"access denied to {url}")
        if not 200 <= answer.status < 300:
            raise ApiError(_refusal(method, url, answer))
        if answer.status == 204 and method in ("DELETE", "PATCH", "PUT"):
            return None
        if answer.status == 202 and method == "PATCH":
            return None
        if answer.status == 200 and method == "DELETE" and not answer.body:
            return None
        return _parse(answer.body)

    def _persistent(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> _Answer:
        """The retry rules: an answered GET is repeated on 429 and 5xx, everything on a broken connection."""
        for attempt in range(RETRIES + 1):
            pause = min(self.timing.retry * 2**attempt, LONGEST_PAUSE)
            last = attempt == RETRIES
            try:
                answer = self._exchange(method, url, headers, body)
            except _NoAnswer as error:
                if last or not error.again:
                    raise ApiError(f'{method} request {url} failed: {method.title()} "{url}": {error}') from error
            else:
                again = answer.status == 429 or (answer.status >= 500 and answer.status != 501)
                if last or method != "GET" or not again:
                    return answer
                after = answer.headers.get("retry-after", "")
                if answer.status in (429, 503) and after.isdigit():
                    pause = float(after)
            self._sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    def _exchange(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> _Answer:
        """One request, and one more at once when an idle connection turns out to be dead (as Go's transport does)."""
        target = urllib.parse.urlsplit(url)
        if target.scheme not in ("http", "https"):
            raise _NoAnswer(f'unsupported protocol scheme "{target.scheme}"', again=False)
        connection, reused = self._connection(target)
        try:
            return self._send(connection, method, target, headers, body)
        except _NoAnswer:
            if not (reused and method in IDEMPOTENT):
                raise
        return self._send(_connect(target), method, target, headers, body)

    def _connection(self, target: urllib.parse.SplitResult) -> tuple[http.client.HTTPConnection, bool]:
        with self._lock:
            while self._idle:
                connection = self._idle.pop()
                alive = connection.sock is not None and not select.select([connection.sock], [], [], 0)[0]
                if alive:
                    return connection, True
                connection.close()
        return _connect(target), False

    def _send(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        target: urllib.parse.SplitResult,
        headers: Mapping[str, str],
        body: bytes,
    ) -> _Answer:
        path = target.path + (f"?{target.query}" if target.query else "")
        try:
            connection.request(method, path, body, dict(headers))
            response = connection.getresponse()
            answered = {key.lower(): value for key, value in response.getheaders()}
            content = response.read()
        except (http.client.RemoteDisconnected, http.client.BadStatusLine) as error:
            connection.close()
            raise _NoAnswer("EOF") from error
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise _NoAnswer(_go_words(error, target)) from error
        except ValueError:
            # the token cannot be a header's value; Python's text would contain it
            connection.close()
            text = 'net/http: invalid header field value for "Authorization"'
            raise _NoAnswer(text, again=False) from None
        if response.will_close:
            connection.close()
        else:
            with self._lock:
                self._idle.append(connection)
        return _Answer(response.status, response.reason, answered, content)


def go_json(value: Any) -> str:
    """JSON as Go writes it: no blanks, and the characters that are special in HTML escaped."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text


def _connect(target: urllib.parse.SplitResult) -> http.client.HTTPConnection:
    kind = http.client.HTTPSConnection if target.scheme == "https" else http.client.HTTPConnection
    return kind(target.hostname or "", target.port)


def _go_words(error: Exception, target: urllib.parse.SplitResult) -> str:
    if isinstance(error, ConnectionRefusedError):
        host, port = target.hostname, target.port or (443 if target.scheme == "https" else 80)
        return f"dial tcp {host}:{port}: connect: connection refused"
    if isinstance(error, ConnectionResetError):
        return "read: connection reset by peer"
    if isinstance(error, BrokenPipeError):
        return "write: broken pipe"
    if isinstance(error, http.client.IncompleteRead):
        return "unexpected EOF"
    if isinstance(error, socket.gaierror):
        return f"dial tcp: lookup {target.hostname}: no such host"
    return str(error)


def _refusal(method: str, url: str, answer: _Answer) -> str:
    body = answer.body.decode("utf-8", "replace")
    return f"{method} request {url} : response {answer.status} {answer.reason} {body}"


def _parse(body: bytes) -> Any:
    if not body.strip():
        raise ApiError("failed to unmarshal response: unexpected end of JSON input")
    try:
        return json.loads(body)
    except ValueError as error:
        first = body.decode("utf-8", "replace").lstrip()[0]
        raise ApiError(
            f"failed to unmarshal response: invalid character '{first}' looking for beginning of value"
        ) from error


def _multipart(boundary: str, fields: Mapping[str, str], files: Sequence[Upload]) -> bytes:
    """Text fields first, then every file directly followed by its target path."""
    parts: list[bytes] = []

    def text(name: str, value: str) -> None:
        parts.append(f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}'.encode())

    for name, value in fields.items():
        text(name, value)
    for file in files:
        quoted = file.name.replace("\\", "\\\\").replace('"', '\\"')
        head = f'Content-Disposition: form-data; name="{file.field}"; filename="{quoted}"\r\n'
        parts.append(f"{head}Content-Type: application/octet-stream\r\n\r\n".encode() + file.content)
        if file.path:
            text("filePath", file.path)
    opening = f"--{boundary}\r\n".encode()
    closing = f"--{boundary}--\r\n".encode()
    return b"".join(opening + part + b"\r\n" for part in parts) + closing
