"""The trace: a dataflow of immutable named values, in integer microseconds.

Every operation has a dense ``id`` in topological order; it reads and writes named values, each written once:

- ``global/F@V``: version V of fragment F of the global model, with its outer optimizer state. Version 0 is given.
- ``local/N@K``: the K-th state of node N's replica and inner optimizer. State 0 is given (it equals version 0).
- ``snap/N/F@K``: node N's outer gradient of fragment F, taken when its replica was in state K.
- ``sum/N/F@K``: the K-th sum of outer gradients of fragment F that was formed at node or site N.
- ``group/G/N/F@V``: group G's outer gradient of fragment F, taken at node N when the group's model was version V. Where
  there are groups, ``global`` has the versions of their models too: all are one tree.
- ``own/N/F@V``: version V of fragment F of node N's own slow weights, with an outer optimizer state of its own, where
  there is no global model (gossip). Version 0 is given (it equals version 0 of the global model).

A name that ends in ``#c/C`` is that of part c of C equal parts: of an outer gradient on its way, or of a sum of such.

Anything that executes operations in id order therefore finds every value that it needs. How a value travels is told by
the transfers that carry it: those of one name form a tree from where the value was written.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

from orbital_train.schedule.faults import FlipTarget

AdoptMode = Literal["replace", "keep", "blend"]

Part = tuple[int, int]
"""Number, of how many equal parts of a vector."""
WHOLE: Part = (0, 1)

OwnVersions = tuple[tuple[int, ...], ...]
"""Of each node: its number, and the version of each fragment of its own slow weights."""


GLOBAL: Final = "global"  # the scope of the global model


def group_scope(group: int) -> str:
    """The scope of the model of a group."""
    return f"group/{group}"


def own_scope(node: int) -> str:
    """The scope of a node's own slow weights."""
    return f"own/{node}"


def version_value(scope: str, fragment: int, version: int) -> str:
    """Name of a version of a fragment of a scope's model."""
    return f"{scope}/{fragment}@{version}"


def global_value(fragment: int, version: int) -> str:
    """Name of a version of a fragment of the global model."""
    return version_value(GLOBAL, fragment, version)


def local_value(node: int, state: int) -> str:
    """Name of a state of a node's replica."""
    return f"local/{node}@{state}"


def snapshot_value(node: int, fragment: int, state: int) -> str:
    """Name of an outer gradient, taken from a node's replica in this state."""
    return f"snap/{node}/{fragment}@{state}"


def group_snapshot_value(group: int, node: int, fragment: int, version: int) -> str:
    """Name of a group's outer gradient, taken at one of its nodes when its model was this version."""
    return f"group/{group}/{node}/{fragment}@{version}"


def sum_value(site: int, fragment: int, number: int) -> str:
    """Name of a partial sum."""
    return f"sum/{site}/{fragment}@{number}"


def part_value(value: str, part: Part) -> str:
    """Name of a part (number, of how many) of a value; of the only part, and of what is that part, its own name."""
    number, parts = part
    return value if parts == 1 or "#" in value else f"{value}#{number}/{parts}"


def part_of(value: str) -> Part:
    """Which part of how many a name stands for: the first of one where it stands for the whole."""
    number, _, parts = value.partition("#")[2].partition("/")
    return (int(number), int(parts)) if parts else WHOLE


def parts_of(values: Iterable[str]) -> list[Part]:
    """The parts that these stand for together, in their order; those of nothing are the whole."""
    return sorted({part_of(value) for value in values} or {WHOLE})


def result_value(fragment: int, version: int) -> str:
    """Name of the averaged outer gradient that made a version, as it is sent to those that apply it."""
    return f"result/{fragment}@{version}"


def state_value(fragment: int, version: int) -> str:
    """Name of a version's parameters, as they are sent to those that hold no version before it."""
    return f"state/{fragment}@{version}"


def offer_value(node: int, fragment: int, state: int) -> str:
    """Name of what a node sends to one that it mixes with: its outer gradient, and the slow weights it started from."""
    return f"offer/{node}/{fragment}@{state}"


def restored_value(node: int, request: int) -> str:
    """Name of the copy of the whole model that a node is sent when it asks for one, for the ``request``-th time."""
    return f"restored/{node}@{request}"


FIRST_MODEL = "stage/model"  # as it is sent up to all nodes


def data_value(node: int) -> str:
    """Name of a node's own training data, as it is sent up."""
    return f"stage/data/{node}"


