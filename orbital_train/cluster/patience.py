"""How long to wait for an answer: longer than any that came so far."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(kw_only=True)
class Patience:
    """A limit that adapts to what is measured, and is never below ``floor_s``."""

    floor_s: float
    factor: float = 20.0
    longest_s: float = 0.0  # of the answers so far

    @property
    def limit_s(self) -> float:
        """A longer silence means that no answer will come."""
        return max(self.floor_s, self.factor * self.longest_s)

    def answered(self, after_s: float) -> None:
        """Take note of an answer."""
        self.longest_s = max(self.longest_s, after_s)
