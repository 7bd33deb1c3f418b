"""Let everything go wrong that can, and count what converges: `nox -s reliability`.

All faults at all calls and a hundred kills take an hour or more. `--share` takes a part of the faults, the same for the
same seed; `--write` puts the counts into docs/reliability.md with date and machine.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "infra")]

from tests.reliability import faults, kills  # noqa: E402
from tests.reliability.bed import COMMANDS, Bed, bed  # noqa: E402

Record = dict[str, Any]


def fault_records(made: Bed, share: float, seed: int, met: set[str]) -> Iterator[Record]:
    """Meet a share of all faults, in an order by chance, but for those that were `met` before."""
    every = list(faults.cases(made)) if share else []
    random.Random(seed).shuffle(every)
    for case in every[: round(len(every) * share)]:
        if str(case) in met:
            continue
        found = faults.meet(made, case)
        yield {
            "kind": "fault",
            "of": len(every),
            "command": case.command,
            "call": case.call,
            "way": case.way,
            "code": found.code,
            "fired": found.fired,
            "removed": found.removed,
            "trouble": found.trouble,
            "seconds": round(found.seconds, 1),
        }


def kill_records(made: Bed, count: int, seed: int) -> Iterator[Record]:
    """Meet as many kills."""
    takes = {command: kills.usual(made, command) for command in COMMANDS} if count else {}
    for kill in kills.kills(count, seed):
        found = kills.meet(made, kill, takes[kill.command])
        yield {
            "kind": "kill",
            "command": kill.command,
            "victim": kill.victim,
            "at": round(found.at, 2),
            "ended_before": found.ended_before,
            "put_in_order": found.put_in_order,
            "trouble": found.trouble,
            "seconds": round(found.seconds, 1),
        }


def measured(share: float, count: int, seed: int, before: Sequence[Record]) -> Iterator[Record]:
    """Meet a share of all faults, then as many kills, in a bed of their own; less what was met `before`."""
    met = {str(faults.Case(one["command"], one["call"], one["way"])) for one in before if one["kind"] == "fault"}
    killed = sum(one["kind"] == "kill" for one in before)
    with tempfile.TemporaryDirectory(prefix="reliability-") as folder, bed(Path(folder) / "bed") as made:
        made.immediate()
        yield from fault_records(made, share, seed, met)
        yield from kill_records(made, max(0, count - killed), seed + killed)


def table(records: list[Record]) -> str:
    """Put the counts into Markdown."""
    lines = ["| What goes wrong | Command | Cases | Converged | Leftovers removed |", "|---|---|---|---|---|"]
    faulty = [one for one in records if one["kind"] == "fault" and one["fired"]]
    groups = [
        (f"a call: {way}", command, [one for one in faulty if (one["way"], one["command"]) == (way, command)])
        for way in faults.WAYS
        for command in COMMANDS
    ]
    killed = [one for one in records if one["kind"] == "kill"]
    groups += [
        (f"kill -9: {victim}", command, [one for one in killed if (one["victim"], one["command"]) == (victim, command)])
        for victim in kills.VICTIMS
        for command in COMMANDS
    ]
    for name, command, found in groups:
        if found:
            good = sum(not one["trouble"] for one in found)
            left = [int(one.get("removed", one.get("put_in_order")) or 0) for one in found]
            lines.append(f"| {name} | {command} | {len(found)} | {good} | {sum(left)} |")
    return "\n".join(lines)


def summary(records: list[Record]) -> str:
    """Say the sums in a sentence for each kind."""
    said = []
    for kind, word in (("fault", "faults"), ("kill", "kills")):
        found = [one for one in records if one["kind"] == kind and one.get("fired", True)]
        if not found:
            continue
        good = sum(not one["trouble"] for one in found)
        text = f"{word}: {good} of {len(found)} converged"
        if kind == "fault":
            codes = Counter(one["code"] for one in found)
            never = sum(one["kind"] == kind and not one.get("fired", True) for one in records)
            text += f" ({codes[0]} ended well in spite of the fault; in {never} more cases no such call was made)"
        said.append(text)
    return ";\n".join(said)


def write(records: list[Record]) -> None:
    """Put the figures between the marks of docs/reliability.md."""
    path = ROOT / "docs" / "reliability.md"
    text = path.read_text()
    start, end = "<!-- measured -->\n", "<!-- /measured -->"
    before, _, rest = text.partition(start)
    _, _, after = rest.partition(end)
    day = datetime.now(UTC).strftime("%Y-%m-%d")
    machine = f"{os.cpu_count()} CPUs, {platform.system()} {platform.machine()}, Python {platform.python_version()}"
    said = f"Measured on {day} by `nox -s reliability` ({machine}):\n{summary(records)}.\n\n"
    path.write_text(f"{before}{start}{said}{table(records)}\n{end}{after}")


def main() -> int:
    """Run it; 1 when something did not converge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=1.0, help="part of all faults that is met, 0 to 1")
    parser.add_argument("--kills", type=int, default=100, help="how many kills")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--records", type=Path, help="file that keeps each case as a line of JSON; it goes on from it")
    parser.add_argument("--write", action="store_true", help="put the figures into docs/reliability.md")
    options = parser.parse_args()
    kept = options.records.read_text().splitlines() if options.records and options.records.exists() else []
    records: list[Record] = [json.loads(line) for line in kept]
    if options.share or options.kills:
        for record in measured(options.share, options.kills, options.seed, tuple(records)):
            records.append(record)
            print(json.dumps(record), flush=True)
            if options.records:
                with options.records.open("a") as stream:
                    stream.write(json.dumps(record) + "\n")
    if options.write:
        write(records)
    print(f"{time.strftime('%H:%M:%S')} {summary(records)}")
    return 1 if any(one["trouble"] for one in records) else 0


if __name__ == "__main__":
    sys.exit(main())
