"""Lookups in a fault plan: whether a node is down at a moment, and whether a message gets through."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator
from typing import TypeVar

import numpy as np

from orbital_train.schedule.faults import BitFlip, FaultPlan, FlipTarget
from orbital_train.schedule.network import Hop, Piece
from orbital_train.windows.plan import ContactPlan

NEVER_US = 1 << 62  # after everything

K = TypeVar("K", bound=Hashable)


class FaultTimes:
    """The faults of a plan by node and by link, for the contacts of a scenario. Immutable.

    ``message_bits`` is the size of one outer gradient, for which a node's buffer has room (flips of messages).
    """

    def __init__(self, plan: FaultPlan, contacts: ContactPlan, message_bits: int = 1) -> None:
        outages = [(o.node, o.start_us, NEVER_US if o.end_us is None else o.end_us, o) for o in plan.down]
        self._down = _stretches((node, start, end) for node, start, end, _ in outages)
        self._losing = _stretches((node, start, end) for node, start, end, o in outages if o.loses_state)
        self._link = _stretches(((o.a, o.b), o.start_us, o.end_us) for o in plan.link_outages if o.b is not None)
        self._links_of = _stretches((o.a, o.start_us, o.end_us) for o in plan.link_outages if o.b is None)
        self._owlt_us = np.ceil(contacts.owlt_s * 1e6).astype(np.int64)
        self._factors = _factors(plan)
        self._messages = Flips(plan.bit_flips, "message")
        self._stores = Flips(plan.bit_flips, "checkpoint")
        self._message_bits = message_bits

    def is_down(self, node: int, at_us: int) -> bool:
        """Whether a node is down at a moment; not at the moment in which its outage ends."""
        down = self._down.get(node)
        return down is not None and down.first_us(at_us, at_us + 1) is not None

    def up_us(self, node: int, from_us: int, to_us: int) -> int | None:
        """The first moment of ``[from_us, to_us)`` at which a node is not down."""
        down = self._down.get(node)
        return from_us if down is None else down.first_outside_us(from_us, to_us)

    def factors(self, node: int) -> tuple[tuple[int, float], ...]:
        """How many times as long a node's steps take, as (since_us, factor) by time; once before the first."""
        return self._factors.get(node, ())

    def cut_us(self, hop: Hop) -> int | None:
        """The first moment at which something of a message is lost; None if it gets through.

        It is lost where its source is down or its link is out while a part is sent, ``[start_us, end_us)``, or its
        destination is down while a part is heard: one light time later, rounded up to a microsecond, the moment of
        arrival included. A part that takes no time counts at its moment. A message in several parts is also lost where
        either end loses its state between the first and the last of them; a node that is down between parts and keeps
        its state goes on with the next. What is under way when its link or its source fails is still heard.

        And it is lost where a bit of it is flipped while a part is under way: its checksum is wrong, and who gets it
        does not acknowledge it.
        """
        failed_us = self.failed_us(hop)
        return self._flipped_us(hop) if failed_us is None else failed_us

    def failed_us(self, hop: Hop) -> int | None:
        """The same where only failures of its ends and its link count, and not flipped bits."""
        source, dest = hop.source, hop.dest
        link = (source, dest) if source < dest else (dest, source)
        sending = (self._down.get(source), self._link.get(link), self._links_of.get(source), self._links_of.get(dest))
        failing = [stretches for stretches in sending if stretches is not None]
        down = self._down.get(dest)
        if not failing and down is None:
            return None
        moments = [
            stretches.first_us(piece.start_us, max(piece.end_us, piece.start_us + 1))
            for stretches in failing
            for piece in hop.pieces
        ]
        if down is not None:
            heard = [self._heard_us(piece) for piece in hop.pieces]
            moments += [down.first_us(start_us, end_us + 1) for start_us, end_us in heard]
        moments += self._losses_between(hop)
        return min((moment for moment in moments if moment is not None), default=None)

    def spoils(self, node: int, from_us: int, to_us: int) -> bool:
        """Whether a bit flips in a node's store in ``[from_us, to_us)``."""
        return any(True for _ in self._stores.during(node, from_us, to_us))

    def _flipped_us(self, hop: Hop) -> int | None:
        for piece in hop.pieces if hop.source in self._messages.of_node else ():
            for flip in self._messages.during(hop.source, piece.start_us, self._heard_us(piece)[1]):
                if is_hit(flip.place, piece.bits, self._message_bits):
                    return flip.at_us
        return None

    def _losses_between(self, hop: Hop) -> list[int | None]:
        """When either end loses what it holds of a message that is not through yet."""
        first, last = hop.pieces[0], hop.pieces[-1]
        losing, gathering = self._losing.get(hop.source), self._losing.get(hop.dest)
        at_source = losing.first_us(first.start_us, last.start_us) if losing else None
        at_dest = gathering.first_us(self._heard_us(first)[0], self._heard_us(last)[0]) if gathering else None
        return [at_source, at_dest]

    def _heard_us(self, piece: Piece) -> tuple[int, int]:
        owlt_us = int(self._owlt_us[piece.contact])
        return piece.start_us + owlt_us, piece.end_us + owlt_us


