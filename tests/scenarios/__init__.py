"""The six scenarios that policies are judged on: recipes, and how the tests and scripts get at them."""

from __future__ import annotations

from pathlib import Path

from orbital_train.config.load import load_recipe
from orbital_train.config.recipe import Recipe

NAMES = ("ring_12", "star_24", "ground_16", "cluster_81", "starlink_40", "two_clusters")

# A list of real satellites that lies beside the project where it is developed, and does not ship with it.
SNAPSHOT = Path(__file__).resolve().parents[3] / "shared" / "data" / "starlink_omm_2024-05.json.gz"
_REAL = (
    f"fleet.path={SNAPSHOT}",
    "fleet.only_planes=[400, 403, 407, 411]",
    "time.start=2024-05-22T00:00:00Z",
)


def scenario(name: str, *overrides: str) -> Recipe:
    """One of the six, with some keys changed as on the command line."""
    return load_recipe(Path(__file__).with_name(f"{name}.toml"), overrides)


def real_starlink(*overrides: str) -> Recipe:
    """Scenario 5 with satellites of the snapshot, which must be there."""
    return scenario("starlink_40", *_REAL, *overrides)
