"""What does a port speak that takes connections, but gives no answer in HTTP/1.1? Asked over plain sockets."""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress

TLS, HTTP2, OTHER = "TLS (https)", "HTTP/2 only", "something that is not HTTP"
_TIMEOUT = 2.0  # seconds for each try
# A client that knows beforehand: the preface and empty settings (RFC 9113, 3.4). A server begins with its settings.
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
_SETTINGS = 4


def spoken(host: str, port: int) -> str:
    """Give TLS, HTTP2 or OTHER when `port` shows that it speaks that; nothing when it shows nothing. Never raises."""
    if _shakes_hands(host, port):
        return TLS
    answer = _answer(host, port, _PREFACE)
    if len(answer) >= 9 and answer[3] == _SETTINGS and not answer.startswith(b"HTTP/"):
        return HTTP2
    answer = _answer(host, port, b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    return OTHER if answer and not answer.startswith(b"HTTP/"[: len(answer)]) else ""


def _shakes_hands(host: str, port: int) -> bool:
    """Whether a TLS server is there; whose certificate it shows does not matter."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with suppress(OSError), socket.create_connection((host, port), _TIMEOUT) as plain, context.wrap_socket(plain):
        return True
    return False


def _answer(host: str, port: int, request: bytes) -> bytes:
    with suppress(OSError), socket.create_connection((host, port), _TIMEOUT) as connection:
        connection.settimeout(_TIMEOUT)
        connection.sendall(request)
        return connection.recv(64)
    return b""
