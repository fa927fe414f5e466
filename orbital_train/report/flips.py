"""How many bits were flipped in a run, and how many of the flips were found.

A flip in a replica or a gradient is found if its node finds itself corrupt before it next contributes; otherwise it is
silent, whether it did harm or not. One in a message, a version or a store is found if its checksum told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from orbital_train.report import fmt
from orbital_train.schedule.ops.merging import Snapshot
from orbital_train.schedule.trace import Trace

Row = Mapping[str, Any]  # of metrics.jsonl


@dataclass(frozen=True, kw_only=True)
class Tally:
    """Flips of one run."""

    injected: Counter[str]  # by target
    found: Counter[str]
    restarts: int  # of nodes that found themselves corrupt
    false_alarms: int  # of these, without a flip since they last contributed


def tally(rows: Iterable[Row], trace: Trace) -> Tally:
    """Count the flips in the metrics of a run."""
    own = [row for row in rows if row["event"] in ("upset", "corrupt", "refuse")]
    refused = {row["op"] for row in own if row["event"] == "refuse"}
    sent: list[Row] = [
        {"event": "contribute", "op": op.id, "node": op.node} for op in trace.of_kind(Snapshot) if op.id not in refused
    ]
    injected, found = Counter[str](), Counter[str]()
    hidden: dict[int, Counter[str]] = {}  # in each node, since it last contributed or began anew
    restarts = false_alarms = 0
    for row in sorted([*own, *sent], key=lambda row: row["op"]):
        match row["event"]:
            case "upset":
                injected[row["target"]] += 1
                if "found" not in row:
                    hidden.setdefault(row["node"], Counter())[row["target"]] += 1
                elif row["found"]:
                    found[row["target"]] += 1
            case "contribute":
                hidden.pop(row["node"], None)
            case "corrupt":
                restarts, before = restarts + 1, hidden.pop(row["node"], None)
                found += before or Counter()
                false_alarms += before is None
    return Tally(injected=injected, found=found, restarts=restarts, false_alarms=false_alarms)


def flips_note(told: Tally) -> list[str]:
    """The same in a line; nothing where no bit was flipped and no node began anew."""
    if not told.injected and not told.restarts:
        return []
    parts = [f"{n} in {target} ({told.found[target]} found)" for target, n in sorted(told.injected.items())]
    restarts = fmt.plural(told.restarts, "time") + " a node found itself corrupt and began anew"
    return [f"flipped bits: {', '.join(parts) or 'none'}; {restarts}, {told.false_alarms} of them without a cause"]