def final_value(versions: tuple[int, ...]) -> str:
    """Name of the final model, as it is sent down."""
    return "final/" + "/".join(map(str, versions))


def own_values(own: OwnVersions) -> tuple[str, ...]:
    """Names of the slow weights of nodes."""
    return tuple(version_value(own_scope(node), f, v) for node, *versions in own for f, v in enumerate(versions))


@dataclass(frozen=True, slots=True)
class Transfer:
    """A message, or a part, on one contact: ``bits`` of ``value`` sent in ``[start_us, end_us)``, heard later.

    A message that does not fit a window goes on in the next one of the same two nodes: it is whole when the bits of its
    transfers between these nodes add up.
    """

    contact: int
    source: int
    dest: int
    start_us: int
    end_us: int
    owlt_us: int
    bits: int
    value: str
    lost: bool = False  # the message does not get through: a node is down, or the link

    @property
    def arrival_us(self) -> int:
        """When the last bit is received."""
        return self.end_us + self.owlt_us


@dataclass(frozen=True, slots=True)
class Op:
    """What all operations share."""

    kind: ClassVar[str] = ""
    id: int
    start_us: int
    end_us: int

    @property
    def reads(self) -> tuple[str, ...]:
        """Values that must be there before it starts."""
        return ()

    @property
    def writes(self) -> tuple[str, ...]:
        """Values that are there when it has ended."""
        return ()


@dataclass(frozen=True, slots=True)
class Step(Op):
    """``n`` whole inner steps of one node; ``first`` counts from the node's first ever step and names the batch.

    Step ``first + k`` runs at learning-rate progress ``lr_progress + k * lr_progress_per_step``, clipped to 1.
    ``tokens`` are those of the flown workload, all ``n`` steps together.
    """

    kind: ClassVar[str] = "step"
    node: int
    state: int  # of the replica before the steps; they lead to the next
    first: int
    n: int
    tokens: int
    lr_progress: float
    lr_progress_per_step: float

    @property
    def reads(self) -> tuple[str, ...]:
        """The replica before."""
        return (local_value(self.node, self.state),)

    @property
    def writes(self) -> tuple[str, ...]:
        """The replica after."""
        return (local_value(self.node, self.state + 1),)


@dataclass(frozen=True, slots=True)
class SyncStep(Op):
    """``n`` whole steps of synchronous data parallel training: the group averages its gradients in every step."""

    kind: ClassVar[str] = "sync_step"
    group: tuple[int, ...]
    first: int
    n: int
    tokens: int  # of the whole group
    lr_progress: float
    lr_progress_per_step: float
    from_version: int
    to_version: int

    @property
    def reads(self) -> tuple[str, ...]:
        """The version before."""
        return (global_value(0, self.from_version),)

    @property
    def writes(self) -> tuple[str, ...]:
        """The version after."""
        return (global_value(0, self.to_version),)


@dataclass(frozen=True, slots=True)
class Snapshot(Op):
    """A node's outer gradient of a fragment at this moment: version ``base_version`` minus its replica."""

    kind: ClassVar[str] = "snapshot"
    node: int
    state: int
    fragment: int
    base_version: int
    steps: int
    tokens: int
    codec: str
    scope: str = GLOBAL  # whose version

    @property
    def value(self) -> str:
        """Name of the outer gradient."""
        return snapshot_value(self.node, self.fragment, self.state)

    @property
    def reads(self) -> tuple[str, ...]:
        """The replica and the version that it started from."""
        return (local_value(self.node, self.state), version_value(self.scope, self.fragment, self.base_version))

    @property
    def writes(self) -> tuple[str, ...]:
        """The outer gradient."""
        return (self.value,)


@dataclass(frozen=True, slots=True)
class Combine(Op):
    """A weighted sum of outer gradients, or of such sums, formed at ``site`` on the way and encoded again by ``codec``.

    Outer gradients enter with ``weights``, sums with 1: the weights are not normalised, a merge divides by their total.
    Of a part (number, of how many) only that part of outer gradients enters, and sums are of the same part.
    """

    kind: ClassVar[str] = "combine"
    site: int
    number: int
    fragment: int
    inputs: tuple[str, ...]
    weights: tuple[float, ...]  # one for each input
    codec: str
    part: Part = WHOLE

    @property
    def value(self) -> str:
        """Name of the sum."""
        return part_value(sum_value(self.site, self.fragment, self.number), self.part)

    @property
    def reads(self) -> tuple[str, ...]:
        """What is added."""
        return self.inputs

    @property
    def writes(self) -> tuple[str, ...]:
        """The sum."""
        return (self.value,)


