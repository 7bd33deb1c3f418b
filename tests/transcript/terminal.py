"""A terminal of 80 columns that commands run in, and what a person sees on it."""

from __future__ import annotations

import io
import os
import pty
import select
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pyte
from pyte.screens import Char
from rich.console import Console
from rich.text import Text

COLUMNS = 80
PATIENCE = 300.0  # seconds that a command may take
# As rich draws a window, without the font that it would fetch from a host.
WINDOW = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: "Fira Code", "DejaVu Sans Mono", Menlo, Consolas, monospace;
  font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width; }}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: arial, sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


@dataclass(frozen=True)
class Typed:
    """What a person types (`keys`) once `seen` has come up on the terminal."""

    seen: str
    keys: bytes


@dataclass(frozen=True)
class Shown:
    """A command that was typed, its exit code, and all that it wrote to the terminal."""

    command: str
    code: int
    written: bytes

    @property
    def rows(self) -> list[Text]:
        """The rows of the terminal, with their colours, as a person sees them."""
        return rows(self.written)

    @property
    def lines(self) -> list[str]:
        """The rows of the terminal as plain text."""
        return [row.plain for row in self.rows]


def run(command: Sequence[str], *, shown: str, cwd: Path, env: Mapping[str, str], typed: Sequence[Typed] = ()) -> Shown:
    """Run `command` on a terminal of its own and type what is to be typed.

    `shown` is how the command reads in the transcript. A command that takes longer than `PATIENCE`, or ends before
    everything was typed, is an AssertionError with what it wrote.
    """
    ours, theirs = pty.openpty()
    os.set_blocking(ours, False)
    _resize(theirs)
    left, written, until = list(typed), b"", time.monotonic() + PATIENCE
    with subprocess.Popen(
        ["setsid", "--ctty", "--wait", *command], cwd=cwd, env=dict(env), stdin=theirs, stdout=theirs, stderr=theirs
    ) as child:
        os.close(theirs)
        while (chunk := _read(ours)) is not None:
            written += chunk
            if left and left[0].seen.encode() in written:
                os.write(ours, left.pop(0).keys)
            if time.monotonic() > until:
                child.kill()
                raise AssertionError(f"{shown} takes too long: {written.decode(errors='replace')}")
        code = child.wait()
    os.close(ours)
    assert not left, f"{shown} never showed {left[0].seen!r}: {written.decode(errors='replace')}"
    return Shown(shown, code, written)


def _resize(terminal: int) -> None:
    import fcntl
    import struct
    import termios

    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, COLUMNS, 0, 0))


def _read(terminal: int) -> bytes | None:
    """Give what has been written within a moment; None when nobody can write any more."""
    if not select.select([terminal], [], [], 0.2)[0]:
        return b""
    with suppress(BlockingIOError):
        try:
            return os.read(terminal, 65536) or None
        except OSError:  # the other side is closed
            return None
    return b""


def rows(written: bytes) -> list[Text]:
    """Give the rows that `written` makes on a terminal, without the empty ones at the end."""
    height = written.count(b"\n") + len(written) // COLUMNS + 2
    screen = pyte.Screen(COLUMNS, height)
    pyte.ByteStream(screen).feed(written)
    found = []
    for number in range(height):
        row = Text(end="")
        for column in range(COLUMNS):
            char = screen.buffer[number][column]
            row.append(char.data, style=_style(char))
        row.rstrip()
        found.append(row)
    while found and not found[-1].plain:
        found.pop()
    return found


def _style(char: Char) -> str:
    colour = {"default": "", "brown": "yellow"}.get(char.fg, char.fg)
    return " ".join(filter(None, ("bold" if char.bold else "", colour if colour.isalpha() else "")))


def picture(title: str, shown: Sequence[Text], name: str) -> str:
    """Draw rows of a terminal as an SVG; `name` makes its styles different from those of other pictures."""
    drawn = Console(width=COLUMNS, record=True, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    for row in shown:
        drawn.print(row, soft_wrap=True)
    svg = drawn.export_svg(title=title, code_format=WINDOW, unique_id=name)
    return "\n".join(line.rstrip() for line in svg.splitlines()) + "\n"
