"""Look into a container: which processes run there, where they listen, and what they do when they are told to stop.

All comes from /proc, read by the shell of the image: it may have neither ps nor ss nor lsof.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

PORT = 8080
END = "end\n"
SIGTERM_BIT = 1 << 14
MOST_USERS = 3  # as whom one looks besides
# Prints the sockets that listen, on TCP and in the file system, then for every process its id, its sockets, its command
# line and its status; of those with sockets the environment too, in hexadecimal.
SCRIPT = r"""
cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | while read -r _ local _ state _ _ _ _ _ inode _; do
  [ "$state" = 0A ] && echo "listen $local $inode"
done
while read -r _ _ _ flags _ _ _ path; do
  [ "$flags" = 00010000 ] && echo "unix $path"
done < /proc/net/unix 2>/dev/null
for process in /proc/[0-9]*; do
  [ "$process" = "/proc/$$" ] && continue
  sockets=$(ls -l "$process/fd" 2>/dev/null | sed -n 's/.*socket:\[\([0-9]*\)\].*/\1/p' | tr '\n' ' ')
  echo "process ${process#/proc/} $sockets"
  echo "command $(tr '\0\n' '  ' < "$process/cmdline" 2>/dev/null)"
  echo "status $(tr '\n\t' ';' < "$process/status" 2>/dev/null)"
  [ -n "$sockets" ] && echo "environment $(od -An -v -tx1 "$process/environ" 2>/dev/null | tr -d ' \n')"
done
echo end
"""


@dataclass(frozen=True)
class Listener:
    """A listening TCP socket in a container and the process that owns it (pid 0: not found)."""

    address: str
    port: int
    pid: int
    command: str
    environment: Mapping[str, str]


@dataclass(frozen=True)
class Process:
    """A process of a container. `handles_sigterm`: it has a handler of its own for that signal; `user` is `uid:gid`."""

    pid: int
    parent: int
    command: str
    handles_sigterm: bool
    user: str = "0:0"


@dataclass(frozen=True)
class Inside:
    """The processes of a container and its listening sockets at one moment."""

    processes: tuple[Process, ...] = ()
    listeners: tuple[Listener, ...] = ()
    unix_sockets: tuple[str, ...] = ()  # their paths; those of no file begin with @

    @property
    def server(self) -> Listener | None:
        """Whoever listens on port 8080, when its process is known."""
        return next((one for one in self.listeners if one.port == PORT and one.pid), None)

    @property
    def users_unseen(self) -> tuple[str, ...]:
        """Users other than root whose processes may own the sockets of which nobody is known to be the owner."""
        if all(one.pid for one in self.listeners):
            return ()
        return tuple(dict.fromkeys(one.user for one in self.processes if not one.user.startswith("0:")))[:MOST_USERS]

    def with_more(self, other: Inside) -> Inside:
        """Give this with the owners of sockets that somebody else sees."""
        known = {(one.address, one.port): one for one in other.listeners if one.pid}
        seen = [one if one.pid else known.get((one.address, one.port), one) for one in self.listeners]
        return replace(self, listeners=tuple(seen))


UNSEEN = Inside()


def parse(output: str) -> Inside:
    """Read what SCRIPT prints: sockets (in the form of /proc/net/tcp) are joined with their processes."""
    sockets: list[tuple[str, int, str]] = []
    unix_sockets: list[str] = []
    owners: dict[str, tuple[int, str, dict[str, str]]] = {}
    processes: list[Process] = []
    pid, inodes, command = 0, [""], ""
    for line in output.splitlines():
        kind, _, rest = line.partition(" ")
        if kind == "listen":
            local, inode = rest.split()
            address, port = local.rsplit(":", 1)
            sockets.append((_address(address), int(port, 16), inode))
        elif kind == "unix":
            unix_sockets.append(rest.strip())
        elif kind == "process":
            number, *inodes = rest.split()
            pid = int(number)
        elif kind == "command":
            command = rest.strip()
        elif kind == "status" and command:
            user = f"{_number(rest, 'Uid')}:{_number(rest, 'Gid')}"
            processes.append(Process(pid, _number(rest, "PPid"), command, _handles_sigterm(rest), user))
        elif kind == "environment":
            environment = _environment(bytes.fromhex(rest))
            for inode in inodes:
                owners.setdefault(inode, (pid, command, environment))
    unknown: tuple[int, str, dict[str, str]] = (0, "", {})
    listeners = [Listener(address, port, *owners.get(inode, unknown)) for address, port, inode in sockets]
    ordered = sorted(processes, key=lambda one: one.pid)
    return Inside(tuple(ordered), tuple(listeners), tuple(filter(None, unix_sockets)))


def _number(status: str, name: str, base: int = 10) -> int:
    found = re.search(rf"(?:^|;){name}:[;\s]*([0-9a-fA-F]+)", status)
    return int(found[1], base) if found else 0


def _handles_sigterm(status: str) -> bool:
    return bool(_number(status, "SigCgt", 16) & SIGTERM_BIT)


def _environment(raw: bytes) -> dict[str, str]:
    pairs = (part.decode("utf-8", "surrogateescape").partition("=") for part in raw.split(b"\0") if part)
    return {key: value for key, _, value in pairs}


def _address(text: str) -> str:
    """Read an address of /proc/net/tcp: 32-bit words in the machine's (little-endian) byte order."""
    words = [bytes.fromhex(text[i : i + 8])[::-1] for i in range(0, len(text), 8)]
    if len(words) == 1:
        return ".".join(str(byte) for byte in words[0])
    raw = b"".join(words)
    if raw == bytes(16):
        return "::"
    return "::1" if raw == bytes(15) + b"\1" else raw.hex(":", 2)
