"""A trace as a file: JSON lines."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from orbital_train.schedule.ops.base import Op
from orbital_train.schedule.ops.merging import Combine, Contribution, GroupSnapshot, Merge, Mix, Rebase, Snapshot
from orbital_train.schedule.ops.nodes import Adopt, Lose, Restore, Step, SyncStep, Upset
from orbital_train.schedule.ops.run import Deliver, Evaluate, Stage
from orbital_train.schedule.trace import NodeAccount, Trace
from orbital_train.schedule.transfers import Transfer

_KINDS: dict[str, type[Op]] = {
    c.kind: c
    for c in (
        *(Step, SyncStep, Snapshot, GroupSnapshot, Combine, Merge, Rebase, Mix),
        *(Adopt, Lose, Restore, Stage, Deliver, Evaluate, Upset),
    )
}
_HEADER = (
    "policy",
    "fleet_nodes",
    "fragments",
    "versions",
    "budget_steps",
    "merged_steps",
    "own",
    "end_us",
    "step_us",
    "tokens_per_step",
    "message_bits",
    "state_bits",
)


def write_trace(trace: Trace, path: Path) -> None:
    """Write as JSON lines: a header, then accounts, transfers and operations. Same trace, same bytes."""
    header = {k: getattr(trace, k) for k in _HEADER}
    with path.open("w", encoding="utf-8") as file:
        _line(file, {"trace": 1, **header})
        for account in trace.accounts:
            _line(file, {"account": asdict(account)})
        for transfer in trace.transfers:
            _line(file, {"transfer": asdict(transfer)})
        for op in trace.ops:
            _line(file, {"op": op.kind, **asdict(op)})


def read_trace(path: Path) -> Trace:
    """Read what :func:`write_trace` wrote."""
    accounts, transfers, ops = [], [], []
    with path.open(encoding="utf-8") as file:
        header = json.loads(next(file))
        for line in file:
            row = json.loads(line)
            if "op" in row:
                ops.append(_op(row))
            elif "transfer" in row:
                transfers.append(Transfer(**row["transfer"]))
            else:
                accounts.append(NodeAccount(**_tuples(row["account"])))
    fields = _tuples({k: header[k] for k in _HEADER})
    fields["own"] = tuple(tuple(row) for row in fields["own"])
    return Trace(**fields, accounts=tuple(accounts), transfers=tuple(transfers), ops=tuple(ops))


def _line(file: Any, row: dict[str, Any]) -> None:
    file.write(json.dumps(row, separators=(",", ":")) + "\n")


def _tuples(row: dict[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in row.items()}


def _op(row: dict[str, Any]) -> Op:
    kind = _KINDS[row.pop("op")]
    row = _tuples(row)
    if kind in (Merge, Mix):
        row["contributions"] = tuple(Contribution(**c) for c in row["contributions"])
    if kind is Evaluate:
        row["own"] = tuple(tuple(versions) for versions in row["own"])
    return kind(**row)
