"""How much faster than elsewhere bits are flipped where a satellite is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from orbital_train.windows.plan import FloatArray


@dataclass(frozen=True, kw_only=True)
class Radiation:
    """Factors of N nodes, each constant between edges, from 0 to the horizon."""

    edge_s: FloatArray  # (K + 1,)
    factor: FloatArray  # (N, K)

    def dose_s(self, node: int, horizon_s: float) -> tuple[FloatArray, FloatArray]:
        """Times, and the integral of the factor up to each of them: linear in between. Both (K + 1,)."""
        edge_s = np.minimum(self.edge_s, horizon_s)
        return edge_s, np.concatenate([[0.0], np.cumsum(self.factor[node] * np.diff(edge_s))])
