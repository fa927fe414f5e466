"""Which versions the final model is made of: one that was lost with its only holder is in none."""

from __future__ import annotations

from orbital_train.schedule.trace import Merge, SyncStep, Trace

Parents = dict[tuple[int, int], int]
"""By (fragment, version): the version that it was made from."""


def parents_of(trace: Trace) -> Parents:
    """Of every version that was merged."""
    return {(op.fragment, op.to_version): op.from_version for op in trace.of_kind(Merge)}


def chain(parents: Parents, fragment: int, version: int, after: int) -> list[int]:
    """Versions from one on up to another that follows on it, oldest first."""
    found = []
    while version > after:
        found.append(version)
        version = parents[fragment, version]
    return found[::-1]


def kept_merges(trace: Trace) -> set[int]:
    """Ids of the merges that the final model is made of."""
    if any(True for _ in trace.of_kind(SyncStep)):
        return set()
    parents = parents_of(trace)
    kept = {(fragment, v) for fragment, last in enumerate(trace.versions) for v in chain(parents, fragment, last, 0)}
    return {op.id for op in trace.of_kind(Merge) if (op.fragment, op.to_version) in kept}
