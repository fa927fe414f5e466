"""What one worker holds of a trace: for how long, how it is saved, and how it is loaded again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

from torch import Tensor

from orbital_train.schedule.ops.merging import GroupSnapshot, Snapshot
from orbital_train.schedule.ops.nodes import Adopt, Restore, Step, SyncStep
from orbital_train.schedule.trace import Trace
from orbital_train.schedule.values import local_value
from orbital_train.train.bases import bases
from orbital_train.train.inner import Replica
from orbital_train.train.liveness import drops, holders, kept_states, needed
from orbital_train.train.parking import Parking
from orbital_train.train.placement import Owners
from orbital_train.train.shards import Shards
from orbital_train.train.side_stream import SideStream
from orbital_train.train.spec import OuterSpec, ScreeningSpec
from orbital_train.train.state import NodeState, Saved
from orbital_train.train.transport import Transport
from orbital_train.train.versions import Versions


class Held:
    """The state of this worker's nodes, and the versions of the global model and of groups' that all workers have.

    Args:
        trace: what is done.
        outer: the outer optimizer of its fleet.
        shards: of the model, in the trace's fragments.
        initial_P: version 0 of it, this device's shard.
        replica: makes a replica of a vector.
        screening: how nodes look for corruption of their replicas; None: not at all.
        lasting: what is needed to go on with another trace is held longer.
        parking: of replicas that are not all on the device at once; None: they are.
    """

    def __init__(
        self,
        *,
        trace: Trace,
        outer: OuterSpec,
        shards: Shards,
        initial_P: Tensor,
        replica: Callable[[Tensor], Replica],
        screening: ScreeningSpec | None,
        lasting: bool,
        parking: Parking | None,
    ) -> None:
        self._outer, self._screening, self._lasting = outer, screening, lasting
        self.shards, self.layout, self._device = shards, shards.own, initial_P.device
        self._initial_P, self._new_replica, self._parking = initial_P, replica, parking
        self._versions = Versions(self.layout, initial_P, outer)
        self.nodes: dict[int, NodeState] = {}
        self._mean_P: Tensor | None = None  # in gossip, once the trace is done
        self._absent: set[int] = set()  # nodes whose state is lost, until they are restored
        self.position = 0  # all operations with a lower id are done
        self._settled = 0 if lasting else len(trace.ops)  # all workers are past operations with a lower id
        self._dropped = 0  # what was read last by operations with a lower id is gone

    def _take_up(self, trace: Trace, owners: Owners, transport: Transport) -> None:
        """Hold from here on what a trace needs, which has been the same until now."""
        self._trace, self._owners, self._transport = trace, owners, transport
        own = self._own_replicas()
        self._absent = self._absent & own | (own - self.nodes.keys() if self.position else set())
        self.nodes = {n: self.nodes.get(n) or self._new_node() for n in sorted(own)}
        self._bases = bases(trace) if self._screening else {}
        self._drops, self._holders = drops(trace, self._bases, lasting=self._lasting), holders(trace)
        self._kept_states = kept_states(trace)
        self._side = SideStream.of(self._device)
        if self.position:
            dropped, self._dropped = self._dropped, 0
            self._drop_below(dropped)
        else:
            for node in self.nodes:
                self._keep(node, 0)

    def settle(self, position: int) -> None:
        """All workers are past operations below a position. May be called from another thread."""
        self._settled = max(self._settled, position)

    def missing(self) -> list[str]:
        """Values that the rest of the trace reads, and that this worker should hold and does not."""
        return sorted(name for node, name in needed(self._trace, self.position) if not self._holds(node, name))

    def save_nodes(self, *, moved_only: bool = False) -> dict[int, Saved]:
        """State of this worker's nodes. To be called while the executor stands at the gate.

        Args:
            moved_only: leave out nodes of which no operation has changed anything since the last call, or since they
                were loaded.
        """
        self._side.join()
        self._drop_below(self.position)  # all workers stand here
        here = {node: state for node, state in self.nodes.items() if node not in self._absent}
        nodes = {node: state for node, state in here.items() if state.moved or not moved_only}
        for state in nodes.values():
            state.moved = False
        return {node: state.save() for node, state in nodes.items()}

    def save_shared(self) -> Saved:
        """State that all workers have in common: the live versions of the global model."""
        return Saved(tensors=self._versions.tensors(), meta={}).on("cpu")

    def load(self, position: int, nodes: Mapping[int, Saved], shared: Saved) -> None:
        """Continue from a saved state, bit for bit; nodes of this worker that are not in ``nodes`` have none."""
        self.position, self._dropped, self._mean_P = position, position, None
        self._versions.load(shared.tensors)
        self._absent = self.nodes.keys() - nodes.keys()
        for node in self.nodes.keys() & nodes.keys():
            self.nodes[node].load(nodes[node])
            self.nodes[node].moved = False

    def changing(self, node: int) -> NodeState | None:
        """State of a node that is about to change, if this worker has it."""
        state = self.nodes.get(node) if node not in self._absent else None
        if state is not None:
            state.moved = True
        return state

    def final_P(self) -> Tensor:
        """Vector of the final model, once the trace is done: the global one, in gossip the nodes' mean.

        All devices of a node ask for it at once.
        """
        final_P = self._versions.whole_P(self._trace.versions) if self._mean_P is None else self._mean_P
        return self.shards.join(final_P)

    def parameters(self) -> dict[str, Tensor]:
        """The named parameters and buffers of the final model, once the trace is done."""
        return self.shards.whole.tensors(self.final_P())

    def digest(self) -> str:
        """SHA-256 of the final model: the raw little-endian float32 of its tensors in the layout's order."""
        content = hashlib.sha256()
        for tensor in self.shards.whole.views(self.final_P()).values():
            content.update(tensor.cpu().numpy().astype("<f4", copy=False).tobytes())
        return content.hexdigest()

    def _holds(self, node: int | None, name: str) -> bool:
        """Whether a value is here that should be; any other counts as there."""
        if node is None:
            return name in self._versions
        if node not in self.nodes or node in self._absent:
            return True
        return name in self.nodes[node].held or name in self.nodes[node].kept

    def _own_replicas(self) -> set[int]:
        """Nodes of this worker that have a replica of their own (those of synchronous steps share one)."""
        kinds = Step | Snapshot | GroupSnapshot | Adopt | Restore
        nodes = {op.node for op in self._trace.ops if isinstance(op, kinds)}
        if self._trace.own:
            nodes = set(self._trace.fleet_nodes)
        return {node for node in nodes if self._owners[node] == self._transport.rank}

    def _keep(self, node: int, state: int) -> None:
        """Keep a copy of a replica that its node will go back to."""
        if (name := local_value(node, state)) in self._kept_states and (held := self.changing(node)):
            held.keep(name)

    def _new_node(self) -> NodeState:
        replica = self._new_replica(self._initial_P.clone())
        if self._parking is not None:
            replica.share(self._parking)
        return NodeState(replica=replica)

    def _look_ahead(self, op: Step | SyncStep) -> None:
        """While a node trains, let the replica come that is needed next."""
        if self._parking is None or not isinstance(op, Step) or op.node not in self.nodes:
            return
        self._parking.need(self.nodes[op.node].replica)
        for op_id in range(op.id + 1, len(self._trace.ops)):
            node = getattr(self._trace.ops[op_id], "node", op.node)
            if node != op.node and node in self.nodes:
                self._parking.expect(self.nodes[node].replica)
                return

    def _drop_below(self, position: int) -> None:
        """Let go of what operations below a position read last."""
        for op_id in range(self._dropped, position):
            self._drop(op_id)
        self._dropped = max(self._dropped, position)

    def _drop(self, op_id: int) -> None:
        for node, name in self._drops.get(op_id, ()):
            if self._lasting and not self._holds(node, name):
                continue  # it went under the trace before, or was never made
            if node is None:
                self._versions.drop(name)
            elif state := self.changing(node):
                state.drop(name)
