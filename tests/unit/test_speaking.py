from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Thread

import pytest
import trustme

from toolkit.speaking import HTTP2, OTHER, TLS, spoken

Answer = Callable[[socket.socket], None]


@contextmanager
def server(answer: Answer) -> Iterator[int]:
    """Serve each connection with `answer`; gives the port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                with suppress(OSError):
                    connection, _ = listening.accept()
                    with connection:
                        answer(connection)
                    continue
                if listening.fileno() < 0:
                    return

        thread = Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)


def tls(connection: socket.socket) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    with context.wrap_socket(connection, server_side=True) as secure:
        secure.recv(100)


def http2(connection: socket.socket) -> None:
    if connection.recv(100).startswith(b"PRI * HTTP/2"):
        connection.sendall(b"\0\0\6\4\0\0\0\0\0\0\3\0\0\0\x64")


def hello(connection: socket.socket) -> None:
    connection.recv(100)
    connection.sendall(b"hello\n")


def http(connection: socket.socket) -> None:
    connection.recv(100)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")


def silent(connection: socket.socket) -> None:
    connection.recv(100)


@pytest.mark.parametrize(("answer", "expected"), [(tls, TLS), (http2, HTTP2), (hello, OTHER), (http, ""), (silent, "")])
def test_what_a_port_speaks_is_known_by_what_it_answers(answer: Answer, expected: str) -> None:
    with server(answer) as port:
        assert spoken("127.0.0.1", port) == expected


def test_nobody_there_speaks_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    assert spoken("127.0.0.1", port) == ""
