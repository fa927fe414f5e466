"""What all operations of a trace share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


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
