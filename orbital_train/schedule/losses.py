"""What failures cost: inner steps that were trained and then lost, before any merge had them."""

from __future__ import annotations

from collections import defaultdict

from orbital_train.schedule.lineage import kept_merges
from orbital_train.schedule.ops.merging import Contribution, Merge, Mix, Snapshot
from orbital_train.schedule.ops.nodes import Lose, Restore, Step
from orbital_train.schedule.trace import Trace


def fault_lost_steps(trace: Trace) -> int:
    """Whole inner steps that failures cost; those of a fragment are its share of a step.

    A node that keeps its state loses what it trained since it last saved. One that loses its state, or begins anew with
    a copy from another, loses all that is in no merge of the final model and was in no outer gradient that is; in
    gossip, all that no other node has taken in.
    """
    merged = _merged_snapshots(trace)
    trained: dict[int, int] = defaultdict(int)
    lost: dict[tuple[int, int], int] = defaultdict(int)  # by node and fragment
    held: dict[tuple[int, int], int] = defaultdict(int)  # steps in outer gradients so far that are merged some time
    for op in trace.ops:
        if isinstance(op, Step):
            trained[op.node] += op.n
        elif isinstance(op, Snapshot):
            key = op.node, op.fragment
            if trace.own and op.value in merged:  # it holds again what was offered before and not mixed by its own node
                held[key] = trained[op.node] - lost[key]
            else:
                held[key] += merged.get(op.value, 0)
        elif isinstance(op, Lose | Restore):
            for key in ((op.node, fragment) for fragment in range(trace.fragments)):
                if isinstance(op, Lose) and not op.loses_state:
                    lost[key] += op.steps
                elif isinstance(op, Lose) or op.source != op.node:
                    lost[key] = trained[op.node] - held[key]
    return sum(lost.values()) // trace.fragments


def merged_steps_of(trace: Trace) -> dict[int, int]:
    """Whole inner steps of each training node that are in the final model, or in gossip in another node's."""
    of_node: dict[int, int] = dict.fromkeys(trace.fleet_nodes, 0)
    for contribution in _merged(trace):
        of_node[contribution.node] += contribution.steps
    return {node: steps // trace.fragments for node, steps in of_node.items()}


def _merged_snapshots(trace: Trace) -> dict[str, int]:
    """Steps of every outer gradient that is merged some time, by its name."""
    return {c.snapshot: c.steps for c in _merged(trace)}


def _merged(trace: Trace) -> list[Contribution]:
    """Every outer gradient that the final model is made of, or that another node took in, once."""
    if trace.own:
        found = [c for op in trace.of_kind(Mix) for c in op.contributions if c.node != op.node]
    else:
        kept = kept_merges(trace)
        found = [c for op in trace.of_kind(Merge) if op.id in kept for c in op.contributions if c.weight]
    return list({c.snapshot: c for c in found}.values())
