"""Clouds over optical ground sites: a seeded history of outages for each site.

A site is clear and cloudy in turn, each for an exponentially distributed time (a two-state Markov process in continuous
time), with no memory and no weather shared between sites. The cloud fraction f and the mean cloudy time c give the mean
clear time c (1 - f) / f; at the start it is cloudy with probability f.
"""

from __future__ import annotations

import numpy as np

from orbital_train.windows.plan import FloatArray

_BATCH = 64  # pairs of times drawn at once; fixed, so that a longer scenario continues a shorter one


def cloudy_spells(
    site: str, cloud_fraction: float, mean_cloudy_s: float, seed: int, horizon_s: float
) -> tuple[FloatArray, FloatArray]:
    """Starts and ends of the cloudy spells over a site, cut to the horizon.

    They depend on the seed and the site's name only: another site, or a longer horizon, changes nothing.
    """
    generator = np.random.default_rng([seed, *site.encode()])
    mean_clear_s = mean_cloudy_s * (1.0 - cloud_fraction) / cloud_fraction
    # Both times have no memory, so the first ones are drawn like all others; a clear one of no length starts cloudy.
    cloudy_first = generator.random() < cloud_fraction
    edges: list[FloatArray] = []
    now_s = 0.0
    while now_s < horizon_s:
        spell_s = generator.exponential(1.0, (_BATCH, 2)) * [mean_clear_s, mean_cloudy_s]
        if cloudy_first and not edges:
            spell_s[0, 0] = 0.0
        edges.append(now_s + np.cumsum(spell_s.ravel()))
        now_s = float(edges[-1][-1])
    start_s, end_s = np.concatenate(edges).reshape(-1, 2).T
    inside = start_s < horizon_s
    return start_s[inside], np.minimum(end_s[inside], horizon_s)
