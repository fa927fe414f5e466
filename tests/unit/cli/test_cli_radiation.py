"""How much radiation the satellites of a recipe get."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from orbital_train.cli import planning
from orbital_train.cli.compare import arm_values
from orbital_train.cli.radiation import radiation
from orbital_train.config.load import with_values
from orbital_train.config.tables.upsets import CHECKED
from orbital_train.errors import InputWarning
from orbital_train.schedule.ops.nodes import Upset
from tests import small

RATE = "faults.upsets.per_bit_hour=1e-13"


def test_nothing_weighs_the_flips_unless_told(tmp_path: Path) -> None:
    sky = planning.survey(small.recipe(tmp_path))
    assert radiation(small.recipe(tmp_path, RATE), sky) is None
    assert radiation(small.recipe(tmp_path, "faults.upsets.anomaly_factor=20"), sky) is None  # of nothing


def test_passes_through_the_anomaly_and_the_altitude(tmp_path: Path) -> None:
    """800 km above the equator's radius, over the poles' flattening and back: 2 ** (150 / 150) and a little."""
    recipe = small.recipe(tmp_path, RATE, "faults.upsets.anomaly_factor=20", "faults.upsets.doubling_km=150")
    sky = planning.survey(recipe)
    found = radiation(recipe, sky)
    assert found is not None
    assert found.factor.shape == (6, 12 * 60)
    inside = found.factor > 10
    assert 0.1 < inside.mean() < 0.2  # 50 degrees of latitude, 130 of longitude
    assert np.allclose(found.factor[~inside], 2.0, rtol=0.1)
    assert np.allclose(found.factor[inside], 40.0, rtol=0.1)


def test_most_flips_are_in_the_anomaly_where_the_rate_is_much_higher_there(tmp_path: Path) -> None:
    recipe = small.recipe(tmp_path, "faults.upsets.per_bit_hour=4e-12", "faults.upsets.anomaly_factor=100")
    sky = planning.survey(recipe)
    found = radiation(recipe, sky)
    assert found is not None
    flips = planning.scenario_of(recipe, sky).faults.bit_flips
    minutes = [int(f.at_us // 60_000_000) for f in flips]
    inside = [found.factor[f.node, minute] > 1 for f, minute in zip(flips, minutes, strict=True)]
    expected = (found.factor * (found.factor > 1)).sum() / found.factor.sum()
    assert np.mean(inside) == pytest.approx(expected, abs=3 * np.sqrt(expected * (1 - expected) / len(flips)))


def test_what_is_no_physical_rate_is_called_a_stress_test(tmp_path: Path) -> None:
    with pytest.warns(InputWarning) as caught:
        planning.fly(small.recipe(tmp_path, "faults.upsets.per_bit_hour=1e-13"))
    told = "faults.upsets = '673.2 flipped bits of a satellite a year': is a stress test: "
    assert told + "a chip in orbit has about nine silent corruptions a year" in [
        str(warning.message) for warning in caught
    ]


def test_the_arm_without_replica_flips_flies_the_same_trace(tmp_path: Path) -> None:
    listed = (
        'faults.upsets.flip=[{node="p0s0", at_h=0.3, target="message"}, {node="p0s0", at_h=0.2, target="gradient"}]'
    )
    recipe = small.recipe(
        tmp_path, "faults.upsets.per_bit_hour=1e-10", listed, "inner.lr=0.5", "compare.arms.link_aware.inner_lr=0.25"
    )
    clean = with_values(recipe, arm_values(recipe, "without_replica_flips"))
    assert clean.inner.lr == 0.25  # tuned as the recipe's own arm
    assert clean.screening.enabled
    with pytest.warns(InputWarning):
        ops, without = (planning.fly(each).trace.ops for each in (recipe, clean))
    targets = Counter(op.target for op in ops if isinstance(op, Upset))
    assert targets.keys() > {"message", "checkpoint", "version"}
    left = [replace(op, id=0) for op in ops if not isinstance(op, Upset) or op.target in CHECKED]
    assert left == [replace(op, id=0) for op in without]
