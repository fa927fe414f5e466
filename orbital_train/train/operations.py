"""The operations of a trace on one worker, in id order: all of them but inner steps, which others execute between."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from orbital_train.schedule.ops.base import Op
from orbital_train.schedule.ops.merging import Combine, GroupSnapshot, Merge, Mix, Rebase, Snapshot
from orbital_train.schedule.ops.nodes import Adopt, Lose, Restore, Step, SyncStep, Upset
from orbital_train.schedule.ops.run import Deliver, Evaluate, Stage
from orbital_train.schedule.trace import Trace
from orbital_train.schedule.values import GLOBAL
from orbital_train.train.adopt import adopted, base_codecs, moved_mark, received
from orbital_train.train.contributions import check_merging, is_nothing
from orbital_train.train.devices import all_finite, norm
from orbital_train.train.encoders import Encoders
from orbital_train.train.feedback import feedback
from orbital_train.train.gate import Gate
from orbital_train.train.held import Held
from orbital_train.train.inner import Replica
from orbital_train.train.liveness import goes_back, is_mark, mark_value
from orbital_train.train.outer import average, outer_step, rebased
from orbital_train.train.own_weights import OwnWeights
from orbital_train.train.parking import Parking
from orbital_train.train.placement import Owners
from orbital_train.train.rows import Row, row_of, silent
from orbital_train.train.scratch import Scratch
from orbital_train.train.screening import MOMENTS, NORM, NOTHING, is_outlier, moments_are_sound, remember
from orbital_train.train.shards import Shards
from orbital_train.train.spec import OuterSpec, ScreeningSpec
from orbital_train.train.state import NodeState, Saved
from orbital_train.train.sums import Sums, value_codecs
from orbital_train.train.transport import Transport
from orbital_train.train.upsets import Upsets

NOT_FINITE = "it is not finite"
LOSS_NOT_FINITE = "the loss is not finite"


class Operations(Held):
    """One worker's part of everything that happens to its nodes' replicas between inner steps.

    Every worker holds all live versions of the global model, and of groups'; replicas, snapshots, sums, marks and, in
    gossip, slow weights of nodes' own are held by the worker that hosts their node. Where a node spans several devices,
    all of this is shards, one on each of them.

    Args:
        trace: what to do.
        outer: the outer optimizer; InputError where it, or its way of merging, is not for the trace.
        seed: of the rounding of what is sent.
        shards: of the model, in the trace's fragments.
        initial_P: version 0 of it, this device's shard.
        replica: makes a replica of a vector.
        transport: to the other workers.
        owners: the rank that hosts each training node.
        emit: takes the rows of ``metrics.jsonl``; each row comes from exactly one worker.
        screening: how nodes look for corruption of their replicas; None: not at all.
        validate: what the row of an evaluation has of a model; it may be asked for on any worker.
        progress: called after every operation, with the operation.
        lasting: the run may have to go on with another trace: what is needed for that is held longer
            (``lasting.py``), and until all workers are known to be past it (:meth:`settle`).
        parking: of replicas that are not all on the device at once; None: they are.
    """

    def __init__(
        self,
        *,
        trace: Trace,
        outer: OuterSpec,
        seed: int,
        shards: Shards,
        initial_P: Tensor,
        replica: Callable[[Tensor], Replica],
        transport: Transport,
        owners: Owners,
        emit: Callable[[Row], None],
        validate: Callable[[Evaluate, Tensor], Row],
        progress: Callable[[Op], None] | None = None,
        screening: ScreeningSpec | None = None,
        lasting: bool = False,
        parking: Parking | None = None,
    ) -> None:
        self._seed, self._tell, self._validate, self._progress = seed, emit, validate, progress
        self._alone = 0  # operations with a lower id were done by others: they have the results
        super().__init__(
            trace=trace,
            outer=outer.of_fleet(len(trace.fleet_nodes)),
            shards=shards,
            initial_P=initial_P,
            replica=replica,
            screening=screening,
            lasting=lasting,
            parking=parking,
        )
        self.follow(trace, owners, transport)

    def follow(self, trace: Trace, owners: Owners, transport: Transport) -> None:
        """Go on with another trace, which has been the same until now, and with other workers.

        Replicas of new nodes of this worker are absent; those of nodes that are others' now are gone.
        """
        check_merging(self._outer, sums=any(trace.of_kind(Combine)), gossips=bool(trace.own))
        self._take_up(trace, owners, transport)
        self._silent = silent(trace)
        self._base_codecs = base_codecs(trace)
        self._encoders = Encoders(
            nodes=self.nodes,
            holders=self._holders,
            feedback=feedback(trace),
            layout=self.layout,
            owners=owners,
            transport=transport,
            seed=self._seed,
            clip_norm=self._outer.clip_norm,
            side=self._side,
            device=self._device,
            devices=self.shards.devices,
        )
        self._sums = Sums(
            nodes=self.nodes,
            holders=self._holders,
            codecs=value_codecs(trace),
            layout=self.layout,
            encoders=self._encoders,
            owners=owners,
            transport=transport,
            spec=self._outer,
            device=self._device,
            scratch=Scratch(self._device),
        )
        self._own_weights = OwnWeights(
            layout=self.layout, nodes=self.nodes, sums=self._sums, devices=self.shards.devices
        )
        self.upsets = Upsets.of(
            trace,
            nodes=self.nodes,
            holders=self._holders,
            versions=self._versions,
            trained=self.layout.trained,
            side=self._side,
            emit=self._emit,
        )
        if trace.own and not self.position:
            self._own_weights.begin(self._initial_P)
        self._evaluator = {op.id: k % transport.size for k, op in enumerate(trace.of_kind(Evaluate))}
        self._execute: dict[type[Op], Callable[[Any], None]] = {
            Snapshot: self._snapshot,
            GroupSnapshot: self._group_snapshot,
            Combine: self._combine,
            Merge: self._merge,
            Rebase: self._rebase,
            Mix: self._mix,
            Adopt: self._adopt,
            Lose: self._lose,
            Restore: self._restore,
            Stage: self._nothing,
            Deliver: self._nothing,
            Evaluate: self._evaluate,
            Upset: self.upsets.happen,
        }

    def walk(self, gate: Gate) -> Iterator[Step | SyncStep]:
        """Execute operations from ``position`` on, as far as the gate allows.

        Inner steps are given out, and must be executed before the next ones are asked for.
        """
        for op_id in range(self.position, len(self._trace.ops)):
            if not gate.enter(op_id):
                break
            op = self._trace.ops[op_id]
            if isinstance(op, Step | SyncStep):
                self._look_ahead(op)
                yield op
            else:
                self._execute[type(op)](op)
            if isinstance(op, Step | Adopt | Restore):
                self._keep(op.node, op.state + 1)
            self.position = op_id + 1
            self._drop_below(min(self.position, self._settled))
            if self._progress:
                self._progress(op)
        if self._trace.own and self.position == len(self._trace.ops):
            self._mean_P = self._own_weights.mean_P(self._trace.own)
        self._transport.flush()

    def stepped(self, op: Step, losses: Sequence[Tensor]) -> None:
        """The inner steps of an operation were taken by its node, with these losses."""
        loss_sum = torch.zeros((), device=self._device)
        for loss in losses:
            loss_sum += loss
        total = loss_sum.item()  # read once, so that no step waits for the device
        if math.isfinite(total):
            self._emit({**row_of("step", op), "node": op.node, "first": op.first, "n": op.n, "loss": total / op.n})
            if self._screening and not moments_are_sound(self.nodes[op.node].replica):
                self._begin_anew(op, MOMENTS)
            return
        first = next((k for k, loss in enumerate(losses) if not math.isfinite(loss.item())), op.n - 1)
        if self._screening:
            self._begin_anew(op, LOSS_NOT_FINITE)
            return
        self.nodes[op.node].replica.stopped = True
        row = {"node": op.node, "step": op.first + first, "problem": LOSS_NOT_FINITE}
        self._emit({**row_of("stop", op), **row})

    # -- going on with another trace ---------------------------------------------------------------------------------

    def catch_up(self, position: int, shared: Saved) -> None:
        """Take the versions of a worker that is at a position already: what it merged is not merged again.

        What follows below this position is done alone: no sums are formed, and nothing is evaluated.
        """
        self._versions.load(shared.tensors)
        self._alone = position

    def form_sums(self) -> None:
        """Form all sums anew that are on their way, with all other workers, who stand at the same position."""
        alive = {name for op_id, held in self._drops.items() if op_id >= self.position for _, name in held}
        for op in self._trace.ops[: self.position]:
            if isinstance(op, Combine) and op.value in alive:
                self._form(op)
        self._transport.flush()

    def evaluate(self, op_id: int) -> None:
        """Do an evaluation that was another worker's."""
        op = self._trace.ops[op_id]
        assert isinstance(op, Evaluate)
        self._emit_evaluation(op, None, {})

    # -- operations --------------------------------------------------------------------------------------------------

    def _snapshot(self, op: Snapshot) -> None:
        node = self.changing(op.node)
        if node is None:
            return
        local_F = self.layout.take(node.replica.parameters_P.detach(), op.fragment)
        delta_F = self._base(op) - local_F
        problem = self._refusal(op, node, delta_F)
        if problem is not None:
            delta_F = torch.zeros_like(delta_F)
            row = {"node": op.node, "fragment": op.fragment, "problem": problem}
            self._emit({**row_of("refuse", op), **row})
            if self._screening and problem != NOTHING:
                self._begin_anew(op, problem)
                local_F = self.layout.take(node.replica.parameters_P.detach(), op.fragment)
        self._encoders.contribute(op, delta_F, problem is not None)
        node.held[mark_value(op.value)] = local_F.clone()

    def _refusal(self, op: Snapshot, node: NodeState, delta_F: Tensor) -> str | None:
        """Why an outer gradient is refused; None: it is not."""
        devices = self.shards.devices
        if node.replica.stopped or not all_finite(delta_F, devices).item():
            return NOT_FINITE
        if self._screening:
            if op.steps and not delta_F.any():
                return NOTHING
            length = norm(delta_F[: self.layout.fragment_trained(op.fragment)], devices).item()
            if is_outlier(node, op.fragment, length, self._screening.norm_factor):
                return NORM
            remember(node, op.fragment, length)
        return None

    def _begin_anew(self, op: Step | Snapshot, problem: str) -> None:
        """Let a node of this worker begin anew from the versions that it adopted last; it has made no progress since.

        It holds them, and they are what others hold, so that nothing has to be sent.
        """
        node = self.nodes[op.node]
        for fragment, (version, codec) in enumerate(self._bases[op.id]):
            base_F = self._received(op.node, fragment, version, codec)
            self.layout.put(node.replica.parameters_P.detach(), fragment, base_F)
            for name in node.held:
                if is_mark(name, op.node, fragment):
                    node.held[name] = base_F.clone()
        node.replica.start_anew()
        self._emit({**row_of("corrupt", op), "node": op.node, "problem": problem})

    def _combine(self, op: Combine) -> None:
        if op.id >= self._alone:
            self._form(op)

    def _form(self, op: Combine) -> None:
        """Form a sum; where nothing in it counts, and who should hold it has no worker, there is none."""
        if any(op.weights) or self._owners[self._holders[op.value]] >= 0:
            self._sums.combine(op)

    def _group_snapshot(self, op: GroupSnapshot) -> None:
        """Where it is taken is of no consequence: all workers have both versions."""
        if self.changing(op.node):
            base, own = (self._versions.get(op.fragment, v).parameters_F for v in (op.base_version, op.version))
            self._encoders.contribute(op, base - own, refused=False)

    def _merge(self, op: Merge) -> None:
        if op.id < self._alone:
            return
        before, trained = self._versions.get(op.fragment, op.from_version), self.layout.fragment_trained(op.fragment)
        outer_gradient_F, refused = self._sums.average(op)
        devices = self.shards.devices
        problem = None if all_finite(outer_gradient_F, devices).item() else "the average is not finite"
        if problem:
            outer_gradient_F = torch.zeros_like(outer_gradient_F)
        if is_nothing(refused):
            after = before
        elif op.scope == GLOBAL:
            after = outer_step(before, outer_gradient_F, self._outer, trained, op.share)
        else:
            after = average(before, outer_gradient_F, trained, op.share)
        if not after.is_finite(devices):
            after, problem = before, "the version would not be finite"
        self._versions.put(op.fragment, op.to_version, after)
        if self._tells_all:
            if problem:
                self._emit({**row_of("refuse", op), "fragment": op.fragment, "problem": problem})
            row = {
                "scope": op.scope,
                "fragment": op.fragment,
                "to_version": op.to_version,
                "contributors": sum(1 for c in op.contributions if c.weight),
                "outer_gradient_norm": norm(outer_gradient_F[:trained], self.shards.devices).item(),
            }
            self._emit({**row_of("merge", op), **row, **({"refused_weight": refused} if refused else {})})

    def _rebase(self, op: Rebase) -> None:
        versions = (op.from_version, op.since_version, op.global_version)
        own, since, taken = (self._versions.get(op.fragment, version) for version in versions)
        self._versions.put(op.fragment, op.to_version, rebased(own, since, taken))

    def _mix(self, op: Mix) -> None:
        row = self._own_weights.mix(op, self._outer)
        if row is not None:
            what = {"node": op.node, "fragment": op.fragment, "to_version": op.to_version}
            self._emit({**row_of("refuse" if "problem" in row else "mix", op), **what, **row})

    def _adopt(self, op: Adopt) -> None:
        node = self.changing(op.node)
        if node is None:
            return
        local_P = node.replica.parameters_P.detach()
        local_F = self.layout.take(local_P, op.fragment)
        after_F = adopted(
            op, local_F, self._received(op.node, op.fragment, op.version, op.codec), self._since(node, op)
        )
        after_F[self.layout.fragment_averaged(op.fragment) :].round_()  # a blend of integers is one
        for name, held in node.held.items():
            if is_mark(name, op.node, op.fragment):
                node.held[name] = moved_mark(op, held, local_F, after_F)
        self.layout.put(local_P, op.fragment, after_F)

    def _since(self, node: NodeState, op: Adopt) -> Tensor | None:
        """Where the progress began that an adoption keeps."""
        if op.mode != "keep":
            return None
        if op.since_snapshot is not None:
            return node.held[mark_value(op.since_snapshot)]
        return self._base(op)

    def _base(self, op: Snapshot | Adopt) -> Tensor:
        """The version that a node adopted last, as the node has it."""
        return self._received(op.node, op.fragment, op.base_version, self._base_codecs.get(op.id))

    def _received(self, node: int, fragment: int, version: int, codec: str | None) -> Tensor:
        """A version of the global model, in gossip of the node's own, as a node has it that was sent it by a codec."""
        if self._trace.own:
            version_F = self._own_weights.get_F(node, fragment, version)
        else:
            version_F = self._versions.get(fragment, version).parameters_F
        return received(version_F, codec, self.layout.fragment_trained(fragment))

    def _lose(self, op: Lose) -> None:
        """What a node loses it does not read again: nothing is to be done."""
        if self._tells_all:
            row = {"node": op.node, "cause": op.cause, "loses_state": op.loses_state, "steps": op.steps}
            self._emit({**row_of("lose", op), **row})

    def _nothing(self, op: Stage | Deliver) -> None:
        """It takes simulated time only."""

    def _restore(self, op: Restore) -> None:
        if op.source != op.node:
            self._absent.discard(op.node)
        if op.own_versions:
            self._own_weights.restore(op)
        node = self.changing(op.node)
        if node is None:
            return
        if goes_back(op):
            node.go_back(op.reads[0])
        elif op.source != op.node:
            for fragment, version in enumerate(() if op.own_versions else op.versions):
                version_F = self._versions.get(fragment, version).parameters_F
                received_F = received(version_F, op.codec, self.layout.fragment_trained(fragment))
                self.layout.put(node.replica.parameters_P.detach(), fragment, received_F)
            node.replica.start_anew()
        self._emit({**row_of("restore", op), "node": op.node, "source": op.source, "versions": list(op.versions)})

    def _evaluate(self, op: Evaluate) -> None:
        """On one worker; workers take turns. In gossip all give their part of the mean, and of the spread about it."""
        if op.id < self._alone:
            return
        mean_P = self._own_weights.mean_P(op.own) if op.own else None
        spread = {} if mean_P is None else {"nodes": len(op.own), "spread": self._own_weights.spread(op.own, mean_P)}
        if self._evaluator[op.id] == self._transport.rank:
            self._emit_evaluation(op, mean_P, spread)

    def _emit_evaluation(self, op: Evaluate, mean_P: Tensor | None, spread: Row) -> None:
        found = self._validate(op, self._versions.whole_P(op.versions) if mean_P is None else mean_P)
        row = {"versions": list(op.versions), "merged_steps": op.merged_steps}
        self._emit({**row_of("evaluate", op), **row, **found, **spread})

    @property
    def _tells_all(self) -> bool:
        """Whether this worker tells what every worker knows: one of them, or all where it may be lost."""
        return self._lasting or self._transport.rank == 0

    def _emit(self, row: Row) -> None:
        if row["op"] not in self._silent:
            self._tell(row)
