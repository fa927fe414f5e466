from pathlib import Path

import pytest

from orbital_train.report.build import build_report
from orbital_train.report.runs import Comparison, read_comparison
from tests.unit.report import synthetic


@pytest.fixture(scope="session")
def comparison_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("compare")
    synthetic.write_comparison(path)
    return path


@pytest.fixture(scope="session")
def comparison(comparison_dir: Path) -> Comparison:
    return read_comparison([comparison_dir])


@pytest.fixture(scope="session")
def report_html(comparison_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return build_report([comparison_dir], tmp_path_factory.mktemp("report")).read_text(encoding="utf-8")
