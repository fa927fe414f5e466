"""Physical constants, each with its source."""

from __future__ import annotations

# WGS84 ellipsoid (NIMA TR8350.2): the Earth's shape wherever something looks at its surface or its limb.
EARTH_RADIUS_M = 6_378_137.0
EARTH_FLATTENING = 1.0 / 298.257223563

SUN_RADIUS_M = 695_700_000.0  # nominal solar radius, IAU 2015 Resolution B3
ASTRONOMICAL_UNIT_M = 149_597_870_700.0  # IAU 2012 Resolution B2
LIGHT_SPEED_MPS = 299_792_458.0  # SI
PLANCK_J_S = 6.62607015e-34  # SI

DAY_S = 86_400.0
TROPICAL_YEAR_DAYS = 365.24219  # the mean Sun's return to the equinox (Explanatory Supplement 2013, 3.26)