@dataclass(frozen=True, slots=True)
class Contribution:
    """One snapshot's part in a merge; the weights of a merge add up to 1. What is void has none."""

    snapshot: str
    node: int
    steps: int
    weight: float
    staleness: int


@dataclass(frozen=True, slots=True)
class Merge(Op):
    """An outer step: contributions meet at ``site``, and every holder applies the same step to its own copy.

    In the scope of a group its nodes are the holders; the step is then the plain average, without momentum, and
    contributions to the global model are those of groups.

    The averaged outer gradient is the sum of ``inputs`` with ``input_weights``; each input is an outer gradient or a
    partial sum of several. What is sent back, and applied everywhere, is that average as ``codec`` encodes it.
    Inputs may be sums of parts, of every part then, each complete. Whoever has been sent all of these needs nothing
    back; ``site`` is the first that has them.
    """

    kind: ClassVar[str] = "merge"
    scope: str
    site: int
    holders: tuple[int, ...]
    fragment: int
    from_version: int
    to_version: int
    contributions: tuple[Contribution, ...]
    inputs: tuple[str, ...]
    input_weights: tuple[float, ...]
    momentum: Literal["replicated", "travels"]
    codec: str  # of the averaged outer gradient that is sent back

    @property
    def reads(self) -> tuple[str, ...]:
        """The version before, and what is merged into it."""
        return (global_value(self.fragment, self.from_version), *self.inputs)

    @property
    def writes(self) -> tuple[str, ...]:
        """The version after."""
        return (global_value(self.fragment, self.to_version),)


@dataclass(frozen=True, slots=True)
class GroupSnapshot(Op):
    """A group's outer gradient: the global version that it took last minus its own newest, at a node that has both."""

    kind: ClassVar[str] = "group_snapshot"
    group: int
    node: int
    fragment: int
    base_version: int
    version: int
    steps: int  # of its nodes that are in its version and not in the global one
    tokens: int
    codec: str

    @property
    def value(self) -> str:
        """Name of the outer gradient."""
        return group_snapshot_value(self.group, self.node, self.fragment, self.version)

    @property
    def reads(self) -> tuple[str, ...]:
        """The two versions."""
        return tuple(global_value(self.fragment, version) for version in (self.base_version, self.version))

    @property
    def writes(self) -> tuple[str, ...]:
        """The outer gradient."""
        return (self.value,)


@dataclass(frozen=True, slots=True)
class Rebase(Op):
    """A group takes a global version and keeps what is not in it: its model becomes

        from_version - since_version + global_version,

    where ``since_version`` is its model at its outer gradient that the global version holds, or else the global version
    that it took before. All of the group's nodes do the same, and nothing is sent but what made the global version.
    """

    kind: ClassVar[str] = "rebase"
    group: int
    fragment: int
    from_version: int
    since_version: int
    global_version: int
    to_version: int

    @property
    def reads(self) -> tuple[str, ...]:
        """The three versions that it is made of."""
        versions = (self.from_version, self.since_version, self.global_version)
        return tuple(global_value(self.fragment, version) for version in versions)

    @property
    def writes(self) -> tuple[str, ...]:
        """The group's next version."""
        return (global_value(self.fragment, self.to_version),)


@dataclass(frozen=True, slots=True)
class Mix(Op):
    """Gossip: one node makes a new version of its own slow weights, from its own and those of the nodes it met.

    With outer gradients D_j of weights w_j (they add up to 1), slow weights p_j, and m the plain mean of all p_j
    (NoLoCo, arXiv 2506.10911; here an outer gradient is slow weights minus replica):

        momentum' = a momentum + b sum_j w_j D_j + c (p - m),    p' = p - momentum'

    with the momentum coefficient a, outer learning rate b and pull c of the outer optimizer. ``p - m`` is reckoned with
    every p_j as ``codec`` encodes it, the node's own too: what is pulled from one node is then given to the others, and
    mixing leaves the mean of all nodes' slow weights where it is. The first contribution is the node's own.
    """

    kind: ClassVar[str] = "mix"
    node: int
    fragment: int
    from_version: int
    to_version: int
    contributions: tuple[Contribution, ...]
    slow_versions: tuple[int, ...]  # of the slow weights that came with each contribution
    codec: str  # of slow weights

    @property
    def reads(self) -> tuple[str, ...]:
        """Outer gradients, and the slow weights that they started from."""
        slow = (
            version_value(own_scope(c.node), self.fragment, version)
            for c, version in zip(self.contributions, self.slow_versions, strict=True)
        )
        return (*slow, *(c.snapshot for c in self.contributions))

    @property
    def writes(self) -> tuple[str, ...]:
        """The node's slow weights after."""
        return (version_value(own_scope(self.node), self.fragment, self.to_version),)


