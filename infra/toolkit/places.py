"""Where a URL leads, seen from a page of the app on the platform."""

from __future__ import annotations

import re
from enum import StrEnum
from ipaddress import ip_address
from types import MappingProxyType
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

PUBLIC_HOST = "datarobot.invalid"  # what visitors have in their address bar, so to say; no such host can exist
PLATFORM_ORIGIN = f"https://{PUBLIC_HOST}"  # the platform speaks https only
# What it tells the app of everybody who comes (platform-contract 4).
VISITOR = MappingProxyType({"x-user-id": "5f0000000000000000000001", "x-user-email": "visitor@example.com"})
# Paths of DataRobot itself that browser code of an app may use on purpose: same origin (platform-contract 4).
PLATFORM_PATHS = ("/account/", "/api/v2/", "/api-gw/", "/usecases/", "/projects/", "/registry/", "/docs/", "/sign-in")


class Place(StrEnum):
    """Where a URL goes, seen from a page of the app on the platform."""

    INSIDE = "inside"
    ELSEWHERE = "elsewhere"  # another host
    OUTSIDE = "outside"
    PLATFORM = "platform"
    LOOPBACK = "loopback"
    INSECURE = "insecure"
    UNKNOWN = "unknown"


class Site:
    """An app as it is visited: `start_url` is its page, `prefix` the path that it lives below (slash at both ends)."""

    def __init__(self, start_url: str, prefix: str) -> None:
        parts = urlsplit(start_url)
        self.host = parts.netloc
        self.prefix = prefix
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._paths: dict[str, str] = {}

    def absolute(self, base: str, url: str, *, upgraded: bool = True) -> str:
        """Resolve like a browser. A visit of the app's own host by http ends at https; other requests are blocked."""
        try:
            parts = urlsplit(urljoin(base, url))
        except ValueError:
            return "invalid:"
        insecure = parts.scheme in ("http", "ws")
        own = parts.netloc == self.host and (upgraded or not insecure or self._origin.startswith("http:"))
        if own or (parts.netloc == PUBLIC_HOST and not insecure):
            return self._origin + urlunsplit(("", "", *parts[2:]))
        return urlunsplit(parts)

    def place(self, target: str, *, complete: bool = True) -> Place:
        """Say where an absolute URL goes; of one that is not `complete` only the beginning is known."""
        parts = urlsplit(target)
        if parts.scheme not in ("http", "https", "ws", "wss"):
            return Place.UNKNOWN
        if parts.netloc == self.host and f"{parts.scheme}://{parts.netloc}" == self._origin:
            path = normal(parts.path)
            if path.startswith(self.prefix) or path + "/" == self.prefix:
                return Place.INSIDE
            if not complete and self.prefix.startswith(path):
                return Place.UNKNOWN
            return Place.PLATFORM if path.startswith(PLATFORM_PATHS) else Place.OUTSIDE
        if is_loopback(target):
            return Place.LOOPBACK
        return Place.INSECURE if parts.scheme in ("http", "ws") else Place.ELSEWHERE

    def on_platform(self, url: str) -> str:
        """Give the address that the platform's visitors see for a URL of the app."""
        return PLATFORM_ORIGIN + url.removeprefix(self._origin)

    def path(self, url: str) -> str:
        """Give a URL's path below the prefix, with its query; other paths as they are."""
        if (known := self._paths.get(url)) is None:
            parts = urlsplit(url)
            path = parts.path.removeprefix(self.prefix) + (f"?{parts.query}" if parts.query else "")
            known = self._paths[url] = "" if path + "/" == self.prefix else path
        return known

    def shown(self, url: str) -> str:
        """Give a URL of the app as people know it."""
        return f"./{self.path(url)}"


def normal(path: str) -> str:
    """Give a path as it is compared: decoded, and never empty."""
    return unquote(path) if "%" in path else path or "/"


def settled(literal: str) -> bool:
    """Whether the known beginning of a URL says where it goes, whatever follows."""
    scheme = re.match(r"(?:[a-z]+:)?//([^/]*)(/?)", literal)
    if scheme:
        return bool(scheme[2]) or is_loopback(literal.rstrip(":") + ":1" if literal.endswith(":") else literal)
    return literal != "/"


def is_loopback(url: str) -> bool:
    """Whether a URL means the machine of whoever asks for it."""
    try:
        host = urlsplit(url if "://" in url else f"http:{url}").hostname or ""
    except ValueError:
        return False
    if host in ("localhost", "host.docker.internal") or host.endswith(".localhost"):
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified
