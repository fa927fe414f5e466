"""What the recipe asks to be brought up and down."""

from __future__ import annotations

from pathlib import Path

import pytest

from orbital_train.config.staging import staging_spec
from orbital_train.errors import InputError
from orbital_train.schedule.scenario import StagingSpec
from tests import small

NAMES = ("a", "b", "Svalbard")


def test_nothing_is_staged_unless_asked_for(tmp_path: Path) -> None:
    assert staging_spec(small.recipe(tmp_path), NAMES) is None


def test_names_and_gigabytes(tmp_path: Path) -> None:
    recipe = small.recipe(tmp_path, 'staging={sources=["Svalbard"], data_gb=0.25, deliver_to=["b"]}')
    assert staging_spec(recipe, NAMES) == StagingSpec(sources=(2,), data_bits=2_000_000_000, deliver_to=(1,))


@pytest.mark.parametrize("key", ["sources", "deliver_to"])
def test_an_unknown_name(tmp_path: Path, key: str) -> None:
    recipe = small.recipe(
        tmp_path, f'staging={{sources=["a"], {key}=["Moon"]}}' if key != "sources" else 'staging={sources=["Moon"]}'
    )
    with pytest.raises(InputError) as caught:
        staging_spec(recipe, NAMES)
    assert str(caught.value) == (
        f"staging.{key} = 'Moon': is no satellite or ground site; accepted is one of 3, as a, b, Svalbard"
    )
