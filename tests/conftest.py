"""The tests' own cache: they must neither see nor fill that of whoever runs them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ORBITAL_TRAIN_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.delenv("ORBITAL_TRAIN_PLAN_CACHE", raising=False)
        yield
