"""Checks of gossip in a trace: what is mixed has arrived and is used as it was sent, and steps count once."""

from __future__ import annotations

from collections import defaultdict

from orbital_train.schedule.ops.merging import Contribution, Mix, Snapshot
from orbital_train.schedule.ops.nodes import Adopt, Lose, Restore, Step
from orbital_train.schedule.places import Places, require
from orbital_train.schedule.trace import Trace
from orbital_train.schedule.values import offer_value, own_scope
from orbital_train.schedule.workload import Workload


def check_mixes(trace: Trace, workload: Workload) -> None:
    """Raise :class:`~orbital_train.schedule.places.TraceError` unless every mix is sound; only of a trace of gossip."""
    check = _Mixes(trace, workload)
    for op in trace.ops:
        match op:
            case Step():
                check.useful_steps[op.node] += op.n
            case Lose():
                check.useful_steps[op.node] -= op.steps
            case Snapshot():
                check.snapshot(op)
            case Mix():
                check.mix(op)
            case Adopt():
                same = op.scope == own_scope(op.node) and op.version == check.versions[op.node, op.fragment]
                require(same, f"operation {op.id}: not the newest slow weights of its node")
            case Restore() if op.source != op.node:
                check.restore(op)
    require(check.merged_steps // trace.fragments == trace.merged_steps, "merged steps do not add up")


class _Mixes:
    """What each node has after the operations so far. Steps are counted without those that were lost in failures."""

    def __init__(self, trace: Trace, workload: Workload) -> None:
        self._places, self._bits = Places(trace), workload.fragment_offer_bits
        self.useful_steps: dict[int, int] = defaultdict(int)
        self.versions: dict[tuple[int, int], int] = defaultdict(int)  # of own slow weights, by node and fragment
        self._held: dict[tuple[int, int], int] = defaultdict(int)  # steps that these hold
        self._taken_in: dict[tuple[int, int], int] = defaultdict(int)  # steps that another node has mixed in
        self._snapshots: dict[str, tuple[Snapshot, int]] = {}
        self.merged_steps = 0

    def snapshot(self, op: Snapshot) -> None:
        """An outer gradient is what its node has trained since it mixed last."""
        own, steps = (op.node, op.fragment), self.useful_steps[op.node]
        require(op.scope == own_scope(op.node), f"operation {op.id}: not of its node's own slow weights")
        require(op.base_version == self.versions[own], f"operation {op.id}: not of the newest slow weights")
        require(op.steps == steps - self._held[own], f"operation {op.id}: {op.steps} steps")
        self._snapshots[op.value] = (op, steps)
        self._places.write(offer_value(op.node, op.fragment, op.state), {op.node: op.end_us}, self._bits)

    def mix(self, op: Mix) -> None:
        """A node mixes what it offered with what others offered and has come."""
        own, where = (op.node, op.fragment), f"operation {op.id}"
        require(op.from_version == self.versions[own], f"{where}: not of the newest slow weights")
        require(op.to_version == op.from_version + 1, f"{where}: skips a version")
        require(op.contributions[0].node == op.node, f"{where}: its node's own outer gradient does not come first")
        total, steps = sum(c.weight for c in op.contributions), sum(c.steps for c in op.contributions)
        require(abs(total - (1 if steps else 0)) < 1e-9, f"{where}: weights add up to {total}")
        for c, version in zip(op.contributions, op.slow_versions, strict=True):
            self._contribution(op, c, version)
        self.versions[own] = op.to_version

    def _contribution(self, op: Mix, c: Contribution, version: int) -> None:
        where = f"operation {op.id}, {c.snapshot}"
        require(c.snapshot in self._snapshots, f"{where}: no outer gradient")
        snapshot, steps = self._snapshots[c.snapshot]
        same = (c.node, c.steps, version) == (snapshot.node, snapshot.steps, snapshot.base_version)
        require(same and op.fragment == snapshot.fragment, f"{where}: not as it was offered")
        require((c.weight > 0) == (c.steps > 0), f"{where}: weight {c.weight} for {c.steps} steps")
        its = (c.node, op.fragment)
        if c.node == op.node:
            require(version == op.from_version, f"{where}: mixed already")
            self._held[its] = steps
            return
        self._places.require(offer_value(c.node, op.fragment, snapshot.state), op.node, op.start_us)
        self.merged_steps += max(0, steps - self._taken_in[its])
        self._taken_in[its] = max(steps, self._taken_in[its])

    def restore(self, op: Restore) -> None:
        """A node goes on from another's slow weights; what no other had taken in of its steps is lost."""
        for fragment, (version, own_version) in enumerate(zip(op.versions, op.own_versions, strict=True)):
            own = (op.node, fragment)
            require(version <= self.versions[op.source, fragment], f"operation {op.id}: not there to be sent")
            require(own_version == self.versions[own] + 1, f"operation {op.id}: skips a version")
            self.versions[own] = own_version
            self._held[own] = self._taken_in[own] = self.useful_steps[op.node]
