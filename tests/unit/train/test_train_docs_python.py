"""The loop of docs/python.md, as it stands there."""

import re
import runpy
from pathlib import Path

import torch

DOCUMENT = Path(__file__).parents[3] / "docs" / "python.md"


def test_the_loop_learns(tmp_path: Path) -> None:
    code = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)[1]
    script = tmp_path / "loop.py"
    script.write_text(code, encoding="utf-8")
    names = runpy.run_path(str(script))
    losses = [row["loss"] for row in names["rows"] if row["event"] == "evaluate"]
    assert losses[-1] < 0.2 * losses[0]
    with torch.no_grad():
        assert names["validation"]().item() == losses[-1]  # the model has the final global model
    assert sum(row["n"] for row in names["rows"] if row["event"] == "step") >= 2400
