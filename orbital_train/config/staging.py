"""From the recipe's ``[staging]`` to what the schedule simulates of it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from orbital_train.config.recipe import Recipe
from orbital_train.errors import InputError
from orbital_train.schedule.scenario import StagingSpec


def staging_spec(recipe: Recipe, node_names: Sequence[str]) -> StagingSpec | None:
    """What is brought up and down; None if the recipe does not ask for it.

    Raises:
        InputError: a name is neither a satellite nor a ground site.
    """
    table = recipe.staging
    if table is None:
        return None
    return StagingSpec(
        sources=_nodes("staging.sources", table.sources, node_names),
        data_bits=math.ceil(table.data_gb * 8e9),
        deliver_to=_nodes("staging.deliver_to", table.deliver_to, node_names),
    )


def _nodes(key: str, names: Sequence[str], node_names: Sequence[str]) -> tuple[int, ...]:
    for name in names:
        if name not in node_names:
            last = ", ".join(node_names[-3:])
            raise InputError(
                key, name, f"is no satellite or ground site; accepted is one of {len(node_names)}, as {last}"
            )
    return tuple(node_names.index(name) for name in names)
