"""The golden parameter histories; see ``golden.py`` for the command that writes them anew."""

import json
from pathlib import Path

import pytest

from tests.unit.train.golden import CASES, history


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_history_of_two_parameters(path: Path) -> None:
    """To 1e-5 of a parameter of order one: the last bit may differ between instruction sets."""
    found, golden = history(CASES[path]), json.loads(path.read_text(encoding="utf-8"))
    assert [sorted(row) for row in found] == [sorted(row) for row in golden]
    for op_id, (now, then) in enumerate(zip(found, golden, strict=True)):
        for name, parameters in then.items():
            assert now[name] == pytest.approx(parameters, rel=1e-5, abs=1e-6), f"operation {op_id}, {name}"
