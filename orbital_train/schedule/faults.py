"""The fault plan: what fails when. A simulation is given all of it, a policy only what it can have heard of."""

from __future__ import annotations

import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

WORKER = "worker"  # cause of an outage


@dataclass(frozen=True, kw_only=True)
class Outage:
    """A node is down in ``[start_us, end_us)``: it neither trains nor sends nor hears.

    Causes: ``reset``; ``loss``, for ever; ``late``, from 0 on: the node joins when it ends; ``listed`` in the recipe;
    ``worker``, the real one that executed the node was lost (:class:`WorkerLoss`).
    """

    node: int
    start_us: int
    end_us: int | None  # None: for ever
    loses_state: bool  # what is in its on-board store is lost too
    cause: str

    def __post_init__(self) -> None:
        assert 0 <= self.start_us < _end(self)


@dataclass(frozen=True, kw_only=True)
class LinkOutage:
    """Two nodes cannot send to each other in ``[start_us, end_us)``, in either direction.

    Causes: ``link``; ``acquisition``, one that was missed; ``cloud`` over a ground site; ``listed`` in the recipe.
    """

    a: int
    b: int | None  # None: all links of ``a``
    start_us: int
    end_us: int
    cause: str

    def __post_init__(self) -> None:
        assert 0 <= self.start_us < self.end_us
        assert self.a != self.b


@dataclass(frozen=True, kw_only=True)
class SlowDown:
    """Inner steps of a node take ``factor`` times as long in ``[start_us, end_us)``, as of a chip that is too hot."""

    node: int
    start_us: int
    end_us: int
    factor: float

    def __post_init__(self) -> None:
        assert 0 <= self.start_us < self.end_us
        assert self.factor >= 1


FlipTarget = Literal["parameters", "optimizer", "gradient", "version", "message", "checkpoint"]


@dataclass(frozen=True, kw_only=True)
class BitFlip:
    """A particle flips one bit in a satellite's memory or store.

    Targets: ``parameters`` of its replica, the state of its inner ``optimizer``, the ``gradient`` of the step that it
    is in, its copy of the ``version`` of the global model that it adopted last, the ``message`` that it is sending, the
    ``checkpoint`` in its on-board store. Where there is no such thing at this moment nothing happens.
    """

    node: int
    at_us: int
    target: FlipTarget
    place: float  # in the target, from 0 to 1; of a message: in a buffer for one outer gradient of the whole model
    bit: int  # of a float32 number, from its lowest

    def __post_init__(self) -> None:
        assert self.at_us >= 0
        assert 0 <= self.place < 1
        assert 0 <= self.bit < 32

    @property
    def takes_time(self) -> bool:
        """Whether it is found whatever is being trained, and then costs time."""
        return self.target in ("message", "checkpoint")


@dataclass(frozen=True, kw_only=True)
class WorkerLoss:
    """A real failure of a run that goes on without what it cost: the process that executed a node is gone.

    The node trained nothing from ``start_us`` on, which is known from ``known_us`` on: until then all happens as if it
    had, and from then on it is down, without its state. What it contributed and nobody had merged by then is void.
    """

    node: int
    start_us: int  # of its first operation of which nobody has heard
    known_us: int  # after all that any survivor had executed
    end_us: int | None  # when a worker is back; None: none is yet
    unheard: int  # number of that operation, or of one before it and after all of the node's others
    void: tuple[str, ...]  # its outer gradients that were in no merge

    def __post_init__(self) -> None:
        assert 0 <= self.start_us <= self.known_us < (math.inf if self.end_us is None else self.end_us)

    @property
    def outage(self) -> Outage:
        """What comes of it for the timing."""
        return Outage(node=self.node, start_us=self.known_us, end_us=self.end_us, loses_state=True, cause=WORKER)


Fault = Outage | LinkOutage | SlowDown | BitFlip | WorkerLoss


