from __future__ import annotations

from toolkit.processes import Inside, Listener, Process, parse


def test_listening_sockets_are_joined_with_their_processes() -> None:
    output = "\n".join(
        [
            "listen 00000000:1F90 111",
            "listen 0100007F:0BB8 222",
            "listen 00000000000000000000000000000000:1F91 333",
            "listen 00000000000000000000000001000000:1F92 444",
            "unix /tmp/app.sock",
            "unix ",
            "process 7 111 999 ",
            "command bun index.ts ",
            "status Name:;bun;PPid:;1;SigCgt:;0000000000014000;",
            "environment " + b"DATAROBOT_API_TOKEN=a=b\0PORT=8080\0".hex(),
            "process 9 222 ",
            "command node other.js ",
            "status Name:;node;PPid:;7;SigCgt:;0000000000010002;",
            "environment ",
        ]
    )
    inside = parse(output)
    found = inside.listeners
    assert [(one.address, one.port, one.pid, one.command) for one in found] == [
        ("0.0.0.0", 8080, 7, "bun index.ts"),
        ("127.0.0.1", 3000, 9, "node other.js"),
        ("::", 8081, 0, ""),
        ("::1", 8082, 0, ""),
    ]
    assert found[0].environment == {"DATAROBOT_API_TOKEN": "a=b", "PORT": "8080"}
    assert inside.server == found[0]
    assert inside.unix_sockets == ("/tmp/app.sock",)
    assert inside.processes == (
        Process(7, 1, "bun index.ts", handles_sigterm=True),
        Process(9, 7, "node other.js", handles_sigterm=False),
    )


def test_nothing_is_found_in_a_container_that_has_stopped() -> None:
    assert parse("") == parse("end\n")
    assert parse("").server is None


def test_what_root_cannot_see_is_seen_by_the_user_whose_process_it_is() -> None:
    server = Process(7, 1, "bun index.ts", handles_sigterm=True, user="1000:1000")
    unknown = Listener("0.0.0.0", 8080, 0, "", {})
    as_root = Inside((Process(1, 0, "sh", handles_sigterm=False), server), (unknown,))
    assert as_root.users_unseen == ("1000:1000",)
    owned = Listener("0.0.0.0", 8080, 7, "bun index.ts", {"A": "1"})
    whole = as_root.with_more(Inside((server,), (owned,)))
    assert whole.server == owned
    assert whole.processes == as_root.processes
    assert whole.users_unseen == ()
