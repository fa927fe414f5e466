"""What is where at one moment: what the pictures of orbits and links are drawn from."""

from __future__ import annotations

from dataclasses import dataclass

from orbital_train.windows.plan import FloatArray


@dataclass(frozen=True, kw_only=True)
class Sky:
    """N satellites, M ground sites and the Sun, in inertial axes (TEME) centred on the Earth."""

    t_s: float  # since the scenario's start
    moment: str  # the same in words, UTC
    satellites_m: FloatArray  # (N, 3)
    velocities_mps: FloatArray  # (N, 3)
    sites_m: FloatArray  # (M, 3)
    sun: FloatArray  # (3,) unit vector towards the Sun
    sidereal_rad: float  # turn of the Earth: from these axes to Earth-fixed ones, about z
    orbits_m: FloatArray  # (P, K, 3) closed curves, one for each plane, or for some of many
    tails_deg: FloatArray  # (N, K, 2) longitude and latitude below each satellite over the last minutes, oldest first