def is_hit(place: float, bits: int, message_bits: int) -> bool:
    """Whether a place in a buffer for one outer gradient is taken by a message, or by a part, of so many bits."""
    return place * message_bits < bits


class Flips:
    """Flips of one kind by node and time."""

    def __init__(self, flips: Iterable[BitFlip], target: FlipTarget) -> None:
        self.of_node: dict[int, list[BitFlip]] = defaultdict(list)
        for flip in flips:
            if flip.target == target:
                self.of_node[flip.node].append(flip)

    def during(self, node: int, from_us: int, to_us: int) -> Iterator[BitFlip]:
        """Those of a node in ``[from_us, to_us)``, in order."""
        own = self.of_node.get(node, [])
        for k in range(bisect_left(own, from_us, key=lambda flip: flip.at_us), len(own)):
            if own[k].at_us >= to_us:
                break
            yield own[k]


class _Stretches:
    """Stretches of time by start; they do not overlap."""

    def __init__(self, stretches: Iterable[tuple[int, int]]) -> None:
        self._starts_us: list[int] = []
        self._ends_us: list[int] = []
        for start_us, end_us in stretches:
            if self._ends_us and start_us <= self._ends_us[-1]:
                self._ends_us[-1] = max(self._ends_us[-1], end_us)
            else:
                self._starts_us.append(start_us)
                self._ends_us.append(end_us)

    def first_us(self, from_us: int, to_us: int) -> int | None:
        """The first moment of ``[from_us, to_us)`` that is in any of them."""
        k = bisect_right(self._ends_us, from_us)
        if k < len(self._ends_us) and self._starts_us[k] < to_us:
            return max(self._starts_us[k], from_us)
        return None

    def first_outside_us(self, from_us: int, to_us: int) -> int | None:
        """The first moment of ``[from_us, to_us)`` that is in none of them."""
        k = bisect_right(self._ends_us, from_us)
        within = k < len(self._ends_us) and self._starts_us[k] <= from_us
        at_us = self._ends_us[k] if within else from_us
        return at_us if at_us < to_us else None


def _stretches(rows: Iterable[tuple[K, int, int]]) -> dict[K, _Stretches]:
    """(what, start, end), by start, to the stretches of each; what overlaps or touches becomes one."""
    own: dict[K, list[tuple[int, int]]] = defaultdict(list)
    for what, start_us, end_us in rows:
        own[what].append((start_us, end_us))
    return {what: _Stretches(stretches) for what, stretches in own.items()}


def _factors(plan: FaultPlan) -> dict[int, tuple[tuple[int, float], ...]]:
    """At every start and end of a slow-down, the largest factor that holds from then on; repeated ones are left out."""
    of_node = defaultdict(list)
    for slow in plan.slow_downs:
        of_node[slow.node].append(slow)
    factors = {}
    for node, own in of_node.items():
        changes: list[tuple[int, float]] = []
        for at_us in sorted({edge for slow in own for edge in (slow.start_us, slow.end_us)}):
            factor = max((s.factor for s in own if s.start_us <= at_us < s.end_us), default=1.0)
            if factor != (changes[-1][1] if changes else 1.0):
                changes.append((at_us, factor))
        factors[node] = tuple(changes)
    return factors
