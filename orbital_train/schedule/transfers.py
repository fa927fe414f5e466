"""Messages of a trace on contacts."""

from __future__ import annotations

from dataclasses import dataclass


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