@dataclass(frozen=True, kw_only=True)
class FaultPlan:
    """All faults of a scenario, by start; plans of the same faults are equal, in whatever order these were given.

    Outages of a node that overlap or touch become one, with the cause of the first. Where only the later one loses the
    node's state they become two that touch, so that the state is lost when that one begins and not before. So a fault
    that is added later changes nothing of the plan before its start. Other faults may overlap: a link is out while any
    of its outages says so, and the largest of a node's factors counts.
    """

    outages: tuple[Outage, ...] = ()
    link_outages: tuple[LinkOutage, ...] = ()
    slow_downs: tuple[SlowDown, ...] = ()
    bit_flips: tuple[BitFlip, ...] = ()
    worker_losses: tuple[WorkerLoss, ...] = ()

    def __post_init__(self) -> None:
        links = sorted({_by_lower_node(o) for o in self.link_outages}, key=_link_order)
        slow = sorted(set(self.slow_downs), key=lambda s: (s.start_us, s.node, s.end_us, s.factor))
        lost = sorted(set(self.worker_losses), key=lambda w: (w.known_us, w.node))
        object.__setattr__(self, "outages", _disjoint(self.outages))
        object.__setattr__(self, "link_outages", tuple(links))
        object.__setattr__(self, "slow_downs", tuple(slow))
        object.__setattr__(self, "bit_flips", tuple(sorted(set(self.bit_flips), key=_flip_order)))
        object.__setattr__(self, "worker_losses", tuple(lost))

    def __bool__(self) -> bool:
        """Whether anything fails that takes time."""
        flips = any(flip.takes_time for flip in self.bit_flips)
        return bool(self.outages or self.link_outages or self.slow_downs or self.worker_losses or flips)

    @property
    def down(self) -> tuple[Outage, ...]:
        """All outages, those that come of lost workers too, by start; none of a node within another."""
        if not self.worker_losses:
            return self.outages
        return _disjoint([*self.outages, *(lost.outage for lost in self.worker_losses)])

    def with_fault(self, fault: Fault) -> FaultPlan:
        """The same plan and one more fault."""
        match fault:
            case Outage():
                return replace(self, outages=(*self.outages, fault))
            case LinkOutage():
                return replace(self, link_outages=(*self.link_outages, fault))
            case SlowDown():
                return replace(self, slow_downs=(*self.slow_downs, fault))
            case BitFlip():
                return replace(self, bit_flips=(*self.bit_flips, fault))
            case WorkerLoss():
                return replace(self, worker_losses=(*self.worker_losses, fault))

    def text(self) -> str:
        """JSON lines: a header, then one fault a line. Same plan, same text."""
        rows: list[dict[str, Any]] = [{"faults": 1}]
        rows += [{"outage": vars(outage)} for outage in self.outages]
        rows += [{"link_outage": vars(outage)} for outage in self.link_outages]
        rows += [{"slow_down": vars(slow_down)} for slow_down in self.slow_downs]
        rows += [{"bit_flip": vars(flip)} for flip in self.bit_flips]
        rows += [{"worker_loss": vars(lost)} for lost in self.worker_losses]
        return "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows)

    def digest(self) -> str:
        """SHA-256 of :meth:`text`."""
        return hashlib.sha256(self.text().encode()).hexdigest()

    def write(self, path: Path) -> None:
        """Write :meth:`text`; exact."""
        path.write_text(self.text(), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> FaultPlan:
        """Read what :meth:`write` wrote."""
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()[1:]]
        return cls(
            outages=tuple(Outage(**row["outage"]) for row in rows if "outage" in row),
            link_outages=tuple(LinkOutage(**row["link_outage"]) for row in rows if "link_outage" in row),
            slow_downs=tuple(SlowDown(**row["slow_down"]) for row in rows if "slow_down" in row),
            bit_flips=tuple(BitFlip(**row["bit_flip"]) for row in rows if "bit_flip" in row),
            worker_losses=tuple(_worker_loss(row["worker_loss"]) for row in rows if "worker_loss" in row),
        )


def _worker_loss(row: dict[str, Any]) -> WorkerLoss:
    return WorkerLoss(**{**row, "void": tuple(row["void"])})


def _end(outage: Outage) -> float:
    return math.inf if outage.end_us is None else outage.end_us


def _by_lower_node(outage: LinkOutage) -> LinkOutage:
    if outage.b is None or outage.a < outage.b:
        return outage
    return replace(outage, a=outage.b, b=outage.a)


def _link_order(outage: LinkOutage) -> tuple[int, int, int, int, str]:
    return outage.start_us, outage.a, -1 if outage.b is None else outage.b, outage.end_us, outage.cause


def _flip_order(flip: BitFlip) -> tuple[int, int, str, float, int]:
    return flip.at_us, flip.node, flip.target, flip.place, flip.bit


def _disjoint(outages: Iterable[Outage]) -> tuple[Outage, ...]:
    """Outages by start, none of a node within another."""
    of_node: dict[int, list[Outage]] = defaultdict(list)
    for outage in sorted(outages, key=lambda o: (o.start_us, not o.loses_state, o.cause, _end(o))):
        own = of_node[outage.node]
        if own and outage.start_us <= _end(own[-1]):
            own[-1:] = _joined(own[-1], outage)
        else:
            own.append(outage)
    return tuple(sorted((o for own in of_node.values() for o in own), key=lambda o: (o.start_us, o.node)))


def _joined(first: Outage, later: Outage) -> list[Outage]:
    """Two outages of a node that overlap or touch; that a worker was lost stays to be seen."""
    end_us = max(first, later, key=_end).end_us
    if later.cause != WORKER and (first.loses_state or not later.loses_state):
        return [replace(first, end_us=end_us)]
    return [replace(first, end_us=later.start_us), replace(later, end_us=end_us)]


NO_FAULTS = FaultPlan()
