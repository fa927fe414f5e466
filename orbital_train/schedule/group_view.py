"""What is known within a group, as a policy for the group alone would see it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from orbital_train.schedule.bookings import Bookings
from orbital_train.schedule.groups import Groups
from orbital_train.schedule.known import GroupState, Key, NodeView, View
from orbital_train.schedule.network import Network


class GroupedView(View, Protocol):
    """A view of all groups that can tell of their lines of versions."""

    def head_of(self, number: int) -> int:
        """The newest version of a group."""

    def made_us(self, version: int) -> int:
        """When a version was made."""

    def place_on_line(self, number: int, version: int) -> int:
        """How many versions of a group came before this one."""

    def version_on_line(self, number: int, place: int) -> int | None:
        """The version of a group that so many came before."""


class GroupView:
    """Implements :class:`~orbital_train.schedule.known.View`: nodes and sites are the group's, and versions are those
    of its line, counted from 0. Keys of gatherings end with the number of the group."""

    def __init__(self, whole: GroupedView, number: int) -> None:
        self._whole, self._number = whole, number
        self.horizon_us, self.step_us = whole.horizon_us, whole.step_us
        self.fragments, self.fragment_bits, self.offer_bits = whole.fragments, whole.fragment_bits, whole.offer_bits
        self.network: Network = whole.network
        self.groups: Groups = (whole.groups[number],)
        self.training_nodes = self.holders = self.sites = whole.groups[number]

    @property
    def now_us(self) -> int:
        """Now."""
        return self._whole.now_us

    @property
    def bookings(self) -> Bookings:
        """All that is booked."""
        return self._whole.bookings

    @property
    def draining(self) -> bool:
        """The budget is trained."""
        return self._whole.draining

    @property
    def down(self) -> frozenset[int]:
        """Nodes that are known to be out."""
        return self._whole.down

    def sum_bits(self, count: int) -> int:
        """See :class:`View`."""
        return self._whole.sum_bits(count)

    def gathered(self, key: Key) -> bool:
        """See :class:`View`."""
        return self._whole.gathered((*key, self._number))

    def begun(self, key: Key) -> bool:
        """See :class:`View`."""
        return self._whole.begun((*key, self._number))

    def arrived(self, key: Key) -> bool:
        """See :class:`View`."""
        return self._whole.arrived((*key, self._number))

    def version(self, fragment: int) -> int:
        """The newest version of the group."""
        return self._place(self._whole.head_of(self._number))

    def merged_us(self, fragment: int) -> int:
        """When it was made."""
        return self._whole.made_us(self._whole.head_of(self._number))

    def group(self, number: int) -> View:
        """The group itself."""
        return self

    def group_state(self, number: int) -> GroupState:
        """The group's model beside the global one."""
        return self._whole.group_state(self._number)

    def node(self, node: int, fragment: int) -> NodeView:
        """A node, with the versions of its group."""
        state = self._whole.node(node, fragment)
        waits = state.waiting_for
        return state._replace(
            base_version=self._place(state.base_version), waiting_for=None if waits is None else self._place(waits)
        )

    def timeline(self, node: int, until_us: int) -> tuple[Sequence[int], Sequence[int]]:
        """See :class:`View`."""
        return self._whole.timeline(node, until_us)

    def pause_us(self, node: int) -> int | None:
        """See :class:`View`."""
        return self._whole.pause_us(node)

    def result_arrival_us(self, node: int, fragment: int, version: int) -> int | None:
        """When a node has a version of the group, and all before it."""
        there = self._whole.version_on_line(self._number, version)
        return None if there is None else self._whole.result_arrival_us(node, fragment, there)

    def _place(self, version: int) -> int:
        return self._whole.place_on_line(self._number, version)
