"""What is held longer where a run may have to go on with another trace, since a worker was lost (``liveness.py``).

Until then both traces are the same, but who reads what later is not known. So a node keeps its last outer gradient of
each fragment and the mark of it until it takes another, and inputs of a sum are kept until the sum is merged, to form
it anew without who is lost. Of the versions those stay that some node started from, and all newer ones.
"""

from __future__ import annotations

from collections import Counter, defaultdict

from orbital_train.schedule.ops.base import Op
from orbital_train.schedule.ops.merging import Combine, Merge, Snapshot
from orbital_train.schedule.ops.nodes import Adopt, Lose, Restore
from orbital_train.schedule.trace import Trace
from orbital_train.schedule.values import global_value

Held = tuple[int | None, str]
NOTHING = -1  # in place of a version


def outer_gradients_last(trace: Trace, last: dict[Held, int], holders: dict[str, int], mark: str) -> None:
    """Let outer gradients stay: change the ids in ``last``; ``mark`` is what the name of a mark begins with."""
    following: dict[tuple[int, int], int] = {}
    for op in reversed(trace.ops):
        if isinstance(op, Combine):
            used = last[holders[op.value], op.value]
            for value in op.inputs:
                held = holders[value], value
                last[held] = max(last[held], used)
        elif isinstance(op, Snapshot):
            until = following.get((op.node, op.fragment), len(trace.ops) - 1)
            for value in (op.value, mark + op.value):
                last[op.node, value] = max(last[op.node, value], until)
            following[op.node, op.fragment] = op.id


def versions_last(trace: Trace, last: dict[Held, int]) -> None:
    """Let versions stay: change the ids in ``last``."""
    fragments = [_Bases(len(trace.fleet_nodes)) for _ in range(trace.fragments)]
    for op in trace.ops:
        for fragment, released in _released(op, fragments):
            for version in released:
                held = (None, global_value(fragment, version))
                last[held] = max(last.get(held, 0), op.id)
    for fragment, bases in enumerate(fragments):
        for version in bases.kept():
            held = (None, global_value(fragment, version))
            if held in last:
                last[held] = len(trace.ops) - 1


def _released(op: Op, fragments: list[_Bases]) -> list[tuple[int, list[int]]]:
    """Versions, by fragment, that nobody can need any more after an operation."""
    match op:
        case Merge():
            fragments[op.fragment].head = op.to_version
            return [(op.fragment, fragments[op.fragment].release())]
        case Adopt():
            return [(op.fragment, fragments[op.fragment].start_from(op.node, op.version))]
        case Restore() if op.source != op.node:
            return [(f, fragments[f].start_from(op.node, version)) for f, version in enumerate(op.versions)]
        case Lose():
            return [(f, bases.fail(op.node, without=op.loses_state)) for f, bases in enumerate(fragments)]
        case Restore():
            return [(f, bases.start_from(op.node)) for f, bases in enumerate(fragments)]
    return []


class _Bases:
    """The versions of one fragment that nodes have adopted last."""

    def __init__(self, nodes: int) -> None:
        self.head = 0
        self._base: dict[int, int] = defaultdict(int)
        self._up, self._down = Counter({0: nodes}), Counter[int]()
        self._is_down: set[int] = set()
        self._next = 0  # versions below are released, unless who is down needs them
        self._waiting: set[int] = set()  # of these, who is down needs them

    def start_from(self, node: int, version: int | None = None) -> list[int]:
        """A node takes a version, or goes on from the one that it has."""
        self._remove(node)
        version = self._base[node] if version is None else version
        self._base[node] = version
        self._up[version] += 1
        self._next = min(self._next, version)
        return self.release()

    def fail(self, node: int, *, without: bool) -> list[int]:
        """A node fails, and keeps what it has, or does not."""
        self._remove(node)
        if without:
            self._base[node] = NOTHING
        elif self._base[node] != NOTHING:
            self._is_down.add(node)
            self._down[self._base[node]] += 1
        return self.release()

    def release(self) -> list[int]:
        """What nobody needs any more."""
        found = [version for version in self._waiting if not self._down[version]]
        self._waiting.difference_update(found)
        while self._next < self.head and not self._up[self._next]:
            (self._waiting.add if self._down[self._next] else found.append)(self._next)
            self._next += 1
        return found

    def kept(self) -> list[int]:
        """Versions that are not released at the end."""
        return [*range(self._next, self.head + 1), *self._waiting]

    def _remove(self, node: int) -> None:
        if self._base[node] != NOTHING:
            counted = self._down if node in self._is_down else self._up
            counted[self._base[node]] -= 1
        self._is_down.discard(node)