@dataclass(frozen=True, slots=True)
class Adopt(Op):
    """A node takes a version of a fragment of the global model.

    ``replace``: the replica becomes that version. ``keep``: it becomes that version plus the progress that the node
    made since its snapshot ``since_snapshot`` (or, where that is None, since the version it last adopted; a snapshot
    of its own that is merged into a later version then moves along: the state it remembers shifts as the replica does).
    ``blend``: ``alpha`` times the version plus ``1 - alpha`` times the replica.

    A node that holds the global model has the version exactly: it applied what others sent of it. One that does not was
    sent the version's parameters, and has them as ``codec`` encodes them.
    """

    kind: ClassVar[str] = "adopt"
    node: int
    state: int
    fragment: int
    base_version: int  # that it adopted last
    version: int
    since_snapshot: str | None
    mode: AdoptMode
    alpha: float = 1.0
    codec: str | None = None
    scope: str = GLOBAL  # whose version

    @property
    def reads(self) -> tuple[str, ...]:
        """The replica, the version, and where the progress that is kept began."""
        begun = self.since_snapshot or version_value(self.scope, self.fragment, self.base_version)
        kept = () if self.mode == "replace" else (begun,)
        return (local_value(self.node, self.state), version_value(self.scope, self.fragment, self.version), *kept)

    @property
    def writes(self) -> tuple[str, ...]:
        """The replica after."""
        return (local_value(self.node, self.state + 1),)


@dataclass(frozen=True, slots=True)
class Lose(Op):
    """A node fails. The last ``steps`` steps are in no store; with ``loses_state`` nothing is.

    Where it failed with the worker that executed it, nobody has heard of its operations from ``unheard`` on.
    """

    kind: ClassVar[str] = "lose"
    node: int
    cause: str
    loses_state: bool
    steps: int
    unheard: int | None = None


@dataclass(frozen=True, slots=True)
class Restore(Op):
    """A node that failed goes on, or one that joins late begins.

    From its own store (``source`` is the node itself) it takes its replica and inner optimizer as they were in
    ``from_state``. From another node it takes the global model in ``versions`` of each fragment, and its inner
    optimizer starts anew. In gossip it takes the other node's slow weights for ``own_versions`` of its own, without
    momentum.
    """

    kind: ClassVar[str] = "restore"
    node: int
    state: int
    source: int
    from_state: int
    versions: tuple[int, ...]
    request: int  # how often the node had asked for the model
    codec: str | None  # of the parameters that it is sent; None: they are exact, as holders of the model need them
    own_versions: tuple[int, ...] = ()

    @property
    def reads(self) -> tuple[str, ...]:
        """What it goes on from."""
        if self.source == self.node:
            return (local_value(self.node, self.from_state),)
        scope = own_scope(self.source) if self.own_versions else GLOBAL
        return tuple(version_value(scope, fragment, version) for fragment, version in enumerate(self.versions))

    @property
    def writes(self) -> tuple[str, ...]:
        """The replica after, and in gossip the slow weights."""
        own = (version_value(own_scope(self.node), f, version) for f, version in enumerate(self.own_versions))
        return (local_value(self.node, self.state + 1), *own)


@dataclass(frozen=True, slots=True)
class Stage(Op):
    """A node has been sent the first model and its data, and can begin."""

    kind: ClassVar[str] = "stage"
    node: int


@dataclass(frozen=True, slots=True)
class Deliver(Op):
    """The final model is brought from ``source``, which has all of it, to a site."""

    kind: ClassVar[str] = "deliver"
    site: int
    source: int
    versions: tuple[int, ...]  # of each fragment

    @property
    def reads(self) -> tuple[str, ...]:
        """The fragments of the model."""
        return tuple(global_value(fragment, version) for fragment, version in enumerate(self.versions))


@dataclass(frozen=True, slots=True)
class Evaluate(Op):
    """Validation of the global model, after ``merged_steps`` inner steps went into it.

    In gossip the scope is ``mean``: of the slow weights of all nodes that are up, with their spread about it.
    """

    kind: ClassVar[str] = "evaluate"
    scope: str
    versions: tuple[int, ...]  # of each fragment; () for ``mean``
    merged_steps: int
    merged_tokens: int
    own: OwnVersions = ()

    @property
    def reads(self) -> tuple[str, ...]:
        """The fragments of the model, or of every node's."""
        model = tuple(global_value(fragment, version) for fragment, version in enumerate(self.versions))
        return (*model, *own_values(self.own))


