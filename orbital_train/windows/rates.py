"""How fast a link between satellites is at its range: fixed, by a table, or by photons per bit; capped by the modem.

**Photons per bit.** A receiver that needs so many photons a bit turns received power P into P λ / (h c n) bit/s. The
part of the transmitted power that arrives is L (1 - exp(-τ²)) with τ² = A_t A_r / (λ d)², apertures A = π D² / 4 and
system losses L. Far away that is Friis's formula, P_r / P_t = A_t A_r / (λ d)² (Proc. IRE 34, 1946). Nearer than about
D² / λ, where Friis's would exceed what was sent, it saturates as the best beam between two apertures does (Goubau and
Schwering, IRE Trans. AP-9, 1961): it lies within 1 % of the exact optimum (Slepian, Bell Syst. Tech. J. 43, 1964).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from orbital_train.errors import InputError
from orbital_train.orbit.constants import LIGHT_SPEED_MPS, PLANCK_J_S
from orbital_train.windows.plan import FloatArray

LARGEST_SPREAD = 1.1  # largest over smallest rate in a slice
LOWEST_RATE_BPS = 1e6  # a laser link below it is taken for a mistake in its budget


@dataclass(frozen=True, kw_only=True)
class RateTable:
    """Rates by range in steps: ``rate_bps[k]`` up to ``range_m[k]``, and no link beyond the last."""

    range_m: tuple[float, ...]
    rate_bps: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class PhotonBudget:
    """A laser link's budget; the defaults are good for 121 Gbit/s at 5,400 km."""

    transmit_w: float = 5.0  # optical power that leaves the terminal
    transmit_aperture_m: float = 0.1  # diameter
    receive_aperture_m: float = 0.1
    wavelength_m: float = 1550e-9
    loss_db: float = 6.0  # optics, pointing, implementation: all of them
    photons_per_bit: float = 71.0

    @property
    def _tau_m(self) -> float:
        """Range at which τ is 1."""
        return np.pi / 4 * self.transmit_aperture_m * self.receive_aperture_m / self.wavelength_m

    @property
    def _whole_bps(self) -> float:
        """Rate if all of the power arrived, but for the losses."""
        photon_j = PLANCK_J_S * LIGHT_SPEED_MPS / self.wavelength_m
        return float(self.transmit_w * 10.0 ** (-self.loss_db / 10.0) / photon_j / self.photons_per_bit)

    def rate_bps(self, range_m: FloatArray) -> FloatArray:
        """Rate at these ranges, without a modem's limit."""
        return np.asarray(-self._whole_bps * np.expm1(-((self._tau_m / range_m) ** 2)))

    def range_m(self, rate_bps: FloatArray) -> FloatArray:
        """The range at which the rate is that; 0 where it never is."""
        part = np.minimum(rate_bps / self._whole_bps, 1.0)
        with np.errstate(divide="ignore"):
            return np.asarray(self._tau_m / np.sqrt(-np.log1p(-part)))


RateLaw = RateTable | PhotonBudget


def rate_at_bps(law: RateLaw, modem_bps: float, range_m: FloatArray) -> FloatArray:
    """Rate of each direction at these ranges, within what the law allows."""
    if isinstance(law, PhotonBudget):
        return np.minimum(law.rate_bps(range_m), modem_bps)
    step = np.minimum(np.searchsorted(law.range_m, range_m), len(law.range_m) - 1)
    return np.asarray(np.minimum(np.array(law.rate_bps)[step], modem_bps))


def slice_edges_m(law: RateLaw, modem_bps: float, max_range_m: float) -> FloatArray:
    """Ranges at which a link goes from one slice to the next, increasing: none spans more than the largest spread."""
    if isinstance(law, RateTable):
        return np.array(law.range_m[:-1])
    top_bps = min(modem_bps, float(law.rate_bps(np.ones(1))[0]))
    bottom_bps = float(law.rate_bps(np.array([max_range_m]))[0])
    steps = max(0, int(np.ceil(np.log(top_bps / bottom_bps) / np.log(LARGEST_SPREAD))))
    return law.range_m(top_bps / LARGEST_SPREAD ** np.arange(steps, dtype=np.float64))


def refuse_impossible(law: RateLaw, max_range_m: float) -> None:
    """Refuse a law that gives no usable rate somewhere within the range of links.

    Raises:
        InputError: keys ``links.rate_table`` and ``links.photons``.
    """
    if isinstance(law, RateTable):
        _refuse_bad_table(law, max_range_m)
        return
    rate_bps = float(law.rate_bps(np.array([max_range_m]))[0])
    if not rate_bps >= LOWEST_RATE_BPS:
        reach_km = float(law.range_m(np.array([LOWEST_RATE_BPS]))[0]) / 1e3
        problem = (
            f"gives {rate_bps / 1e6:.3g} Mbit/s at links.maximum_range_km = {max_range_m / 1e3:g}; a link needs at "
            f"least {LOWEST_RATE_BPS / 1e6:g} Mbit/s, which this budget gives up to {reach_km:.3g} km"
        )
        raise InputError("links.photons", f"{law.transmit_w:g} W", problem)


def _refuse_bad_table(table: RateTable, max_range_m: float) -> None:
    rows = [[r / 1e3, b / 1e9] for r, b in zip(table.range_m, table.rate_bps, strict=True)]
    if not all(r > 0 and b > 0 for r, b in rows):
        raise InputError("links.rate_table", rows, "ranges and rates must be above 0")
    if any(r >= s for (r, _), (s, _) in itertools.pairwise(rows)):
        raise InputError("links.rate_table", rows, "its ranges must increase from row to row")
    if table.range_m[-1] < max_range_m:
        problem = f"ends at {rows[-1][0]:g} km, and links reach to links.maximum_range_km = {max_range_m / 1e3:g}"
        raise InputError("links.rate_table", rows, problem)
