"""Which versions the final model is made of: one that was lost with its only holder is in none."""

from __future__ import annotations

from orbital_train.schedule.ops.merging import GroupSnapshot, Merge, Rebase
from orbital_train.schedule.ops.nodes import SyncStep
from orbital_train.schedule.trace import Trace

Parents = dict[tuple[int, int], int]
"""By (fragment, version): the version that it was made from."""


def parents_of(trace: Trace) -> Parents:
    """Of every version that was merged, or that a group made by taking a global one."""
    made = (op for kind in (Merge, Rebase) for op in trace.of_kind(kind))
    return {(op.fragment, op.to_version): op.from_version for op in made}


def chain(parents: Parents, fragment: int, version: int, after: int) -> list[int]:
    """Versions from one on up to another that follows on it, oldest first."""
    found = []
    while version > after:
        found.append(version)
        version = parents[fragment, version]
    return found[::-1]


def kept_merges(trace: Trace) -> set[int]:
    """Ids of the merges that the final model is made of, those within groups too."""
    if any(True for _ in trace.of_kind(SyncStep)):
        return set()
    parents = parents_of(trace)
    kept = {(fragment, v) for fragment, last in enumerate(trace.versions) for v in chain(parents, fragment, last, 0)}
    offers = {op.value: (op.fragment, op.version) for op in trace.of_kind(GroupSnapshot)}
    for op in trace.of_kind(Merge) if offers else ():
        version = op.fragment, op.to_version
        for offer in (offers.get(c.snapshot) for c in op.contributions if version in kept):
            while offer is not None and offer not in kept:
                kept.add(offer)
                offer = (offer[0], parents[offer]) if offer in parents else None
    return {op.id for op in trace.of_kind(Merge) if (op.fragment, op.to_version) in kept}
