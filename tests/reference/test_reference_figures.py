"""The computed figures of orbits, light, links and power, to the digits in which they are given."""

from __future__ import annotations

import importlib.util
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "reference_figures"


def loaded() -> ModuleType:
    spec = importlib.util.spec_from_loader("reference_figures", SourceFileLoader("reference_figures", str(SCRIPT)))
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["reference_figures"] = module  # dataclasses look their module up
    assert spec.loader is not None
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("part", ["eclipse_figures", "season_figures", "link_figures", "power_figures"])
def test_figures(part: str) -> None:
    rows = list(getattr(loaded(), part)())
    assert len(rows) >= 2
    wrong = [row for row in rows if not abs(row.ours - row.expected) <= row.tolerance]
    assert wrong == []


def test_the_script_prints_every_figure(capsys: pytest.CaptureFixture[str]) -> None:
    module = loaded()
    module.main()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + len(list(module.figures()))
    assert lines[-1].split()[-5:] == ["discharge", "2.08", "2.082543", "0.0025", "kWh"]
