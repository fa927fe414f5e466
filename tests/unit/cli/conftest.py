import shutil
from pathlib import Path

import pytest

from orbital_train.cli.run_directory import RunDirectory
from tests import small
from tests.unit.cli.halfway import run_halfway


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands without --out write below the working directory."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """The small recipe, written out."""
    return small.write_recipe(tmp_path)


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the recipe of a run that was ended halfway, and of the run itself."""
    folder = tmp_path_factory.mktemp("home")
    run_halfway(small.write_recipe(folder), folder / "run")
    return folder


@pytest.fixture
def halfway(home: Path, tmp_path: Path) -> RunDirectory:
    """A copy of that run."""
    return RunDirectory(shutil.copytree(home / "run", tmp_path / "run"))
