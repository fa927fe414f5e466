"""Spells: what is good and bad in turn, each for a random time without memory (a two-state Markov process)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from orbital_train.windows.plan import FloatArray

_BATCH = 64  # pairs of times drawn at once; fixed, so that a longer scenario continues a shorter one


@dataclass(frozen=True, kw_only=True)
class Spells:
    """How long it is good, and how long bad, in turn; good times are distributed exponentially."""

    mean_good_s: float
    mean_bad_s: float
    fixed: bool = False  # all bad times are as long as their mean; otherwise distributed exponentially
    bad_at_start: float = 0.0  # probability of it

    def draw(self, generator: np.random.Generator, horizon_s: float) -> tuple[FloatArray, FloatArray]:
        """Starts and ends of the bad spells that begin before the horizon; a longer one changes none of them."""
        # Good times have no memory, so the first one is drawn like all others; one of no length starts bad.
        bad_first = generator.random() < self.bad_at_start
        edges: list[FloatArray] = []
        now_s = 0.0
        while now_s < horizon_s:
            spell_s = generator.exponential(1.0, (_BATCH, 2)) * [self.mean_good_s, self.mean_bad_s]
            if self.fixed:
                spell_s[:, 1] = self.mean_bad_s
            if bad_first and not edges:
                spell_s[0, 0] = 0.0
            edges.append(now_s + np.cumsum(spell_s.ravel()))
            now_s = float(edges[-1][-1])
        start_s, end_s = np.concatenate(edges).reshape(-1, 2).T
        inside = start_s < horizon_s
        return start_s[inside], end_s[inside]


def clouds(fraction: float, mean_cloudy_s: float) -> Spells:
    """Clouds over a site: cloudy for this fraction of all time, and with this probability at the start."""
    mean_clear_s = mean_cloudy_s * (1.0 - fraction) / fraction
    return Spells(mean_good_s=mean_clear_s, mean_bad_s=mean_cloudy_s, bad_at_start=fraction)
