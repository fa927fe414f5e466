"""Makes starlink_synthetic.json: element sets that look like Starlink's, for satellites that do not exist.

    python -m tests.scenarios.make_starlink        (from the root of the project)

Eight neighbouring planes of each of Starlink's two shells at 53 degrees, and a few satellites on their way up. The
spread of every field is that of CelesTrak's list of May 2024 (1,280 and 1,504 station-kept satellites of the two
shells): element sets 4 to 40 hours old, mean motion to 1e-4 rev/day, eccentricity (1.4 +- 0.25)e-4 with the perigee
near the north, B* of (4 +- 6)e-4 and so often negative, planes with their nodes 0.3 degrees off and a sixth of their
slots empty. Satellites keep their slots: mean anomaly and node at each epoch are such that at the start all are where
their slot is, but for 0.3 degrees.

The draws are Python's own generator through the normal distribution's inverse, so that every version makes the same.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import NormalDist
from typing import Any

PATH = Path(__file__).with_name("starlink_synthetic.json")
START = datetime(2026, 6, 1, tzinfo=UTC)  # of the recipe that flies them: all epochs are before it
SEED = 2026
FIRST_NUMBER = 900_001  # catalogue numbers that no satellite has

EARTH_RADIUS_KM = 6_378.137
J2 = 1.08263e-3


@dataclass(frozen=True, kw_only=True)
class Shell:
    inclination_deg: float
    inclination_spread_deg: float
    mean_motion: float  # [rev/day]
    axis_km: float
    slots: int  # of a full plane
    filled: float  # share of them
    phase_deg: float  # by which a plane leads the one to its west
    node_deg: float  # of the first plane
    planes: int = 8
    node_step_deg: float = 5.0  # 72 planes around the Earth


LOWER = Shell(
    inclination_deg=53.2167, inclination_spread_deg=0.0011, mean_motion=15.08845, axis_km=6_918.1, slots=20,
    filled=0.97, phase_deg=9.25, node_deg=192.5,
)  # fmt: skip
UPPER = Shell(
    inclination_deg=53.0547, inclination_spread_deg=0.0011, mean_motion=15.06391, axis_km=6_925.6, slots=22,
    filled=0.84, phase_deg=8.86, node_deg=190.0,
)  # fmt: skip
RISING = 6


class Draws:
    """Seeded draws."""

    def __init__(self, seed: int) -> None:
        self._uniform = random.Random(seed)

    def normal(self, mean: float, sigma: float) -> float:
        return NormalDist(mean, sigma).inv_cdf(self._uniform.random())

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * self._uniform.random()


def records() -> list[dict[str, Any]]:
    """All element sets, with CelesTrak's fields."""
    draws = Draws(SEED)
    places = [*_station_kept(draws, LOWER), *_station_kept(draws, UPPER), *_rising(draws)]
    return [_record(draws, FIRST_NUMBER + k, *place) for k, place in enumerate(places)]


def _station_kept(draws: Draws, shell: Shell) -> Iterator[tuple[Shell, float, float, float]]:
    """Shell, mean motion, and node and argument of latitude at the start, of every filled slot."""
    for plane in range(shell.planes):
        node_deg = draws.normal(shell.node_deg + plane * shell.node_step_deg, 0.3)
        for slot in range(shell.slots):
            if draws.between(0.0, 1.0) < shell.filled:
                place_deg = plane * shell.phase_deg + slot * 360.0 / shell.slots
                mean_motion = draws.normal(shell.mean_motion, 1.0e-4)
                yield shell, mean_motion, draws.normal(node_deg, 0.02), draws.normal(place_deg, 0.3)


def _rising(draws: Draws) -> Iterator[tuple[Shell, float, float, float]]:
    """Some that are still on their way up, in planes of their own."""
    for _ in range(RISING):
        yield LOWER, draws.between(15.2, 15.6), draws.between(190.0, 230.0), draws.between(0.0, 360.0)


def _record(
    draws: Draws, number: int, shell: Shell, mean_motion: float, node_deg: float, latitude_argument_deg: float
) -> dict[str, Any]:
    """One element set, carried back from the start to its epoch by the secular rates of J2 (Vallado 2013, 9-38)."""
    age_d = min(max(draws.normal(14.7, 8.0), 4.0), 40.0) / 24.0
    epoch = START - timedelta(microseconds=round(age_d * 86_400e6))
    cosine = math.cos(math.radians(shell.inclination_deg))
    drift = 1.5 * J2 * (EARTH_RADIUS_KM / shell.axis_km) ** 2 * mean_motion * 360.0  # [deg/day]
    # An element set's mean motion holds the anomaly's own drift already (Kozai's), so that only the perigee's is added.
    argument_rate = mean_motion * 360.0 + drift * (2.5 * cosine**2 - 0.5)
    perigee_deg = draws.normal(92.0, 15.0)
    anomaly_deg = latitude_argument_deg - perigee_deg - argument_rate * age_d
    bstar = draws.normal(4.0e-4, 6.0e-4)
    return {
        "OBJECT_NAME": f"SYNTHETIC-{number - FIRST_NUMBER + 1:04d}",
        "OBJECT_ID": "2026-999A",
        "EPOCH": epoch.strftime("%Y-%m-%dT%H:%M:%S.%f"),
        "MEAN_MOTION": round(mean_motion, 8),
        "ECCENTRICITY": round(abs(draws.normal(1.4e-4, 2.5e-5)), 7),
        "INCLINATION": round(draws.normal(shell.inclination_deg, shell.inclination_spread_deg), 4),
        "RA_OF_ASC_NODE": round((node_deg + drift * cosine * age_d) % 360.0, 4),
        "ARG_OF_PERICENTER": round(perigee_deg % 360.0, 4),
        "MEAN_ANOMALY": round(anomaly_deg % 360.0, 4),
        "EPHEMERIS_TYPE": 0,
        "CLASSIFICATION_TYPE": "U",
        "NORAD_CAT_ID": number,
        "ELEMENT_SET_NO": 999,
        "REV_AT_EPOCH": 1,
        "BSTAR": round(bstar, 8),
        "MEAN_MOTION_DOT": round(0.14 * bstar, 8),
        "MEAN_MOTION_DDOT": 0,
    }


def text() -> str:
    """The file: one element set a line."""
    return "[" + ",\n".join(json.dumps(record) for record in records()) + "]\n"


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
