"""The example of docs/models.md, as it stands there."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from orbital_train.train.problem import build_problem
from orbital_train.train.run import run_local
from orbital_train.train.spec import Named, OuterSpec
from orbital_train.train.trial import try_out
from tests.unit.train.problems import tiny_spec
from tests.unit.train.traces import rounds_trace

DOCUMENT = Path(__file__).parents[3] / "docs" / "models.md"


def test_the_example_is_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)[0]
    (tmp_path / "curves.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    spec = tiny_spec(
        model=Named(kind="curves:Curve", arguments={"width": 16}),
        data=Named(kind="curves:Waves", arguments={"noise": 0.05}),
        batch_size=32,
        outer=OuterSpec(lr=1.0, momentum=0.0),
        imports=("curves",),
    )
    assert try_out(spec, timed=False).parameters == 49
    trace = rounds_trace((0, 1, 2, 3), rounds=4, steps=20)
    first = run_local(trace, spec, build_problem(spec, (0, 1, 2, 3), "cpu"))
    assert first.losses[-1] < first.losses[0]
    assert run_local(trace, spec).digest == first.digest
    assert run_local(trace, replace(spec, init_seed=9)).digest != first.digest
    del sys.modules["curves"]
