"""Ask for a URL and give the answer in plain values: what the server does is never an exception."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import TracebackType
from typing import Any, Protocol
from urllib.parse import urlsplit, urlunsplit

import urllib3

MEGABYTE = 1024 * 1024


@dataclass(frozen=True)
class Response:
    """The answer to one GET, redirects not followed. `error` is set when there was none, or when it broke off.

    `cut` says why not all of a good answer was read: it is very large, or does not end.
    """

    url: str
    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes
    error: str = ""
    seconds: float = 0.0
    cut: str = ""

    @cached_property
    def content_type(self) -> str:
        """The MIME type without parameters, in lower case."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def text(self) -> str:
        """The body as text, in the charset of the header or UTF-8."""
        match = re.search(r"charset=[\"']?([\w.:-]+)", self.headers.get("content-type", ""), re.IGNORECASE)
        try:
            return self.body.decode(match[1] if match else "utf-8", "replace")
        except LookupError:
            return self.body.decode("utf-8", "replace")


class Fetch(Protocol):
    """GET an absolute URL; never raises for what the server does."""

    def __call__(self, url: str) -> Response:
        """Ask for `url`."""
        ...


class HttpFetch:
    """A `Fetch` over keep-alive connections, safe for threads; a context manager.

    `headers` go with every request, so give it only URLs that may see them. With `through` (host, port), all of them
    are asked there in plain HTTP, as a proxy that ends TLS passes them on.
    """

    def __init__(
        self,
        headers: Mapping[str, str] | None = None,
        *,
        timeout: float = 10.0,
        max_bytes: int = 20 * MEGABYTE,
        connections: int = 8,
        proxy: str = "",
        ca_bundle: str | None = None,
        through: tuple[str, int] | None = None,
    ) -> None:
        self._through = through
        self._headers = {"accept-encoding": "gzip, deflate, br", "user-agent": "bun-to-datarobot", **(headers or {})}
        self._timeout = timeout
        self._max_bytes = max_bytes
        self._waits = urllib3.Timeout(connect=timeout, read=timeout)
        how: dict[str, Any] = {"maxsize": connections, "block": True, "retries": False}
        self._pool: urllib3.HTTPConnectionPool | urllib3.PoolManager
        if through is not None:
            self._pool = urllib3.HTTPConnectionPool(*through, **how)
        elif proxy:
            self._pool = urllib3.ProxyManager(proxy, ca_certs=ca_bundle, **how)
        else:
            self._pool = urllib3.PoolManager(ca_certs=ca_bundle, **how)

    def __call__(self, url: str) -> Response:
        """Ask for `url`; problems of the connection are in `error`."""
        started = time.monotonic()
        status, headers, body, error, cut = 0, dict[str, str](), b"", "", ""
        try:
            asked, own = self._passed_on(url)
            answer = self._pool.urlopen(
                "GET",
                asked,
                headers={**self._headers, **own},
                redirect=False,
                preload_content=False,
                timeout=self._waits,
                retries=False,
            )
            status = answer.status
            headers = {name.lower(): value for name, value in answer.headers.itermerged()}
            try:
                body, cut = self._read(answer, started)
                if cut:
                    answer.close()
            finally:
                answer.release_conn()
        except urllib3.exceptions.HTTPError as problem:
            error = _reason(problem, self._timeout)
        except (OSError, ValueError) as problem:
            error = str(problem) or type(problem).__name__
        return Response(url, status, headers, body, error, time.monotonic() - started, cut)

    def _passed_on(self, url: str) -> tuple[str, dict[str, str]]:
        """Where `url` is really asked, and what tells the one who answers which URL was meant."""
        if self._through is None:
            return url, {}
        parts = urlsplit(url)
        path = urlunsplit(("", "", parts.path or "/", parts.query, ""))
        return path, {"host": parts.netloc, "x-forwarded-proto": parts.scheme}

    def _read(self, answer: urllib3.BaseHTTPResponse, started: float) -> tuple[bytes, str]:
        chunks: list[bytes] = []
        size = 0
        for chunk in answer.stream(64 * 1024, decode_content=True):
            chunks.append(chunk)
            size += len(chunk)
            if size > self._max_bytes:
                return b"".join(chunks), f"larger than {self._max_bytes // MEGABYTE} MB, not read to its end"
            if time.monotonic() - started > 3 * self._timeout:
                return b"".join(chunks), f"still sending after {3 * self._timeout:.0f} s"
        return b"".join(chunks), ""

    def __enter__(self) -> HttpFetch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(self._pool, urllib3.PoolManager):
            self._pool.clear()
        else:
            self._pool.close()


def _reason(problem: urllib3.exceptions.HTTPError, timeout: float) -> str:
    if isinstance(problem, urllib3.exceptions.NewConnectionError):
        return "connection refused"
    if isinstance(problem, urllib3.exceptions.TimeoutError):
        return f"no answer within {timeout:g} s"
    if isinstance(problem, urllib3.exceptions.DecodeError):
        return "the body does not match its Content-Encoding"
    if isinstance(problem, urllib3.exceptions.IncompleteRead):
        return "the body ends before its announced length"
    if isinstance(problem, urllib3.exceptions.ProtocolError):
        text = str(problem)
        return "the body ends before its announced length" if "IncompleteRead" in text else "the connection was closed"
    return str(problem)
