from pathlib import Path

import pytest

from tests import small


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands without --out write below the working directory."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """The small recipe, written out."""
    return small.write_recipe(tmp_path)