@dataclass(frozen=True, slots=True)
class Upset(Op):
    """A particle flips one bit of what a node has (see :class:`~orbital_train.schedule.faults.BitFlip`).

    It writes no value: what is written later by a node whose replica was hit is what came of that. A flip of the
    replica or the gradient that falls into inner steps takes place within them, in the step that is under way.
    """

    kind: ClassVar[str] = "upset"
    node: int
    target: FlipTarget
    place: float  # from 0 to 1, in what is hit
    bit: int
    value: str  # that is hit: a version, or an outer gradient or a sum under way; otherwise empty

    @property
    def reads(self) -> tuple[str, ...]:
        """What is hit, if it is a value of the trace."""
        return (self.value,) if self.value else ()


OPS: dict[str, type[Op]] = {
    c.kind: c
    for c in (
        *(Step, SyncStep, Snapshot, GroupSnapshot, Combine, Merge, Rebase, Mix),
        *(Adopt, Lose, Restore, Stage, Deliver, Evaluate, Upset),
    )
}


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeAccount:
    """What one node did over the run, in exact whole steps, microseconds and watt-hours."""

    name: str
    trains: bool
    steps: int  # whole inner steps trained
    steps_allowed: int  # that its energy and its outages would have allowed, had it never waited
    steps_always_powered: int  # of the same node in constant sunlight
    training_us: int
    no_energy_us: int
    waiting_us: int  # powered, but told to wait (for a link, a merge or the end)
    down_us: int
    restoring_us: int  # up again, but waiting for the model
    harvested_wh: float  # at the array, before curtailment
    curtailed_wh: float
    consumed_wh: float
    battery_loss_wh: float
    unserved_wh: float
    battery_us: tuple[int, ...] = field(repr=False)  # battery energy at these times, linear in between
    battery_wh: tuple[float, ...] = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Trace:
    """The whole of a simulated run."""

    policy: str
    fleet_nodes: tuple[int, ...]  # indices of the nodes that train
    fragments: int
    versions: tuple[int, ...]  # of each fragment, that the final model is made of
    budget_steps: int
    merged_steps: int  # a step counts where all fragments of it are merged; parts of steps add up
    own: OwnVersions = ()  # gossip: the final model is the mean of these
    end_us: int
    step_us: int
    tokens_per_step: int
    message_bits: int  # of an outer gradient of the whole model
    state_bits: int  # of its parameters
    transfers: tuple[Transfer, ...]
    ops: tuple[Op, ...]
    accounts: tuple[NodeAccount, ...]  # one per node of the contact plan

    @property
    def grouped(self) -> bool:
        """Whether groups of nodes have models of their own."""
        return any(op.scope != GLOBAL for op in self.of_kind(Merge))

    def of_kind(self, kind: type[Op]) -> Iterator[Any]:
        """Operations of one kind, in id order."""
        return (op for op in self.ops if type(op) is kind)

    def write(self, path: Path) -> None:
        """Write as JSON lines: a header, then accounts, transfers and operations. Same trace, same bytes."""
        header = {k: getattr(self, k) for k in _HEADER}
        with path.open("w", encoding="utf-8") as file:
            _line(file, {"trace": 1, **header})
            for account in self.accounts:
                _line(file, {"account": asdict(account)})
            for transfer in self.transfers:
                _line(file, {"transfer": asdict(transfer)})
            for op in self.ops:
                _line(file, {"op": op.kind, **asdict(op)})

    @classmethod
    def read(cls, path: Path) -> Trace:
        """Read what :meth:`write` wrote."""
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
        return cls(**fields, accounts=tuple(accounts), transfers=tuple(transfers), ops=tuple(ops))


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


def _line(file: Any, row: dict[str, Any]) -> None:
    file.write(json.dumps(row, separators=(",", ":")) + "\n")


def _tuples(row: dict[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in row.items()}


def _op(row: dict[str, Any]) -> Op:
    kind = OPS[row.pop("op")]
    row = _tuples(row)
    if kind in (Merge, Mix):
        row["contributions"] = tuple(Contribution(**c) for c in row["contributions"])
    if kind is Evaluate:
        row["own"] = tuple(tuple(versions) for versions in row["own"])
    return kind(**row)
